"""Examples per second: one at a time in plain Python, as in the original experiment, against tensors on a device.

    python benchmarks/batches.py            (a few seconds; writes benchmarks/batches.json)

The peer is `generate_example` with its result turned into tensors, which is what the original's data set does.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import torch
from provenance import provenance, save

from course_utils import SubstringTask, SyntheticDataset, seconds

RECORD = Path(__file__).with_suffix(".json")
ROUNDS = 7
ONE_AT_A_TIME = 5_000
BATCH_SIZES = {"cpu": (64, 4_096), "cuda": (4_096, 1_048_576)}
BATCHES = 50


def rates(sizes: dict[str, tuple[int, ...]], rounds: int = ROUNDS, one_at_a_time: int = ONE_AT_A_TIME) -> dict:
    """Examples per second, and how many times as fast that is: one at a time, and in batches of the sizes of a device.

    Medians of several rounds, interleaved, so that a slow spell of the machine hits all alike.
    """
    task = SubstringTask()
    taken: dict[str, list[float]] = {"one at a time": []}
    for _ in range(rounds):
        alone = seconds(lambda: list(SyntheticDataset(one_at_a_time)), "cpu")
        taken["one at a time"].append(one_at_a_time / alone)
        for device, sizes_there in sizes.items():
            generator = torch.Generator(device).manual_seed(0)
            for n in sizes_there:

                def draw(n: int = n, generator: torch.Generator = generator) -> None:
                    for _ in range(BATCHES):
                        task.sample(n, generator)

                taken.setdefault(f"{device}, batches of {n}", []).append(BATCHES * n / seconds(draw, device))
    medians = {name: statistics.median(values) for name, values in taken.items()}
    return {
        "examples per second": {name: round(value) for name, value in medians.items()},
        "times as fast": {name: round(value / medians["one at a time"], 1) for name, value in medians.items()},
    }


def main() -> None:
    devices = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
    record = {
        **provenance("python benchmarks/batches.py"),
        **rates({device: BATCH_SIZES[device] for device in devices}),
    }
    save(record, RECORD)
    print(json.dumps(record["times as fast"], indent=1))


if __name__ == "__main__":
    main()
