"""The task, held against a definition that shares no code with it: slices of plain Python lists."""

import random
from collections import Counter
from collections.abc import Iterator
from itertools import product
from math import sqrt

import pytest
import torch

from course_utils import SubstringTask, generate_example
from course_utils.task import END_TOKEN, EVERY_COUNT_DIVIDES, START_TOKEN

ALL_LENGTHS = range(4, 12)
ENUMERATED_LENGTHS = (4, 5, 6)


def target_of(source: list[int]) -> list[int]:
    start, length, *digits = source
    return digits[start : start + length] + [0] * (len(digits) - length)


def pairs_of(length: int) -> list[tuple[int, int]]:
    """Of all (start, length), those that fit into `length - 2` digits and start at 5 or before."""
    return [(start, n) for start in range(20) for n in range(20) if start <= 5 and n >= 2 and start + n <= length - 2]


def inputs_of(length: int) -> Iterator[list[int]]:
    for pair in pairs_of(length):
        for digits in product(range(1, 10), repeat=length - 2):
            yield [*pair, *digits]


def chi_square(observed: Counter, probability: dict) -> float:
    """How far counts are from what is expected: near the number of kinds less one when all is well."""
    n = observed.total()
    assert set(observed) <= set(probability)
    return sum((observed[kind] - n * p) ** 2 / (n * p) for kind, p in probability.items())


def largest_plausible(n_kinds: int) -> float:
    """Six standard deviations above the mean of chi-square: chance goes there less than once in ten thousand seeds."""
    freedom = n_kinds - 1
    return freedom + 6 * sqrt(2 * freedom)


def test_the_first_example_of_the_course():
    assert SubstringTask().solve([2, 3, 1, 8, 2, 5, 8, 6, 4, 5]).tolist() == [2, 5, 8, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("length", ENUMERATED_LENGTHS)
def test_inputs_are_all_there_each_once_and_in_order(length):
    task = SubstringTask(length)
    assert task.inputs(0, task.size).tolist() == list(inputs_of(length))


@pytest.mark.parametrize("length", ENUMERATED_LENGTHS)
def test_every_input_is_solved(length):
    sources = list(inputs_of(length))
    assert SubstringTask(length).solve(sources).tolist() == [target_of(source) for source in sources]


@pytest.mark.parametrize("length", ENUMERATED_LENGTHS)
def test_index_is_the_inverse_of_inputs(length):
    task = SubstringTask(length)
    assert torch.equal(task.index(task.inputs(0, task.size)), torch.arange(task.size))


def test_the_number_of_an_input_is_its_pair_then_its_digits_in_base_nine():
    task = SubstringTask()
    rng = random.Random(0)
    for number in [rng.randrange(task.size) for _ in range(200)] + [0, task.size - 1]:
        rest, digits = number, []
        for _ in range(8):
            rest, digit = divmod(rest, 9)
            digits.insert(0, digit + 1)
        expected = [*pairs_of(10)[rest], *digits]
        assert task.inputs(number, number + 1).tolist() == [expected]
        assert task.index(expected).item() == number


def test_a_range_of_inputs_may_cross_from_one_pair_to_the_next():
    assert SubstringTask().inputs(9**8 - 1, 9**8 + 1).tolist() == [[0, 2, *[9] * 8], [0, 3, *[1] * 8]]


def test_a_range_of_inputs_may_be_empty():
    assert SubstringTask().inputs(7, 7).shape == (0, 10)


@pytest.mark.parametrize("length", ALL_LENGTHS)
def test_size_is_the_number_of_pairs_times_that_of_digit_strings(length):
    task = SubstringTask(length)
    assert task.pairs == pairs_of(length)
    assert task.digit_strings == 9 ** (length - 2)
    assert task.size == len(pairs_of(length)) * 9 ** (length - 2)


@pytest.mark.parametrize(("length", "size"), [(6, 39_366), (8, 15 * 9**6), (10, 3**19)])
def test_sizes_the_course_names(length, size):
    assert SubstringTask(length).size == size


def test_the_task_has_ten_tokens_unless_told_otherwise():
    assert SubstringTask() == SubstringTask(10)
    assert len(generate_example(random.Random(0))[0]) == 10


@pytest.mark.parametrize("length", ALL_LENGTHS)
def test_pair_probability_is_start_first_then_length(length):
    pairs = pairs_of(length)
    starts = {start for start, _ in pairs}
    for start, n in pairs:
        lengths_left = sum(other_start == start for other_start, _ in pairs)
        assert SubstringTask(length).pair_probability(start, n) == pytest.approx(1 / len(starts) / lengths_left)


def test_the_rarest_pairs_come_seven_times_less_often_than_the_commonest():
    task = SubstringTask()
    assert task.pair_probability(5, 2) == pytest.approx(3.5 * task.pair_probability(0, 2))


@pytest.mark.parametrize("length", ALL_LENGTHS)
def test_samples_are_inputs_with_their_targets(length):
    sources, targets = SubstringTask(length).sample(200, torch.Generator().manual_seed(length))
    for source, target in zip(sources.tolist(), targets.tolist(), strict=True):
        assert tuple(source[:2]) in pairs_of(length)
        assert all(1 <= digit <= 9 for digit in source[2:])
        assert target == target_of(source)


@pytest.mark.parametrize("length", ALL_LENGTHS)
def test_generated_examples_are_inputs_with_their_targets(length):
    rng = random.Random(length)
    for _ in range(200):
        source, target = generate_example(rng, length)
        assert tuple(source[:2]) in pairs_of(length)
        assert all(1 <= digit <= 9 for digit in source[2:])
        assert target == target_of(source)


def sample_many(length: int) -> list[list[int]]:
    return SubstringTask(length).sample(40_000, torch.Generator().manual_seed(1))[0].tolist()


def generate_many(length: int) -> list[list[int]]:
    rng = random.Random(1)
    return [generate_example(rng, length)[0] for _ in range(10_000)]


@pytest.mark.parametrize("draw", [sample_many, generate_many])
@pytest.mark.parametrize("length", [7, 10])
def test_pairs_are_drawn_with_their_exact_probabilities(draw, length):
    task = SubstringTask(length)
    probability = {pair: task.pair_probability(*pair) for pair in task.pairs}
    observed = Counter(tuple(source[:2]) for source in draw(length))
    assert chi_square(observed, probability) < largest_plausible(len(probability))


def test_a_remainder_favours_no_length():
    """The bias that a remainder may have is too small to be seen in a sample."""
    for task in map(SubstringTask, ALL_LENGTHS):
        for n_lengths in Counter(start for start, _ in task.pairs).values():
            assert EVERY_COUNT_DIVIDES % n_lengths == 0


@pytest.mark.parametrize("draw", [sample_many, generate_many])
def test_digits_are_drawn_evenly_and_independently(draw):
    sources = draw(6)
    for first, second in [(2, 3), (3, 4), (4, 5), (2, 5)]:
        observed = Counter((source[first], source[second]) for source in sources)
        probability = dict.fromkeys(product(range(1, 10), repeat=2), 1 / 81)
        assert chi_square(observed, probability) < largest_plausible(81)


def test_the_same_seed_gives_the_same_examples():
    first, again, other = (SubstringTask().sample(50, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])


def test_a_generator_goes_on_where_it_stopped():
    generator = torch.Generator().manual_seed(3)
    assert not torch.equal(SubstringTask().sample(50, generator)[0], SubstringTask().sample(50, generator)[0])


def test_a_generator_keeps_the_global_one_out_of_it():
    before = torch.get_rng_state()
    SubstringTask().sample(50, torch.Generator())
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("n", [0, 1, 5])
def test_samples_are_whole_numbers_with_batches_first(n):
    source, target = SubstringTask(8).sample(n, torch.Generator())
    assert (source.dtype, target.dtype) == (torch.int64, torch.int64)
    assert (source.shape, target.shape) == ((n, 8), (n, 6))


def test_samples_are_made_on_the_device_asked_for():
    source, target = SubstringTask().sample(4, device="meta")  # a device every PyTorch has: it computes shapes alone
    assert (source.device.type, target.device.type) == ("meta", "meta")


def test_sources_may_come_in_any_number_of_dimensions():
    task = SubstringTask()
    source, target = task.sample(6, torch.Generator().manual_seed(0))
    assert torch.equal(task.solve(source.view(2, 3, 10)), target.view(2, 3, 8))
    assert torch.equal(task.solve(source[0]), target[0])
    assert task.index(source.view(2, 3, 10)).shape == (2, 3)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_targets_are_int64_whatever_whole_numbers_the_source_has(dtype):
    source, target = SubstringTask().sample(6, torch.Generator().manual_seed(0))
    solved = SubstringTask().solve(source.to(dtype))
    assert solved.dtype == torch.int64
    assert torch.equal(solved, target)


DIGITS = [1, 8, 2, 5, 8, 6, 4, 5]
NO_INPUTS = {
    "start is negative": ([-1, 3, *DIGITS], "start -1 with length 3 is impossible"),
    "start is too large": ([6, 2, *DIGITS], "start 6 with length 2 is impossible"),
    "length is too small": ([0, 1, *DIGITS], "start 0 with length 1 is impossible"),
    "length is too large": ([0, 9, *DIGITS], "start 0 with length 9 is impossible"),
    "length runs over the end": ([5, 4, *DIGITS], "start 5 with length 4 is impossible"),
    "length overflows when start is added": ([1, 2**63 - 1, *DIGITS], "start 1 with length .* is impossible"),
    "a digit is zero": ([2, 3, 1, 8, 0, 5, 8, 6, 4, 5], "x2 is 0"),
    "a digit is ten": ([2, 3, 1, 8, 2, 5, 8, 6, 4, 10], "x7 is 10"),
    "a digit is negative": ([2, 3, -1, 8, 2, 5, 8, 6, 4, 5], "x0 is -1"),
    "a number is too large for a tensor": ([2, 3, 2**64, 8, 2, 5, 8, 6, 4, 5], "whole numbers"),
    "too few digits": ([2, 3, *DIGITS[:-1]], "A source has 10 numbers"),
    "too many digits": ([2, 3, *DIGITS, 1], "A source has 10 numbers"),
    "one number": (3, "A source has 10 numbers"),
    "nothing": ([], "A source has 10 numbers"),
    "fractions": ([2.5, 3.0, *DIGITS], "whole numbers"),
    "truth values": ([True] * 10, "whole numbers"),
    "text": ("2318258645", "whole numbers"),
    "rows of several lengths": ([[2, 3, *DIGITS], [2, 3]], "whole numbers"),
}


@pytest.mark.parametrize(("source", "words"), NO_INPUTS.values(), ids=NO_INPUTS.keys())
@pytest.mark.parametrize("method", ["solve", "index"])
def test_what_is_no_input_is_refused(method, source, words, refused):
    with refused(words):
        getattr(SubstringTask(), method)(source)


def test_one_wrong_row_among_many_is_found(refused):
    with refused("start 5 with length 4"):
        SubstringTask().solve([[2, 3, *DIGITS], [5, 4, *DIGITS]])


@pytest.mark.parametrize("length", [3, 12, 10.0, "10", True])
def test_a_length_without_a_task_is_refused(length, refused):
    with refused("from 4 to 11"):
        SubstringTask(length)


def test_an_example_of_an_impossible_length_is_refused(refused):
    with refused("from 4 to 11"):
        generate_example(random.Random(0), length=3)


def test_a_negative_number_of_examples_is_refused(refused):
    with refused("must not be negative"):
        SubstringTask().sample(-1)


def test_a_generator_of_another_device_is_refused(refused):
    with refused("The generator lives on cpu"):
        SubstringTask().sample(4, torch.Generator(), device="meta")


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (5, 3), (0, 3**19 + 1)])
def test_a_range_outside_the_input_space_is_refused(start, stop, refused):
    with refused("Inputs are numbered 0 to 1,162,261,466"):
        SubstringTask().inputs(start, stop)


def test_the_probability_of_an_impossible_pair_is_refused(refused):
    with refused("impossible"):
        SubstringTask().pair_probability(5, 4)


def test_what_ends_a_substring_is_also_the_first_token_of_all_and_the_padding():
    target = SubstringTask().solve(torch.tensor([[0, 2, 1, 2, 3, 4, 5, 6, 7, 8]]))
    assert target.tolist() == [[1, 2, *[END_TOKEN] * 6]]
    assert START_TOKEN == END_TOKEN
