"""Exercises of notebook 01: the task, its size, its sampler, its measures."""

from __future__ import annotations

import copy
import math
import random
import time
from collections.abc import Callable
from functools import cache, partial
from itertools import combinations
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.overrides import TorchFunctionMode

from ..evaluation import exact_match, token_accuracy
from ..task import LARGEST_START, SHORTEST_SUBSTRING, SubstringTask
from .comparison import difference, normal
from .engine import Exercise, Mistake, register
from .trials import WrongAnswer

TASK = SubstringTask()


def solve(source: list[int]) -> list[int]:
    return TASK.solve(source).tolist()


def _wrong_solve(substring: Callable, *pads: Callable) -> tuple[Callable, ...]:
    """Answers that cut wrongly in one way. Each fills up with zeros in a way of its own, which a right cut allows."""

    def answer(pad: Callable) -> Callable:
        def fill(source: list[int]) -> list[int]:
            start, length, digits = source[0], source[1], source[2:]
            return pad(substring(source, digits, start, length), length)

        return fill

    return tuple(answer(pad) for pad in pads or (_pad_to_eight, _pad_by_length))


def _pad_to_eight(cut: list[int], length: int) -> list[int]:
    return cut[: TASK.n_digits] + [0] * (TASK.n_digits - len(cut))


def _pad_by_length(cut: list[int], length: int) -> list[int]:
    return cut + [0] * (TASK.n_digits - length)


def _pad_what_is_there(cut: list[int], length: int) -> list[int]:
    return cut + [0] * (TASK.n_digits - len(cut))


def _right_cut(source: list[int], digits: list[int], start: int, length: int) -> list[int]:
    return digits[start : start + length]


def _sources() -> list[tuple]:
    """A source that shows most mistakes; then one of every pair."""
    rng = random.Random(1)
    pairs = [[*pair, *(rng.randint(1, 9) for _ in range(TASK.n_digits))] for pair in TASK.pairs]
    return [(source,) for source in ([3, 2, 4, 4, 9, 1, 7, 2, 6, 8], *pairs)]


def _whole_tokens(answer: Callable, arguments: tuple) -> object:
    """What the answer gives back; a target of decimal numbers is told so in an exercise that knows lists only."""
    given = answer(*arguments)
    target = normal(given)
    if isinstance(target, Tensor) and target.shape == (TASK.n_digits,) and target.is_floating_point():
        raise WrongAnswer(
            "It gives back numbers with a decimal point, and tokens are whole numbers. Do you divide, or do your zeros "
            "come from a function that makes 0.0?"
        )
    return given


def _in_several_forms(name: str, answers: tuple[Callable, ...], message: str) -> Mistake:
    """One wrong idea whose answers end differently."""
    return Mistake(name, answers[0], message, also=answers[1:])


register(
    Exercise(
        id="1.1",
        title="The target of a source",
        minutes=5,
        difficulty=1,
        reference=solve,
        probes=_sources,
        run=_whole_tokens,
        mistakes=(
            _in_several_forms(
                "length-as-end",
                _wrong_solve(lambda source, digits, start, length: digits[start:length]),
                "length is how many digits to copy. You use it as the place where to stop.",
            ),
            _in_several_forms(
                "counts-the-header",
                _wrong_solve(lambda source, digits, start, length: source[start : start + length], _pad_to_eight),
                "start counts from x0, the first digit. You count from the very front, where start and length stand.",
            ),
            _in_several_forms(
                "start-and-length-exchanged",
                _wrong_solve(lambda source, digits, start, length: digits[length : length + start], _pad_to_eight),
                "The source begins with start, then length. You read them the other way round.",
            ),
            _in_several_forms(
                "counts-from-one",
                (
                    *_wrong_solve(
                        lambda source, digits, start, length: [0, *digits][start : start + length], _pad_to_eight
                    ),
                    *_wrong_solve(
                        lambda source, digits, start, length: [digits[-1], *digits][start : start + length],
                        _pad_to_eight,
                    ),
                    *_wrong_solve(
                        lambda source, digits, start, length: source[start + 1 : start + 1 + length], _pad_to_eight
                    ),
                    *_wrong_solve(lambda source, digits, start, length: digits[start - 1 : start - 1 + length]),
                ),
                "The digits are numbered from 0: with start 0 the copy begins at x0. Yours begins one place early.",
            ),
            _in_several_forms(
                "begins-one-place-late",
                (
                    *_wrong_solve(lambda source, digits, start, length: digits[start + 1 : start + 1 + length]),
                    *_wrong_solve(
                        lambda source, digits, start, length: [digits[start + 1 + i] for i in range(length)],
                        _pad_to_eight,
                    ),
                ),
                "Your copy begins one place late. Where does it begin with start 0?",
            ),
            _in_several_forms(
                "ends-from-two-places",
                (
                    *_wrong_solve(lambda source, digits, start, length: digits[start : start + length - 2]),
                    *_wrong_solve(
                        lambda source, digits, start, length: source[start : start + length + 2],
                        _pad_what_is_there,
                        _pad_by_length,
                    ),
                ),
                "The beginning and the end of your slice are counted from different places: one from x0, the other "
                "from the very front, where start and length stand.",
            ),
            _in_several_forms(
                "start-ignored",
                _wrong_solve(lambda source, digits, start, length: digits[:length], _pad_to_eight),
                "Your copy begins at x0, whatever start says.",
            ),
            _in_several_forms(
                "copied-to-the-end",
                _wrong_solve(lambda source, digits, start, length: digits[start:]),
                "You copy all that comes from start on. How many digits are asked for?",
            ),
            Mistake(
                "behind-the-end",
                lambda source: [source[2 + source[0] + i] for i in range(TASK.n_digits)],
                "You look behind the end of a list. Which is the last place that you ask for, and which the last that "
                "there is?",
            ),
            _in_several_forms(
                "first-digit-only",
                _wrong_solve(lambda source, digits, start, length: digits[start : start + 1]),
                "One digit is copied, whatever length says. Is there a loop that returns in its first round?",
            ),
            _in_several_forms(
                "one-digit-too-many",
                (
                    *_wrong_solve(
                        lambda source, digits, start, length: digits[start : start + length + 1],
                        _pad_to_eight,
                        _pad_by_length,
                        lambda cut, length: cut + [0] * (TASK.n_digits - length - 1),
                    ),
                    *_wrong_solve(lambda source, digits, start, length: [digits[start + i] for i in range(length + 1)]),
                    *_wrong_solve(
                        lambda source, digits, start, length: [
                            digits[start + i] if i <= length else 0 for i in range(TASK.n_digits)
                        ],
                        lambda cut, length: cut,
                    ),
                ),
                "You copy one digit more than length says. A slice or a range leaves out its right end already.",
            ),
            _in_several_forms(
                "one-digit-too-few",
                _wrong_solve(lambda source, digits, start, length: digits[start : start + length - 1]),
                "You copy one digit less than length says. A slice or a range leaves out its right end already.",
            ),
            _in_several_forms(
                "not-moved-to-the-front",
                _wrong_solve(
                    lambda source, digits, start, length: [
                        digit if start <= place < start + length else 0 for place, digit in enumerate(digits)
                    ],
                    _pad_to_eight,
                ),
                "The right digits are kept, but each stays at its own place. The substring begins at the front.",
            ),
            _in_several_forms(
                "eight-zeros",
                _wrong_solve(_right_cut, lambda cut, length: cut + [0] * TASK.n_digits),
                "The target gets longer than 8 tokens: how many zeros are missing depends on length.",
            ),
            _in_several_forms(
                "zeros-miscounted",
                (
                    *_wrong_solve(
                        _right_cut,
                        lambda cut, length: cut + [0] * (TASK.length - length),
                        lambda cut, length: cut + [0] * (TASK.n_digits + 1 - length),
                        lambda cut, length: cut + [0] * (TASK.n_digits - 1 - length),
                        lambda cut, length: [*cut, 0],
                    ),
                    *_wrong_solve(
                        lambda source, digits, start, length: digits[start : start + length] + [0] * (8 - start),
                        lambda cut, length: cut,
                    ),
                    *_wrong_solve(
                        lambda source, digits, start, length: (
                            digits[start : start + length] + [0] * (8 - start - length)
                        ),
                        lambda cut, length: cut,
                    ),
                ),
                "The digits are right, but not the number of zeros. Digits and zeros together are 8 tokens in every "
                "target.",
            ),
            _in_several_forms(
                "header-kept",
                _wrong_solve(
                    lambda source, digits, start, length: source[:2] + digits[start : start + length],
                    _pad_by_length,
                    _pad_what_is_there,
                ),
                "Your target begins with start and length. They say what to copy, and are not copied.",
            ),
            _in_several_forms(
                "zeros-in-a-list-of-their-own",
                _wrong_solve(
                    _right_cut,
                    lambda cut, length: [*cut, [0] * (TASK.n_digits - length)],
                    lambda cut, length: (cut, [0] * (TASK.n_digits - length)),
                ),
                "The digits are right and so are the zeros, but these are a list of their own. A target is one list "
                "of 8 numbers.",
            ),
            _in_several_forms(
                "no-padding",
                _wrong_solve(_right_cut, lambda cut, length: cut),
                "The digits are right, but every target has 8 tokens. What fills the rest?",
            ),
            _in_several_forms(
                "padding-in-front",
                _wrong_solve(_right_cut, lambda cut, length: [0] * (TASK.n_digits - len(cut)) + cut),
                "The right digits and the right zeros, in the wrong order: the substring comes first.",
            ),
        ),
    )
)


def count_inputs(n: int) -> int:
    return SubstringTask(n).size


def _whole_number(answer: Callable, arguments: tuple[int]) -> object:
    """The answer's number; one that rounding keeps from being the right one is shown with all its digits."""
    given = answer(*arguments)
    number, value = normal(given), count_inputs(*arguments)
    if not isinstance(number, Tensor) or number.numel() != 1 or not number.is_floating_point():
        return given
    number = float(number)
    if number != value and abs(number - value) <= NEARLY_WHOLE * value:
        raise WrongAnswer(
            f"Yours is {number!r}: nearly the number, but not the number itself. Logarithms, and powers in float32, "
            "are rounded. Python's whole numbers are exact, however large."
        )
    return given


NEARLY_WHOLE = 1e-5  # of the number itself: more than float32 loses on the way, and less than any miscount


def _count_as(pairs: Callable, digits: Callable) -> Callable:
    def answer(n: int) -> int:
        task = SubstringTask(n)
        return pairs(task) * digits(task)

    return answer


register(
    Exercise(
        id="1.2",
        title="The size of the input space",
        minutes=10,
        difficulty=2,
        reference=count_inputs,
        probes=lambda: [(n,) for n in range(4, 12)],
        run=_whole_number,
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
                also=(lambda n: (n - 3) * (n - 3) * 9 ** (n - 2),),
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
                lambda n: sum(n - 2 - s for s in range(min(5, n - 4) + 1)) * 9 ** (n - 2),
                "You count one length too many for each start: the shortest substring has 2 digits.",
                also=(lambda n: sum(max(0, n - 2 - s) for s in range(6)) * 9 ** (n - 2),),
            ),
            Mistake(
                "lengths-from-zero",
                lambda n: sum(n - 1 - s for s in range(min(5, n - 4) + 1)) * 9 ** (n - 2),
                "You count two lengths too many for each start: the shortest substring has 2 digits.",
                also=(lambda n: sum(max(0, n - 1 - s) for s in range(6)) * 9 ** (n - 2),),
            ),
            Mistake(
                "lengths-one-too-few",
                lambda n: sum(n - 4 - s for s in range(min(5, n - 4) + 1)) * 9 ** (n - 2),
                "You count one length too few for each start: a substring may reach the last digit.",
            ),
            Mistake(
                "last-start-missing",
                lambda n: sum(n - 3 - s for s in range(min(5, n - 4))) * 9 ** (n - 2),
                "Your starts end one too early: the last one counts, too.",
                also=(lambda n: sum(max(0, n - 3 - s) for s in range(5)) * 9 ** (n - 2),),
            ),
            Mistake(
                "one-start-too-many",
                lambda n: sum(max(0, n - 3 - s) for s in range(7)) * 9 ** (n - 2),
                f"Your starts go one too far: the last one is {LARGEST_START}.",
            ),
            Mistake(
                "late-starts-below-zero",
                lambda n: sum(n - 3 - s for s in range(6)) * 9 ** (n - 2),
                "Right for long sources. In short ones a late start has no length left, and your sum takes something "
                "away for it.",
            ),
            Mistake(
                "always-the-same-pairs",
                _count_as(lambda task: len(TASK.pairs), lambda task: task.digit_strings),
                f"{len(TASK.pairs)} are the pairs of sources of {TASK.length} numbers. Other sources have others.",
            ),
            Mistake(
                "header-counted",
                _count_as(lambda task: len(task.pairs), lambda task: 9**task.length),
                "Two of the n numbers are no digits: start and length.",
                also=(
                    _count_as(lambda task: len(task.pairs), lambda task: 9 ** (task.length - 1)),
                    lambda n: sum(n - 1 - s for s in range(min(5, n - 2) + 1)) * 9**n,
                ),
            ),
            Mistake(
                "eight-digit-values",
                _count_as(lambda task: len(task.pairs), lambda task: 8**task.n_digits),
                "How many values can one digit of the source take? Both 1 and 9 are among them.",
            ),
            Mistake(
                "power-upside-down",
                _count_as(lambda task: len(task.pairs), lambda task: task.n_digits**9),
                "Your power is upside down. One digit has 9 values, two have 9 times 9: which number stands above?",
            ),
            Mistake(
                "times-for-a-power",
                _count_as(lambda task: len(task.pairs), lambda task: 9 * task.n_digits),
                "One digit more does not add 9 strings: each that was there can go on in 9 ways.",
            ),
            Mistake(
                "no-digit-twice",
                _count_as(lambda task: len(task.pairs), lambda task: math.perm(9, task.n_digits)),
                "In the strings that you count no digit comes twice. Here each place takes any of its values, whatever "
                "stands in the others.",
                also=(_count_as(lambda task: len(task.pairs), lambda task: math.comb(9, task.n_digits)),),
            ),
            Mistake(
                "order-ignored",
                _count_as(lambda task: len(task.pairs), lambda task: math.comb(8 + task.n_digits, task.n_digits)),
                "You count which digits there are, in whatever order they come. A string has an order: 12 and 21 are "
                "two.",
            ),
            Mistake(
                "copied-digits-only",
                lambda n: sum(9**length for _, length in SubstringTask(n).pairs),
                "You count the digits that are copied. The others are drawn, too: how many digits has a source?",
            ),
            Mistake(
                "pairs-added",
                lambda n: len(SubstringTask(n).pairs) + SubstringTask(n).digit_strings,
                "You add the pairs to the digit strings. Each pair comes with every string.",
            ),
            Mistake(
                "start-not-limited",
                lambda n: sum(n - 2 - s - 1 for s in range(n - 3)) * 9 ** (n - 2),
                f"Right for short sources. For longer ones, start never goes beyond {LARGEST_START}.",
            ),
        ),
    )
)


def solve_batch(source: Tensor) -> Tensor:
    return SubstringTask(source.shape[1]).solve(source)


def _one_too_many(source):
    start, length, digits = source[:, :1], source[:, 1:2], source[:, 2:]
    places = torch.arange(digits.shape[1])
    moved = digits.gather(1, (start + places).clamp(max=digits.shape[1] - 1))
    return torch.where(places <= length, moved, 0)


def _solve_batch_as(moved: Callable, kept: Callable) -> Callable:
    """A wrong `solve_batch`, put together from where it takes the digits and which of them it keeps."""

    def answer(source: Tensor) -> Tensor:
        start, length, digits = source[:, :1], source[:, 1:2], source[:, 2:]
        places = torch.arange(digits.shape[1])
        return torch.where(kept(places, start, length), moved(source, digits, start, places), 0)

    return answer


def _moved(source: Tensor, digits: Tensor, start: Tensor, places: Tensor) -> Tensor:
    return digits.gather(1, (start + places).clamp(max=digits.shape[1] - 1))


def _moved_too_far(source: Tensor, digits: Tensor, start: Tensor, places: Tensor) -> Tensor:
    return _moved(source, digits, start + 1, places)


def _moved_short_of_the_last(source: Tensor, digits: Tensor, start: Tensor, places: Tensor) -> Tensor:
    return digits.gather(1, (start + places).clamp(max=digits.shape[1] - 2))


def _targets_in_one_tensor(answer: Callable, arguments: tuple[Tensor]) -> object:
    """What the answer gives back; right targets in lists are refused, for a network takes tensors."""
    (source,) = copy.deepcopy(arguments)
    given = answer(*arguments)
    if isinstance(given, (list, tuple)) and difference(solve_batch(source), given) is None:
        raise WrongAnswer(
            f"The targets are right, but they come in a {type(given).__name__}, and a network takes one tensor: "
            "`torch.tensor` makes it of lists of numbers, `torch.stack` of rows that are tensors."
        )
    return given


def _batches() -> list[tuple[Tensor]]:
    generator = torch.Generator().manual_seed(3)
    return [
        (SubstringTask(length).sample(n, generator)[0],)
        for n, length in ((2, 6), (5, 10), (40, 10), (33, 8), (1, 11), (6, 4))
    ]


register(
    Exercise(
        id="1.3",
        title="Find the bug: the targets of a batch",
        minutes=10,
        difficulty=2,
        reference=solve_batch,
        probes=_batches,
        run=_targets_in_one_tensor,
        given=_one_too_many,
        mistakes=(
            Mistake(
                "one-too-many",
                _one_too_many,
                "The bug is still there: compare how many digits come back with what length says.",
            ),
            Mistake(
                "one-too-few",
                _solve_batch_as(_moved, lambda places, start, length: places < length - 1),
                "Now one digit is missing at the end of every substring.",
            ),
            Mistake(
                "turned-round",
                _solve_batch_as(_moved, lambda places, start, length: places >= length),
                "You keep what stands behind the substring, and the substring becomes zeros. On which side of length "
                "are its places?",
                also=(_solve_batch_as(_moved, lambda places, start, length: places > length),),
            ),
            Mistake(
                "moved-too-far",
                _solve_batch_as(_moved_too_far, lambda places, start, length: places < length),
                "Your digits begin one place late. Which digit belongs to the first place of the target?",
                also=(
                    _solve_batch_as(_moved_too_far, lambda places, start, length: places <= length),
                    _solve_batch_as(_moved_too_far, lambda places, start, length: places < length - 1),
                ),
            ),
            Mistake(
                "last-digit-out-of-reach",
                _solve_batch_as(_moved_short_of_the_last, lambda places, start, length: places < length),
                "The last digit of a source is never copied. Which number has its place?",
                also=(_solve_batch_as(_moved_short_of_the_last, lambda places, start, length: places <= length),),
            ),
            Mistake(
                "beyond-the-last-digit",
                _solve_batch_as(
                    lambda source, digits, start, places: digits.gather(1, start + places),
                    lambda places, start, length: places < length,
                ),
                "You look for a digit behind the last one. Which number has the last place, in a source of n numbers?",
            ),
            Mistake(
                "start-ignored",
                _solve_batch_as(
                    lambda source, digits, start, places: digits, lambda places, start, length: places < length
                ),
                "Your copy begins at x0, whatever start says.",
                also=(
                    _solve_batch_as(
                        lambda source, digits, start, places: digits, lambda places, start, length: places <= length
                    ),
                ),
            ),
            Mistake(
                "counts-the-header",
                _solve_batch_as(
                    lambda source, digits, start, places: _moved(source, source, start, places),
                    lambda places, start, length: places < length,
                ),
                "start counts from x0, the first digit. You count from the very front, where start and length stand.",
            ),
            Mistake(
                "start-and-length-exchanged",
                _solve_batch_as(
                    lambda source, digits, start, places: _moved(source, digits, source[:, 1:2], places),
                    lambda places, start, length: places < start,
                ),
                "The source begins with start, then length. You read them the other way round.",
                also=(
                    _solve_batch_as(
                        lambda source, digits, start, places: _moved(source, digits, source[:, 1:2], places),
                        lambda places, start, length: places <= start,
                    ),
                ),
            ),
            Mistake(
                "always-eight",
                lambda source: pad(solve_batch(source), (0, TASK.length - source.shape[1])),
                "Your targets have 8 tokens, whatever the sources are. For sources of n numbers they have n - 2.",
            ),
            Mistake(
                "row-for-a-column",
                lambda source: torch.arange(source.shape[1] - 2) < source[:, 1],
                "Two rows of different lengths do not combine: here B numbers meet T places. Which shape makes a table "
                "with a row (T,)?",
                also=(lambda source: source[:, 0] + torch.arange(source.shape[1] - 2),),
            ),
            Mistake(
                "many-truths-for-one",
                lambda source: bool(source[:, :1] < source[:, 1:2]),
                "`if`, `and` and `a < b < c` want a single truth value, and a comparison of tables has many. `&` "
                "combines them one by one.",
            ),
            Mistake(
                "not-moved-to-the-front",
                _solve_batch_as(
                    lambda source, digits, start, places: digits.expand(-1, -1),
                    lambda places, start, length: (places >= start) & (places < start + length),
                ),
                "The right digits are kept, but each stays at its own place. The substring begins at the front.",
            ),
            Mistake(
                "nothing-cut-off",
                _solve_batch_as(_moved, lambda places, start, length: places < 99),
                "The digits move to the front, but nothing is cut off behind them. Where do the zeros come from?",
            ),
            Mistake(
                "start-used-twice",
                _solve_batch_as(_moved, lambda places, start, length: places < start + length),
                "The digits have moved to the front already, so start plays no part in where the substring begins and "
                "ends.",
                also=(
                    _solve_batch_as(_moved, lambda places, start, length: places < length - start),
                    _solve_batch_as(
                        _moved, lambda places, start, length: (places >= start) & (places < start + length)
                    ),
                ),
            ),
            Mistake(
                "one-start-for-all",
                _solve_batch_as(
                    lambda source, digits, start, places: _moved(source, digits, start[:1].expand_as(start), places),
                    lambda places, start, length: places < length,
                ),
                "Every row is moved by the first row's start. Each row has a start of its own.",
            ),
            Mistake(
                "one-length-for-all",
                _solve_batch_as(_moved, lambda places, start, length: places < length[:1]),
                "Every row is cut at the first row's length. Each row has a length of its own.",
            ),
        ),
    )
)


def _chance_as(
    starts: int = LARGEST_START + 1, lengths: Callable = lambda start, length: TASK.n_digits - start - 1
) -> Callable:
    """A wrong chance: so many starts, and `lengths` says how many lengths there are for one."""
    return lambda start, length: 1 / starts / lengths(start, length)


def _counted_share(start: int, length: int) -> Tensor:
    """How often the pair comes among examples."""
    pairs = TASK.sample(30_000, torch.Generator().manual_seed(0))[0][:, :2]
    return (pairs == torch.tensor([start, length])).all(dim=1).double().mean()


register(
    Exercise(
        id="1.4",
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
                "percent",
                lambda start, length: 100 * TASK.pair_probability(start, length),
                "This is the chance in percent. A number between 0 and 1 is wanted.",
                also=tuple(
                    lambda start, length, places=places: round(100 * TASK.pair_probability(start, length), places)
                    for places in (2, 1)
                ),
            ),
            _in_several_forms(
                "rounded",
                tuple(
                    lambda start, length, places=places: round(TASK.pair_probability(start, length), places)
                    for places in (6, 5, 4, 3, 2)
                ),
                "These are the right chances, rounded. The exact ones are wanted: leave the rounding out.",
            ),
            _in_several_forms(
                "factor-rounded",
                (
                    *(
                        lambda start, length, factor=factor: factor / (TASK.n_digits - start - 1)
                        for factor in (0.1667, 0.16667, 0.167, 0.17, 0.1666, 0.16666, 0.166, 0.16)
                    ),
                    *(
                        lambda start, length, places=places: (
                            1 / (LARGEST_START + 1) * round(1 / (TASK.n_digits - start - 1), places)
                        )
                        for places in (4, 3, 2)
                    ),
                    *(
                        lambda start, length, places=places: (
                            round(1 / (LARGEST_START + 1), places) * round(1 / (TASK.n_digits - start - 1), places)
                        )
                        for places in (4, 3, 2)
                    ),
                ),
                "A number in your product is rounded, and so is what comes of it. The exact chances are wanted: let "
                "Python divide.",
            ),
            Mistake(
                "lengths-from-one",
                _chance_as(lengths=lambda start, length: TASK.n_digits - start),
                "You count too many lengths for each start: the shortest substring has 2 digits.",
                also=(_chance_as(lengths=lambda start, length: TASK.n_digits - start + 1),),
            ),
            Mistake(
                "a-length-too-few",
                _chance_as(lengths=lambda start, length: TASK.n_digits - start - 2),
                "You count one length too few for each start: a substring may reach the last digit.",
            ),
            Mistake(
                "a-start-too-few",
                _chance_as(starts=LARGEST_START),
                "You count one start too few: they begin with 0.",
            ),
            Mistake(
                "starts-too-many",
                _chance_as(starts=LARGEST_START + 2),
                f"You count too many starts: the last one is {LARGEST_START}.",
                also=(_chance_as(starts=LARGEST_START + 3),),
            ),
            Mistake(
                "length-without-start",
                _chance_as(lengths=lambda start, length: TASK.n_digits - 1),
                "Your chance is the same for every start. How many lengths does start 5 leave, and how many start 0?",
            ),
            Mistake(
                "lengths-unequal",
                _chance_as(lengths=lambda start, length: TASK.n_digits + 1 - length),
                "Your chance changes with length. Once the start is drawn, all lengths that it leaves are equally "
                "likely.",
                also=(
                    _chance_as(lengths=lambda start, length: TASK.n_digits + 1 - start - length),
                    _chance_as(lengths=lambda start, length: length),
                    _chance_as(lengths=lambda start, length: length - 1),
                ),
            ),
            Mistake(
                "times-the-lengths",
                lambda start, length: 1 / (LARGEST_START + 1) * (TASK.n_digits - start - 1),
                "You multiply with the number of lengths. The more there are, the rarer is each.",
            ),
            Mistake(
                "upside-down",
                lambda start, length: 1 / TASK.pair_probability(start, length),
                "Your number is upside down: once in so many draws the pair comes. Its chance is between 0 and 1.",
            ),
            Mistake(
                "brackets-missing",
                lambda start, length: 1 / (LARGEST_START + 1) / TASK.n_digits - start - 1,
                "A chance is never negative. Python divides and multiplies before it subtracts: do brackets help?",
                also=(
                    lambda start, length: 1 / (LARGEST_START + 1) / (TASK.n_digits - 1) - start,
                    lambda start, length: 1 / TASK.n_digits - start - 1,
                ),
            ),
            Mistake(
                "start-taken-from-a-product",
                lambda start, length: 1 / ((LARGEST_START + 1) * (TASK.n_digits - 1) - start),
                "You take start away from a product. Python multiplies before it subtracts: do brackets help?",
                also=(lambda start, length: 1 / ((LARGEST_START + 1) * TASK.n_digits - start - 1),),
            ),
            Mistake(
                "start-and-length-exchanged",
                lambda start, length: 1 / (LARGEST_START + 1) / (TASK.n_digits - 1 - length),
                "You treat length as the start. In which order do start and length come, in your function and where "
                "you hand them on?",
                also=(
                    lambda start, length: 1 / ((LARGEST_START + 1) * (TASK.n_digits - 1 - length)),
                    lambda start, length: TASK.pair_probability(length, start),
                ),
            ),
            Mistake(
                "nearly-zero",
                lambda start, length: TASK.pair_probability(start, length) / TASK.digit_strings,
                "Yours is 0, or nearly. Do you count in how likely the digits are, or round down with `//`? Only start "
                "and length are asked for.",
            ),
            Mistake(
                "copied-digits-counted-in",
                lambda start, length: TASK.pair_probability(start, length) / 9**length,
                "You count in how likely the copied digits are. Only start and length are asked for.",
            ),
            Mistake(
                "chances-added",
                lambda start, length: 1 / (LARGEST_START + 1) + 1 / (TASK.n_digits - start - 1),
                "You add the chance of the start and that of the length. Both have to happen: multiply.",
            ),
            Mistake(
                "simulated",
                _counted_share,
                "Is it counted from examples? Those stray, however many there are. The chance of each draw is known "
                "exactly.",
                near=0.14,
            ),
        ),
    )
)


SIGMAS = 6  # a right sampler strays further than this once in half a billion times
# Among many more rows, some 300 numbers are looked at. By chance one of them strays further than this once in two
# billion times.
SIGMAS_OF_MANY = 7
MANY_ROWS = 1_200_000  # enough for what `%` does to the lengths, drawn from 128 numbers or fewer
SECONDS_FOR_MANY = 0.4  # of the processor; a verdict draws them twice
LARGEST_MODULUS = 256


def _rare(count: int, n: int, chance: float, sigmas: float = SIGMAS) -> bool:
    """Whether a count out of n is further from its expectation than chance allows."""
    return abs(count - n * chance) > sigmas * (n * chance * (1 - chance)) ** 0.5


def _sampler_properties(answer: Callable, arguments: tuple[int]) -> bool:
    """Draws batches and asks of them what holds of every right sampler, the most basic first."""
    (n,) = arguments
    generator = torch.Generator().manual_seed(11)

    def draw(generator: torch.Generator) -> tuple[Tensor, Tensor]:
        with patch.object(SubstringTask, "sample", _refuse):
            return _two_tables(answer(n, generator), n)

    with _LimitedCalls(max(n, 1000)):
        source, target = draw(generator)
    if n < 1000:  # too few for what is about shares
        _check_seeds(source, draw, generator)
        return True
    start, length, digits = source[:, 0], source[:, 1], source[:, 2:]
    _check_rows_differ(source, draw)
    _check_pairs(start, length, n)
    _check_digits(digits, n)
    _check_independence(start, length, digits, n)
    wrong = (target != TASK.solve(source)).any(dim=1).nonzero()
    if len(wrong):
        row = int(wrong[0])
        raise WrongAnswer(
            f"A target does not fit its source:\nsource  {source[row].tolist()}\ntarget  {target[row].tolist()}"
        )
    _check_many(source, lambda: draw(generator)[0])
    return True


def _check_many(source: Tensor, draw: Callable[[], Tensor]) -> None:
    """Whether the shares hold among many more rows, too: as many as are drawn in a time that nobody minds."""
    began, n, pairs, digits = time.thread_time(), 0, 0, 0
    while True:
        _check_ranges_of_pairs(source[:, 0], source[:, 1])
        _check_range_of_digits(source[:, 2:])
        n += len(source)
        pairs = pairs + _pair_counts(source[:, 0], source[:, 1])
        digits = digits + source[:, 2:].flatten().bincount(minlength=10)
        if n >= MANY_ROWS or time.thread_time() - began > SECONDS_FOR_MANY:
            break
        source = draw()
    counts = dict(zip(TASK.pairs, pairs.tolist(), strict=True))
    _check_starts(counts, n, SIGMAS_OF_MANY)
    _check_lengths(counts, n, SIGMAS_OF_MANY)
    if any(_rare(count, TASK.n_digits * n, 1 / 9, SIGMAS_OF_MANY) for count in digits[1:].tolist()):
        raise WrongAnswer("The digits 1 to 9 are not equally likely.")


def _check_seeds(source: Tensor, draw: Callable, generator: torch.Generator) -> None:
    """Whether all randomness comes from the generator: the batch was the first that it gave."""
    if not torch.equal(source, draw(torch.Generator().manual_seed(11))[0]):
        raise WrongAnswer("The same seed twice, and the batches differ: some numbers do not come from `generator`.")
    if torch.equal(source, draw(torch.Generator().manual_seed(12))[0]):
        raise WrongAnswer("Another seed, and the batch is the same: the numbers do not come from `generator`.")
    if torch.equal(source, draw(generator)[0]):
        raise WrongAnswer("A second batch from the same generator brings the examples of the first again.")


class _LimitedCalls(TorchFunctionMode):
    """Ends an answer that calls PyTorch too often: tensors over the batch need a few calls, a loop thousands."""

    def __init__(self, limit: int):
        super().__init__()
        self.left = limit

    def __torch_function__(self, function, types, arguments=(), options=None):
        self.left -= 1
        if self.left < 0:
            raise WrongAnswer(
                "You go through the examples one by one. Draw all the starts at once, then all the lengths; "
                "`task.solve`, too, takes the whole batch at once."
            )
        return function(*arguments, **(options or {}))


def _refuse(*_: object, **__: object) -> None:
    raise WrongAnswer("`task.sample` is what you are to write here.")


def _two_tables(outcome: object, n: int) -> tuple[Tensor, Tensor]:
    if not isinstance(outcome, (tuple, list)) or len(outcome) != 2:
        raise WrongAnswer("It should give back two things: the sources and the targets.")
    for name, table, width in zip(("source", "target"), outcome, (TASK.length, TASK.n_digits), strict=True):
        if not isinstance(table, Tensor):
            raise WrongAnswer(f"The {name} should be a tensor, not a {type(table).__name__}.")
        if table.shape != (n, width) or table.is_floating_point():
            raise WrongAnswer(
                f"The {name} should hold whole numbers in a table ({n}, {width}); it is {tuple(table.shape)}, "
                f"{table.dtype}."
            )
    return outcome[0].long(), outcome[1].long()


def _check_rows_differ(source: Tensor, draw: Callable) -> None:
    """Whether one draw was made for all rows, where each needs its own."""
    start, digits = source[:, 0], source[:, 2:]
    if (start == start[0]).all():
        raise WrongAnswer("All rows have the same start.")
    lengths = _lengths_by_start(start, source[:, 1])
    if all(len(found) == 1 for found in lengths.values()):
        others = [draw(torch.Generator().manual_seed(seed))[0] for seed in (12, 13)]
        if all(_lengths_by_start(other[:, 0], other[:, 1]) == lengths for other in others):
            raise WrongAnswer("Rows with the same start always have the same length.")
        raise WrongAnswer("In a batch all rows with the same start have the same length.")
    if (digits == digits[0]).all():
        raise WrongAnswer("All rows have the same digits.")


def _lengths_by_start(start: Tensor, length: Tensor) -> dict[int, list[int]]:
    return {int(place): length[start == place].unique().tolist() for place in start.unique()}


def _check_ranges_of_pairs(start: Tensor, length: Tensor) -> None:
    if start.min() < 0 or start.max() > LARGEST_START:
        raise WrongAnswer(f"Starts go from 0 to {LARGEST_START}; yours go from {start.min()} to {start.max()}.")
    if length.min() < SHORTEST_SUBSTRING:
        raise WrongAnswer(f"The shortest length is {SHORTEST_SUBSTRING}; yours is {length.min()}.")
    if (start + length).max() > TASK.n_digits:
        raise WrongAnswer(_ends_beyond(start, length))


def _ends_beyond(start: Tensor, length: Tensor) -> str:
    """How the lengths that are too long come about, as far as a batch shows it."""
    lengths = _lengths_by_start(start, length)
    if all(found == list(range(SHORTEST_SUBSTRING, TASK.n_digits - place + 2)) for place, found in lengths.items()):
        return f"Your length can be one too long for its start. How many lengths does start {LARGEST_START} leave?"
    if all(found == lengths[int(start[0])] for found in lengths.values()):
        return "A substring ends beyond the last digit: each start comes with the same lengths as every other one."
    return "A substring ends beyond the last digit: the start leaves less room than its length takes."


def _check_range_of_digits(digits: Tensor) -> None:
    if digits.min() < 1 or digits.max() > 9:
        raise WrongAnswer(f"Digits go from 1 to 9; yours go from {digits.min()} to {digits.max()}.")


def _pair_counts(start: Tensor, length: Tensor) -> Tensor:
    """How often each of the 27 pairs comes."""
    starts, lengths = torch.tensor(TASK.pairs).T
    return (10 * start + length).bincount(minlength=100)[10 * starts + lengths]


def _check_pairs(start: Tensor, length: Tensor, n: int) -> None:
    _check_ranges_of_pairs(start, length)
    for place in range(LARGEST_START + 1):
        if not (start == place).any():
            raise WrongAnswer(f"Start {place} never comes.")
    counts = dict(zip(TASK.pairs, _pair_counts(start, length).tolist(), strict=True))
    for pair, count in counts.items():
        if count == 0:
            raise WrongAnswer(f"The pair {pair} never comes.")
    _check_starts(counts, n)
    _check_lengths(counts, n)


def _check_starts(counts: dict[tuple[int, int], int], n: int, sigmas: float = SIGMAS) -> None:
    """Whether the starts are equally likely; and where they are not, what is instead."""
    chance = 1 / (LARGEST_START + 1)
    starts = _summed(counts, lambda start, length: start)
    if not any(_rare(count, n, chance, sigmas) for count in starts.values()):
        return
    if not any(_rare(count, n, 1 / len(counts)) for count in counts.values()):
        raise WrongAnswer("The pairs are equally likely, and so the starts are not.")
    lengths = _summed(counts, lambda start, length: length)
    if not any(_rare(count, n, 1 / len(lengths)) for count in lengths.values()):
        raise WrongAnswer("The lengths are equally likely, and the starts are not.")
    too_often = [place for place, count in starts.items() if _rare(count, n, chance, sigmas) and count > n * chance]
    raise WrongAnswer(f"The starts are not equally likely. Too often: {', '.join(map(str, too_often))}.")


def _summed(counts: dict[tuple[int, int], int], part: Callable) -> dict[int, int]:
    """The counts of all pairs with the same start, or with the same length."""
    found = {}
    for pair, count in counts.items():
        found[part(*pair)] = found.get(part(*pair), 0) + count
    return dict(sorted(found.items()))


def _check_lengths(counts: dict[tuple[int, int], int], n: int, sigmas: float = SIGMAS) -> None:
    """Whether each start's lengths are equally likely; and where they are not, what is instead."""
    chances = {pair: TASK.pair_probability(*pair) for pair in TASK.pairs}
    if _folded(counts, n, chances):
        raise WrongAnswer(
            "The starts are right, but the shortest lengths come too often: `%` folds the numbers that are too large "
            "onto them. How many of the numbers that you draw fall on each length?"
        )
    strange = [pair for pair in TASK.pairs if _rare(counts[pair], n, chances[pair], sigmas)]
    if strange and _fit(counts, n, _shares_of_rounded()):
        raise WrongAnswer(
            "The starts are right, but the shortest length and the longest come half as often as those between. Do "
            "you round to the nearest number?"
        )
    too_often = [pair for pair in strange if counts[pair] > n * chances[pair]]
    if len(too_often) > 1 and all(sum(pair) == TASK.n_digits for pair in too_often):
        raise WrongAnswer("The starts are right, but the longest length that fits comes too often.")
    if len(too_often) > 1 and all(length == SHORTEST_SUBSTRING for _, length in too_often):
        raise WrongAnswer("The starts are right, but the shortest length comes too often.")
    for pair in strange:
        often = "often" if pair in too_often else "rarely"
        raise WrongAnswer(f"The starts are right, but with start {pair[0]}, length {pair[1]} comes too {often}.")


def _fit(counts: dict[tuple[int, int], int], n: int, chances: dict[tuple[int, int], float]) -> bool:
    return not any(_rare(counts[pair], n, chances[pair]) for pair in counts)


def _folded(counts: dict[tuple[int, int], int], n: int, chances: dict[tuple[int, int], float]) -> bool:
    """Whether the lengths come as `%` makes them of some number of numbers.

    Each pair is weighted with how much too often it then comes. For one such number this says more than any count
    alone, since all 27 speak together.
    """
    for modulus in range(TASK.n_digits - 1, LARGEST_MODULUS + 1):
        folded = _shares_of_folded(modulus)
        excess = {pair: folded[pair] / chances[pair] - 1 for pair in chances}
        variance = n * sum(chances[pair] * excess[pair] ** 2 for pair in chances)
        seen = sum(counts[pair] * excess[pair] for pair in chances)
        if seen > SIGMAS_OF_MANY * variance**0.5 and _fit(counts, n, folded):
            return True
    return False


@cache
def _shares_of_folded(modulus: int) -> dict[tuple[int, int], float]:
    """The chance of each pair where its length is 2 + a number below `modulus`, % (7 - start)."""
    shares = {}
    for start, length in TASK.pairs:
        room = TASK.n_digits - 1 - start
        numbers = range(length - SHORTEST_SUBSTRING, modulus, room)
        shares[start, length] = len(numbers) / modulus / (LARGEST_START + 1)
    return shares


def _shares_of_rounded() -> dict[tuple[int, int], float]:
    """The chance of each pair where its length is 2 + a number from 0 to 6 - start, rounded to the nearest."""
    shares = {}
    for start, length in TASK.pairs:
        longest = TASK.n_digits - start
        part = 1 / 2 if length in (SHORTEST_SUBSTRING, longest) else 1
        shares[start, length] = part / (longest - SHORTEST_SUBSTRING) / (LARGEST_START + 1)
    return shares


def _check_digits(digits: Tensor, n: int) -> None:
    _check_range_of_digits(digits)
    for digit in range(1, 10):
        if not (digits == digit).any():
            raise WrongAnswer(f"Digit {digit} never comes.")
    if any(_rare(int((column == digit).sum()), n, 1 / 9) for column in digits.T for digit in range(1, 10)):
        raise WrongAnswer("The digits 1 to 9 are not equally likely.")


def _check_independence(start: Tensor, length: Tensor, digits: Tensor, n: int) -> None:
    """Whether one draw says something about another: two digits, a digit and the pair, an example and the next."""
    equal = [int((a == b).sum()) for a, b in combinations(digits.T, 2)]
    if not any(equal):
        raise WrongAnswer("In an example no digit ever comes twice.")
    if any(_rare(count, n, 1 / 9) for count in equal):
        raise WrongAnswer("One digit of an example says something about another: each is drawn by itself.")
    for event in (start == 0, length == 2):
        share = event.double().mean().item()
        for column in digits.T:
            if any(_rare(int((event & (column == digit)).sum()), n, share / 9) for digit in range(1, 10)):
                raise WrongAnswer("A digit says something about the start or the length: each is drawn by itself.")
    same = start[1:] == start[:-1]
    if _rare(int(same.sum()), len(same), 1 / (LARGEST_START + 1)):
        raise WrongAnswer("The start of one example says something about the next one's.")
    if (digits[1:] == digits[:-1]).all(dim=1).double().mean() > 0.01:  # by chance once in 43 million rows
        raise WrongAnswer("An example often has the digits of its neighbour.")


def _sampler_as(
    start: Callable | None = None, length: Callable | None = None, digits: Callable | None = None
) -> Callable:
    """The sampler; or a wrong one, with one of its three draws replaced."""

    def answer(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        def draw(low: int, high: int, shape: tuple[int, ...] = (n, 1)) -> Tensor:
            return torch.randint(low, high, shape, generator=generator)

        starts = start(draw, n) if start else draw(0, 6)
        lengths = length(draw, starts) if length else 2 + draw(0, 840) % (7 - starts)
        table = digits(draw, n) if digits else draw(1, 10, (n, 8))
        places = torch.arange(8)
        moved = table.gather(1, (starts + places).clamp(max=7))
        return torch.cat([starts, lengths, table], dim=1), torch.where(places < lengths, moved, 0)

    return answer


def _length_first(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    length = torch.randint(2, 9, (n, 1), generator=generator)
    start = torch.randint(0, 840, (n, 1), generator=generator) % (9 - length).clamp(max=6)
    source = torch.cat([start, length, torch.randint(1, 10, (n, 8), generator=generator)], dim=1)
    return source, TASK.solve(source)


def _ends_of_randint(*low: int) -> Callable:
    """A row's own upper end, as far as it gets: PyTorch refuses it."""

    def answer(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        start = torch.randint(0, 6, (n, 1), generator=generator)
        return start, torch.randint(*low, 7 - start, (n, 1), generator=generator) + 2

    return answer


def _joined(join: Callable, *columns: int) -> Callable:
    """Two draws for each row and its digits, as far as it gets: PyTorch does not join tensors of such shapes so."""

    def answer(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        draw = torch.randint(0, 6, (n, *columns), generator=generator)
        return join([draw, draw, torch.randint(1, 10, (n, TASK.n_digits), generator=generator)])

    return answer


def _pairs_alike(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    pairs = torch.tensor(TASK.pairs)[torch.randint(0, len(TASK.pairs), (n,), generator=generator)]
    source = torch.cat([pairs, torch.randint(1, 10, (n, 8), generator=generator)], dim=1)
    return source, TASK.solve(source)


register(
    Exercise(
        id="1.5",
        title="A sampler without a loop",
        minutes=20,
        difficulty=3,
        reference=_sampler_as(),
        probes=lambda: [(3,), (30_000,)],
        run=_sampler_properties,
        mistakes=(
            Mistake(
                "global-generator",
                lambda n, generator: _sampler_as()(n, None),
                "Not all your numbers come from the generator given. Does every draw of yours take it? Python's "
                "`random` and NumPy cannot.",
            ),
            Mistake(
                "an-end-for-each-row",
                _ends_of_randint(),
                "`randint` takes one upper end, a plain number, for all rows. Here each row has its own. What can be "
                "drawn alike for all of them, and made to fit afterwards?",
                also=(_ends_of_randint(0),),
            ),
            Mistake(
                "rows-for-columns",
                _joined(partial(torch.cat, dim=1)),
                "Starts, lengths or both are in a row here, (n_examples,), and the digits in a table, (n_examples, 8). "
                "In the source each is a column: which shape has a table of one column?",
                also=(_joined(torch.cat), _joined(partial(torch.stack, dim=1))),
            ),
            Mistake(
                "not-side-by-side",
                _joined(partial(torch.stack, dim=1), 1),
                "These parts do not fit together like that. `torch.stack` wants them all of one shape, and `torch.cat` "
                "without `dim` lays one below the other. Along which axis do columns lie side by side?",
                also=(_joined(torch.cat, 1),),
            ),
            Mistake(
                "start-never-five",
                _sampler_as(start=lambda draw, n: draw(0, 5)),
                "The last start is missing: how many starts are there from 0 to 5? (`randint` leaves out its upper "
                "end.)",
            ),
            Mistake(
                "length-without-start",
                _sampler_as(length=lambda draw, starts: draw(2, 9)),
                "You draw the length without looking at the start. What is left after start 5?",
            ),
            Mistake(
                "longest-missing",
                _sampler_as(length=lambda draw, starts: 2 + draw(0, 60) % (6 - starts).clamp(min=1)),
                "You draw one length too few for each start: a substring may reach the last digit.",
            ),
            Mistake(
                "length-cut-to-fit",
                _sampler_as(length=lambda draw, starts: torch.minimum(draw(2, 9), 8 - starts)),
                "Cutting too long a length down to what fits makes the longest ones too frequent.",
            ),
            Mistake(
                "length-raised-to-two",
                _sampler_as(length=lambda draw, starts: (draw(0, 2520) % (9 - starts)).clamp(min=SHORTEST_SUBSTRING)),
                "So it comes out where too short a length is raised to what is allowed: the shortest get too frequent.",
            ),
            Mistake(
                "start-never-zero",
                _sampler_as(start=lambda draw, n: draw(1, 6)),
                "The first start is missing: which is the smallest number that you can draw? (`randint` draws its "
                "lower end, too.)",
            ),
            Mistake(
                "start-cut-to-fit",
                _sampler_as(start=lambda draw, n: draw(0, 7).clamp(max=5)),
                "Cutting a start down to what is allowed makes the last one too frequent.",
            ),
            Mistake(
                "start-rounded",
                _sampler_as(start=lambda draw, n: (draw(0, 10**6) / 10**6 * 5).round().long()),
                "Rounding to the nearest leaves half as much for the first start and the last as for each other one.",
            ),
            Mistake(
                "length-first",
                _length_first,
                "You draw the length first, and then a start that leaves room for it. In this task the start comes "
                "first.",
            ),
            Mistake(
                "pairs-alike",
                _pairs_alike,
                "Here all 27 pairs are equally likely, as where pairs are drawn, or where impossible draws are thrown "
                "away. In this task the start is drawn first, and then a length that it has room for.",
            ),
            Mistake(
                "one-start-for-all",
                _sampler_as(start=lambda draw, n: draw(0, 6, (1, 1)).expand(n, 1)),
                "One draw serves all the rows. Each example has a start of its own.",
            ),
            Mistake(
                "one-length-for-all",
                _sampler_as(length=lambda draw, starts: 2 + draw(0, 840, (1, 1)) % (7 - starts)),
                "One draw serves the lengths of all the rows. Each example has a draw of its own.",
            ),
            Mistake(
                "zero-among-the-digits",
                _sampler_as(digits=lambda draw, n: draw(0, 10, (n, 8))),
                "A digit of yours can be 0. In this task 0 has other work to do.",
            ),
            Mistake(
                "nine-missing",
                _sampler_as(digits=lambda draw, n: draw(1, 9, (n, 8))),
                "The largest digit is missing: how many digits are there from 1 to 9? (`randint` leaves out its upper "
                "end.)",
            ),
            Mistake(
                "one-row-of-digits",
                _sampler_as(digits=lambda draw, n: draw(1, 10, (1, 8)).expand(n, 8)),
                "All examples share one row of digits. How large is the table that you draw?",
            ),
            Mistake(
                "no-digit-twice",
                _sampler_as(digits=lambda draw, n: draw(0, 10**9, (n, 9)).argsort(dim=1)[:, :8] + 1),
                "In an example of yours no digit comes twice. Shuffling is not drawing.",
            ),
        ),
    )
)


def _outputs_and_targets() -> list[tuple[Tensor, Tensor]]:
    """Of several widths; with all rows right, with none, and with rows that differ in the place of a zero only."""
    generator = torch.Generator().manual_seed(3)
    probes = [(torch.tensor([[5, 0, 3], [4, 0, 0]]), torch.tensor([[5, 3, 0], [4, 0, 0]]))]
    for n, n_tokens, wrong_share in ((5, 8, 0.1), (13, 25, 0.02), (200, 8, 0.3), (6, 1, 0.5), (4, 7, 0.0), (4, 7, 1.0)):
        target = torch.randint(0, 10, (n, n_tokens), generator=generator)
        wrong = torch.rand(target.shape, generator=generator) < wrong_share
        probes.append((torch.where(wrong, (target + 1) % 10, target), target))
    return probes


register(
    Exercise(
        id="1.6",
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
                "mean-of-true-and-false",
                lambda output, target: (output == target).all(dim=1).mean(),
                "What reaches `mean` is True and False, and these have no mean in PyTorch. Make numbers of them first.",
            ),
            Mistake(
                "mean-of-whole-numbers",
                lambda output, target: (output == target).all(dim=1).long().mean(),
                "Whole numbers have no mean in PyTorch either. Which type has a decimal point?",
                also=(lambda output, target: (output == target).all(dim=1).int().mean(),),
            ),
            Mistake(
                "many-truths-for-one",
                lambda output, target: bool(output[0] == target[0]),
                "`if`, `and`, `not` and Python's own `all` want single truth values, and comparing tensors gives one "
                "for each token. What makes one of them?",
            ),
            Mistake(
                "an-axis-too-far",
                lambda output, target: (output == target).all(dim=2).double().mean(),
                "You ask for an axis that is not there. A table has two, and the first is number 0.",
            ),
            Mistake(
                "argmax-of-tokens",
                lambda output, target: (output.argmax(-1) == target).all(dim=1).double().mean(),
                "Each row of `output` has shrunk to one number before it is compared. It holds tokens already: is an "
                "`argmax` needed?",
            ),
            Mistake(
                "brackets-missing",
                lambda output, target: output == target.all(dim=1).double().mean(),
                "`target` is reduced before it is compared: `a == b.all()` means `a == (b.all())`. Where do brackets "
                "belong?",
                also=(lambda output, target: (output == target.all(dim=1)).double().mean(),),
            ),
            Mistake(
                "one-for-each-row",
                lambda output, target: (output == target).all(dim=1).double(),
                "Your verdicts are right, one for each row. Wanted is one number: which share of them is True?",
            ),
            Mistake(
                "token-accuracy-in-parts",
                lambda output, target: (output == target).double().mean(dim=1),
                "These are shares of right tokens, one for each row or for each position. An example counts only when "
                "all its tokens are right.",
                also=(lambda output, target: (output == target).double().mean(dim=0),),
            ),
            Mistake(
                "right-tokens-of-an-example",
                lambda output, target: (output == target).sum() / len(target),
                "This is how many tokens of an example are right on average. An example counts only when all of them "
                "are.",
            ),
            Mistake(
                "divided-by-another-number",
                lambda output, target: (output == target).all(dim=1).sum() / target.numel(),
                "You count the right rows, and divide by the number of tokens. Of what is it a share?",
                also=(lambda output, target: (output == target).all(dim=1).sum() / target.shape[1],),
            ),
            Mistake(
                "divided-by-eight",
                lambda output, target: (output == target).all(dim=1).sum() / TASK.n_digits,
                "You count the right rows, and divide by 8 in every case. Of how many rows is it a share here?",
            ),
            Mistake(
                "always-eight",
                lambda output, target: ((output == target).sum(dim=1) == TASK.n_digits).double().mean(),
                "You ask for 8 right tokens. How many tokens has a row here?",
            ),
            Mistake(
                "never-right",
                lambda output, target: ((output == target).sum(dim=1) == len(target)).double().mean(),
                "Yours is 0 in every case. Do you ask for a number of right tokens, such as how many rows there are? "
                "How many tokens has a row?",
            ),
            Mistake(
                "equal-sums",
                lambda output, target: ((output - target).sum(dim=1) == 0).double().mean(),
                "You compare sums, or add up differences, which may cancel. Rows that differ can have equal sums: "
                "[1, 2] and [2, 1].",
            ),
            Mistake(
                "one-token-decides",
                lambda output, target: (output[:, -1] == target[:, -1]).double().mean(),
                "Your verdict on a row depends on one of its tokens alone, the last or the first. Does a loop write "
                "over what it has found, or end too early?",
                also=(lambda output, target: (output[:, 0] == target[:, 0]).double().mean(),),
            ),
            Mistake(
                "first-row-only",
                lambda output, target: torch.equal(output[0], target[0]) / len(target),
                "Your number depends on the first row alone. Is there a loop that returns in its first round?",
                also=(lambda output, target: float(torch.equal(output[0], target[0])),),
            ),
            _in_several_forms(
                "rounded",
                tuple(
                    lambda output, target, places=places: round(exact_match(output, target), places)
                    for places in (4, 3, 2)
                ),
                "This is the share, rounded. The exact one is wanted: leave the rounding out.",
            ),
            Mistake(
                "not-divided",
                lambda output, target: (output == target).all(dim=1).sum(),
                "This is how many examples match. The measure is their share.",
            ),
            Mistake(
                "percent",
                lambda output, target: 100 * exact_match(output, target),
                "This is the share in percent. A number between 0 and 1 is wanted.",
            ),
            Mistake(
                "share-of-wrong-rows",
                lambda output, target: 1 - exact_match(output, target),
                "This is the share of rows with a wrong token: an error rate. Exact match counts the others.",
            ),
            Mistake(
                "one-verdict-for-the-batch",
                lambda output, target: (output == target).all(),
                "This is 1 where every row is right, and else 0. Wanted is the share of rows that are right. Do you "
                "look at the whole batch at once, or round the share down with `//`?",
            ),
        ),
    )
)


def zeros_token_accuracy() -> float:
    return sum(TASK.pair_probability(*pair) * (TASK.n_digits - pair[1]) / TASK.n_digits for pair in TASK.pairs)


def _exact_number(answer: Callable, arguments: tuple) -> object:
    """The answer's number; one that is nearly right is told why it is not the value itself."""
    given = answer(*arguments)
    number, value = normal(given), zeros_token_accuracy()
    if not isinstance(number, Tensor) or number.numel() != 1 or difference(value, number) is None:
        return given
    number = float(number)
    if any(number == round(number, places) and abs(number - value) <= 0.5001 * 10**-places for places in (2, 3, 4)):
        raise WrongAnswer(f"{number:.6g} is the value, rounded.")
    if abs(number - value) < NEARLY:
        raise WrongAnswer("It is near the value, but not the value itself.")
    return given


def _sum_as(
    share: Callable = lambda start, length: (TASK.n_digits - length) / TASK.n_digits,
    pairs: tuple = TASK.pairs,
    chance: Callable = TASK.pair_probability,
) -> Callable[[], float]:
    """A wrong sum of chances times shares: over other pairs, or of another product."""
    return lambda: sum(chance(*pair) * share(*pair) for pair in pairs)


NEARLY = 0.005  # what a simulation with 30,000 examples or more stays inside of


def _simulated_zeros() -> float:
    return (TASK.sample(100_000, torch.Generator().manual_seed(0))[1] == 0).double().mean().item()


register(
    Exercise(
        id="1.7",
        title="The token accuracy of writing only zeros",
        minutes=10,
        difficulty=2,
        reference=zeros_token_accuracy,
        probes=lambda: [()],
        run=_exact_number,
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
                "digits-counted",
                _sum_as(lambda start, length: length),
                "This is how many digits a target has on average. Which tokens does the player get right?",
            ),
            Mistake(
                "another-player",
                _sum_as(lambda start, length: (TASK.n_digits - length) / TASK.n_digits + length / TASK.n_digits / 9),
                "You count some digits as right, too. This player writes zeros only: can a digit be 0?",
                also=(
                    _sum_as(lambda start, length: (TASK.n_digits - length * 9 / 10) / TASK.n_digits),
                    _sum_as(lambda start, length: (TASK.n_digits - length * 7 / 9) / TASK.n_digits),
                ),
            ),
            Mistake(
                "never-right",
                lambda: 0.0,
                "Yours is 0, or nearly. Do you ask for whole targets, or round down with `//`? Right tokens count.",
            ),
            Mistake(
                "chances-alone",
                _sum_as(lambda start, length: 1),
                "Yours is 1, and so is the sum of all chances. What is each pair's chance multiplied with?",
            ),
            Mistake(
                "length-of-the-source",
                _sum_as(lambda start, length: (TASK.length - length) / TASK.length),
                f"A target has {TASK.n_digits} tokens. It is the source that has {TASK.length}.",
                also=(
                    _sum_as(lambda start, length: (TASK.n_digits - length) / TASK.length),
                    _sum_as(lambda start, length: (TASK.length - length) / TASK.n_digits),
                ),
            ),
            Mistake(
                "one-zero-off",
                _sum_as(lambda start, length: (TASK.n_digits - 1 - length) / TASK.n_digits),
                "Your count of zeros is off by one. How many are in the target of (0, 8)?",
                also=(_sum_as(lambda start, length: (TASK.n_digits + 1 - length) / TASK.n_digits),),
            ),
            Mistake(
                "brackets-missing",
                _sum_as(lambda start, length: TASK.n_digits - length / TASK.n_digits),
                "Python divides and multiplies before it subtracts: where do brackets belong?",
                also=(
                    lambda: sum(TASK.pair_probability(*pair) * 8 - pair[1] / 8 for pair in TASK.pairs),
                    lambda: sum(TASK.pair_probability(*pair) * 8 - pair[1] for pair in TASK.pairs),
                ),
            ),
            Mistake(
                "divided-once-more",
                lambda: zeros_token_accuracy() / len(TASK.pairs),
                "The chances add up to 1 already. Why divide by the number of pairs?",
            ),
            Mistake(
                "one-pair-only",
                _sum_as(pairs=TASK.pairs[:1]),
                "This is the part of one pair, the first or the last. Does a loop return in its first round, or write "
                "over what it had?",
                also=(_sum_as(pairs=TASK.pairs[-1:]),),
            ),
            Mistake(
                "not-added-up",
                lambda: [_sum_as(pairs=(pair,))() for pair in TASK.pairs],
                "These are the parts of the pairs, one by one. What is left to do with them?",
            ),
            Mistake(
                "pairs-missing",
                _sum_as(pairs=tuple(pair for pair in TASK.pairs if sum(pair) < TASK.n_digits)),
                "Some pairs are missing. Do you list them yourself? A range leaves out its end.",
                also=(_sum_as(pairs=tuple(pair for pair in TASK.pairs if pair[0] < LARGEST_START)),),
            ),
            Mistake(
                "pairs-exchanged",
                lambda: TASK.pair_probability(2, 0),
                "A pair is (start, length). In which order do you take it apart, and hand it on?",
            ),
            Mistake(
                "impossible-pairs",
                lambda: TASK.pair_probability(1, 8),
                "Not every start goes with every length. Which pairs are there?",
                also=(lambda: TASK.pair_probability(5, 4),),
            ),
            Mistake(
                "only-for-start-zero",
                lambda: sum((TASK.n_digits - length) / TASK.n_digits for length in range(2, 9)) / 7,
                "This takes all lengths from 2 to 8 as equally likely, which holds for start 0 only.",
            ),
            Mistake(
                "percent",
                lambda: 100 * zeros_token_accuracy(),
                "This is the share in percent. A number between 0 and 1 is wanted.",
                also=(lambda: 53.13, lambda: 53.12, lambda: 53.1, lambda: 53),
            ),
            _in_several_forms(
                "rounded",
                (lambda: 0.5313, lambda: 0.5312, lambda: 0.531, lambda: 0.53),
                "Leave the rounding out, and let Python do the sum.",
            ),
            Mistake(
                "simulated",
                _simulated_zeros,
                "Is it counted from examples? Those stray, however many there are. The sum over the pairs is exact.",
                near=0.03,
            ),
            Mistake(
                "summed-over-the-pairs",
                lambda: sum((TASK.n_digits - length) / TASK.n_digits for _, length in TASK.pairs),
                "You add up the pairs' shares as they are. Weight each with the chance of its pair.",
            ),
            Mistake(
                "start-for-length",
                _sum_as(lambda start, length: (TASK.n_digits - start) / TASK.n_digits),
                "You take start from 8. How many zeros a target has depends on length alone.",
                also=(_sum_as(lambda start, length: (TASK.n_digits - start - length) / TASK.n_digits),),
            ),
        ),
    )
)
