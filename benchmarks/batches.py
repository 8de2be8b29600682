"""Examples per second: one at a time in plain Python, as in the original experiment, against tensors on a device.

    python benchmarks/batches.py            (a few seconds; writes benchmarks/batches.json)

The peer is `generate_example` with its result turned into tensors, which is what the original's data set does.
"""

from __future__ import annotations

import json
import platform
import statistics
from datetime import date
from pathlib import Path

import torch
from recipes import commit, hardware

from course_utils import SubstringTask, SyntheticDataset, seconds

RECORD = Path(__file__).with_suffix(".json")
ROUNDS = 7
ONE_AT_A_TIME = 5_000
BATCH_SIZES = {"cpu": (64, 4_096), "cuda": (4_096, 1_048_576)}
BATCHES = 50


def main() -> None:
    task = SubstringTask()
    devices = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
    rates: dict[str, list[float]] = {"one at a time": []}
    for _ in range(ROUNDS):  # interleaved, so that a slow spell of the machine hits all alike
        rates["one at a time"].append(ONE_AT_A_TIME / seconds(lambda: list(SyntheticDataset(ONE_AT_A_TIME)), "cpu"))
        for device in devices:
            generator = torch.Generator(device).manual_seed(0)
            for n in BATCH_SIZES[device]:

                def draw(n: int = n, generator: torch.Generator = generator) -> None:
                    for _ in range(BATCHES):
                        task.sample(n, generator)

                rates.setdefault(f"{device}, batches of {n}", []).append(BATCHES * n / seconds(draw, device))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    record = {
        "made by": "python benchmarks/batches.py",
        "hardware": hardware(),
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "commit": commit(),
        "date": date.today().isoformat(),
        "examples per second": {name: round(value) for name, value in medians.items()},
        "times as fast": {name: round(value / medians["one at a time"], 1) for name, value in medians.items()},
    }
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(record["times as fast"], indent=1))


if __name__ == "__main__":
    main()
