"""Examples on their way to the model: one at a time for a `DataLoader`, or in batches made on the device."""

from __future__ import annotations

import random
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from .errors import InputError
from .task import SubstringTask, generate_example

# Training draws with the run's own seed, validation with the seed and this more, and the test examples with a seed that
# is always the same. So runs with small seeds never meet them; validation would with seed 1,000,000, training with
# 2,000,003.
VALIDATION_SEED = 1_000_003
TEST_SEED = 2_000_003


class SyntheticDataset(IterableDataset):
    """`size` examples, made one at a time: pairs of int64 tensors (S,) and (T,). The same seed gives the same ones.

    With several `DataLoader` workers each hands out its own share, so no example comes twice. (Each makes all of them,
    one after the other: they are so cheap that workers gain nothing.)
    """

    def __init__(self, size: int, seed: int = 0, length: int = 10) -> None:
        if size < 0:
            raise InputError(f"The number of examples must not be negative, but is {size}.")
        SubstringTask(length)  # refuses a length that has no task
        self.size = size
        self.seed = seed
        self.length = length

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        rng = random.Random(self.seed)
        worker = get_worker_info()
        for number in range(self.size):
            source, target = generate_example(rng, self.length)
            if worker is None or number % worker.num_workers == worker.id:
                yield torch.tensor(source), torch.tensor(target)


def batches(
    task: SubstringTask, batch_size: int, n_batches: int, generator: torch.Generator, length_weight: float = 0.0
) -> Iterator[tuple[Tensor, Tensor]]:
    """Fresh batches, source (B, S) and target (B, T), drawn anew each time, on the generator's device.

    With a length weight, pairs come more often than the task's sampler draws them, by their length to this power:
    long substrings are learned last, and failing at one of them is what most mistakes are.
    """
    chances = torch.tensor([task.pair_probability(*pair) * pair[1] ** length_weight for pair in task.pairs])
    chances, pairs = chances.to(generator.device), torch.tensor(task.pairs, device=generator.device)
    for _ in range(n_batches):
        source, target = task.sample(batch_size, generator)
        if length_weight:
            source[:, :2] = pairs[chances.multinomial(batch_size, replacement=True, generator=generator)]
            target = task.solve_unchecked(source)
        yield source, target


def held_out(task: SubstringTask, n: int, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """The n test examples every score is measured on: the same on every machine, whatever the model's seed.

    That holds for one n: more examples do not begin with these.
    """
    source, target = task.sample(n, torch.Generator().manual_seed(TEST_SEED))
    return source.to(device), target.to(device)
