"""What the usual instruments and the properties say of each exhibit of the bug museum, over seeds.

    python benchmarks/museum.py             (about half an hour on one core; stop and start it as you like)

It writes course_utils/records/museum.json: for each exhibit, and for the healthy course, the readings of one trained
network a seed, and the properties that fail on an untrained one, with what they measure and how long they take. Those
times are measured at the end, in several rounds: leave the machine alone for that minute.
"""

from __future__ import annotations

import dataclasses
import json
import platform
from datetime import date
from pathlib import Path
from statistics import median

import torch
from recipes import commit, hardware
from tqdm.auto import tqdm

from course_utils.museum import EXHIBITS, MUSEUM, Exhibit, examine, measure

RECORD = Path(__file__).parents[1] / "course_utils" / "records" / "museum.json"
SEEDS = 5
ROUNDS = 5
CASES: dict[str, Exhibit | None] = {"healthy": None, **EXHIBITS}


def diagnosis(exhibit: Exhibit | None) -> dict:
    """The properties that fail, what each measures and its milliseconds; and those of the whole examination."""
    rounds = [examine(exhibit) for _ in range(ROUNDS)]
    failed = {}
    for number, finding in enumerate(rounds[0].findings):
        if finding.verdict == "fails":
            times = [one.findings[number].milliseconds for one in rounds]
            failed[finding.property.name] = {"measured": finding.measured, "milliseconds": median(times)}
    return {
        "failed": failed,
        "milliseconds": round(median(sum(finding.milliseconds for finding in one.findings) for one in rounds), 3),
    }


def write(record: dict) -> None:
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    torch.set_num_threads(1)  # the networks are so small that two threads only wait for each other
    record = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {"readings": {}}
    readings = {name: record["readings"].get(name, []) for name in CASES}
    waiting = [(name, seed) for seed in range(SEEDS) for name in CASES if seed >= len(readings[name])]
    for name, seed in tqdm(waiting, "networks"):
        readings[name].append({"seed": seed, **dataclasses.asdict(measure(CASES[name], seed))})
        write(record | {"readings": readings})
    record = {
        "made by": "python benchmarks/museum.py",
        "hardware": hardware(),
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "commit": commit(),
        "date": date.today().isoformat(),
        "settings": dataclasses.asdict(MUSEUM),
        "diagnoses": {name: diagnosis(exhibit) for name, exhibit in tqdm(CASES.items(), "diagnoses")},
        "readings": readings,
    }
    write(record)


if __name__ == "__main__":
    main()
