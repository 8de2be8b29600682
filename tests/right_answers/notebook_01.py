"""Right answers to the exercises of notebook 01, each of another kind. check must accept every one."""

import itertools
import math
import statistics
from decimal import Decimal
from fractions import Fraction

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from course_utils import SubstringTask

task = SubstringTask()


# 1.1: the target of a source


def solve_by_walking_over_the_digits(source):
    start, length = source[:2]
    target = []
    for place, digit in enumerate(source[2:]):
        if start <= place < start + length:
            target.append(digit)
    while len(target) < 8:
        target.append(0)
    return target


def solve_with_an_endless_row_of_zeros(source):
    start, length, *digits = source
    substring = itertools.islice(digits, start, start + length)
    return list(itertools.islice(itertools.chain(substring, itertools.repeat(0)), 8))


def solve_by_rolling_a_numpy_array(source):
    start, length, *digits = source
    return np.roll(digits, -start) * (np.arange(8) < length)


def solve_from_the_back_with_numpy(source):
    start, length, *digits = source
    backwards = np.zeros(8, dtype=int)
    backwards[8 - length :] = digits[start : start + length][::-1]
    return backwards[::-1]


def solve_by_filling_a_tensor(source):
    start, length = source[0], source[1]
    target = torch.zeros(8, dtype=torch.long)
    target[:length] = torch.tensor(source[2:])[start : start + length]
    return target


def solve_by_recursion(source, written=()):
    if len(written) == 8:
        return written
    start, length, *digits = source
    token = digits[start + len(written)] if len(written) < length else 0
    return solve_by_recursion(source, (*written, token))


def solve_by_popping_from_a_copy(source):
    rest = list(source)
    start, length = rest.pop(0), rest.pop(0)
    del rest[:start]
    del rest[length:]
    rest.extend([0] * (8 - length))
    return rest


def solve_by_cutting_from_a_padded_row(source):
    start, length, *digits = source
    return (digits[start : start + length] + 8 * [0])[:8]


def solve_as_text(source):
    start, length = source[:2]
    digits = "".join(str(digit) for digit in source[2:])
    return [int(character) for character in digits[start : start + length].ljust(8, "0")]


def solve_with_a_selection_matrix(source):
    start, length, *digits = source
    selection = np.eye(8, k=start, dtype=int)
    selection[length:] = 0
    return (selection @ digits).tolist()


class SolveByLookingUpPlaces:
    def __call__(self, source):
        digits = dict(enumerate(source[2:]))
        return [digits[source[0] + place] if place in range(source[1]) else 0 for place in range(8)]


# 1.2: the size of the input space


def count_with_a_closed_formula(n):
    d = n - 2
    starts = min(5, d - 2) + 1
    pairs = starts * (d - 1) - starts * (starts - 1) // 2
    return pairs * 9**d


def count_with_half_a_rectangle(n):
    starts = min(6, n - 3)
    return starts * (2 * n - 5 - starts) / 2 * 9 ** (n - 2)


def count_with_two_loops(n):
    pairs = 0
    for start in range(min(5, n - 4) + 1):
        for _length in range(2, n - 2 - start + 1):
            pairs += 1
    return pairs * 9 ** (n - 2)


def count_pairs_as_beginnings_and_ends(n):
    ends = itertools.combinations(range(n - 1), 2)
    return sum(begin <= 5 and end - begin >= 2 for begin, end in ends) * 9 ** (n - 2)


def count_with_a_triangle_of_ones(n):
    triangle = torch.ones(n - 1, n - 1, dtype=torch.long).triu(2)  # row: where a substring begins, column: ends
    return triangle[:6].sum() * 9 ** (n - 2)


def count_with_a_numpy_mask(n):
    start, length = np.indices((n - 3, n - 1))
    return ((start <= 5) & (length >= 2) & (start + length <= n - 2)).sum() * 9 ** (n - 2)


def count_digit_strings_by_recursion(n):
    def strings(digits):
        return 1 if digits == 0 else 9 * strings(digits - 1)

    return math.fsum(strings(n - 2) for start in range(6) for _ in range(2, n - 1 - start))


def count_with_numbers_that_have_a_decimal_point(n):
    return float(sum(min(6, n - 1 - end) for end in range(2, n - 1))) * 9.0 ** (n - 2)


def count_from_a_written_table(n):
    pairs = {4: 1, 5: 3, 6: 6, 7: 10, 8: 15, 9: 21, 10: 27, 11: 33}
    return pairs[n] * 9 ** (n - 2)


# 1.3: the targets of a batch


def solve_batch_row_by_row(source):
    targets = []
    for start, length, *digits in source.tolist():
        targets.append(digits[start : start + length] + [0] * (len(digits) - length))
    return torch.tensor(targets)


def solve_batch_with_numpy(source):
    start, length, digits = np.split(source.numpy(), [1, 2], axis=1)
    places = np.arange(digits.shape[1])
    target = np.zeros_like(digits)
    target[places < length] = digits[(places >= start) & (places < start + length)]
    return target


def solve_batch_through_a_sliding_window(source):
    digits = source[:, 2:]
    n = digits.shape[1]
    windows = F.pad(digits, (0, n)).unfold(1, n, 1)
    target = windows[torch.arange(len(source)), source[:, 0]]
    target[torch.arange(n) >= source[:, 1:2]] = 0
    return target


def solve_batch_round_the_corner(source):
    start, length, digits = source[:, :1], source[:, 1:2], source[:, 2:]
    places = torch.arange(digits.shape[1])
    moved = digits.gather(1, (start + places) % digits.shape[1])
    moved[places >= length] = 0
    return moved


def solve_batch_with_selection_matrices(source):
    start, length, digits = source[:, 0], source[:, 1], source[:, 2:]
    places = torch.arange(digits.shape[1])
    taken = places[:, None] + start[:, None, None] == places
    kept = places < length[:, None]
    return torch.einsum("bts,bs,bt->bt", taken.long(), digits, kept.long())


def solve_batch_by_a_stable_sort(source):
    start, length, digits = source.split([1, 1, source.shape[1] - 2], dim=1)
    places = torch.arange(digits.shape[1])
    outside = (places < start) | (places >= start + length)
    order = outside.int().argsort(dim=1, stable=True)
    return digits.masked_fill(outside, 0).take_along_dim(order, dim=1)


def solve_batch_column_by_column(source):
    n, rows = source.shape[1] - 2, torch.arange(len(source))
    start, length = source[:, 0], source[:, 1]
    columns = []
    for place in range(n):
        digit = source[rows, (2 + start + place) % (n + 2)]  # where it comes round, nothing is copied any more
        columns.append(digit * (length > place))
    return torch.stack(columns, dim=1)


def solve_batch_by_padding_a_list_of_tensors(source):
    n = source.shape[1] - 2
    substrings = [row[2 + row[0] :][: row[1]] for row in source]
    target = pad_sequence([*substrings, torch.zeros(n, dtype=torch.long)], batch_first=True)
    return target[:-1]


def solve_batch_by_a_mapped_function(source):
    def solve_one(row):
        digits, places = row[2:], torch.arange(len(row) - 2)
        doubled = torch.cat([digits, digits])
        return doubled[row[0] + places] * (places < row[1])

    return torch.vmap(solve_one)(source).to(torch.int32)


class SolveBatch(nn.Module):
    """The task's own answer, for a task of the batch's width."""

    def forward(self, source):
        return SubstringTask(source.shape[1]).solve(source)


# 1.4: the chance of a (start, length)


def chance_as_a_fraction(start, length):
    return Fraction(1, 6) * Fraction(1, 7 - start)


def chance_as_a_decimal(start, length):
    return Decimal(1) / 6 / (7 - start)


def chance_by_listing_what_start_allows(start, length):
    possible = [m for m in range(2, 9) if start + m <= 8]
    return possible.count(length) / len(possible) / 6


def chance_by_counting_equal_outcomes(start, length):
    draws = [(s, 2 + number % (7 - s)) for s in range(6) for number in range(math.lcm(7, 6, 5, 4, 3, 2))]
    return draws.count((start, length)) / len(draws)


def chance_from_a_numpy_grid(start, length):
    starts, lengths = np.ogrid[:6, :9]
    possible = (lengths >= 2) & (starts + lengths <= 8)
    return (possible / possible.sum(axis=1, keepdims=True) / 6)[start, length]


def chance_with_logarithms(start, length):
    return torch.exp(-torch.log(torch.tensor(6.0)) - torch.log(torch.tensor(7.0 - start)))


class ChanceFromATable:
    def __init__(self):
        self.lengths = {start: range(2, 9 - start) for start in range(6)}

    def __call__(self, start, length):
        return 1 / (len(self.lengths) * len(self.lengths[start]))


# 1.5: a sampler without a loop


def sample_by_rounding_down(n, generator):
    start = (6 * torch.rand(n, generator=generator, dtype=torch.double)).long()
    length = 2 + ((7 - start) * torch.rand(n, generator=generator, dtype=torch.double)).long()
    digits = (1 + 9 * torch.rand(n, 8, generator=generator, dtype=torch.double)).long()
    source = torch.column_stack([start, length, digits])
    return source, task.solve(source)


def sample_weighted_pairs(n, generator):
    chances = torch.tensor([task.pair_probability(*pair) for pair in task.pairs])
    drawn = torch.multinomial(chances, n, replacement=True, generator=generator)
    digits = torch.multinomial(torch.ones(9), 8 * n, replacement=True, generator=generator) + 1
    source = torch.hstack([torch.tensor(task.pairs)[drawn], digits.view(n, 8)])
    return source, task.solve(source)


def sample_from_two_numbers(n, generator):
    """One number says start and length, another one all the digits, in base 9."""
    pair = torch.randint(6 * 420, (n, 1), generator=generator)
    start, rest = pair % 6, pair // 6
    digits = torch.randint(9**8, (n, 1), generator=generator) // 9 ** torch.arange(8) % 9 + 1
    source = torch.cat([start, 2 + rest % (7 - start), digits], dim=1)
    return [source, task.solve(source)]


def sample_a_length_for_every_start(n, generator):
    """Six lengths a row, one for each start; the row's own start then chooses among them."""
    lengths = torch.stack([torch.randint(2, 9 - start, (n,), generator=generator) for start in range(6)], dim=1)
    start = torch.randint(0, 6, (n, 1), generator=generator)
    digits = torch.randint(1, 10, (n, 8), generator=generator)
    source = torch.cat([start, lengths.gather(1, start), digits], dim=1)
    return source, task.solve(source)


def sample_lengths_by_their_weights(n, generator):
    start = torch.randint(0, 6, (n, 1), generator=generator)
    possible = torch.arange(2, 9) <= 8 - start
    length = 2 + torch.multinomial(possible.double(), 1, generator=generator)
    source = torch.cat([start, length, torch.randint(1, 10, (n, 8), generator=generator)], dim=1)
    return source, task.solve(source)


def sample_the_winner_of_a_race(n, generator):
    """Of all possible values, each with a random number, the one with the largest is taken."""
    start = torch.rand(n, 6, generator=generator).argmax(dim=1, keepdim=True)
    possible = torch.arange(2, 9) + start <= 8
    length = 2 + torch.rand(n, 7, generator=generator).where(possible, -1).argmax(dim=1, keepdim=True)
    digits = 1 + torch.rand(n, 8, 9, generator=generator).argmax(dim=2)
    source = torch.cat([start, length, digits], dim=1)
    return source, task.solve(source)


def sample_until_the_length_fits(n, generator):
    source = torch.empty(n, 10, dtype=torch.int32)
    source[:, 0].random_(0, 6, generator=generator)
    source[:, 2:].random_(1, 10, generator=generator)
    source[:, 1] = 9
    while (too_long := source[:, 0] + source[:, 1] > 8).any():
        source[too_long, 1] = torch.randint(2, 9, (int(too_long.sum()),), generator=generator, dtype=torch.int32)
    return source, task.solve(source)


def sample_one_start_after_another(n, generator):
    start = torch.randint(0, 6, (n,), generator=generator)
    length = torch.zeros_like(start)
    for value in range(6):
        rows = start == value
        length[rows] = torch.randint(2, 9 - value, (int(rows.sum()),), generator=generator)
    digits = torch.randint(1, 10, (n, 8), generator=generator)
    target = torch.zeros_like(digits)
    for place in range(8):
        copied = length > place
        target[copied, place] = digits[copied, start[copied] + place]
    return torch.column_stack([start, length, digits]), target


def sample_from_very_many_numbers(n, generator):
    """What `%` folds onto the short lengths is there, and one part in 10 to the 18."""
    start = torch.randint(0, 6, (n, 1), generator=generator)
    length = 2 + torch.randint(0, 2**62, (n, 1), generator=generator) % (7 - start)
    digits = torch.randint(1, 10, (n, 8), generator=generator)
    source = torch.cat([start, length, digits], dim=1)
    return source, task.solve(source)


class Sampler:
    """Places of a table in which every start has 420 lengths, each of its own as often as any other."""

    def __init__(self):
        lengths = [torch.arange(2, 9 - start).repeat(420 // (7 - start)) for start in range(6)]
        self.lengths = torch.stack(lengths).flatten()

    def __call__(self, n, generator):
        place = torch.randint(len(self.lengths), (n,), generator=generator)
        digits = torch.randint(9, (8, n), generator=generator) + 1
        source = torch.vstack([place // 420, self.lengths[place], digits]).T
        return source, task.solve(source)


# 1.6: exact match


def exact_match_by_comparing_lists(output, target):
    right = 0
    for written, wanted in zip(output.tolist(), target.tolist(), strict=True):
        right += written == wanted
    return right / len(target)


def exact_match_with_numpy(output, target):
    return np.mean(np.all(output.numpy() == target.numpy(), axis=1))


def exact_match_as_one_minus_the_wrong(output, target):
    return 1 - (output != target).any(dim=-1).float().mean()


def exact_match_by_multiplying(output, target):
    return (output == target).long().prod(dim=1).sum() / output.shape[0]


def exact_match_by_the_largest_difference(output, target):
    return (output - target).abs().amax(dim=1).eq(0).to(torch.float64).mean().item()


def exact_match_as_a_fraction(output, target):
    right = sum(torch.equal(*rows) for rows in zip(output, target, strict=True))
    return Fraction(right, len(output))


def exact_match_by_a_mean_of_rows(output, target):
    return statistics.fmean(all(map(int.__eq__, *rows)) for rows in zip(output.tolist(), target.tolist(), strict=True))


def exact_match_where_all_of_a_row_is_right(output, target):
    return ((output == target).double().mean(dim=1) == 1).double().mean()


def exact_match_on_a_changed_copy(output, target):
    wrong = output.clone()
    wrong -= target
    return wrong.count_nonzero(dim=1).eq(0).double().mean()


def exact_match_in_a_tensor_with_one_number(output, target):
    return (output == target).all(dim=1, keepdim=True).double().mean(dim=0)


class ExactMatchInBatchesOfSeven(nn.Module):
    def forward(self, output, target):
        batches = zip(output.split(7), target.split(7), strict=True)
        return sum((written == wanted).all(dim=1).sum() for written, wanted in batches) / len(output)


# 1.7: the token accuracy of writing only zeros


def zeros_in_a_loop():
    total = 0.0
    for start, length in task.pairs:
        total += task.pair_probability(start, length) * (8 - length)
    return total / 8


def zeros_as_a_fraction():
    return sum(Fraction(8 - m, 8) / len(range(2, 9 - s)) for s in range(6) for m in range(2, 9 - s)) / 6


def zeros_by_the_mean_length():
    mean_lengths = [(2 + 8 - start) / 2 for start in range(6)]
    return 1 - statistics.mean(mean_lengths) / 8


def zeros_from_the_mean_in_the_text():
    return 1 - 3.75 / 8


def zeros_by_a_dot_product():
    chance = torch.tensor([task.pair_probability(*pair) for pair in task.pairs])
    length = torch.tensor(task.pairs)[:, 1]
    return chance @ (1 - length / 8)


def zeros_place_by_place():
    def chance_of_a_zero(place):
        return sum(task.pair_probability(*pair) for pair in task.pairs if pair[1] <= place)

    return statistics.fmean(map(chance_of_a_zero, range(8)))


def zeros_with_a_weighted_average():
    lengths = np.array(task.pairs)[:, 1]
    return np.average((8 - lengths) / 8, weights=list(itertools.starmap(task.pair_probability, task.pairs)))


def zeros_by_solving_a_source_of_each_pair():
    source = torch.tensor([[*pair, *[1] * 8] for pair in task.pairs])
    share = (task.solve(source) == 0).double().mean(dim=1)
    return sum(task.pair_probability(*pair) * value for pair, value in zip(task.pairs, share, strict=True))


ANSWERS = {
    "1.1": [
        solve_by_walking_over_the_digits,
        solve_with_an_endless_row_of_zeros,
        solve_by_rolling_a_numpy_array,
        solve_from_the_back_with_numpy,
        solve_by_filling_a_tensor,
        solve_by_recursion,
        solve_by_popping_from_a_copy,
        solve_as_text,
        solve_with_a_selection_matrix,
        SolveByLookingUpPlaces(),
        solve_by_cutting_from_a_padded_row,
    ],
    "1.2": [
        count_with_a_closed_formula,
        count_with_two_loops,
        count_pairs_as_beginnings_and_ends,
        count_with_a_triangle_of_ones,
        count_with_a_numpy_mask,
        count_digit_strings_by_recursion,
        count_from_a_written_table,
        count_with_numbers_that_have_a_decimal_point,
        count_with_half_a_rectangle,
    ],
    "1.3": [
        solve_batch_row_by_row,
        solve_batch_with_numpy,
        solve_batch_through_a_sliding_window,
        solve_batch_with_selection_matrices,
        solve_batch_by_a_stable_sort,
        solve_batch_column_by_column,
        solve_batch_by_padding_a_list_of_tensors,
        solve_batch_by_a_mapped_function,
        SolveBatch(),
        solve_batch_round_the_corner,
    ],
    "1.4": [
        chance_as_a_fraction,
        chance_as_a_decimal,
        chance_by_listing_what_start_allows,
        chance_by_counting_equal_outcomes,
        chance_from_a_numpy_grid,
        chance_with_logarithms,
        ChanceFromATable(),
    ],
    "1.5": [
        sample_by_rounding_down,
        sample_weighted_pairs,
        sample_from_two_numbers,
        sample_the_winner_of_a_race,
        sample_until_the_length_fits,
        sample_one_start_after_another,
        Sampler(),
        sample_a_length_for_every_start,
        sample_from_very_many_numbers,
        sample_lengths_by_their_weights,
    ],
    "1.6": [
        exact_match_by_comparing_lists,
        exact_match_with_numpy,
        exact_match_as_one_minus_the_wrong,
        exact_match_by_multiplying,
        exact_match_by_the_largest_difference,
        exact_match_as_a_fraction,
        exact_match_by_a_mean_of_rows,
        exact_match_on_a_changed_copy,
        exact_match_in_a_tensor_with_one_number,
        ExactMatchInBatchesOfSeven(),
        exact_match_where_all_of_a_row_is_right,
    ],
    "1.7": [
        zeros_in_a_loop,
        zeros_as_a_fraction,
        zeros_by_the_mean_length,
        zeros_by_a_dot_product,
        zeros_place_by_place,
        zeros_with_a_weighted_average,
        zeros_by_solving_a_source_of_each_pair,
        zeros_from_the_mean_in_the_text,
    ],
}
