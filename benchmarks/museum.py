"""What the usual instruments and the properties say of each exhibit of the bug museum, over seeds.

    python benchmarks/museum.py             (about half an hour on one core; stop and start it as you like)

It writes course_utils/records/museum.json: for each exhibit, and for the healthy course, the readings of one trained
network a seed; what that of seed 0 decodes, step by step; and the properties that fail on an untrained one, with what
they measure and how long they take. Those times are measured at the end, in several rounds: leave the machine alone for
that minute.
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

from course_utils import SubstringTask
from course_utils.museum import EXHIBITS, MUSEUM, Exhibit, examine, read, train, watch

RECORD = Path(__file__).parents[1] / "course_utils" / "records" / "museum.json"
SEEDS = 5
ROUNDS = 5
WATCHED = ([0, 4, 3, 8, 1, 5], [1, 2, 6, 2, 9, 4], [2, 2, 7, 5, 3, 8], [1, 3, 9, 1, 4, 7])  # one for each kind of place
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


def decodings(model: torch.nn.Module) -> dict:
    """What it writes for the watched sources, and with which probabilities."""
    tokens, probabilities = watch(model, torch.tensor(WATCHED))
    rounded = [[[round(share, 3) for share in step] for step in row] for row in probabilities.tolist()]
    return {"tokens": tokens.tolist(), "probabilities": rounded}


def write(record: dict) -> None:
    RECORD.write_text(json.dumps(record) + "\n", encoding="utf-8")


def main() -> None:
    torch.set_num_threads(1)  # the networks are so small that two threads only wait for each other
    record = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    readings = {name: record.get("readings", {}).get(name, []) for name in CASES}
    decoded = {name: record["decodings"][name] for name in CASES if name in record.get("decodings", {})}
    waiting = [
        (name, seed)
        for seed in range(SEEDS)
        for name in CASES
        if seed >= len(readings[name]) or (seed == 0 and name not in decoded)
    ]
    for name, seed in tqdm(waiting, "networks"):
        run = train(CASES[name], seed)
        if seed == len(readings[name]):
            readings[name].append({"seed": seed, **dataclasses.asdict(read(CASES[name], run))})
        if seed == 0:
            decoded[name] = decodings(run.model)
        write(record | {"readings": readings, "decodings": decoded})
    record = {
        "made by": "python benchmarks/museum.py",
        "hardware": hardware(),
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "commit": commit(),
        "date": date.today().isoformat(),
        "settings": dataclasses.asdict(MUSEUM),
        "watched": {"source": WATCHED, "target": SubstringTask(MUSEUM.length).solve(WATCHED).tolist()},
        "diagnoses": {name: diagnosis(exhibit) for name, exhibit in tqdm(CASES.items(), "diagnoses")},
        "decodings": decoded,
        "readings": readings,
    }
    write(record)


if __name__ == "__main__":
    main()
