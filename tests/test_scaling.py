"""What a training step costs as things grow: the settings, and where doubling stops paying."""

import dataclasses
import json

import provenance
import pytest
import scaling
import torch

from course_utils import TUNED

CPU = torch.device("cpu")


def test_each_lever_is_doubled_from_its_first_value_to_its_last():
    assert scaling.values("length") == [10, 20, 40, 80, 160, 320]
    assert scaling.values("n_layers") == [1, 2, 4, 8]


@pytest.mark.parametrize(
    ("lever", "milliseconds", "end"),
    [
        ("batch_size", {1: 10.0, 2: 10.0, 4: 15.0, 8: 29.0, 16: 58.0}, 4),  # 29 / 2 is not under 0.9 of 15
        ("batch_size", {1: 10.0, 2: 10.0, 4: 15.0}, None),
        ("hidden_dim", {32: 10.0, 64: 30.0, 128: 110.0}, 64),  # four times the arithmetic
    ],
)
def test_doubling_pays_while_each_unit_gets_a_tenth_cheaper(lever, milliseconds, end):
    assert scaling.stops_paying(lever, milliseconds) == end


def test_a_longer_source_takes_longer_and_a_step_is_timed_not_a_call(monkeypatch):
    monkeypatch.setattr(scaling, "SECONDS_AT_LEAST", 0.02)
    recipe = dataclasses.replace(TUNED, batch_size=8, emb_dim=4, hidden_dim=8, n_layers=1)
    short, long = (scaling.step_seconds(recipe, length, CPU) for length in (10, 80))
    assert 0 < short < long


def test_the_record_holds_every_setting_and_a_picture_of_each_lever(tmp_path, monkeypatch):
    monkeypatch.setattr(scaling, "RECORD", tmp_path / "scaling.json")
    monkeypatch.setattr(scaling, "find_device", lambda name: CPU)
    monkeypatch.setattr(provenance, "commit", lambda: "0123abc")  # a copy of the course need not be a git repository
    monkeypatch.setattr(scaling, "step_seconds", lambda recipe, length, device: recipe.batch_size * length / 1000)
    scaling.main()
    record = json.loads(scaling.RECORD.read_text(encoding="utf-8"))
    assert record["milliseconds a step"]["batch_size"]["512"] == 5120
    assert record["milliseconds a step"]["length"]["320"] == TUNED.batch_size * 320
    assert record["milliseconds a step"]["n_layers"] == dict.fromkeys("1248", TUNED.batch_size * 10)
    assert record["doubling stops paying at"] == {
        "batch_size": 1,
        "hidden_dim": None,
        "n_layers": None,
        "length": 10,
    }
    for lever in scaling.LEVERS:
        assert (tmp_path / f"scaling-{lever}.png").read_bytes().startswith(b"\x89PNG")
