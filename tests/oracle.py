"""Models whose every error is known, every input, and an interrupt, for tests of margins, counts and certificates."""

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from course_utils import Seq2Seq, SubstringTask, verification

SIX = SubstringTask(6)
BLOCK = 9**5


def every_input(task: SubstringTask) -> tuple[Tensor, Tensor]:
    source = task.inputs(0, task.size)
    return source, task.solve(source)


def brute_force(model: Seq2Seq, task: SubstringTask) -> Tensor:
    """Which inputs fail, (task.size,), found by writing every output."""
    source, target = every_input(task)
    return (model.generate(source, task.n_digits) != target).any(dim=1)


class Oracle(nn.Module):
    """A model of the package's interface, though no network: every target's logit is 1, and `spoil` may change them.

    spoil(logits, source, target) -> logits (B, T, V).
    """

    def __init__(self, spoil: Callable = lambda logits, source, target: logits, dtype: torch.dtype = torch.float32):
        super().__init__()
        self.scale = nn.Parameter(torch.ones((), dtype=dtype))
        self.spoil = spoil

    def forward(self, source: Tensor, target: Tensor, teacher_forcing_ratio: float) -> Tensor:
        logits = nn.functional.one_hot(target, 10) * self.scale
        return self.spoil(logits, source, target)


def interrupt_in_block(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Press Ctrl-C once, in the middle of that block of all that are counted from now on."""
    blocks, decide = itertools.count(1), verification._decide

    def decide_or_stop(*arguments: object) -> tuple[Tensor, int]:
        if next(blocks) == number:
            raise KeyboardInterrupt
        return decide(*arguments)

    monkeypatch.setattr(verification, "_decide", decide_or_stop)
