"""The floor of a training step: what is counted, and what is divided by what."""

import dataclasses
import json

import floor
import provenance
import pytest
import torch

from course_utils import FASTEST, TUNED

GATES = {"gru": 3, "pairs": 4}
TOKENS_A_STEP = {"gru": 1, "pairs": 2}


@pytest.mark.parametrize("recipe", floor.RECIPES, ids=lambda recipe: recipe.name)
def test_all_matrix_products_of_a_step_are_counted(recipe):
    hidden, gates, tokens = recipe.hidden_dim, GATES[recipe.network], TOKENS_A_STEP[recipe.network]
    own = gates * hidden * hidden
    inputs = gates * hidden * (tokens * recipe.emb_dim + hidden * (recipe.n_layers - 1))
    products = (10 + 8) // tokens * (recipe.n_layers * own + inputs) + 8 * hidden * 10  # of one example, forward
    products += recipe.guided * recipe.n_layers * hidden * 8 * 10  # the guide reads all states
    # Backward there are two for each, but none for the state the encoder begins with, which nothing learns from.
    backward = 2 * products - recipe.n_layers * own
    assert floor.operations(recipe) == 2 * recipe.batch_size * (products + backward)
    assert torch.backends.mkldnn.enabled


def test_a_step_is_compared_with_its_operations_at_the_given_speed(monkeypatch):
    monkeypatch.setattr(floor, "processor_seconds", lambda work: 0.5)
    recipe = dataclasses.replace(TUNED, batch_size=2, emb_dim=4, hidden_dim=8, n_layers=1)
    found = floor.measured(recipe, floor.operations(recipe) / 0.02)
    assert found["floor, milliseconds"] == 20
    assert found["milliseconds"] == 100
    assert found["times the floor"] == 5


def test_both_libraries_are_timed_on_the_same_number_of_operations(monkeypatch):
    counted = []

    def count(work):
        counted.append(floor.operations_of(work))
        return 0.5

    monkeypatch.setattr(floor, "processor_seconds", count)
    assert set(floor.speeds().values()) == {4 * floor.MATRIX**3}
    assert counted == [2 * floor.MATRIX**3] * 2


def test_only_the_work_is_timed_and_the_fastest_round_counts(monkeypatch):
    clock = iter([0, 9, 9, 12, 12, 20])
    monkeypatch.setattr(floor, "ROUNDS", 3)
    monkeypatch.setattr(floor.time, "process_time", lambda: next(clock))
    assert floor.processor_seconds(lambda: None) == 3


def test_the_record_says_where_it_was_made(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(floor, "RECORD", tmp_path / "floor.json")
    monkeypatch.setattr(floor, "speeds", lambda: {"one library": 1e3, "another": 1e9, "a third": 1e6})
    monkeypatch.setattr(floor, "RECIPES", (dataclasses.replace(FASTEST, batch_size=2, hidden_dim=8),))
    monkeypatch.setattr(provenance, "commit", lambda: "0123abc")  # a copy of the course need not be a git repository
    monkeypatch.setattr(torch, "set_num_threads", lambda n: None)  # other tests have theirs
    floor.main()
    record = json.loads(floor.RECORD.read_text(encoding="utf-8"))
    assert record["commit"] == "0123abc"
    fastest = record["steps"]["fastest"]
    assert fastest["milliseconds"] > 0
    assert fastest["floor, milliseconds"] == round(fastest["operations"] / 1e6, 3)  # at the highest of the speeds
    assert json.loads(capsys.readouterr().out) == record["steps"]
