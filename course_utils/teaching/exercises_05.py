"""Exercises of notebook 05: numbering, a bound, counting without decoding, a rate, the loop, the margin, all of it."""

from __future__ import annotations

import contextlib
import inspect
import math
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from itertools import accumulate
from statistics import NormalDist, fmean

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.optimizer import register_optimizer_step_pre_hook

from ..evaluation import highest_rate as canonical_highest_rate
from ..evaluation import mistakes
from ..model import Seq2Seq
from ..task import N_DIGIT_VALUES, START_TOKEN, SubstringTask
from .comparison import brief, difference, normal
from .engine import Exercise, Mistake, register
from .probes import VOCABULARY, left_as_found, random_model
from .trials import WrongAnswer

# 5.1: the last number is so large that nobody lists the inputs up to it.


def input_at(number: int, pairs: list[tuple[int, int]], n_digits: int) -> list[int]:
    pair, rest = divmod(number, N_DIGIT_VALUES**n_digits)
    return [*pairs[pair], *(rest // N_DIGIT_VALUES**place % N_DIGIT_VALUES + 1 for place in reversed(range(n_digits)))]


def _numbers() -> list[tuple[int, list[tuple[int, int]], int]]:
    """Among them one whose last digit is 9, one whose digits all are, and the last of all."""
    numbers = ((4, 4), (5, 831), (6, 7), (6, 30_001), (4, 8), (5, 728), (10, 1_000_000_000), (10, 3**19 - 1))
    return [(number, SubstringTask(length).pairs, length - 2) for length, number in numbers]


def _counted(
    base: int = N_DIGIT_VALUES,
    smallest: int = 1,
    strings: Callable = lambda n_digits: N_DIGIT_VALUES**n_digits,
    places: Callable = lambda n_digits: range(n_digits - 1, -1, -1),
    further: int = 0,
    values: int | None = None,
) -> Callable:
    """A wrong input: another base, another smallest digit, other numbers of strings for each pair, other places, other
    numbers of values for a digit than the base; or the pair that stands so much further on in the list."""

    def answer(number: int, pairs: list[tuple[int, int]], n_digits: int) -> list[int]:
        pair, rest = divmod(number, strings(n_digits))
        digits = (rest // base**place % (values or base) + smallest for place in places(n_digits))
        return [*pairs[pair + further], *digits]

    return answer


def _nine_is_zero(number: int, pairs: list[tuple[int, int]], n_digits: int) -> list[int]:
    pair, rest = divmod(number, N_DIGIT_VALUES**n_digits)
    places = reversed(range(n_digits))
    return [*pairs[pair], *((rest // N_DIGIT_VALUES**place + 1) % N_DIGIT_VALUES for place in places)]


def _leading_places_left_out(number: int, pairs: list[tuple[int, int]], n_digits: int) -> list[int]:
    pair, rest = divmod(number, N_DIGIT_VALUES**n_digits)
    digits = []
    while rest:
        rest, digit = divmod(rest, N_DIGIT_VALUES)
        digits.insert(0, digit + 1)
    return [*pairs[pair], *digits]


def _leading_places_left_out_and_turned_round(number: int, pairs: list[tuple[int, int]], n_digits: int) -> list[int]:
    start, length, *digits = _leading_places_left_out(number, pairs, n_digits)
    return [start, length, *reversed(digits)]


def _nothing_taken_off(number: int, pairs: list[tuple[int, int]], n_digits: int) -> list[int]:
    pair, rest = divmod(number, N_DIGIT_VALUES**n_digits)
    return [*pairs[pair], *(rest // N_DIGIT_VALUES**place + 1 for place in reversed(range(n_digits)))]


def _divided_to_fractions(number: int, pairs: list[tuple[int, int]], n_digits: int) -> list[float]:
    pair, rest = divmod(number, N_DIGIT_VALUES**n_digits)
    return [*pairs[pair], *(rest / N_DIGIT_VALUES**place % N_DIGIT_VALUES + 1 for place in reversed(range(n_digits)))]


def _one_added_first(number: int, pairs: list[tuple[int, int]], n_digits: int) -> list[int]:
    pair, rest = divmod(number, N_DIGIT_VALUES**n_digits)
    places = reversed(range(n_digits))
    return [*pairs[pair], *((rest + 1) // N_DIGIT_VALUES**place % N_DIGIT_VALUES for place in places)]


def _pair_turns_fastest(number: int, pairs: list[tuple[int, int]], n_digits: int) -> list[int]:
    rest, pair = divmod(number, len(pairs))
    return [*pairs[pair], *input_at(rest, pairs[:1], n_digits)[2:]]


def _remainder_chooses_the_pair(number: int, pairs: list[tuple[int, int]], n_digits: int) -> list[int]:
    return [*pairs[number % len(pairs)], *input_at(number, pairs, n_digits)[2:]]


def _number_not_taken_apart(number: int, pairs: list[tuple[int, int]], n_digits: int) -> list[int]:
    digits = [number // N_DIGIT_VALUES**place % N_DIGIT_VALUES + 1 for place in range(n_digits, 0, -1)]
    return [*input_at(number, pairs, n_digits)[:2], *digits]


def _power_by_a_caret(number: int, pairs: list[tuple[int, int]], n_digits: int) -> list[int]:
    pair, rest = divmod(number, N_DIGIT_VALUES ^ n_digits)
    places = reversed(range(n_digits))
    return [*pairs[pair], *(rest // (N_DIGIT_VALUES ^ place) % N_DIGIT_VALUES + 1 for place in places)]


def _divided_by_pairs(number: int, pairs: list[tuple[int, int]], n_digits: int) -> list[int]:
    pair, rest = divmod(number, len(pairs))
    return [*pairs[pair], *input_at(rest, pairs, n_digits)[2:]]


def _input_as(change: Callable) -> Callable:
    """A wrong input: `change` gets the right pair and digits."""

    def answer(number: int, pairs: list[tuple[int, int]], n_digits: int) -> list[int]:
        start, length, *digits = input_at(number, pairs, n_digits)
        return change([start, length], digits)

    return answer


def _one_plain_list(answer: Callable, arguments: tuple) -> object:
    """The source. Lists in a list would be compared as a table, and the reader has made none."""
    source = answer(*arguments)
    if isinstance(source, (list, tuple)) and any(isinstance(part, (list, tuple)) for part in source):
        parts = [list(part) if isinstance(part, tuple) else part for part in source]
        found = brief(parts)
        told = f": {found}" if found.startswith("[") else ""
        raise WrongAnswer(f"It gives back a list with lists in it, where one of plain numbers is asked for{told}")
    return source


register(
    Exercise(
        id="5.1",
        title="The input with a given number",
        minutes=10,
        difficulty=1,
        reference=input_at,
        probes=_numbers,
        run=_one_plain_list,
        mistakes=(
            Mistake(
                "digits-from-zero",
                _counted(smallest=0),
                "Your digits go from 0 to 8. In a source they go from 1 to 9.",
            ),
            Mistake(
                "nine-is-zero",
                _nine_is_zero,
                "Where the digit should be 9, yours is 0: 1 is added before the remainder is taken.",
            ),
            Mistake(
                "first-digit-turns-fastest",
                _counted(places=range),
                "From one number to the next, your first digit changes. As in any number, the last one should.",
            ),
            Mistake(
                "base-ten",
                _counted(10, 0),
                "You read the number's own decimal digits. A digit has 9 values here, so count in base 9.",
                also=(_counted(10), _counted(10, 0, lambda n: 10**n), _counted(10, 1, lambda n: 10**n)),
            ),
            Mistake(
                "two-bases",
                _counted(smallest=0, values=10),
                "You count in two bases, 9 and 10: one in what you divide by, the other in what you take the remainder "
                "of. How many values has a digit?",
                also=(_counted(values=10), _counted(10, values=9), _counted(10, 0, values=9)),
            ),
            Mistake(
                "power-by-a-caret",
                _power_by_a_caret,
                "In Python `^` is no power: it compares two numbers bit by bit. A power is written with `**`.",
            ),
            Mistake(
                "places-from-one",
                _counted(places=lambda n: range(n, 0, -1)),
                "The digit that should turn fastest is missing, and in front stands one that tells nothing of the "
                "digits. Which number has the last place?",
                also=(_number_not_taken_apart,),
            ),
            Mistake(
                "leading-places-left-out",
                _leading_places_left_out,
                "Digits are missing: a small number has as many places as a large one. Those in front are 1.",
                also=(_leading_places_left_out_and_turned_round,),
            ),
            Mistake(
                "a-place-too-many",
                _counted(places=lambda n: range(n, -1, -1)),
                "In front stands a digit too many. Which number has the first of your places, and which the last?",
            ),
            Mistake(
                "last-place-left-out",
                _counted(places=lambda n: range(n - 1, 0, -1)),
                "The last digit is missing, the one that should turn fastest. Which number has its place?",
            ),
            Mistake(
                "no-place-taken-off",
                _input_as(lambda pair, digits: [*pair, *digits[-1:] * len(digits)]),
                "All of your digits are the last one. What is left of the number when that one is taken off?",
            ),
            Mistake(
                "one-added-first",
                _one_added_first,
                "You add 1 to the number or to its last digit, and the other digits still go from 0 to 8. In a source "
                "each goes from 1 to 9.",
                also=(_input_as(lambda pair, digits: [*pair, *(digit - 1 for digit in digits[:-1]), digits[-1]]),),
            ),
            Mistake(
                "zero-is-nine",
                _input_as(lambda pair, digits: [*pair, *(digit - 1 or N_DIGIT_VALUES for digit in digits)]),
                "A remainder of 0 is a 9 in yours, and the other remainders stay as they are. The smallest remainder "
                "stands for the smallest digit.",
            ),
            Mistake(
                "base-eight",
                _counted(8, strings=lambda n: 8**n),
                "You count in eights. How many values has a digit that goes from 1 to 9?",
                also=(_counted(8),),
            ),
            Mistake(
                "divided-to-fractions",
                lambda number, pairs, n_digits: pairs[number / N_DIGIT_VALUES**n_digits],
                "`/` gives a number with a decimal point. Which division tells how often something fits as a whole?",
                also=(_divided_to_fractions,),
            ),
            Mistake(
                "nothing-taken-off",
                _nothing_taken_off,
                "Some of your digits are above 9: what the places to their left have counted is still in them.",
            ),
            Mistake(
                "always-eight-digits",
                _counted(strings=lambda n: 9**8, places=lambda n: range(7, -1, -1)),
                "You take it that there are eight digits. `n_digits` says how many there are.",
                also=(_counted(strings=lambda n: 9**8), _counted(places=lambda n: range(7, -1, -1))),
            ),
            Mistake(
                "pair-turns-fastest",
                _pair_turns_fastest,
                "From one number to the next, your pair changes. All digit strings of a pair come before the next "
                "pair.",
                also=(_remainder_chooses_the_pair,),
            ),
            Mistake(
                "no-such-pair",
                _divided_by_pairs,
                "An index is beyond the end of its list. If it is that of the pair: how many inputs stand behind each "
                "pair, and how often do so many fit into the number?",
                also=(_counted(strings=lambda n: 9 * n),),
            ),
            Mistake(
                "too-many-behind-each-pair",
                _counted(strings=lambda n: 9 ** (n + 2)),
                "The digits are right, and the pair comes too late. How many digit strings are there behind each pair? "
                "Start and length are no digits of theirs, and which number is the base?",
                also=(_counted(strings=lambda n: n**9), _counted(strings=lambda n: 9 ** (n + 1))),
            ),
            Mistake(
                "numbered-from-one",
                lambda number, pairs, n_digits: input_at(number - 1, pairs, n_digits),
                "This is the input before it or after it: the first one has the number 0.",
                also=(lambda number, pairs, n_digits: input_at(number + 1, pairs, n_digits),),
            ),
            Mistake(
                "the-pair-before",
                _counted(further=-1),
                "The digits are right, and the pair is the one before. In a list, which number has the first pair?",
            ),
            Mistake(
                "number-of-the-pair",
                lambda number, pairs, n_digits: [
                    number // N_DIGIT_VALUES**n_digits,
                    *input_at(number, pairs, n_digits)[2:],
                ],
                "Your list begins with the number of the pair. Which start and which length has the pair of that "
                "number?",
            ),
            Mistake(
                "only-the-digits",
                _input_as(lambda pair, digits: digits),
                "The digits are right. A source begins with its start and its length.",
            ),
            Mistake(
                "length-before-start",
                _input_as(lambda pair, digits: [*reversed(pair), *digits]),
                "The two numbers of the pair have changed places. A source begins with its start, and its length comes "
                "second.",
            ),
            Mistake(
                "digits-before-the-pair",
                _input_as(lambda pair, digits: [*digits, *pair]),
                "Your list begins with the digits. A source begins with its start and its length, and its digits stand "
                "behind them.",
            ),
            Mistake(
                "pair-not-taken-apart",
                _input_as(lambda pair, digits: [tuple(pair), *digits]),
                "The pair stands in your list as one thing. A source is a plain list of numbers.",
                also=(_input_as(lambda pair, digits: [pair, digits]),),
            ),
            Mistake(
                "tuple-and-list-added",
                _input_as(lambda pair, digits: tuple(pair) + digits),
                "`+` joins two lists, or two tuples. A pair is a tuple, and your digits are a list.",
                also=(_input_as(lambda pair, digits: digits + tuple(pair)),),
            ),
            Mistake(
                "one-list-too-deep",
                _input_as(lambda pair, digits: [[*pair, *digits]]),
                "The input is right, and stands in a list of its own inside your list. One input is asked for, not a "
                "batch.",
            ),
            Mistake(
                "digits-not-taken-apart",
                _input_as(lambda pair, digits: [*pair, digits]),
                "The digits stand in your list as one thing. A source is a plain list of numbers.",
            ),
        ),
    )
)


# 5.2


@cache  # several of the mistakes begin with the right answer
def highest_rate(errors: int, n: int) -> float:
    return canonical_highest_rate(errors, n)


def _chance(errors: int, n: int, rate: float) -> float:
    """The chance of exactly so many errors among n."""
    return math.comb(n, errors) * rate**errors * (1 - rate) ** (n - errors)


def _rate_where(
    chance: Callable[[int, int, float], float],
    doubt: float = 0.05,
    halvings: int = 60,
    end: Callable = min,
    highest: float = 1.0,
) -> Callable:
    """A bound found by halving: the rate at which `chance`, which falls from 1 to 0, meets `doubt`.

    `end` makes one number of the ends of the interval that is left.
    """

    def answer(errors: int, n: int) -> float:
        low, high = 0.0, highest
        for _ in range(halvings):
            middle = (low + high) / 2
            low, high = (middle, high) if chance(errors, n, middle) > doubt else (low, middle)
        return end((low, high))

    return answer


def _walked(step: float, seen: bool) -> Callable:
    """A bound found in steps, from 0 or from the rate that was seen."""

    def answer(errors: int, n: int) -> float:
        rate = errors / n if seen else 0.0
        while rate < 1 and _at_most(errors, n, rate) > 0.05:
            rate += step
        return rate

    return answer


def _rate(answer: Callable, arguments: tuple) -> object:
    """The rate. Where all failed it is judged last, in answers that are right elsewhere.

    So a wrong idea is recognised whether or not somebody has read that 1 is asked for there.
    """
    errors, n = arguments
    if errors < n or not any(difference(highest_rate(*test), answer(*test)) for test in TESTS if test[0] < test[1]):
        return answer(errors, n)
    return 1.0


def _at_most(errors: int, n: int, rate: float) -> float:
    return sum(_chance(k, n, rate) for k in range(errors + 1))


def _fewer(errors: int, n: int, rate: float) -> float:
    return _at_most(errors - 1, n, rate)


def _at_least(errors: int, n: int, rate: float) -> float:
    return sum(_chance(k, n, rate) for k in range(errors, n + 1))


def _log_of_zero(errors: int, n: int) -> float:
    """The right bound by logarithms, searched so long that 1 - rate becomes 0 where all failed."""
    return highest_rate(errors, n) if errors < n else math.log(0)


def _without_the_ways(errors: int, n: int, rate: float) -> float:
    return sum(rate**k * (1 - rate) ** (n - k) for k in range(errors + 1))


def _poisson(errors: int, n: int, rate: float) -> float:
    return sum(math.exp(-n * rate) * (n * rate) ** k / math.factorial(k) for k in range(errors + 1))


def _with_errors_for_k(chance: Callable[[int, int, int, float], float]) -> Callable:
    """A wrong bound: `chance` gets k, and uses `errors` in some of its places."""
    return _rate_where(lambda errors, n, rate: sum(chance(k, errors, n, rate) for k in range(errors + 1)))


def _ways_by(ways: Callable[[int, int], float]) -> Callable:
    """The right bound, but for how the number of ways is computed."""
    return _rate_where(
        lambda errors, n, rate: sum(ways(n, k) * rate**k * (1 - rate) ** (n - k) for k in range(errors + 1))
    )


def _none_left_out(errors: int, n: int, rate: float) -> float:
    return sum(_chance(k, n, rate) for k in range(1, errors + 1))


def _all_others_and_more(errors: int, n: int, rate: float) -> float:
    return sum(math.comb(n, k) * rate**k * (1 - rate) ** n for k in range(errors + 1))


def _multiplied(errors: int, n: int, rate: float) -> float:
    return math.prod(_chance(k, n, rate) for k in range(errors + 1))


def _chance_of_the_rate_seen(errors: int, n: int) -> float:
    return _at_most(errors, n, errors / n)


def _bell_curve(rate: float, n: int, deviations: float) -> float:
    return rate + deviations * math.sqrt(rate * (1 - rate) / n)


def _wilson(rate: float, n: int, deviations: float) -> float:
    square = deviations**2
    spread = deviations * math.sqrt(rate * (1 - rate) / n + square / (4 * n**2))
    return (rate + square / (2 * n) + spread) / (1 + square / n)


def _approximated(bound: Callable, deviations: float, without_an_error: Callable | None = None) -> Callable:
    """A wrong bound: so many standard deviations above the rate that was seen. Where none failed, `without_an_error`
    may stand in its place."""

    def answer(errors: int, n: int) -> float:
        if without_an_error is not None and errors == 0:
            return without_an_error(errors, n)
        return bound(errors / n, n, deviations)

    return answer


def _without_an_error(formula: Callable[[int], float]) -> Callable:
    """A wrong bound where nothing failed, and the right one elsewhere."""
    return lambda errors, n: highest_rate(errors, n) if errors else formula(n)


ONE_SIDED, TWO_SIDED = map(NormalDist().inv_cdf, (0.95, 0.975))
DEVIATIONS = (1.64, 1.6449, ONE_SIDED, 1.645, 1.65, 1.96, TWO_SIDED)  # as people write them


TESTS = [(0, 100), (3, 50), (0, 7), (1, 20), (9, 400), (2, 4), (20, 20)]  # errors, and among how many
CLOSE = 0.02  # a rate that is off by no more has the right idea


def _in_steps(rounded: Callable, steps: int) -> Callable:
    return lambda errors, n: rounded(steps * highest_rate(errors, n)) / steps


register(
    Exercise(
        id="5.2",
        title="How high can the rate be?",
        minutes=20,
        difficulty=3,
        reference=highest_rate,
        probes=lambda: TESTS,
        run=_rate,
        mistakes=(
            Mistake(
                "rate-seen",
                lambda errors, n: errors / n,
                "This is the rate you saw. The true one may be higher: how much, before what you saw becomes unlikely?",
            ),
            Mistake(
                "rule-of-three",
                lambda errors, n: (errors + 3) / n,
                "Three over n is a rule of thumb for no error at all. The exact value is wanted, for any number.",
                also=(lambda errors, n: min(1, (errors + 3) / n), lambda errors, n: 3 / n),
            ),
            Mistake(
                "as-without-an-error",
                lambda errors, n: highest_rate(0, n),
                "Whatever the test has found, you say what would follow had it found nothing. `errors` matters.",
            ),
            Mistake(
                "added-to-the-rate-seen",
                lambda errors, n: errors / n + highest_rate(0, n),
                "You add what no error at all would leave open to the rate that was seen. Bounds do not add up: the "
                "chance of so few errors has to be computed for your `errors`.",
                also=(lambda errors, n: min(1, errors / n + highest_rate(0, n)),),
            ),
            Mistake(
                "exactly-so-many",
                _rate_where(_chance),
                "You take the chance of exactly so many errors. Fewer would have been even better news: they count, "
                "too.",
            ),
            Mistake(
                "errors-for-each-number",
                _with_errors_for_k(lambda k, errors, n, rate: math.comb(n, errors) * rate**k * (1 - rate) ** (n - k)),
                "Each term of your sum is for a number of errors of its own, and yet `errors` stands in all of them. "
                "Where should it be the term's own number?",
                also=(
                    _with_errors_for_k(
                        lambda k, errors, n, rate: math.comb(n, k) * rate**k * (1 - rate) ** (n - errors)
                    ),
                    _with_errors_for_k(
                        lambda k, errors, n, rate: math.comb(n, k) * rate**errors * (1 - rate) ** (n - k)
                    ),
                ),
            ),
            Mistake(
                "none-left-out",
                _rate_where(_none_left_out),
                "No error at all is good news, too: your sum leaves it out.",
            ),
            Mistake(
                "one-more",
                _rate_where(lambda errors, n, rate: _at_most(errors + 1, n, rate)),
                "Your sum goes one number too far: it takes one error more than were seen.",
            ),
            Mistake(
                "all-others-and-more",
                _rate_where(_all_others_and_more),
                "Some of your inputs fail, and as many are right as there are inputs. How many are left to be right?",
            ),
            Mistake(
                "multiplied",
                _rate_where(_multiplied),
                "As soon as there is an error, your rate is 0. Chances of different numbers of errors are added up, "
                "not multiplied; and to add up logarithms is to multiply.",
            ),
            Mistake(
                "formula-without-an-error",
                lambda errors, n: 1 - 0.05 ** (1 / (n - errors)),
                "You bend the formula for a test without an error. With errors several outcomes are as good or better, "
                "and their chances have to be added up.",
                also=(lambda errors, n: 1 - 0.05 ** ((errors + 1) / n),),
            ),
            Mistake(
                "chance-not-rate",
                lambda errors, n: 0.05,
                "You give back a chance. At which rate does it come to 5 %?",
                also=(_chance_of_the_rate_seen,),
            ),
            Mistake(
                "one-halving",
                lambda errors, n: 0.5,
                "Your search ends after its first step. Does `return` stand inside the loop?",
                also=tuple(_rate_where(_at_most, halvings=1, end=end) for end in (min, max)),
            ),
            Mistake(
                "always-zero",
                lambda errors, n: 0.0,
                "Your rate comes out as 0. At that rate so few errors are no surprise at all: is what you compute "
                "there above what you compare it with?",
            ),
            Mistake(
                "share-of-the-right",
                lambda errors, n: 1 - highest_rate(errors, n),
                "This is 1 minus the rate: how low the share of right answers can be. How high can that of errors be?",
                also=(lambda errors, n: 0.05 ** (1 / n), _without_an_error(lambda n: 0.05 ** (1 / n))),
            ),
            Mistake(
                "fewer-only",
                _rate_where(_fewer),
                "The number of errors that was seen is left out of your sum: `range` ends before its last number.",
            ),
            Mistake(
                "at-least-so-many",
                _rate_where(_at_least),
                "Your rate is always 1. Which numbers of errors should your sum add up, from which to which, so that "
                "it falls as the rate rises? (If you wait until it is exactly 5 %: no step of yours need hit that.)",
            ),
            Mistake(
                "log-of-zero",
                _log_of_zero,
                "Where all failed the rate is 1: answer that before you search.",
            ),
            Mistake(
                "ways-left-out",
                _rate_where(_without_the_ways),
                "Your chances are those of errors at certain places. In how many ways can the places be chosen?",
            ),
            Mistake(
                "ways-in-order",
                _ways_by(math.perm),
                "You count the same places again for each order in which they can be named. Which places fail matters, "
                "their order does not.",
            ),
            Mistake(
                "factorials-as-floats",
                _ways_by(lambda n, k: math.factorial(n) / math.factorial(k) / math.factorial(n - k)),
                "The factorial of 400 is more than a float can hold, and a division by `/` gives a float. `math.comb` "
                "counts the ways in whole numbers.",
                also=(
                    _ways_by(lambda n, k: float(math.factorial(n)) / math.factorial(k) / math.factorial(n - k)),
                    _ways_by(lambda n, k: math.gamma(n + 1) / math.gamma(k + 1) / math.gamma(n - k + 1)),
                ),
            ),
            Mistake(
                "power-by-a-caret",
                lambda errors, n: 0.5 ^ n,
                "In Python `^` is no power, but a comparison of whole numbers bit by bit. A power is written with "
                "`**`.",
                also=(lambda errors, n: 0.5 ^ 0.5,),
            ),
            Mistake(
                "wrong-half-kept",
                _rate_where(lambda errors, n, rate: -_at_most(errors, n, rate), -0.05),
                "Your search keeps the wrong half and runs to an end of the interval. The higher the rate, the smaller "
                "the chance: on which side of the middle is 5 %, then?",
            ),
            Mistake(
                "two-sided",
                _rate_where(_at_most, 0.025),
                "This leaves 2.5 % above. Only the upper side is asked for here, and all 5 % belong to it.",
            ),
            Mistake(
                "confidence-for-doubt",
                _rate_where(_at_most, 0.95),
                "At this rate so few errors are what you would expect 95 times in 100. They should be unlikely: 5 %.",
                also=(lambda errors, n: 1 - 0.95 ** (1 / n), _without_an_error(lambda n: 1 - 0.95 ** (1 / n))),
            ),
            Mistake(
                "roles-swapped",
                _rate_where(lambda errors, n, rate: _at_most(errors, n, 1 - rate)),
                "In your chance `rate` and `1 - rate` are not where they belong: which comes with the errors, which "
                "with the right answers?",
            ),
            Mistake(
                "lower-side",
                _rate_where(_fewer, 0.95),
                "This is how low the rate can be. How high, before so few errors become unlikely?",
            ),
            Mistake(
                "normal-approximation",
                _approximated(_bell_curve, 1.645),
                "That is the bell curve's approximation. Without an error it says that the rate is 0, which nobody "
                "knows, and with a few it is far off.",
                also=tuple(
                    _approximated(_bell_curve, deviations, without_an_error)
                    for without_an_error in (None, highest_rate, lambda errors, n: 3 / n)
                    for deviations in DEVIATIONS
                    if (deviations, without_an_error) != (1.645, None)  # as above
                ),
            ),
            Mistake(
                "other-approximation",
                _approximated(_wilson, 1.645),
                "This is an approximation, Wilson's or Poisson's, that is close for large tests. The exact rate is "
                "wanted, for small ones, too.",
                also=(
                    *(_rate_where(_poisson, highest=highest) for highest in (1, 10)),
                    *(
                        _approximated(_wilson, deviations, without_an_error)
                        for without_an_error in (None, highest_rate)
                        for deviations in DEVIATIONS
                        if (deviations, without_an_error) != (1.645, None)  # as above
                    ),
                ),
            ),
            Mistake(
                "ends-too-soon",
                _rate_where(_at_most, halvings=5),
                "Your search is the right one and ends too soon, or its steps are too wide: a relative error of "
                "0.00001 is all that passes. How often do you have to halve an interval to get there?",
                also=(
                    *(
                        _rate_where(_at_most, halvings=n, end=end)
                        for n in range(2, 11)
                        for end in (min, max, fmean)
                        if (n, end) not in ((5, min), (7, max), (7, fmean))  # as above, and as 8 halvings
                    ),
                    *(_walked(step, seen) for step, seen in ((0.1, False), (0.1, True), (0.01, True))),
                ),
            ),
            Mistake(
                "too-coarse",
                _in_steps(round, 100),
                "You are close, but a relative error of 0.00001 is all that passes. Is your rate rounded, or does your "
                "search end too soon? Halving an interval gets there.",
                near=CLOSE,
                also=(
                    *(_in_steps(rounded, 100) for rounded in (math.ceil, math.floor)),
                    *(
                        _in_steps(rounded, steps)
                        for steps in (1_000, 10_000, 100_000)
                        for rounded in (math.ceil, math.floor, round)
                    ),
                    *(_rate_where(_at_most, halvings=n, end=end) for n in (11, 12) for end in (min, max, fmean)),
                ),
            ),
            Mistake(
                "percent",
                lambda errors, n: 100 * highest_rate(errors, n),
                "This is in per cent. The rate is a share, between 0 and 1.",
            ),
            Mistake(
                "number-not-rate",
                lambda errors, n: n * highest_rate(errors, n),
                "This is how many of the `n` inputs would fail. The rate is a share, between 0 and 1.",
            ),
        ),
    )
)


# 5.3: some targets are the model's own outputs, some are changed. Once a source comes with all targets of two tokens:
# whatever a decoder reads, some of them fit. One model is of two minds: 2 and 5 tie for ever, and the decoder, like
# argmax, takes the lower. The last ends its rows in zeros, and some targets are wrong only there.

TIED = (2, 5)
SUITS_ITSELF = 31  # the seed of a model that, while it reads a certain target unshifted, writes just that
WRITES_ZEROS = 16  # the seed of one whose outputs have several zeros, most of them at the end


def failing(model: Seq2Seq, source: Tensor, target: Tensor) -> Tensor:
    return (model(source, target, 1.0).argmax(-1) != target).any(dim=1)


def _outputs_some_changed() -> list[tuple[Seq2Seq, Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    probes = []
    for seed, n, n_tokens in ((1, 4, 3), (2, 12, 5), (3, 30, 4), (4, 60, 2)):
        model = random_model(seed).eval()
        source = torch.randint(0, VOCABULARY, (n, 4), generator=generator)
        target = model.generate(source, n_tokens)
        target[1::3, 0] = 0  # a zero that is wrong, or right, counts like any token
        changed = torch.rand(target.shape, generator=generator) < 0.12
        shift = torch.randint(1, VOCABULARY, target.shape, generator=generator)
        probes.append((model, source, torch.where(changed, (target + shift) % VOCABULARY, target)))
    tokens = torch.arange(VOCABULARY)
    source = torch.randint(0, VOCABULARY, (1, 4), generator=generator).expand(VOCABULARY**2, -1)
    probes.append((random_model(SUITS_ITSELF).eval(), source, torch.cartesian_prod(tokens, tokens)))
    tied = random_model(5).eval()
    with torch.no_grad():
        tied.decoder.fc_out.weight[list(TIED)] = 0
        tied.decoder.fc_out.bias[list(TIED)] = 50
    lower, higher = TIED
    target = torch.tensor([[lower] * 3, [lower, higher, lower], [higher] * 3])
    probes.append((tied, torch.randint(0, VOCABULARY, (3, 4), generator=generator), target))
    writes_zeros = random_model(WRITES_ZEROS).eval()
    source = torch.randint(0, VOCABULARY, (5, 4), generator=generator.manual_seed(13))
    target = writes_zeros.generate(source, 8)
    target[1:4, -1] = torch.tensor([3, 0, 0])  # wrong at or behind the second zero, and nowhere else
    return [*probes, (writes_zeros, source, target)]


def _one_call(answer: Callable, arguments: tuple) -> object:
    model, _, target = arguments

    def forced(_: object, inputs: tuple, named: dict) -> None:
        given = inspect.signature(Seq2Seq.forward).bind(model, *inputs, **named)
        given.apply_defaults()
        ratio = given.arguments["teacher_forcing_ratio"]
        if given.arguments["coins"] is None and ratio != 1:
            raise WrongAnswer(f"The model is called with the teacher-forcing ratio {ratio:g}.")

    def whole(_: object, inputs: tuple[Tensor, ...], named: dict[str, Tensor]) -> None:
        tokens = inputs[0] if inputs else named["tokens"]
        n_read, n_tokens = tokens.shape[1], target.shape[1]
        if n_read == 1:
            raise WrongAnswer("The decoder is called for single tokens, one after another.")
        if n_read < n_tokens:
            raise WrongAnswer(f"The decoder is called on rows of {n_read} tokens; the target's have {n_tokens}.")

    model.register_forward_pre_hook(forced, with_kwargs=True)
    model.decoder.register_forward_pre_hook(whole, with_kwargs=True)
    with left_as_found(model):
        return answer(*arguments)


def _failing_as(change: Callable) -> Callable:
    """A wrong count: `change` gets the guesses and the target, both (B, T)."""
    return lambda model, source, target: change(model(source, target, 1.0).argmax(-1), target)


def _shifted(target: Tensor) -> Tensor:
    return torch.cat([torch.zeros_like(target[:, :1]), target[:, :-1]], dim=1)


def _reading(read: Callable) -> Callable:
    """A wrong count: the decoder itself is called, and `read` makes what it reads of the target."""
    return lambda model, source, target: (
        model.decoder(read(target), model.encoder(source))[0].argmax(-1) != target
    ).any(dim=1)


def _forced_with(read: Callable) -> Callable:
    """A wrong count: the model is called with what `read` makes of the target."""
    return lambda model, source, target: (model(source, read(target), 1.0).argmax(-1) != target).any(dim=1)


def _rolled(target: Tensor) -> Tensor:
    return torch.roll(target, 1, 1)


def _starting_with(first: Callable) -> Callable:
    """A wrong count: the decoder itself is called, and begins with what `first` makes of the target."""
    return _reading(lambda target: torch.cat([first(target), target[:, :-1]], dim=1))


def _until_the_first_zero(guess: Tensor, target: Tensor) -> Tensor:
    return ((guess != target) & ((target == 0).cumsum(dim=1) == 0)).any(dim=1)


def _after_the_first_zero_left_out(guess: Tensor, target: Tensor) -> Tensor:
    zero = target == 0
    return ((guess != target) & (zero.cumsum(dim=1) - zero.long() == 0)).any(dim=1)


def _ties_fail(model: Seq2Seq, source: Tensor, target: Tensor) -> Tensor:
    logits = model(source, target, 1.0)
    return (logits.topk(2).values[..., 1] == logits.gather(-1, target[..., None])[..., 0]).any(1) | failing(
        model, source, target
    )


def _ties_pass(model: Seq2Seq, source: Tensor, target: Tensor) -> Tensor:
    logits = model(source, target, 1.0)
    return (logits.amax(-1) > logits.gather(-1, target[..., None])[..., 0]).any(dim=1)


register(
    Exercise(
        id="5.3",
        title="Which inputs fail, without decoding",
        minutes=10,
        difficulty=2,
        reference=failing,
        probes=_outputs_some_changed,
        run=_one_call,
        mistakes=(
            Mistake(
                "token-by-token",
                lambda model, source, target: (model.generate(source, target.shape[1]) != target).any(dim=1),
                "That is what a loop does, yours or that of `generate`. The target is known, so one call on the whole "
                "row will do.",
            ),
            Mistake(
                "reads-its-guesses",
                lambda model, source, target: (model(source, target, 0.0).argmax(-1) != target).any(dim=1),
                "At ratio 0 the decoder reads its own guesses, one after another: it decodes. What should it read?",
            ),
            Mistake(
                "left-to-coins",
                lambda model, source, target: (model(source, target).argmax(-1) != target).any(dim=1),
                "Where you name no ratio, it is 0.5: coins decide what the decoder reads, and the verdict is a matter "
                "of luck.",
            ),
            Mistake(
                "right-ones",
                _failing_as(lambda guess, target: (guess == target).all(dim=1)),
                "These are the inputs that are right. The failing ones are asked for.",
            ),
            Mistake(
                "all-tokens-wrong",
                _failing_as(lambda guess, target: (guess != target).all(dim=1)),
                "You count an input only if all of its tokens are wrong. One wrong token is enough.",
            ),
            Mistake(
                "not-shifted",
                _reading(lambda target: target),
                "Your decoder reads the very token that it should write, or one behind it. Its inputs are the target "
                "moved one place to the right, with the start token in front.",
            ),
            Mistake(
                "another-start",
                _starting_with(lambda target: torch.ones_like(target[:, :1])),
                "Your decoder reads the target one place late, as it should, but it begins with another token. With "
                "which one does it begin when it writes?",
                also=(_starting_with(lambda target: target[:, :1]),),
            ),
            Mistake(
                "shifted-twice",
                _forced_with(_shifted),
                "Your decoder reads the target moved by two places: the model moves it by one itself. Hand over the "
                "target as it is.",
                also=(_forced_with(_rolled),),
            ),
            Mistake(
                "rolled",
                _reading(_rolled),
                "`roll` lets what leaves a row at its end come in again at its front. Your decoder begins with the "
                "target's last token. With which does it begin when it writes?",
            ),
            Mistake(
                "zeros-left-out",
                _failing_as(lambda guess, target: ((guess != target) & (target != 0)).any(dim=1)),
                "You skip the places where the target is 0, or all from the first 0 on. A network that goes on writing "
                "there fails.",
                also=(_failing_as(_until_the_first_zero),),
            ),
            Mistake(
                "behind-a-zero-left-out",
                _failing_as(lambda guess, target: ((guess != target) & ((target == 0).cumsum(dim=1) <= 1)).any(dim=1)),
                "You skip places that stand behind a 0: all after the first, or all from the second on. A network that "
                "goes on writing there fails.",
                also=(
                    _failing_as(_after_the_first_zero_left_out),
                    _failing_as(
                        lambda guess, target: ((guess != target) & ((guess == 0).cumsum(dim=1) <= 1)).any(dim=1)
                    ),
                ),
            ),
            Mistake(
                "guessed-zeros-left-out",
                _failing_as(lambda guess, target: ((guess != target) & (guess != 0)).any(dim=1)),
                "You skip the places where the network writes a 0, or all from its first 0 on. A 0 where another token "
                "belongs is an error, too.",
                also=(
                    _failing_as(
                        lambda guess, target: ((guess != target) & ((guess == 0).cumsum(dim=1) == 0)).any(dim=1)
                    ),
                ),
            ),
            Mistake(
                "one-token-only",
                _failing_as(lambda guess, target: guess[:, -1] != target[:, -1]),
                "You look at one token of each row, the last or the first. An error at another place does not show "
                "there.",
                also=(_failing_as(lambda guess, target: guess[:, 0] != target[:, 0]),),
            ),
            Mistake(
                "start-token-left-out",
                lambda model, source, target: (
                    model.decoder(target[:, :-1], model.encoder(source))[0].argmax(-1) != target[:, 1:]
                ).any(dim=1),
                "Your decoder begins with the target's first token. So nothing says whether it would have written that "
                "one.",
                also=(
                    lambda model, source, target: (
                        model.decoder(target, model.encoder(source))[0].argmax(-1)[:, :-1] != target[:, 1:]
                    ).any(dim=1),
                ),
            ),
            Mistake(
                "shifted-again",
                _failing_as(lambda guess, target: (guess[:, :-1] != target[:, 1:]).any(dim=1)),
                "You hold each guess against the token next to it. The model moves the target by itself: guess and "
                "token of the same place belong together.",
                also=(
                    _failing_as(lambda guess, target: (guess[:, 1:] != target[:, :-1]).any(dim=1)),
                    _failing_as(lambda guess, target: (guess != _rolled(target)).any(dim=1)),
                ),
            ),
            Mistake(
                "always-so-many-tokens",
                _failing_as(lambda guess, target: (guess == target).sum(dim=1) != 8),
                "You take it that every target has as many tokens, eight or four. Here it has another number of them, "
                "and its shape says how many.",
                also=(_failing_as(lambda guess, target: (guess == target).sum(dim=1) != 4),),
            ),
            Mistake(
                "everyone-fails",
                _failing_as(lambda guess, target: (guess != _shifted(target)).any(dim=1)),
                "By your verdict every input fails, the right ones, too. Is it tokens that you compare, and those of "
                "the same place?",
            ),
            Mistake(
                "a-token-left-out",
                _failing_as(lambda guess, target: (guess[:, 1:] != target[:, 1:]).any(dim=1)),
                "Your comparison leaves out one end of each row. A wrong token there makes an input fail, too.",
                also=(_failing_as(lambda guess, target: (guess[:, :-1] != target[:, :-1]).any(dim=1)),),
            ),
            Mistake(
                "places-not-tokens",
                lambda model, source, target: (model(source, target, 1.0).argmax(1) != target).any(dim=1),
                "Your `argmax` does not run over the vocabulary. Logits are (B, T, V): which axis is that?",
                also=(lambda model, source, target: (model(source, target, 1.0).argmax() != target).any(dim=1),),
            ),
            Mistake(
                "logits-not-tokens",
                lambda model, source, target: (model(source, target, 1.0) != target).any(dim=1),
                "You hold logits against tokens. Which token wins at each place?",
            ),
            Mistake(
                "other-shapes",
                lambda model, source, target: (model(source, target, 1.0).argmax(-1, keepdim=True) != target).any(1),
                "You compare a table with something of another shape. Is an axis of length 1 left at the guesses, or "
                "is an axis of the target gone already?",
            ),
            Mistake(
                "one-place-too-many",
                lambda model, source, target: (model(target, source, 1.0).argmax(-1) != target).any(dim=1),
                "You have guesses for more places than the target has. How many tokens does your decoder read, and "
                "which?",
            ),
            Mistake(
                "axis-not-there",
                _failing_as(lambda guess, target: (guess != target).any(dim=2)),
                "You name an axis that is no longer there. Which axes are left when a token is chosen at each place?",
            ),
            Mistake(
                "maximum-as-a-pair",
                lambda model, source, target: (model(source, target, 1.0).max(-1) != target).any(dim=1),
                "Your comparison gives a single truth value. Are both of them tensors? With a `dim`, `max` gives two "
                "things, the values and their places.",
            ),
            Mistake(
                "rows-without-a-batch",
                lambda model, source, target: model(source[0], target[0], 1.0),
                "An axis is asked for that is not there. If you give single rows to the model: it takes batches, and a "
                "batch of one row has two axes.",
            ),
            Mistake(
                "first-input-only",
                _failing_as(lambda guess, target: (guess != target).any(dim=1)[0]),
                "This is the verdict on the first input. Does `return` stand inside a loop?",
            ),
            Mistake(
                "how-many-tokens",
                _failing_as(lambda guess, target: (guess != target).sum(dim=1)),
                "You count the wrong tokens of each input. A truth value is asked for: is any of them wrong?",
            ),
            Mistake(
                "sums-compared",
                _failing_as(lambda guess, target: (guess - target).sum(dim=1) != 0),
                "You compare the sums of the tokens. One token too large and one too small, and the sums agree.",
            ),
            Mistake(
                "likelier-than-not",
                lambda model, source, target: (
                    model(source, target, 1.0).softmax(-1).gather(-1, target[..., None])[..., 0] < 0.5
                ).any(dim=1),
                "You ask the right token for half of the probability. With less than that it wins, too, if every other "
                "token has less still.",
            ),
            Mistake(
                "truth-as-numbers",
                lambda model, source, target: failing(model, source, target).float(),
                "You turn the verdicts into numbers with a decimal point. True or False is asked for, one for each "
                "input.",
            ),
            Mistake(
                "a-row-of-tokens",
                _failing_as(lambda guess, target: guess != target),
                "This says which tokens are wrong. One verdict for each input is asked for.",
            ),
            Mistake(
                "for-each-place",
                _failing_as(lambda guess, target: (guess != target).any(dim=0)),
                "You have a verdict for each place, over all inputs. One for each input is asked for, over its places.",
            ),
            Mistake(
                "for-the-whole-batch",
                _failing_as(lambda guess, target: (guess != target).any()),
                "This says whether any input fails. Which ones? One verdict for each input.",
            ),
            Mistake(
                "how-many",
                lambda model, source, target: failing(model, source, target).sum(),
                "This is how many fail. Which ones? One verdict for each input.",
            ),
            Mistake(
                "which-numbers",
                lambda model, source, target: failing(model, source, target).nonzero().flatten(),
                "You name the inputs that fail. A verdict for each input is asked for, True or False.",
                also=(
                    lambda model, source, target: failing(model, source, target).nonzero(),
                    lambda model, source, target: source[failing(model, source, target)],
                ),
            ),
            Mistake(
                "one-truth-value",
                _failing_as(lambda guess, target: not (guess == target).all(dim=1)),
                "Python's `not`, `and`, `if` and `any(…)` ask for one truth value, and you have many. Tensors have "
                "their own.",
            ),
            Mistake(
                "decoder-gives-two",
                lambda model, source, target: (model.decoder(target, model.encoder(source)).argmax(-1) != target).any(
                    1
                ),
                "The decoder gives two things back, logits and its new state.",
            ),
            Mistake(
                "higher-of-the-tied",
                lambda model, source, target: (
                    VOCABULARY - 1 - model(source, target, 1.0).flip(-1).argmax(-1) != target
                ).any(dim=1),
                "Where two tokens tie, you take the one with the higher number. The decoder takes the lower, as "
                "`argmax` does; `topk` and `argsort` make no promise.",
            ),
            Mistake(
                "ties-fail",
                _ties_fail,
                "You fail inputs whose right token only ties with another. The decoder takes the token with the lower "
                "number: where that is the right one, it is right.",
            ),
            Mistake(
                "ties-pass",
                _ties_pass,
                "You pass inputs whose right token ties with another. The decoder takes the token with the lower "
                "number, "
                "and that is not always the right one.",
            ),
        ),
    )
)


# 5.4


def rate_under_sampler(task: SubstringTask, errors: dict[tuple[int, int], int]) -> float:
    return sum(task.pair_probability(*pair) * n for pair, n in errors.items()) / task.digit_strings


def _divided_by_all(task, errors):
    rate = 0
    for pair, n in errors.items():
        rate += task.pair_probability(*pair) * n / task.size
    return rate


def _rate_as(chance: Callable, told: Callable = sum) -> Callable:
    """A wrong rate: `chance` gets the task, a pair and the number of its errors; `told` makes one of all of them."""
    return lambda task, errors: told([chance(task, pair, n) for pair, n in errors.items()])


def _share(task: SubstringTask, pair: tuple[int, int], n: int) -> float:
    """What a pair's failures add to the rate."""
    return task.pair_probability(*pair) * n / task.digit_strings


def _drawn(task: SubstringTask, pair: tuple[int, int], n: int) -> float:
    """How often a pair is drawn, whatever fails."""
    return task.pair_probability(*pair)


def _whole(task: SubstringTask, pair: tuple[int, int], n: int) -> float:
    return task.pair_probability(*pair) * n // task.digit_strings


def _times_their_number(shares: list[float]) -> float:
    return sum(shares) * len(shares)


def _all_pairs_looked_up(task: SubstringTask, errors: dict[tuple[int, int], int]) -> float:
    return sum(_share(task, pair, errors[pair]) for pair in task.pairs)


def _mended(answer: Callable, arguments: tuple) -> object:
    """The rate; and where a pair was handed over as one thing, a sentence instead of Python's."""
    try:
        return answer(*arguments)
    except TypeError as error:
        if "pair_probability() missing" in str(error):
            raise WrongAnswer(
                "`task.pair_probability` takes two things, a start and a length, and gets one. If that is a pair: how "
                "is it taken apart?"
            ) from None
        raise


def _counts() -> list[tuple[SubstringTask, dict[tuple[int, int], int]]]:
    return [
        (SubstringTask(5), {(0, 2): 9, (0, 3): 81, (1, 2): 0}),
        (SubstringTask(6), {(0, 2): 0, (0, 3): 50, (0, 4): 700, (1, 2): 3, (1, 3): 40, (2, 2): 0}),
        (SubstringTask(10), {(0, 8): 9**8}),
        (SubstringTask(8), {(0, 6): 1, (4, 2): 2}),
    ]


register(
    Exercise(
        id="5.4",
        title="Find the bug: a rate and its measure",
        minutes=10,
        difficulty=2,
        reference=rate_under_sampler,
        probes=_counts,
        run=_mended,
        given=_divided_by_all,
        mistakes=(
            Mistake(
                "divided-by-all",
                _divided_by_all,
                "The bug is still there: the pair's chance is in your sum already, and then you divide by all pairs "
                "again.",
            ),
            Mistake(
                "every-input-alike",
                lambda task, errors: sum(errors.values()) / task.size,
                "In this rate every input counts alike. The sampler draws some pairs more often than others.",
            ),
            Mistake(
                "pairs-that-fail",
                _rate_as(lambda task, pair, n: task.pair_probability(*pair) * (n > 0)),
                "You count a pair as failing altogether if any of its inputs fails.",
            ),
            Mistake(
                "errors-left-out",
                _rate_as(_drawn),
                "How often the pairs are drawn is in your rate. How many of their inputs fail is not.",
                also=(
                    lambda task, errors: sum(task.pair_probability(*pair) for pair in task.pairs),
                    _rate_as(lambda task, pair, n: task.pair_probability(*pair) / task.digit_strings),
                ),
            ),
            Mistake(
                "divided-without-rest",
                _rate_as(_whole),
                "`//` gives whole numbers and drops what is left. A rate is a share: which division keeps it?",
                also=(_rate_as(lambda task, pair, n: task.pair_probability(*pair) * (n // task.digit_strings)),),
            ),
            Mistake(
                "among-the-failing",
                lambda task, errors: _rate_as(_share)(task, errors) * task.digit_strings / sum(errors.values()),
                "You divide by the number of failing inputs. That is the mean chance of their pairs.",
            ),
            Mistake(
                "share-upside-down",
                _rate_as(lambda task, pair, n: task.pair_probability(*pair) * task.digit_strings / n),
                "You divide all of a pair's inputs by those that fail. The share that fails is the other way round.",
                also=(_rate_as(lambda task, pair, n: task.pair_probability(*pair) * (task.digit_strings / n)),),
            ),
            Mistake(
                "never-divided",
                _rate_as(lambda task, pair, n: task.pair_probability(*pair) * n),
                "You multiply a pair's chance by a number of inputs, and a chance comes out above 1. What share of the "
                "pair's inputs fails?",
            ),
            Mistake(
                "last-pair-only",
                _rate_as(_share, lambda shares: shares[-1]),
                "Only the last pair is in your rate: is it added to what was there, or put in its place?",
                also=(
                    _rate_as(lambda task, pair, n: _share(task, pair, n) / len(task.pairs), lambda shares: shares[-1]),
                ),
            ),
            Mistake(
                "first-pair-only",
                _rate_as(_share, lambda shares: shares[0]),
                "Only the first pair is in your rate. Does `return` stand inside the loop?",
                also=(
                    _rate_as(lambda task, pair, n: _share(task, pair, n) / len(task.pairs), lambda shares: shares[0]),
                ),
            ),
            Mistake(
                "chances-left-out",
                _rate_as(lambda task, pair, n: n / task.digit_strings),
                "You take the shares of the pairs' inputs that fail. How often does each pair come?",
                also=(_rate_as(lambda task, pair, n: n / task.digit_strings, fmean),),
            ),
            Mistake(
                "keys-only",
                lambda task, errors: sum(task.pair_probability(*pair) * n for pair, n in errors),
                "A single number is taken for a pair. Going through a dictionary gives its keys alone, and a key is a "
                "pair here: how do you get the numbers with them?",
            ),
            Mistake(
                "each-pair-by-itself",
                _rate_as(_share, list),
                "This is what each pair adds to the rate. One number is asked for, over all pairs.",
                also=(lambda task, errors: {pair: _share(task, pair, n) for pair, n in errors.items()},),
            ),
            Mistake(
                "divided-by-pairs",
                _rate_as(lambda task, pair, n: task.pair_probability(*pair) * n / len(task.pairs)),
                "You divide by the number of pairs, but their chances are in your sum already. What share of its own "
                "inputs fails in each?",
                also=(
                    _rate_as(_share, fmean),
                    _rate_as(lambda task, pair, n: task.pair_probability(*pair) * n, fmean),
                ),
            ),
            Mistake(
                "pairs-present-only",
                lambda task, errors: _rate_as(_share)(task, errors) / _rate_as(_drawn)(task, errors),
                "You take the pairs in `errors` for all there are. One that is not in it is drawn, too, and never "
                "fails.",
                also=(
                    _rate_as(lambda task, pair, n: task.pair_probability(*pair) * n / task.size, _times_their_number),
                ),
            ),
            Mistake(
                "always-so-many-pairs",
                _rate_as(lambda task, pair, n: task.pair_probability(*pair) * n / (task.size / 27)),
                "You take it that every task has as many pairs as one that you have seen. Which number, that each task "
                "gives of itself, do you want to divide by?",
                also=(_rate_as(lambda task, pair, n: task.pair_probability(*pair) * n / (task.size / 6)),),
            ),
            Mistake(
                "digits-for-strings",
                _rate_as(lambda task, pair, n: task.pair_probability(*pair) * n / task.n_digits),
                "You divide by the number of digits. How many strings of so many digits are there?",
            ),
            Mistake(
                "ten-digit-values",
                _rate_as(lambda task, pair, n: task.pair_probability(*pair) * n / 10 ** (task.length - 2)),
                "You count ten values for each digit of a source. Which digits can stand there?",
            ),
            Mistake(
                "always-so-many-digits",
                _rate_as(lambda task, pair, n: task.pair_probability(*pair) * n / 9**8),
                "You take it that all sources have as many digits, eight or four. Tasks differ in this, and each knows "
                "its own number.",
                also=(_rate_as(lambda task, pair, n: task.pair_probability(*pair) * n / 9**4),),
            ),
            Mistake(
                "copied-digits-only",
                _rate_as(lambda task, pair, n: task.pair_probability(*pair) * n / 9 ** pair[1]),
                "You count only in how many ways the copied digits can turn out. The others in the source vary, too.",
            ),
            Mistake(
                "other-digits-only",
                _rate_as(lambda task, pair, n: task.pair_probability(*pair) * n / 9 ** (task.n_digits - pair[1])),
                "You count only in how many ways the digits that are not copied can turn out. Those that are copied "
                "vary, too.",
            ),
            Mistake(
                "divided-by-the-chance",
                _rate_as(lambda task, pair, n: n / (task.size * task.pair_probability(*pair))),
                "You divide by a pair's chance, so failures in a rare pair count most. In which pair should they count "
                "for more: in one that is drawn often, or in one that is drawn rarely?",
                also=(_rate_as(lambda task, pair, n: n / (task.digit_strings * task.pair_probability(*pair))),),
            ),
            Mistake(
                "start-and-length-as-digits",
                _rate_as(lambda task, pair, n: task.pair_probability(*pair) * n / 9**task.length),
                "You count two digits too many: start and length are not among the digits.",
            ),
            Mistake(
                "all-pairs-looked-up",
                _all_pairs_looked_up,
                "You look up every pair of the task. A pair without failures may be missing in `errors`.",
            ),
            Mistake(
                "percent",
                lambda task, errors: 100 * rate_under_sampler(task, errors),
                "This is in per cent. The rate is a chance, between 0 and 1.",
            ),
        ),
    )
)


# 5.5: the network is played by a list of what it fails on. Whatever it is no longer trained on it forgets, and at each
# training it breaks what the script says, even what it was just trained on.


MOST_TRAININGS = 40  # a loop that is not ended by its rounds is ended here


def until_none_fails(count: Callable, train: Callable, rounds: int) -> list[int]:
    failures, found = count(), []
    history = [len(failures)]
    while failures and len(history) <= rounds:
        found += failures
        train(found)
        failures = count()
        history.append(len(failures))
    return history


LOOPS = [
    (([7, 300, 9_000], [[11, 12, 13, 14], [300, 15], []]), 9),  # it gets worse before it gets better
    (([], []), 4),
    (([1, 2, 3], [[4, 5], [6, 7], [8, 9], [10, 11], [12, 13]]), 3),  # more rounds than are allowed
    (([20_000], [[], [5]]), 2),
    (([40, 41], [[40], []]), 5),  # once only a known one fails
    (([50, 51], [[52], [53], []]), 0),  # no training is allowed
]


def _loop(answer: Callable, arguments: tuple) -> dict[str, object]:
    """What was counted and trained. Where no training is allowed it is judged last, in answers that are right
    elsewhere: so a wrong idea is recognised whatever its loop does there."""
    (first, script), rounds = arguments
    if not rounds and any(difference(_loop(until_none_fails, one), _loop(answer, one)) for one in LOOPS[:-1]):
        return _loop(until_none_fails, arguments)
    task = SubstringTask(6)
    failing, fixed, trainings, counted_after = set(first), set(), [], set()

    def count() -> list[list[int]]:
        if len(trainings) in counted_after:
            raise WrongAnswer("`count()` is called again with no training in between.")
        counted_after.add(len(trainings))
        return [task.inputs(number, number + 1)[0].tolist() for number in sorted(failing)]

    def train(failures: list[list[int]]) -> None:
        try:
            rows = [list(map(int, failure)) for failure in failures]
            numbers = set(task.index(rows).tolist()) if rows else set()
        except (TypeError, ValueError):
            raise WrongAnswer(f"`train` wants a list of inputs and gets {brief(failures)}.") from None
        if not numbers:
            found_none = len(trainings) in counted_after and not failing
            raise WrongAnswer(
                "The count has found nothing, and still the network is trained: on an empty list."
                if found_none
                else f"Training {len(trainings) + 1} is on no failures at all."
            )
        if len(trainings) == MOST_TRAININGS:
            raise WrongAnswer("The network is trained again and again, far beyond the number of rounds.")
        broken = set(script[len(trainings)]) if len(trainings) < len(script) else set()
        failing.update(fixed)
        failing.difference_update(numbers)
        failing.update(broken)
        fixed.update(numbers)
        trainings.append(sorted(numbers))

    history = answer(count, train, rounds)
    if history is None:
        return None
    if isinstance(history, (list, tuple)) and any(isinstance(one, (list, tuple)) for one in history):
        # They would be compared as a table, and the reader has made none.
        raise WrongAnswer(f"It gives back {_lists(history)}, where one list of numbers is asked for.")
    return {
        f"the number of failures in each count, where rounds = {rounds}": history,
        f"what it was trained on, round by round, where rounds = {rounds}": trainings,
    }


def _lists(parts: list | tuple) -> str:
    """In words, what a list or a tuple with lists in it is."""
    kinds = dict.fromkeys(map(_kind, filter(None, parts)))
    return " and ".join(kinds) if len(kinds) > 1 else "a list of lists"


def _kind(part: object) -> str:
    if not isinstance(part, (list, tuple)):
        return "a number"
    return "a list of lists" if any(isinstance(one, (list, tuple)) for one in part) else "a list of numbers"


def _loop_as(
    fed: Callable = lambda first, found, latest: found,
    seen: Callable = lambda first, found, latest: latest,
    goes_on: Callable = lambda history, rounds: history[-1] and len(history) <= rounds,
    told: Callable = lambda history, found: history,
) -> Callable:
    """A wrong loop: it feeds back, recounts, ends or tells something else."""

    def answer(count: Callable, train: Callable, rounds: int) -> list[int]:
        first = failures = count()
        found, history = [], [len(failures)]
        while goes_on(history, rounds):
            found = found + failures
            train(fed(first, found, failures))
            failures = seen(first, found, count())
            history.append(len(failures))
        return told(history, found)

    return answer


def _counts_only_before_training(
    more: int, fed: Callable = lambda found, latest: found, zero_told: bool = True
) -> Callable:
    """A wrong loop: this many rounds more than are allowed, and no count behind the last training."""

    def answer(count: Callable, train: Callable, rounds: int) -> list[int]:
        found, history = [], []
        for _ in range(rounds + more):
            failures = count()
            if failures or zero_told:
                history.append(len(failures))
            if not failures:
                break
            found = found + failures
            train(fed(found, failures))
        return history

    return answer


def _tells_the_failures(count: Callable, train: Callable, rounds: int) -> list[list[list[int]]]:
    counts = []

    def kept() -> list[list[int]]:
        counts.append(count())
        return counts[-1]

    until_none_fails(kept, train, rounds)
    return counts


def _looks_only_after_training(zero_told: bool = True) -> Callable:
    def answer(count: Callable, train: Callable, rounds: int) -> list[int]:
        found = count()
        history = [len(found)]
        for _ in range(rounds):
            train(found)
            failures = count()
            if failures or zero_told:
                history.append(len(failures))
            if not failures:
                break
            found = found + failures
        return history

    return answer


def _stops_without_new_ones(count: Callable, train: Callable, rounds: int) -> list[int]:
    found, history = [], []
    for left in range(rounds, -1, -1):
        failures = count()
        new = [failure for failure in failures if failure not in found]
        history.append(len(failures))
        if not new or not left:
            break
        found = found + new
        train(found)
    return history


def _trains_after_zero(count: Callable, train: Callable, rounds: int) -> list[int]:
    found, history = [], []
    for _ in range(rounds + 1):
        failures = count()
        history.append(len(failures))
        found += failures
        train(found)
        if not failures:
            break
    return history


def _each_by_itself(count: Callable, train: Callable, rounds: int) -> list[int]:
    def train_on_each(failures: list[list[int]]) -> None:
        for failure in failures:
            train([failure])

    return until_none_fails(count, train_on_each, rounds)


register(
    Exercise(
        id="5.5",
        title="Feed the failures back",
        minutes=15,
        difficulty=2,
        reference=until_none_fails,
        probes=lambda: LOOPS,
        run=_loop,
        mistakes=(
            Mistake(
                "only-the-latest",
                _loop_as(fed=lambda first, found, latest: latest),
                "You train on the latest failures only. Those of earlier rounds are then forgotten again: keep them.",
                also=(_loop_as(fed=lambda first, found, latest: [one for one in latest if found.count(one) == 1]),),
            ),
            Mistake(
                "only-the-latest-and-no-last-count",
                _counts_only_before_training(0, lambda found, latest: latest),
                "You train on the latest failures only, and those of earlier rounds are forgotten again. And what came "
                "of the last training, no count says.",
                also=(_counts_only_before_training(1, lambda found, latest: latest),),
            ),
            Mistake(
                "added-too-late",
                lambda count, train, rounds: train([]) if count() else [0],  # the first training ends it
                "You train before the newest failures are on your list. Which comes first: to count, to add what was "
                "found, or to train?",
            ),
            Mistake(
                "trains-after-zero",
                _trains_after_zero,
                "Where a count finds nothing you train once more before you stop. Look first.",
            ),
            Mistake(
                "stops-without-new-failures",
                _stops_without_new_ones,
                "You stop when a count brings no failure that is new. A known one that fails again is not mended yet: "
                "only zero and the rounds end the loop.",
            ),
            Mistake(
                "looks-only-after-training",
                _looks_only_after_training(),
                "Where the first count finds nothing, you train all the same, on an empty list. Look before the first "
                "training, too.",
            ),
            Mistake(
                "only-the-first",
                _loop_as(fed=lambda first, found, latest: first),
                "You train on the failures of the first count for ever. What breaks later is never fed back.",
            ),
            Mistake(
                "the-first-and-the-latest",
                _loop_as(fed=lambda first, found, latest: first + latest),
                "You train on the failures of the first count and of the latest. What the counts between have found "
                "is forgotten again.",
            ),
            Mistake(
                "known-ones-not-counted",
                _loop_as(seen=lambda first, found, latest: [one for one in latest if one not in found]),
                "A failure that was found before and fails again is missing in your numbers. How many are there in "
                "each count, old and new?",
            ),
            Mistake(
                "nothing-to-train-on",
                _loop_as(fed=lambda first, found, latest: None),
                "`train` gets None. `append` and `extend` change the list that they are called on, and give nothing "
                "back.",
            ),
            Mistake(
                "lists-in-a-set",
                lambda count, train, rounds: len(set(count())),
                "Inputs are lists, and these fit into no set and are no keys. Does it do harm if a failure is in your "
                "list twice?",
            ),
            Mistake(
                "returned-in-the-loop",
                _loop_as(goes_on=lambda history, rounds: history[-1] and len(history) < 2),
                "You end after one training, whatever the count says. Does `return` stand inside the loop?",
            ),
            Mistake(
                "nothing-from-the-start",
                _loop_as(told=lambda history, found: history if history[0] else []),
                "Where nothing fails from the start, that has been counted, too. Which list has the number of that one "
                "count?",
                also=(_loop_as(told=lambda history, found: history if history[0] else 0),),
            ),
            Mistake(
                "known-failures-only",
                _loop_as(seen=lambda first, found, latest: [one for one in latest if one in first]),
                "You stop when the inputs that failed at first are right. Others may have broken meanwhile: all that "
                "the "
                "count finds must be gone.",
            ),
            Mistake(
                "stops-when-it-gets-worse",
                _loop_as(goes_on=lambda h, rounds: h[-1] and len(h) <= rounds and (len(h) < 2 or h[-1] < h[-2])),
                "You stop as soon as the number rises. It may fall again: only zero and the rounds end the loop.",
            ),
            Mistake(
                "one-round-too-few",
                _loop_as(goes_on=lambda history, rounds: history[-1] and len(history) < rounds),
                "You train one time less than `rounds` allows: the first number in your list comes before any "
                "training.",
            ),
            Mistake(
                "one-round-too-many",
                _loop_as(goes_on=lambda history, rounds: history[-1] and len(history) <= rounds + 1),
                "You train one time more than `rounds` allows: the first number in your list comes before any "
                "training.",
            ),
            Mistake(
                "never-stops-at-zero",
                _loop_as(goes_on=lambda history, rounds: len(history) <= rounds),
                "You go on when nothing fails any more. Zero is what we were waiting for.",
                also=(_loop_as(goes_on=lambda history, rounds: any(history) and len(history) <= rounds),),
            ),
            Mistake(
                "rounds-ignored",
                _loop_as(goes_on=lambda history, rounds: history[-1]),
                "You go on until nothing fails, however long that takes. After `rounds` trainings the loop ends, too.",
            ),
            Mistake(
                "trains-where-no-round-is-allowed",
                _loop_as(goes_on=lambda history, rounds: history[-1] and (len(history) == 1 or len(history) <= rounds)),
                "Where `rounds` is 0 the network may not be trained at all. You train it first, and only then look at "
                "how many rounds are left.",
                also=(
                    _loop_as(goes_on=lambda history, rounds: history[-1] and (not rounds or len(history) <= rounds)),
                ),
            ),
            Mistake(
                "no-count-where-no-round-is-allowed",
                lambda count, train, rounds: until_none_fails(count, train, rounds) if rounds else [],
                "Where `rounds` is 0 nothing is trained, but the first count is made all the same. Its number belongs "
                "in your list.",
            ),
            Mistake(
                "counts-too-often",
                lambda count, train, rounds: [len(count()), len(count())],
                "Nothing has changed since the last count, and on a large task counting is what takes the time: keep "
                "what it gave.",
            ),
            Mistake(
                "counted-once",
                _loop_as(seen=lambda first, found, latest: first),
                "You go on with the failures of the first count. What fails after a training, only another count says.",
            ),
            Mistake(
                "one-list-too-deep",
                _loop_as(fed=lambda first, found, latest: [latest]),
                "Your list of failures holds a whole list in one place: `append` puts in what it gets as one thing.",
                also=(_loop_as(fed=lambda first, found, latest: [torch.tensor(latest)]),),
            ),
            Mistake(
                "each-by-itself",
                _each_by_itself,
                "You train on one failure at a time, and each of these trainings lets others be forgotten. `train` "
                "takes all of them at once.",
                also=(_loop_as(fed=lambda first, found, latest: latest[0]),),
            ),
            Mistake(
                "found-so-far",
                _loop_as(told=lambda history, found: [*accumulate(history)]),
                "Your numbers add up what all counts have found. How many failed in each count by itself?",
                also=(_loop_as(told=lambda history, found: [history[0], *accumulate(history[:-1])]),),
            ),
            Mistake(
                "last-count-not-told",
                _loop_as(told=lambda history, found: history[:-1]),
                "The last count is missing in your list, and it is the one that says whether the network is right now.",
                also=(_counts_only_before_training(0),),
            ),
            Mistake(
                "zero-not-told",
                _loop_as(told=lambda history, found: history if history[-1] else history[:-1]),
                "A count that finds nothing is missing in your list: it ends the loop before it is written down.",
                also=(
                    _counts_only_before_training(1, zero_told=False),
                    _loop_as(
                        goes_on=lambda history, rounds: history[-1],
                        told=lambda history, found: history[:-1],
                    ),
                    _loop_as(told=lambda history, found: [history[0], *filter(None, history[1:])]),
                    _looks_only_after_training(zero_told=False),
                ),
            ),
            Mistake(
                "trains-after-the-last-count",
                _counts_only_before_training(1),
                "After the last count you train once more. That is more often than `rounds` allows, and nothing says "
                "what came of it.",
            ),
            Mistake(
                "failures-not-their-number",
                _tells_the_failures,
                "Your list holds lists. If these are failures: how many were there in each count?",
            ),
            Mistake(
                "numbers-and-failures",
                _loop_as(told=lambda history, found: (history, found)),
                "You give back two things. Only the numbers of failures are asked for, in one list.",
                also=(_loop_as(told=lambda history, found: (found, history)),),
            ),
            Mistake(
                "count-is-a-list",
                lambda count, train, rounds: count() > 0,
                "`count()` gives the failing inputs themselves, in a list. How many are they?",
            ),
            Mistake(
                "first-count-not-told",
                _loop_as(told=lambda history, found: history[1:]),
                "The count before any training is missing in your list.",
            ),
            Mistake(
                "only-the-last-number",
                _loop_as(told=lambda history, found: history[-1]),
                "The last number alone comes back. A list is asked for, with the number of each count.",
            ),
        ),
    )
)


# 5.6


FAR_FROM_ZERO = 1e10  # farther than the numbers that people put in the right token's place
STEP = 65_536.0  # by which they differ there: 64 times the least that float32 can, so that no logit is rounded


def margin(logits: Tensor, target: Tensor) -> Tensor:
    right = target[..., None]
    best_other = logits.scatter(-1, right, -math.inf).amax(-1)
    return (logits.gather(-1, right)[..., 0] - best_other).amin(dim=1)


def _leads(logits: Tensor, target: Tensor) -> Tensor:
    """By how much the right token leads the best other one, (B, T)."""
    right = target[..., None]
    return logits.gather(-1, right)[..., 0] - logits.scatter(-1, right, -math.inf).amax(-1)


def _logits() -> list[tuple[Tensor, Tensor]]:
    """Two rows to be worked out by hand; targets that mostly win, so that margins of both signs come; then logits far
    from 0, ties, and both."""
    generator = torch.Generator().manual_seed(0)
    by_hand = torch.tensor(
        [
            [[-1.2, 0.4, -2.0, 1.9], [-3.1, -0.6, -1.4, -2.2], [2.5, -0.5, 1.3, 0.2]],
            [[0.3, -1.1, 1.0, -0.4], [-2.3, -3.0, -1.7, -4.1], [-0.9, 0.6, 0.1, 2.0]],
        ]
    )
    probes = [(by_hand, torch.tensor([[3, 1, 0], [2, 0, 3]]))]
    for n, n_tokens, around in ((3, 2, -4), (6, 4, -4), (40, 5, -4), (1, 3, -4), (5, 3, -2_000)):
        logits = 2 * torch.randn(n, n_tokens, VOCABULARY, generator=generator) + around
        target = torch.randint(0, VOCABULARY, (n, n_tokens), generator=generator)
        lead = 4 + 2 * torch.rand(n, n_tokens, 1, generator=generator)
        probes.append((logits.scatter_add(-1, target[..., None], lead), target))
    logits, target = probes[2]
    tied = logits.round()
    return [*probes, (tied, target), (STEP * tied - FAR_FROM_ZERO, target)]


def _filled_with(number: float) -> Callable:
    """A wrong margin: this number in the place of the right token's logit."""

    def answer(logits: Tensor, target: Tensor) -> Tensor:
        right = target[..., None]
        return (logits.gather(-1, right)[..., 0] - logits.scatter(-1, right, number).amax(-1)).amin(dim=1)

    return answer


def _lowered_by(number: float) -> Callable:
    """A wrong margin: so much is taken off the right token's logit before the largest is looked for."""

    def answer(logits: Tensor, target: Tensor) -> Tensor:
        right = target[..., None]
        lowered = logits - number * F.one_hot(target, logits.shape[-1])
        return (logits.gather(-1, right)[..., 0] - lowered.amax(-1)).amin(dim=1)

    return answer


def _right_token_alone(of: Callable) -> Callable:
    """A wrong margin: `of` gets the logits, and what it makes of the right token's is all that counts."""
    return lambda logits, target: of(logits).gather(-1, target[..., None])[..., 0].amin(dim=1)


def _masked_by_value(logits: Tensor, target: Tensor) -> Tensor:
    right = logits.gather(-1, target[..., None])
    return (right[..., 0] - logits.masked_fill(logits == right, -math.inf).amax(-1)).amin(dim=1)


def _maximum_as_a_pair(logits: Tensor, target: Tensor) -> Tensor:
    right = logits.gather(-1, target[..., None])[..., 0]
    return (right - logits.scatter(-1, target[..., None], -math.inf).max(-1)).amin(dim=1)


def _skipping(skipped: Callable[[Tensor], Tensor]) -> Callable:
    """A wrong margin: `skipped` gets where the target is 0, and says which places are left out."""
    return lambda logits, target: _leads(logits, target).masked_fill(skipped(target == 0), math.inf).amin(dim=1)


def _mean_of_others(logits: Tensor, target: Tensor) -> Tensor:
    right = logits.gather(-1, target[..., None])[..., 0]
    return (right - (logits.sum(-1) - right) / (logits.shape[-1] - 1)).amin(dim=1)


register(
    Exercise(
        id="5.6",
        title="The margin of an input",
        minutes=15,
        difficulty=3,
        reference=margin,
        probes=_logits,
        mistakes=(
            Mistake(
                "best-of-all",
                lambda logits, target: (logits.gather(-1, target[..., None])[..., 0] - logits.amax(-1)).amin(dim=1),
                "Yours is never above 0. Is the right token's own logit among those whose largest you subtract? Or "
                "does a search for the smallest lead begin at 0?",
            ),
            Mistake(
                "whoever-wins",
                lambda logits, target: (logits.topk(2).values @ logits.new_tensor([1.0, -1.0])).amin(dim=1),
                "You measure by how much the winner leads, whoever it is. Where a wrong token wins, the margin is "
                "negative.",
            ),
            Mistake(
                "second-place",
                lambda logits, target: (
                    logits.gather(-1, target[..., None])[..., 0] - logits.topk(2).values[..., 1]
                ).amin(dim=1),
                "You subtract the second largest logit. Where a wrong token wins, the best other one is the largest.",
            ),
            Mistake(
                "masked-by-value",
                _masked_by_value,
                "You leave out every logit that equals the right token's. Another token may tie with it: what is left "
                "out has to be chosen by its place, not by its value.",
            ),
            Mistake(
                "filled-with-a-number",
                _filled_with(0),
                "What you put in the right token's place, or begin the search for the largest with, can win. Logits "
                "may lie anywhere: what is below all of them?",
                also=tuple(
                    _filled_with(-number) for number in (1, 10, 50, 99, 100, 999, 1_000, 1e4, 1e7, 1e8, 1e9, 1e10)
                ),
            ),
            Mistake(
                "lowered-by-a-number",
                _lowered_by(100),
                "You take a number off the right token's logit, and what is left can still be the largest. Logits may "
                "lie anywhere: how could that be ruled out?",
                also=tuple(_lowered_by(number) for number in (1, 1_000, 10_000)),
            ),
            Mistake(
                "nothing-below-zero",
                lambda logits, target: margin(logits.clamp(min=0), target),
                "In yours no logit is below 0. A product with 0 gives 0, and that is a logit like any other: it wins "
                "against all that are negative.",
            ),
            Mistake(
                "zeros-beside-the-right-one",
                lambda logits, target: (
                    (logits * F.one_hot(target, logits.shape[-1])).amax(-1)
                    - logits.scatter(-1, target[..., None], -math.inf).amax(-1)
                ).amin(dim=1),
                "The right token's logit is the largest among zeros in yours. Where it is below 0, a zero wins.",
            ),
            Mistake(
                "minus-infinity",
                lambda logits, target: torch.full_like(logits[:, 0, 0], -math.inf),
                "All your margins are minus infinity. Has the right token's own logit been overwritten before it is "
                "read, or is the number in its place above all others?",
            ),
            Mistake(
                "no-number",
                lambda logits, target: torch.full_like(logits[:, 0, 0], math.nan),
                "All your margins are nan. That is what 0 times infinity gives, and infinity minus infinity: put a "
                "number in a token's place without computing with it.",
            ),
            Mistake(
                "absolute",
                lambda logits, target: _leads(logits, target).abs().amin(dim=1),
                "You take the size of the leads without their sign. Where a wrong token wins, the lead is negative.",
                also=(lambda logits, target: margin(logits, target).abs(),),
            ),
            Mistake(
                "negative-ones-cut-off",
                lambda logits, target: margin(logits, target).clamp(min=0),
                "Your margins stop at 0. By how much does the right token lose where another one wins?",
            ),
            Mistake(
                "right-token-alone",
                _right_token_alone(lambda logits: logits),
                "You look at the right token alone. A margin says by how much it leads the best of the others.",
                also=(
                    _right_token_alone(lambda logits: logits.log_softmax(-1)),
                    _right_token_alone(lambda logits: logits.softmax(-1)),
                ),
            ),
            Mistake(
                "places-mixed",
                lambda logits, target: (
                    logits.gather(-1, target[..., None])[..., 0].amin(1)
                    - logits.scatter(-1, target[..., None], -math.inf).amax((1, 2))
                ),
                "You hold the weakest right token against the strongest wrong one, whatever their places. A lead is "
                "between tokens of the same place.",
            ),
            Mistake(
                "index-too-flat",
                lambda logits, target: margin(logits.gather(-1, target), target),
                "`gather` and `scatter` want an index with as many axes as the logits have. `target` has one less.",
                also=(lambda logits, target: margin(logits.scatter(-1, target, -math.inf), target),),
            ),
            Mistake(
                "other-shapes",
                lambda logits, target: (
                    logits.gather(-1, target[..., None]) - logits.scatter(-1, target[..., None], -math.inf).amax(-1)
                ).amin(dim=1),
                "You subtract tables of different shapes. Is the axis of length 1 still there that `gather` leaves, or "
                "has one of the two lost an axis more?",
            ),
            Mistake(
                "axis-in-the-wrong-place",
                lambda logits, target: (
                    logits.gather(-1, target[:, None])[:, 0] - logits.scatter(-1, target[:, None], -math.inf).amax(-1)
                ).amin(dim=1),
                "With your new axis all tokens of a row are looked up at its first place. Where does an axis belong "
                "that lets each token be looked up at its own?",
                also=(
                    lambda logits, target: (
                        logits.gather(-1, target[:, None])[:, 0]
                        - logits.scatter(-1, target[..., None], -math.inf).amax(-1)
                    ).amin(dim=1),
                ),
            ),
            Mistake(
                "tokens-for-places",
                lambda logits, target: logits.gather(1, target[..., None]),
                "Something asks for a place that is not there. Is a token taken for a place? The vocabulary has an "
                "axis of its own.",
                also=(lambda logits, target: logits[:, target],),
            ),
            Mistake(
                "tokens-for-inputs",
                lambda logits, target: logits[target],
                "An index into the first axis is too large, and that is the axis of the inputs. Is it a token?",
            ),
            Mistake(
                "indices-that-do-not-fit",
                lambda logits, target: logits[torch.arange(len(logits)), torch.arange(logits.shape[1]), target],
                "Your indices have shapes that do not fit each other. How would the numbers of the inputs have to "
                "stand, so that each of them meets every place?",
            ),
            Mistake(
                "maximum-over-places",
                lambda logits, target: (
                    logits.gather(-1, target[..., None])[..., 0]
                    - logits.scatter(-1, target[..., None], -math.inf).amax(1)
                ).amin(dim=1),
                "What you subtract from a (B, T) has the vocabulary for its last axis. Over which axis does your "
                "maximum go?",
            ),
            Mistake(
                "token-for-logit",
                lambda logits, target: (
                    logits.gather(-1, target[..., None])[..., 0]
                    - logits.scatter(-1, target[..., None], -math.inf).argmax(-1)
                ).amin(dim=1),
                "One of the two that you subtract is a token, not its logit.",
                also=(
                    lambda logits, target: (target - logits.scatter(-1, target[..., None], -math.inf).amax(-1)).amin(
                        dim=1
                    ),
                ),
            ),
            Mistake(
                "indexed-with-all-tokens",
                lambda logits, target: (
                    logits[:, :, target] - logits.scatter(-1, target[..., None], -math.inf).amax(-1)
                ).amin(dim=1),
                "Indexing with `target` takes all of its tokens at every place, for every input. Each place has one "
                "right token of its own.",
                also=(
                    lambda logits, target: logits[:, :, target],
                    lambda logits, target: (logits[:, :, target] - logits.amax(-1)).amin(dim=1),
                ),
            ),
            Mistake(
                "zeros-left-out",
                _skipping(lambda zero: zero),
                "You skip the places where the target is 0, or those behind a 0. A network that goes on writing there "
                "fails.",
                also=(
                    _skipping(lambda zero: zero.cumsum(dim=1) > 0),
                    _skipping(lambda zero: zero.cumsum(dim=1) > 1),
                    _skipping(lambda zero: zero.cumsum(dim=1) - zero.long() > 0),
                    lambda logits, target: (_leads(logits, target) * (target != 0)).amin(dim=1),
                ),
            ),
            Mistake(
                "best-place",
                lambda logits, target: _leads(logits, target).amax(dim=1),
                "You take the place where the right token leads most. One place where it loses spoils the whole "
                "output.",
            ),
            Mistake(
                "mean-over-places",
                lambda logits, target: _leads(logits, target).mean(dim=1),
                "You average over the places, or add them up. One place where the right token loses spoils the output, "
                "however well the others stand.",
                also=(lambda logits, target: _leads(logits, target).sum(dim=1),),
            ),
            Mistake(
                "one-place-only",
                lambda logits, target: _leads(logits, target)[:, 0],
                "You look at one place only, the first or the last.",
                also=(lambda logits, target: _leads(logits, target)[:, -1],),
            ),
            Mistake(
                "smallest-so-far",
                lambda logits, target: margin(logits, target).cummin(dim=0).values,
                "The smallest lead of one input is carried over to the next. Each input begins anew.",
            ),
            Mistake(
                "mean-of-the-others",
                _mean_of_others,
                "You compare with the mean of the other logits. The decoder takes the largest, so the best other one "
                "counts.",
            ),
            Mistake(
                "probabilities",
                lambda logits, target: margin(logits.softmax(-1), target),
                "These are differences of probabilities. Logits are asked for: near certainty, probabilities no longer "
                "tell a small lead from a large one.",
            ),
            Mistake(
                "sign-turned",
                lambda logits, target: -margin(logits, target),
                "The sign is the wrong way round: positive should mean that the right token wins everywhere.",
                also=(lambda logits, target: (-_leads(logits, target)).amin(dim=1),),
            ),
            Mistake(
                "place-not-lead",
                lambda logits, target: _leads(logits, target).argmin(dim=1),
                "`argmin` says where the lead is smallest. How large is it there?",
            ),
            Mistake(
                "axis-kept",
                lambda logits, target: _leads(logits, target).amin(dim=1, keepdim=True),
                "Each of your margins stands in a row of its own: an axis of length 1 is left. (B,) is asked for.",
            ),
            Mistake(
                "every-place",
                _leads,
                "This is the lead at each place. An input has one margin, that of its weakest place.",
            ),
            Mistake(
                "along-the-batch",
                lambda logits, target: _leads(logits, target).amin(dim=0),
                "You go along the batch and get a number for each place. Each input has a margin, over its places.",
            ),
            Mistake(
                "values-with-their-places",
                lambda logits, target: _leads(logits, target).min(dim=1),
                "With a `dim`, `min` and `max` give two things: the values, and where they stand. Only the values are "
                "asked for.",
                also=(_maximum_as_a_pair,),
            ),
            Mistake(
                "first-input-only",
                lambda logits, target: margin(logits, target)[:1],
                "This is the margin of the first input alone. Does `return` stand inside a loop?",
                also=(lambda logits, target: margin(logits, target)[0],),
            ),
            Mistake(
                "whole-batch",
                lambda logits, target: _leads(logits, target).min(),
                "This is one number for the whole batch. Each input has a margin of its own.",
            ),
        ),
    )
)


# 5.7: what is judged is what a network of the reader's own has learned to write, on every input of the short task.


SHORT = SubstringTask(6)
WRONG_AT_MOST = 0.05
NEARLY_ALL = 0.9
AT_ONCE = 2_187  # inputs of every pair among them
ALONE = 20  # sources that are tried alone as well
SOME_DIFFER = 0.1  # more than rounding would change, where two tokens are nearly as likely
MOST = 0.5


def write(source: Tensor) -> Tensor:
    """Stands for a network that has learned the whole rule."""
    return SHORT.solve(source)


def _learned(answer: Callable, _arguments: tuple) -> object:
    """Whether nearly all of what is written is right; if not, what it is like."""
    order = torch.randperm(SHORT.size, generator=torch.Generator().manual_seed(0))
    source = SHORT.inputs(0, SHORT.size)[order]
    written = []
    for some in source.split(AT_ONCE):
        handed = some.clone()
        with _only_writing() if written else contextlib.nullcontext():
            tokens = normal(answer(handed))
        if not torch.equal(handed, some):
            raise WrongAnswer("It changes the sources that it gets. Work on a copy: the caller still needs them.")
        if tokens is None:
            return None
        wanted = len(some), SHORT.n_digits
        if not isinstance(tokens, Tensor) or tokens.shape != wanted or tokens.is_floating_point():
            got = f"{tuple(tokens.shape)}, {tokens.dtype}" if isinstance(tokens, Tensor) else "what makes no table"
            raise WrongAnswer(f"For sources {tuple(some.shape)} it should give back whole numbers {wanted}, not {got}.")
        written.append(tokens.long())
    output, target = torch.cat(written), SHORT.solve(source)
    if (output == output[0]).all():
        raise WrongAnswer(f"Whatever the source is, {output[0].tolist()} is written.")
    found = mistakes(source, output, target)
    allowed = int(WRONG_AT_MOST * len(source))
    if len(found) > allowed:
        kind, n = Counter(mistake.kind for mistake in found).most_common(1)[0]
        first = next(mistake for mistake in found if mistake.kind == kind)
        raise WrongAnswer(
            f"{len(found):,} of {len(source):,} inputs come out wrong; {allowed:,} may. "
            f"{_by_chance(answer, source, output) or _in_company(answer, source, output)}"
            f"{_what_they_are_like(output, target)}"
            f"Most often ({n:,} times): {kind}, as in\n"
            f"source    {first.source}\nyours     {first.output}\nexpected  {first.target}"
        )
    return True


@contextlib.contextmanager
def _only_writing() -> Iterator[None]:
    """Refuse to train. What was not trained before the first call may still be trained in it, and then once for all."""

    def refuse(*_: object) -> None:
        raise WrongAnswer(
            "`write` trains a network each time it is called, and it is called for one batch of sources after another. "
            "Training belongs before `write`, which only writes."
        )

    watching = register_optimizer_step_pre_hook(refuse)
    try:
        yield
    finally:
        watching.remove()


def _by_chance(answer: Callable, source: Tensor, output: Tensor) -> str:
    """Whether the first sources are decoded otherwise when they come again."""
    again = normal(answer(source[:AT_ONCE].clone())).long()
    if torch.equal(again, output[:AT_ONCE]):
        return ""
    return "Asked again for the same sources, it wrote other tokens. Is dropout still on, or is a token drawn? "


def _in_company(answer: Callable, source: Tensor, output: Tensor) -> str:
    """Whether the first sources are decoded otherwise when each comes alone."""
    alone = []
    for row in source[:ALONE]:
        try:
            alone.append(normal(answer(row[None].clone())).long().flatten())
        except Exception:  # what cannot take one source alone says nothing on its company
            return ""
    differ = [not torch.equal(*pair) for pair in zip(alone, output, strict=False)]
    if sum(differ) <= SOME_DIFFER * len(differ):
        return ""
    return "What you write for a source depends on the others in its batch. Which axis does your GRU take for time? "


def _what_they_are_like(output: Tensor, target: Tensor) -> str:
    """What nearly all outputs (N, T) have in common, where that says what may have gone wrong."""
    right = output == target
    read = F.pad(output[:, :-1], (1, 0), value=START_TOKEN)
    first_is_wrong = (~right[:, 0]).double().mean() > 0.5
    signs = {
        "Nearly all is moved one place to the left. Does the decoder begin with the start token, and was it trained "
        "to? ": (output[:, :-1] == target[:, 1:]).all(dim=1),
        "Nearly all is moved one place to the right. Is the start token among what you give back? ": (
            output[:, 1:] == target[:, :-1]
        ).all(dim=1),
        "The first tokens are right, and repeated. What does each step hand on to the next? ": right[:, 0]
        & (output == output[:, :1]).all(dim=1),
        "The digits are right, and no 0 is written. Does the loss count the zeros? ": (right | (target == 0)).all(dim=1)
        & (output != 0).all(dim=1),
        "All is right but the first token. Does the loss count the first place? ": right[:, 1:].all(dim=1)
        & first_is_wrong,
        "Nearly all are zeros. Is the loss above 1? Then train longer, or see whether logits and targets lie place by "
        "place. Is it near 0? Then in training the decoder read the very tokens that it should write. ": (
            output == 0
        ).all(dim=1),
        "After the same token the same one follows, wherever it stands. Does each step hand its state on? ": right[:, 0]
        & ((read[:, :, None] != read[:, None]) | (output[:, :, None] == output[:, None])).all(dim=(1, 2)),
        "The first tokens are right, and those that follow are not. Does each step read what was written last, and "
        "begin with the state of the step before? ": right[:, 0] & ~right[:, 1:].all(dim=1),
    }
    if right.all(dim=1).double().mean() > MOST:
        return (
            "Most are right. If more training does not help: does writing begin with the same token as training, and "
            "is dropout off? "
        )
    return next((words for words, rows in signs.items() if rows.double().mean() > NEARLY_ALL), "")


def _written_as(tokens: Callable) -> Callable:
    """A wrong writer: what it makes of the right tokens."""
    return lambda source: tokens(SHORT.solve(source))


register(
    Exercise(
        id="5.7",
        title="All of it, on one page",
        minutes=60,
        difficulty=3,
        reference=write,
        probes=lambda: [()],
        run=_learned,
        mistakes=(
            Mistake(
                "only-zeros",
                _written_as(torch.zeros_like),
                "Your network writes zeros for everything. Was the loss near 0? Then in training the decoder read the "
                "very tokens that it should write, and copying is all that it has learned. Was it above 1? Then train "
                "longer, or see whether logits and targets lie place by place.",
            ),
            Mistake(
                "logits-for-tokens",
                _written_as(lambda tokens: F.one_hot(tokens, 10).float()),
                "What you give back is not one token for each place. From logits, `argmax` takes the likeliest.",
            ),
            Mistake(
                "token-without-places",
                lambda source: nn.GRU(1, 1)(torch.zeros(4, 1), torch.zeros(1, 4, 1)),
                "A GRU reads vectors (B, T, E), and at a single step (B, 1, E). Do the tokens that you embed have an "
                "axis for the places?",
            ),
            Mistake(
                "an-axis-too-many",
                lambda source: nn.GRU(1, 1)(torch.zeros(1, 1, 4, 1)),
                "A GRU gets an axis too many. `write` gets a whole batch of sources, (B, 6): do you add an axis to it, "
                "or to a token that has one for the places already?",
            ),
            Mistake(
                "start-token-written",
                _written_as(lambda tokens: F.pad(tokens, (1, 0))),
                "You give back another number of tokens, or rows and columns changed places. The start token is read, "
                "and not written.",
                also=(_written_as(lambda tokens: tokens.T), _written_as(lambda tokens: F.pad(tokens, (0, 4)))),
            ),
        ),
    )
)
