"""How fast are a network's errors counted, and how near is that to the floor?

    python benchmarks/counting.py course_utils/records/exact-length10.pt

The floor is arithmetic: the multiplications and additions of the matrix products that one input costs, at the speed
this machine reaches on large matrices with as many threads. Processor time is measured, not time on the clock, and the
fastest of several rounds is taken, so that other programs disturb it little. (On a GPU this would measure nothing.)
"""

from __future__ import annotations

import sys

import torch
from floor import processor_seconds, speeds

from course_utils import PrefixTree, Seq2Seq, SubstringTask, WholeCalls, count_parameters, load_checkpoint, load_model
from course_utils.task import N_DIGIT_VALUES, VOCABULARY_SIZE

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


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("Name one checkpoint: python benchmarks/counting.py course_utils/records/exact-length10.pt")
    path = sys.argv[1]
    model, recipe = load_model(path), load_checkpoint(path).get("recipe")
    task = SubstringTask(recipe["length"]) if recipe else SubstringTask()
    speed = max(speeds().values())
    n, first = N_DIGIT_VALUES**FREE_DIGITS, task.size // 2 // N_DIGIT_VALUES**FREE_DIGITS * N_DIGIT_VALUES**FREE_DIGITS
    operations = operations_per_input(model, task)
    print(f"{count_parameters(model):,} parameters, length {task.length}, torch {torch.__version__}")
    print(f"floor: {operations:,.0f} operations an input at {speed / 1e9:.0f} GFLOP/s a thread")
    for engine in (PrefixTree(model, task), WholeCalls(model, task)):
        rate = n / processor_seconds(lambda engine=engine: engine.margins(first, FREE_DIGITS))
        print(
            f"{type(engine).__name__:<11}{rate:>10,.0f} inputs a second of one thread, "
            f"{100 * rate * operations / speed:.0f} % of the floor"
        )


if __name__ == "__main__":
    main()
