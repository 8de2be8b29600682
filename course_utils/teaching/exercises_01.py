"""Exercises of notebook 01: the task, its size, its sampler, its measures."""

from __future__ import annotations

import random

import torch
from torch import Tensor

from ..evaluation import exact_match, token_accuracy
from ..task import LARGEST_START, SHORTEST_SUBSTRING, SubstringTask, generate_example
from .engine import Exercise, Mistake, register

TASK = SubstringTask()


def solve(source: list[int]) -> list[int]:
    return TASK.solve(source).tolist()


def _solve_as(substring, pad) -> object:
    """A wrong `solve`, put together from how it cuts and how it pads."""

    def answer(source: list[int]) -> list[int]:
        start, length, digits = source[0], source[1], source[2:]
        return pad(substring(source, digits, start, length))

    return answer


def _pad_behind(cut: list[int]) -> list[int]:
    return cut[: TASK.n_digits] + [0] * (TASK.n_digits - len(cut))


def _sources() -> list[tuple]:
    rng = random.Random(1)
    return [([3, 2, 4, 4, 9, 1, 7, 2, 6, 8],)] + [(generate_example(rng)[0],) for _ in range(30)]


register(
    Exercise(
        id="1.1",
        title="The target of a source",
        minutes=5,
        difficulty=1,
        reference=solve,
        probes=_sources,
        mistakes=(
            Mistake(
                "length-as-end",
                _solve_as(lambda source, digits, start, length: digits[start:length], _pad_behind),
                "length is how many digits to copy. Your slice uses it as the place where to stop.",
            ),
            Mistake(
                "counts-the-header",
                _solve_as(lambda source, digits, start, length: source[start : start + length], _pad_behind),
                "start counts from x0, the first digit. You count from the very front, where start and length stand.",
            ),
            Mistake(
                "counts-from-one",
                _solve_as(lambda source, digits, start, length: ([0, *digits])[start : start + length], _pad_behind),
                "The digits are numbered from 0: with start 0 the copy begins at x0. Yours begins one place early.",
            ),
            Mistake(
                "one-digit-too-many",
                _solve_as(lambda source, digits, start, length: digits[start : start + length + 1], _pad_behind),
                "You copy one digit more than length says. A slice leaves out its right end already.",
            ),
            Mistake(
                "one-digit-too-few",
                _solve_as(lambda source, digits, start, length: digits[start : start + length - 1], _pad_behind),
                "You copy one digit less than length says. A slice leaves out its right end already.",
            ),
            Mistake(
                "eight-zeros",
                _solve_as(
                    lambda source, digits, start, length: digits[start : start + length],
                    lambda cut: cut + [0] * TASK.n_digits,
                ),
                "The target gets longer than 8 tokens: how many zeros are missing depends on length.",
            ),
            Mistake(
                "no-padding",
                _solve_as(lambda source, digits, start, length: digits[start : start + length], list),
                "The digits are right, but every target has 8 tokens. What fills the rest?",
            ),
            Mistake(
                "padding-in-front",
                _solve_as(
                    lambda source, digits, start, length: digits[start : start + length],
                    lambda cut: [0] * (TASK.n_digits - len(cut)) + cut,
                ),
                "The right digits and the right zeros, in the wrong order: the substring comes first.",
            ),
        ),
    )
)


def count_inputs(length: int) -> int:
    return SubstringTask(length).size


def _count_as(pairs, digits) -> object:
    def answer(length: int) -> int:
        task = SubstringTask(length)
        return pairs(task) * digits(task)

    return answer


register(
    Exercise(
        id="1.2",
        title="The size of the input space",
        minutes=10,
        difficulty=2,
        reference=count_inputs,
        probes=lambda: [(length,) for length in range(4, 12)],
        mistakes=(
            Mistake(
                "ten-digit-values",
                _count_as(lambda task: len(task.pairs), lambda task: 10**task.n_digits),
                "How many values can one digit of the source take? Zero is not among them.",
            ),
            Mistake(
                "start-and-length-independent",
                _count_as(
                    lambda task: (task.largest_start + 1) * (task.n_digits - SHORTEST_SUBSTRING + 1),
                    lambda task: task.digit_strings,
                ),
                "You multiply the starts by the lengths, but a late start leaves fewer lengths. Add "
                "up, start by start.",
            ),
            Mistake(
                "pairs-forgotten",
                _count_as(lambda task: 1, lambda task: task.digit_strings),
                "These are the digit strings. Each comes with every possible (start, length).",
            ),
            Mistake(
                "digits-forgotten",
                _count_as(lambda task: len(task.pairs), lambda task: 1),
                "These are the (start, length) pairs. Each comes with every possible string of digits.",
            ),
            Mistake(
                "lengths-from-one",
                lambda length: sum(length - 2 - s for s in range(min(5, length - 4) + 1)) * 9 ** (length - 2),
                "You count one length too many for each start: the shortest substring has 2 digits.",
            ),
            Mistake(
                "last-start-missing",
                lambda length: sum(length - 3 - s for s in range(min(5, length - 4))) * 9 ** (length - 2),
                "Your starts end one too early: the last one counts, too.",
            ),
            Mistake(
                "start-not-limited",
                lambda length: sum(length - 2 - s - 1 for s in range(length - 3)) * 9 ** (length - 2),
                f"Right for short sources. For longer ones, start never goes beyond {LARGEST_START}.",
            ),
        ),
    )
)

register(
    Exercise(
        id="1.3",
        title="The chance of a (start, length)",
        minutes=5,
        difficulty=1,
        reference=TASK.pair_probability,
        probes=lambda: list(TASK.pairs),
        mistakes=(
            Mistake(
                "all-pairs-alike",
                lambda start, length: 1 / len(TASK.pairs),
                "That would hold if pairs were drawn. But start is drawn first, and the lengths share what it got.",
            ),
            Mistake(
                "start-forgotten",
                lambda start, length: 1 / (TASK.n_digits - start - 1),
                "This is the chance of the length once start is known. How likely is that start?",
            ),
            Mistake(
                "length-forgotten",
                lambda start, length: 1 / (LARGEST_START + 1),
                "This is the chance of the start. How likely is the length, once the start is known?",
            ),
            Mistake(
                "lengths-from-one",
                lambda start, length: 1 / (LARGEST_START + 1) / (TASK.n_digits - start),
                "You count one length too many for each start: the shortest substring has 2 digits.",
            ),
        ),
    )
)


def _outputs_and_targets() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(3)
    probes = []
    for n, wrong_share in ((5, 0.1), (13, 0.05), (200, 0.3)):
        _, target = TASK.sample(n, generator)
        noise = torch.randint(0, 10, target.shape, generator=generator)
        output = torch.where(torch.rand(target.shape, generator=generator) < wrong_share, noise, target)
        output[0] = target[0]
        probes.append((output, target))
    return probes


register(
    Exercise(
        id="1.4",
        title="Exact match",
        minutes=5,
        difficulty=1,
        reference=exact_match,
        probes=_outputs_and_targets,
        mistakes=(
            Mistake(
                "token-accuracy",
                token_accuracy,
                "This is token accuracy: every right token counts. An example counts only when all "
                "its tokens are right.",
            ),
            Mistake(
                "any-token",
                lambda output, target: (output == target).any(dim=1).double().mean(),
                "You count an example as soon as one token is right. It needs all of them.",
            ),
            Mistake(
                "zeros-ignored",
                lambda output, target: ((output == target) | (target == 0)).all(dim=1).double().mean(),
                "You leave the zeros out. A model that does not stop in time is wrong too.",
            ),
            Mistake(
                "all-along-the-batch",
                lambda output, target: (output == target).all(dim=0).double().mean(),
                "You ask which positions are right in all examples. Turn it round: which examples in all positions?",
            ),
            Mistake(
                "not-divided",
                lambda output, target: (output == target).all(dim=1).sum(),
                "This is how many examples match. The measure is their share.",
            ),
        ),
    )
)


def zeros_token_accuracy() -> float:
    return sum(TASK.pair_probability(*pair) * (TASK.n_digits - pair[1]) / TASK.n_digits for pair in TASK.pairs)


register(
    Exercise(
        id="1.5",
        title="The token accuracy of writing only zeros",
        minutes=10,
        difficulty=2,
        reference=zeros_token_accuracy,
        probes=lambda: [()],
        mistakes=(
            Mistake(
                "all-pairs-alike",
                lambda: sum((TASK.n_digits - length) / TASK.n_digits for _, length in TASK.pairs) / len(TASK.pairs),
                "This is the mean over the 27 pairs. Under the sampler they are not equally likely: weight them.",
            ),
            Mistake(
                "tokens-not-share",
                lambda: TASK.n_digits * zeros_token_accuracy(),
                "This is how many of the tokens are 0 on average. The accuracy is their share.",
            ),
            Mistake(
                "digits-instead-of-zeros",
                lambda: 1 - zeros_token_accuracy(),
                "This is the share of tokens that are digits. The baseline is right where the target is 0.",
            ),
            Mistake(
                "only-for-start-zero",
                lambda: sum((TASK.n_digits - length) / TASK.n_digits for length in range(2, 9)) / 7,
                "This takes all lengths from 2 to 8 as equally likely, which holds for start 0 only.",
            ),
        ),
    )
)
