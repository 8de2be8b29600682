"""Recipes: what each of them says, and what none may say."""

import dataclasses
import math
import re

import pytest

from course_utils import (
    EXACT,
    EXACT_8,
    FASTEST,
    ORIGINAL,
    RECIPES,
    SMALL,
    SMALLEST,
    TUNED,
    Recipe,
    build_model,
    find_recipe,
    load_model,
    load_record,
    record_path,
)


def test_the_original_recipe_is_the_original_experiment():
    assert dataclasses.asdict(ORIGINAL) == {
        "name": "original",
        "batch_size": 32,
        "steps_per_epoch": 4_096 // 32,
        "epochs": 16,
        "dropout": 0.5,
        "teacher_forcing_ratio": 0.5,
        "learning_rate": 1e-3,
        "one_cycle": False,
        "validation_examples": 8,
        "validation_batch_size": 1,
        "emb_dim": 128,
        "hidden_dim": 256,
        "n_layers": 3,
        "gradient_clip": 1.0,
        "initial_range": 0.08,
        "warm_up": 0.3,  # of a one-cycle rate, which it has not
        "betas": (0.9, 0.999),
        "weight_decay": 0.0,
        "length_weight": 0.0,
        "length": 10,
        "network": "gru",
        "guided": False,
    }
    assert ORIGINAL.steps == 16 * 128
    assert ORIGINAL.examples == 16 * 4_096


def test_the_tuned_recipe_trains_the_same_network_in_at_most_64_000_examples():
    assert TUNED.examples == 11_520 <= 64_000
    for setting in ("emb_dim", "hidden_dim", "n_layers", "length"):
        assert getattr(TUNED, setting) == getattr(ORIGINAL, setting)


def test_the_exact_recipes_are_as_long_as_the_records_say():
    assert (EXACT.steps, EXACT.batch_size, EXACT.length) == (40_000, 256, 10)
    assert (EXACT_8.steps, EXACT_8.batch_size, EXACT_8.length) == (12_000, 256, 8)
    assert (SMALLEST.steps, SMALLEST.batch_size, SMALLEST.length) == (200_000, 256, 10)
    made_by = {EXACT: "exact-length10.pt", EXACT_8: "exact-length8.pt", SMALLEST: "smallest-length10.pt"}
    for recipe, name in made_by.items():
        made = load_model(record_path(name)).state_dict()
        assert {key: value.shape for key, value in build_model(recipe).state_dict().items()} == {
            key: value.shape for key, value in made.items()
        }


def test_the_small_recipe_takes_the_steps_that_notebooks_speak_of():
    assert (SMALL.steps_per_epoch, SMALL.epochs, SMALL.examples) == (100, 8, 51_200)


def test_recipes_are_found_by_name():
    recipes = [ORIGINAL, TUNED, FASTEST, EXACT, EXACT_8]
    assert [find_recipe(name) for name in ("original", "tuned", "fastest", "exact", "exact-8")] == recipes
    assert recipes == list(RECIPES.values())


def test_an_unknown_recipe_is_refused(refused):
    with refused("no recipe 'nonsense'; the recipes are original, tuned, fastest, exact, exact-8"):
        find_recipe("nonsense")


IMPOSSIBLE = {
    "epochs": [0, -1, 1.5],
    "steps_per_epoch": [0],
    "batch_size": [0, True],
    "validation_examples": [0],
    "validation_batch_size": [0],
    "emb_dim": [0],
    "hidden_dim": [0],
    "n_layers": [0],
    "learning_rate": [0.0, -1e-3, math.inf, math.nan],
    "gradient_clip": [0.0, -1.0],
    "weight_decay": [-0.1, math.inf, math.nan],
    "initial_range": [0.0, -1.0, math.inf, math.nan],
    "length_weight": [-1.0, 21.0, math.inf, math.nan],
    "betas": [(1.0, 0.9), (0.9, -0.1), (0.9,), (0.9, 0.95, 0.99)],
    "dropout": [-0.1, 1.0],
    "warm_up": [-0.1, 1.0],
    "teacher_forcing_ratio": [-0.1, 1.1],
    "network": ["rnn"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in IMPOSSIBLE for value in IMPOSSIBLE[name]])
def test_an_impossible_recipe_is_refused(name, value, recipe, refused):
    with refused(f"{name.replace('_', '.')}.*not {re.escape(str(value))}"):
        dataclasses.replace(recipe, **{name: value})


@pytest.mark.parametrize("recipe", [TUNED, ORIGINAL], ids=lambda recipe: recipe.name)
def test_recorded_runs_are_those_of_the_recipe_of_today(recipe):
    settings = load_record("recipes")["settings"][recipe.name]
    settings["betas"] = tuple(settings["betas"])
    assert Recipe(**settings) == recipe  # what is not recorded is as it was before it could be chosen
    examples = {run["examples"] for run in load_record("recipes")["runs"] if run["recipe"] == recipe.name}
    assert examples == {recipe.examples}
