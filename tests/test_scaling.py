"""What a training step costs as things grow: the settings, and where doubling stops paying."""

import dataclasses
import json
from pathlib import Path

import floor
import provenance
import pytest
import scaling
import torch

from course_utils import TUNED

CPU = torch.device("cpu")
RECORD = json.loads(scaling.RECORD.read_text(encoding="utf-8"))
RECORDS = (Path(__file__).parents[1] / "benchmarks" / "RECORDS.md").read_text(encoding="utf-8")


def by_value(name, lever):
    return {int(value): number for value, number in RECORD[name][lever].items()}


def test_each_lever_is_doubled_from_its_first_value_to_its_last():
    assert scaling.values(10, 320) == [10, 20, 40, 80, 160, 320]
    assert scaling.values(1, 9) == [1, 2, 4, 8]
    for lever, (first, last, _) in scaling.LEVERS.items():
        assert list(by_value("milliseconds a step", lever)) == scaling.values(first, last)


@pytest.mark.parametrize(
    ("milliseconds", "operations", "end"),
    [
        ({1: 10.0, 2: 10.0, 4: 15.0, 8: 29.0, 16: 58.0}, {1: 1, 2: 2, 4: 4, 8: 8, 16: 16}, 4),  # 29 / 2 > 0.9 * 15
        ({1: 10.0, 2: 10.0, 4: 15.0}, {1: 1, 2: 2, 4: 4}, None),
        ({1: 10.0, 2: 20.0, 4: 40.0}, {1: 1, 2: 2, 4: 4}, 1),
        ({1: 10.0, 2: 20.0, 4: 30.0, 8: 60.0}, {1: 1, 2: 2, 4: 4, 8: 8}, 4),  # after a miss it pays once more
        ({32: 10.0, 64: 30.0, 128: 110.0}, {32: 1, 64: 4, 128: 16}, 64),
    ],
)
def test_doubling_stops_paying_where_no_later_one_makes_an_operation_a_tenth_cheaper(milliseconds, operations, end):
    assert scaling.stops_paying(milliseconds, operations) == end


def test_operations_are_counted_for_one_example_and_all_cost_the_same():
    unguided = dataclasses.replace(TUNED, guided=False)
    for recipe in (unguided, dataclasses.replace(unguided, batch_size=5, hidden_dim=32, n_layers=2)):
        assert scaling.counted(recipe, recipe.length) == floor.operations(recipe)


@pytest.mark.parametrize("lever", ["hidden_dim", "n_layers"])
def test_the_record_s_operations_are_those_of_its_settings(lever):
    assert RECORD["network"] == {name: getattr(TUNED, name) for name in scaling.SIZES}
    operations = by_value("operations a step", lever)
    assert operations == {value: scaling.counted(*scaling.setting(lever, value)) for value in operations}


@pytest.mark.parametrize("lever", scaling.LEVERS)
def test_where_doubling_stops_paying_in_the_record_follows_from_its_numbers(lever):
    end = scaling.stops_paying(by_value("milliseconds a step", lever), by_value("operations a step", lever))
    assert RECORD["doubling stops paying at"][lever] == end


def test_the_text_tells_the_record_s_numbers():
    text = " ".join(RECORDS.split())
    batch, state, layers = (
        (by_value("milliseconds a step", lever), by_value("operations a step", lever))
        for lever in ("batch_size", "hidden_dim", "n_layers")
    )
    each = {value: milliseconds / value for value, milliseconds in batch[0].items()}
    cheaper = [100 * (1 - each[2 * value] / each[value]) for value in (64, 128, 256)]
    assert f"1 takes {batch[0][1]:.0f} ms, 64 take {batch[0][64]:.0f} ms, {each[64]:.1f} ms each" in text
    assert f"Doubling stops paying at {RECORD['doubling stops paying at']['batch_size']}." in text
    assert f"From 64 on it makes an example {min(cheaper):.0f} to {max(cheaper):.0f} % cheaper each time" in text
    assert f"at 512 it is {each[512]:.1f} ms each" in text
    (time, operations), last = state, 512
    assert f"32 takes {time[32]:.0f} ms, {last} takes {time[last]:.0f} ms: {time[last] / time[32]:.0f} times" in text
    assert f"the time for {operations[last] / operations[32]:.0f} times the arithmetic" in text
    (time, operations) = layers
    assert f"2 take {time[2] / time[1]:.1f} times as long as 1, for {operations[2] / operations[1]:.1f} times" in text


def test_a_longer_source_takes_longer_and_a_step_is_timed_not_a_call(monkeypatch):
    monkeypatch.setattr(scaling, "SECONDS_AT_LEAST", 0.02)
    recipe = dataclasses.replace(TUNED, batch_size=8, emb_dim=4, hidden_dim=8, n_layers=1)
    short, long = (scaling.step_seconds(recipe, length, CPU) for length in (10, 80))
    assert 0 < short < long


def test_the_record_holds_every_setting_and_a_picture_of_each_lever(tmp_path, monkeypatch):
    monkeypatch.setattr(scaling, "RECORD", tmp_path / "scaling.json")
    monkeypatch.setattr(provenance, "commit", lambda: "0123abc")  # a copy of the course need not be a git repository
    monkeypatch.setattr(scaling, "step_seconds", lambda recipe, length, device: recipe.batch_size * length / 1000)
    monkeypatch.setattr(
        scaling, "counted", lambda recipe, length: recipe.batch_size * recipe.hidden_dim * recipe.n_layers * length
    )
    scaling.main()
    record = json.loads(scaling.RECORD.read_text(encoding="utf-8"))
    assert record["milliseconds a step"]["batch_size"]["512"] == 5120
    assert record["milliseconds a step"]["length"]["320"] == TUNED.batch_size * 320
    assert record["milliseconds a step"]["n_layers"] == dict.fromkeys("1248", TUNED.batch_size * 10)
    assert record["operations a step"]["n_layers"]["8"] == TUNED.batch_size * TUNED.hidden_dim * 8 * 10
    assert record["doubling stops paying at"] == {
        "batch_size": 1,
        "hidden_dim": None,
        "n_layers": None,
        "length": 10,
    }
    for lever in scaling.LEVERS:
        assert (tmp_path / f"scaling-{lever}.png").read_bytes().startswith(b"\x89PNG")


def test_what_does_not_fit_into_a_gpu_is_left_out(monkeypatch):
    def seconds_or_no_room(recipe, length, device):
        if recipe.batch_size > 4:
            raise torch.OutOfMemoryError
        return recipe.batch_size / 1000

    monkeypatch.setattr(scaling, "step_seconds", seconds_or_no_room)
    monkeypatch.setattr(scaling, "counted", lambda recipe, length: recipe.batch_size)
    found = scaling.measured(CPU, {"batch_size": (1, 16, "examples in a batch")})
    assert found["milliseconds a step"] == {"batch_size": {1: 1.0, 2: 2.0, 4: 4.0}}
    assert found["doubling stops paying at"] == {"batch_size": 1}
