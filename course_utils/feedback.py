"""Learning from what was counted: a model's failures are fed back to it, until none is left."""

from __future__ import annotations

import math

import torch

from .certificates import Certificate
from .data import batches
from .errors import InputError
from .model import Seq2Seq, device_of
from .task import SubstringTask
from .training import train_step
from .verification import count_errors

FED_BACK_AT_ONCE = 128  # failures in a batch, and as many fresh examples
RATE = 2e-3  # the first rate of learning from them


def feed_back(
    model: Seq2Seq, task: SubstringTask, failures: list[list[int]], *, steps: int, seed: int, rate: float = RATE
) -> None:
    """Go on training a model: half of every batch are fresh examples, half are drawn from inputs that it failed on.

    Fresh examples alone would hardly contain what is left to learn; failures alone would make it forget the rest.
    The rate falls to 0. A network that fails on next to nothing takes a lower one than the usual, and more steps: where
    gradients have nearly vanished, Adam's steps are as long as ever, and new mistakes come. Of the fresh examples, long
    substrings are drawn more often.
    """
    if not failures:
        raise InputError("There are no failures to learn from.")
    if not 0 < rate < math.inf:
        raise InputError(f"The rate of feeding back is finite and above 0, not {rate}.")
    generator = torch.Generator().manual_seed(seed)
    failing = task.validate(failures)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    falling = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, end_factor=0.0, total_iters=steps)
    for fresh, _ in batches(task, FED_BACK_AT_ONCE, steps, generator, length_weight=1.0):
        again = failing[torch.randint(len(failing), (FED_BACK_AT_ONCE,), generator=generator)]
        source = torch.cat([fresh, again])
        train_step(model, optimizer, source.to(device_of(model)), task.solve(source).to(device_of(model)))
        falling.step()


def train_to_zero(
    model: Seq2Seq, task: SubstringTask, *, rounds: int = 20, steps: int = 300, rate: float = RATE
) -> list[Certificate]:
    """Count, feed the failures back, count again, until none is left or the rounds are over: every count, in order.

    The failures of every count so far are fed back, as far as its certificate keeps them: its first thousand. Those of
    the last count alone would let the earlier ones be forgotten. `steps` and `rate` are those of each round,
    whose number is their seed.
    """
    certificates = [count_errors(model, task)]
    while certificates[-1].errors and len(certificates) <= rounds:
        found = [failure for certificate in certificates for failure in certificate.failures]
        feed_back(model, task, found, steps=steps, seed=len(certificates), rate=rate)
        certificates.append(count_errors(model, task))
    return certificates
