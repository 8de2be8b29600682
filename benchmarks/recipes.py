"""The way from the original recipe to the quick ones, an idea a row, over seeds: the tables of RECORDS.md.

    python benchmarks/recipes.py            (an hour on two cores with nothing else to do; goes on where it was stopped)

It writes course_utils/records/recipes.json. A run's seconds are those of its training alone. Rounds go through all
rows, a seed each, so that a slow spell of the machine hits all alike. Each row is what
`python -m course_utils train --recipe NAME --seed N` runs where NAME is `original`, `tuned` or `fastest`.
"""

from __future__ import annotations

import dataclasses
import statistics
from pathlib import Path

from provenance import begun, made_at, provenance, save, whole
from tqdm.auto import tqdm

from course_utils import FASTEST, ORIGINAL, TUNED, Recipe, fit, summary

RECORD = Path(__file__).parents[1] / "course_utils" / "records" / "recipes.json"
SEEDS = 10

NO_DROPOUT = dataclasses.replace(ORIGINAL, name="no dropout", dropout=0.0)
ALWAYS_FORCED = dataclasses.replace(NO_DROPOUT, name="always forced", teacher_forcing_ratio=1.0)
ONE_CYCLE = dataclasses.replace(ALWAYS_FORCED, name="one-cycle rate", one_cycle=True, learning_rate=3e-3)
FEWER = dataclasses.replace(
    ONE_CYCLE,
    name="fewer examples",
    batch_size=64,
    steps_per_epoch=64,
    epochs=10,
    validation_examples=256,
    validation_batch_size=256,
)
LONGER_SUBSTRINGS = dataclasses.replace(
    FEWER,
    name="longer substrings",
    steps_per_epoch=60,
    epochs=5,
    learning_rate=4e-3,
    gradient_clip=10.0,
    initial_range=None,
    warm_up=0.2,
    betas=(0.7, 0.9),
    length_weight=2.0,
)
DECAY = dataclasses.replace(
    LONGER_SUBSTRINGS,
    name="weight decay",
    batch_size=48,
    steps_per_epoch=64,
    learning_rate=5e-3,
    betas=(0.7, 0.95),
    weight_decay=0.5,
)
WITHOUT_GUIDE = dataclasses.replace(TUNED, name="without guide", guided=False)
LONG_RUNS = (ORIGINAL, NO_DROPOUT, ALWAYS_FORCED)  # which stay below 99 %: every second seed is enough
SAME_NETWORK = (*LONG_RUNS, ONE_CYCLE, FEWER, LONGER_SUBSTRINGS, DECAY, WITHOUT_GUIDE, TUNED)

ONE_LAYER = dataclasses.replace(
    LONGER_SUBSTRINGS,
    name="one layer",
    steps_per_epoch=90,
    learning_rate=1.1e-2,
    emb_dim=16,
    hidden_dim=128,
    n_layers=1,
    warm_up=0.1,
)
LITTLE_DECAY = dataclasses.replace(
    ONE_LAYER, name="little decay", steps_per_epoch=72, learning_rate=1.3e-2, weight_decay=0.1
)
MORE_DECAY = dataclasses.replace(
    LITTLE_DECAY,
    name="more decay",
    steps_per_epoch=60,
    learning_rate=2e-2,
    betas=(0.7, 0.95),
    weight_decay=0.25,
)
MOST_DECAY = dataclasses.replace(
    MORE_DECAY, name="most decay", steps_per_epoch=50, learning_rate=2.5e-2, weight_decay=0.35
)
ANY_NETWORK = (ONE_LAYER, LITTLE_DECAY, MORE_DECAY, MOST_DECAY, FASTEST)


def row(record: dict, recipe: Recipe) -> str:
    """A row of RECORDS.md after its idea: examples, exact match in %, seeds, seconds; with the spread over seeds."""
    runs = [run for run in record["runs"] if run["recipe"] == recipe.name]
    matches = [100 * run["exact_match"] for run in runs]
    seconds = [run["seconds"] for run in runs]
    return " | ".join([
        f"{recipe.examples:,}",
        f"{statistics.mean(matches):.2f} ({min(matches):.2f} to {max(matches):.2f})",
        f"{len(runs)}",
        f"{statistics.mean(seconds):.1f} ({min(seconds):.1f} to {max(seconds):.1f})",
    ])  # fmt: skip


def main() -> None:
    here = provenance("python benchmarks/recipes.py")
    rows = (*SAME_NETWORK, *ANY_NETWORK)
    record = begun(RECORD, here, *rows)
    runs = record.setdefault("runs", [])
    done = {(run["recipe"], run["seed"]) for run in runs}
    left = [
        (recipe, seed)
        for seed in range(SEEDS)
        for recipe in rows
        if (recipe.name, seed) not in done and not (recipe in LONG_RUNS and seed % 2)
    ]
    for recipe, seed in tqdm(left, "runs"):
        runs.append(summary(whole(fit(recipe, seed=seed))) | made_at(here))
        save(record, RECORD)


if __name__ == "__main__":
    main()
