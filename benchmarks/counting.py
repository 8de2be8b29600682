"""How fast are a network's errors counted, and how near is that to the floor?

    python benchmarks/counting.py           (some seconds; writes counting.json beside this file)

The floor is arithmetic: the multiplications and additions of the matrix products that one input costs, at the speed
that one thread reaches on large matrices (see floor.py). Processor time is measured, not time on the clock, and the
fastest of several rounds is taken, so that other programs disturb it little. (On a GPU this would measure nothing.)
What the weights are makes no difference, so they are random.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from floor import processor_seconds, speeds
from provenance import provenance, save

from course_utils import EXACT, PrefixTree, Recipe, Seq2Seq, SubstringTask, WholeCalls, build_model, count_parameters
from course_utils.task import N_DIGIT_VALUES, VOCABULARY_SIZE

RECORD = Path(__file__).with_suffix(".json")
RECIPES = (EXACT, dataclasses.replace(EXACT, name="a state of 48", hidden_dim=48))
FREE_DIGITS = 5


def operations_per_input(model: Seq2Seq, task: SubstringTask) -> float:
    """Multiplications and additions in matrix products, with prefixes shared and the first projections in tables."""
    hidden, layers = model.encoder.hidden_dim, model.encoder.n_layers
    product = 2 * 3 * hidden * hidden
    sharing = 1 / (N_DIGIT_VALUES - 1)  # 1/9 + 1/81 + …: states above the leaves, for each leaf
    # A layer's products with its own old state serve all children; those with the layer below are each child's own.
    encoder = product * (layers * sharing + (layers - 1) * (1 + sharing))
    decoder = task.n_digits * (product * (2 * layers - 1) + 2 * VOCABULARY_SIZE * hidden)
    return encoder + decoder


def measured(recipe: Recipe, speed: float) -> dict:
    """Inputs a second by each engine, where a matrix product does `speed` operations a second."""
    model, task = build_model(recipe).eval(), SubstringTask(recipe.length)
    operations = operations_per_input(model, task)
    n = N_DIGIT_VALUES**FREE_DIGITS
    first = task.size // 2 // n * n
    rates = {
        type(engine).__name__: round(n / processor_seconds(lambda engine=engine: engine.margins(first, FREE_DIGITS)))
        for engine in (WholeCalls(model, task), PrefixTree(model, task))
    }
    return {
        "parameters": count_parameters(model),
        "operations an input": round(operations),
        "inputs a second": rates,
        "share of the floor": round(rates["PrefixTree"] * operations / speed, 3),
    }


def main() -> None:
    torch.set_num_threads(1)
    here = provenance("python benchmarks/counting.py")
    found = speeds()
    speed = max(found.values())
    networks = {recipe.name: measured(recipe, speed) for recipe in RECIPES}
    save({**here, "operations a second of one thread": found, "networks": networks}, RECORD)


if __name__ == "__main__":
    main()
