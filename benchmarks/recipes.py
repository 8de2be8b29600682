"""From the original recipe to the tuned one, in steps, over seeds.

    python benchmarks/recipes.py            (about half an hour on two cores; stop and start it as you like)

It writes course_utils/records/recipes.json, in which each run names its commit and date; the record's own are those of
the times. A record of another machine is not gone on with. The first and the last rung are what
`python -m course_utils train --recipe original|tuned --seed N` runs. The time of a step is measured at the end, all
recipes in turn, since the runs themselves lie too far apart to be compared: leave the machine alone for that minute.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from provenance import begun, made_at, provenance, save, whole

from course_utils import ORIGINAL, TUNED, ProgressBar, fit, summary

RECORD = Path(__file__).parents[1] / "course_utils" / "records" / "recipes.json"
SEEDS = 5
SEEDS_BETWEEN = 3  # of those between the original and the short ones, which take more than a minute each
TIMING_ROUNDS = 5
TIMING_STEPS = 20

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
WITHOUT_GUIDE = dataclasses.replace(TUNED, name="without guide", guided=False)
BETWEEN = (NO_DROPOUT, ALWAYS_FORCED, ONE_CYCLE)
LADDER = (ORIGINAL, *BETWEEN, FEWER, WITHOUT_GUIDE, TUNED)


def without_times(run: dict) -> dict:
    """A run's results alone: its time depends on what else the machine did that hour."""
    history = [{name: value for name, value in row.items() if name != "seconds"} for row in run["history"]]
    return {name: value for name, value in run.items() if name != "seconds"} | {"history": history}


def seconds_per_step() -> dict[str, list[float]]:
    """Each recipe's time for a training step, in several rounds, all recipes in each round."""
    times: dict[str, list[float]] = {recipe.name: [] for recipe in LADDER}
    for _ in range(TIMING_ROUNDS):
        for recipe in LADDER:
            run = whole(fit(dataclasses.replace(recipe, steps_per_epoch=TIMING_STEPS, epochs=1, validation_examples=1)))
            times[recipe.name].append(round(run.seconds / TIMING_STEPS, 5))
    return times


def main() -> None:
    here = provenance("python benchmarks/recipes.py")
    record = {"runs": []} | begun(RECORD, here)
    done = {(run["recipe"], run["seed"], run["examples"]) for run in record["runs"]}
    for seed in range(SEEDS):
        for recipe in LADDER:
            if (recipe.name, seed, recipe.examples) in done or (recipe in BETWEEN and seed >= SEEDS_BETWEEN):
                continue
            run = without_times(summary(whole(fit(recipe, seed=seed, callbacks=[ProgressBar()]))))
            # Sums split among threads round otherwise, and training amplifies it: the number belongs to the result.
            record["runs"].append(run | {"threads": torch.get_num_threads(), **made_at(here)})
            save(record, RECORD)
    record = {
        **here,
        "settings": {recipe.name: dataclasses.asdict(recipe) for recipe in LADDER},
        "seconds per step": seconds_per_step(),
        "runs": record["runs"],
    }
    save(record, RECORD)


if __name__ == "__main__":
    main()
