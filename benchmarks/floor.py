"""How near does a training step come to the floor of its arithmetic, on one thread of this processor?

    python benchmarks/floor.py

The floor: the multiplications and additions of all matrix products of a step, forward and backward, as PyTorch counts
them, at the speed that one thread reaches on large matrices, by the faster of PyTorch's two libraries. Processor time
is measured, not time on the clock, and the fastest of several rounds is taken, so that other programs disturb it
little. (On a GPU this would measure nothing: `make gpu` has a floor of its own.) It writes floor.json beside this file.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
from provenance import provenance, save
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from course_utils import FASTEST, TUNED, Recipe, SubstringTask, build_model, learner_of, train_step
from course_utils.training import optimizer_of

RECORD = Path(__file__).with_suffix(".json")
ROUNDS = 10
STEPS = 5  # of one timing
MATRIX = 1024
IMAGES, SIDE = 16, 8  # as many pixels in all as a matrix has columns
RECIPES = (TUNED, FASTEST, dataclasses.replace(FASTEST, name="one token a step, GRU cells", network="gru"))


def processor_seconds(work: Callable[[], object]) -> float:
    """The fastest of several rounds, over all threads."""
    times = []
    for _ in range(ROUNDS):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times)


def speeds() -> dict[str, int]:
    """Multiplications and additions a second of one thread in a large matrix product, by each library.

    A convolution of single pixels is a matrix product, too. PyTorch leaves it to oneDNN, and the product itself to the
    library it was built with, mostly MKL. On an AMD processor one may be twice as fast as the other.
    """
    matrix = torch.randn(MATRIX, MATRIX)
    images = torch.randn(IMAGES, MATRIX, SIDE, SIDE).contiguous(memory_format=torch.channels_last)
    ways = {
        "matrix product": lambda: matrix @ matrix,
        "convolution of single pixels": lambda: F.conv2d(images, matrix[:, :, None, None]),
    }
    return {way: round(2 * MATRIX**3 / processor_seconds(work)) for way, work in ways.items()}


def step_of(recipe: Recipe) -> Callable[[], object]:
    """A training step of the recipe, always on the same batch."""
    learner = learner_of(build_model(recipe), recipe)
    optimizer = optimizer_of(learner, recipe, torch.device("cpu"))
    source, target = SubstringTask(recipe.length).sample(recipe.batch_size, torch.Generator().manual_seed(0))
    return lambda: train_step(learner, optimizer, source, target)


def operations(recipe: Recipe) -> int:
    """Multiplications and additions in the matrix products of one step."""
    return operations_of(step_of(recipe))


def operations_of(step: Callable[[], object]) -> int:
    usual = torch.backends.mkldnn.enabled
    torch.backends.mkldnn.enabled = False  # it takes an LSTM's layer as one piece, which the counter cannot look into
    try:
        with FlopCounterMode(display=False) as counter:
            step()
    finally:
        torch.backends.mkldnn.enabled = usual
    return counter.get_total_flops()


def measured(recipe: Recipe, speed: float) -> dict:
    """The recipe's step beside its floor, where a matrix product does `speed` operations a second."""
    step, n = step_of(recipe), operations(recipe)
    seconds = processor_seconds(lambda: [step() for _ in range(STEPS)]) / STEPS
    return {
        "examples in a step": recipe.batch_size,
        "operations": n,
        "floor, milliseconds": round(1000 * n / speed, 3),
        "milliseconds": round(1000 * seconds, 3),
        "times the floor": round(seconds * speed / n, 2),
    }


def main() -> None:
    torch.set_num_threads(1)
    here = provenance("python benchmarks/floor.py")
    found = speeds()
    record = {
        **here,
        "operations a second of one thread": found,
        "steps": {recipe.name: measured(recipe, max(found.values())) for recipe in RECIPES},
    }
    save(record, RECORD)
    print(json.dumps(record["steps"], indent=1))


if __name__ == "__main__":
    main()
