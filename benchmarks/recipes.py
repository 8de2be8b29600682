"""From the original recipe to the tuned one, one change at a time, over seeds. Writes course_utils/records/recipes.json.

    python benchmarks/recipes.py            (about half an hour on two cores; stop and start it as you like)

The first and the last rung are what `python -m course_utils train --recipe original|tuned --seed N` runs.
"""

from __future__ import annotations

import dataclasses
import json
import platform
import subprocess
from datetime import date
from pathlib import Path

import torch

from course_utils import ORIGINAL, TUNED, ProgressBar, fit, summary

RECORD = Path(__file__).parents[1] / "course_utils" / "records" / "recipes.json"
SEEDS_AT_THE_ENDS = 5
SEEDS_BETWEEN = 3

NO_DROPOUT = dataclasses.replace(ORIGINAL, name="no dropout", dropout=0.0)
ALWAYS_FORCED = dataclasses.replace(NO_DROPOUT, name="always forced", teacher_forcing_ratio=1.0)
ONE_CYCLE = dataclasses.replace(ALWAYS_FORCED, name="one-cycle rate", one_cycle=True, learning_rate=TUNED.learning_rate)
LADDER = (ORIGINAL, NO_DROPOUT, ALWAYS_FORCED, ONE_CYCLE, TUNED)


def hardware() -> str:
    names = [
        line.split(":")[1].strip() for line in _text("/proc/cpuinfo").splitlines() if line.startswith("model name")
    ]
    return f"{names[0] if names else platform.processor()}, {torch.get_num_threads()} threads"


def _text(path: str) -> str:
    return Path(path).read_text(encoding="utf-8") if Path(path).exists() else ""


def main() -> None:
    runs = json.loads(RECORD.read_text(encoding="utf-8"))["runs"] if RECORD.exists() else []
    done = {(run["recipe"], run["seed"]) for run in runs}
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    for seed in range(SEEDS_AT_THE_ENDS):  # seeds outside, recipes inside: a slow spell of the machine hits them all
        for recipe in LADDER:
            if (recipe.name, seed) in done or (recipe not in (ORIGINAL, TUNED) and seed >= SEEDS_BETWEEN):
                continue
            runs.append(summary(fit(recipe, seed=seed, callbacks=[ProgressBar()])))
            record = {
                "made by": "python benchmarks/recipes.py",
                "hardware": hardware(),
                "versions": {"torch": torch.__version__, "python": platform.python_version()},
                "commit": commit.stdout.strip(),
                "date": date.today().isoformat(),
                "settings": {recipe.name: dataclasses.asdict(recipe) for recipe in LADDER},
                "runs": runs,
            }
            RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
