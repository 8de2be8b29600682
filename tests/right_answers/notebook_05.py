"""Right answers to the exercises of notebook 05 that differ in kind from the references and from each other."""

from __future__ import annotations

import math
from collections import deque
from fractions import Fraction
from itertools import count as counting

import numpy as np
import torch
from torch.distributions import Binomial
from torch.nn import functional as F

from course_utils import SubstringTask, margins, shift_right

# 5.1 The input with a given number


def input_by_dividing_again_and_again(number, pairs, n_digits):
    digits = deque()
    for _ in range(n_digits):
        number, digit = divmod(number, 9)
        digits.appendleft(digit + 1)
    return list(pairs[number]) + list(digits)


def input_unravelled_by_numpy(number, pairs, n_digits):
    pair, *digits = np.unravel_index(number, (len(pairs), *[9] * n_digits))
    return np.array([*pairs[pair], *(digit + 1 for digit in digits)])


def input_written_in_base_nine(number, pairs, n_digits):
    text = np.base_repr(number % 9**n_digits, base=9).zfill(n_digits)
    return (*pairs[number // 9**n_digits], *(int(digit) + 1 for digit in text))


def input_by_recursion(number, pairs, n_digits):
    if n_digits == 0:
        return list(pairs[number])
    return [*input_by_recursion(number // 9, pairs, n_digits - 1), number % 9 + 1]


def input_from_the_left(number, pairs, n_digits):
    size = 9**n_digits
    source = list(pairs[number // size])
    while size > 1:
        number, size = number % size, size // 9
        source.append(1 + number // size)
    return source


def input_in_tensors(number, pairs, n_digits):
    places = 9 ** torch.arange(n_digits - 1, -1, -1)
    digits = torch.tensor(number).div(places, rounding_mode="floor") % 9 + 1
    return torch.cat([torch.tensor(pairs[number // 9**n_digits]), digits])


def input_by_rounding_down(number, pairs, n_digits):
    pair = int(number / 9**n_digits)
    source, rest = [*pairs[pair]], number - pair * 9**n_digits
    for place in reversed(range(n_digits)):
        source.append(int(rest / 9**place) + 1)
        rest -= (source[-1] - 1) * 9**place
    return source


def input_from_the_package(number, pairs, n_digits):
    return SubstringTask(n_digits + 2).inputs(number, number + 1).squeeze(0)


# 5.2 How high can the rate be?


def rate_by_newton(errors, n):
    """On the logarithm of the chance, whose slope is known: only the last term of the sum is left of it."""
    if errors == n:
        return 1
    rate = (errors + 1) / (n + 1)
    for _ in range(200):
        terms = [math.comb(n, k) * rate**k * (1 - rate) ** (n - k) for k in range(errors + 1)]
        slope = -(n - errors) * terms[-1] / (1 - rate)
        rate = min(max(rate - 0.5 * (math.log(sum(terms)) - math.log(0.05)) * sum(terms) / slope, 1e-12), 1 - 1e-12)
    return rate


def rate_by_distributions(errors, n):
    low, high = torch.zeros((), dtype=torch.double), torch.ones((), dtype=torch.double)
    for _ in range(80):
        middle = torch.lerp(low, high, 0.5)
        chance = Binomial(n, middle).log_prob(torch.arange(errors + 1.0)).logsumexp(0).exp()
        low, high = (middle, high) if chance >= 0.05 else (low, middle)
    return high if errors < n else 1.0


def rate_in_decimals(errors, n):
    """Digit by digit: the largest next digit at which so few errors are still likely enough."""
    rate = Fraction(0)
    for place in range(1, 12):
        for _ in range(9):
            higher = rate + Fraction(1, 10**place)
            p = float(higher)
            chance = sum(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(errors + 1))
            if higher > 1 or chance < 0.05:
                break
            rate = higher
    return float(rate) if errors < n else 1.0


def rate_by_the_integral(errors, n):
    """The chance of at most k errors is the share of a beta density that lies above the rate."""
    if errors == n:
        return 1.0
    x = np.linspace(0, 1, 2_000_001)
    density = x**errors * (1 - x) ** (n - errors - 1)
    below = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return np.interp(0.95, below / below[-1], x)


def rate_with_a_closed_form_for_none(errors, n):
    if errors == 0:
        return 1 - 0.05 ** (1 / n)
    low, high = errors / n, 1.0
    while high - low > 1e-12:
        rate = low + 0.618 * (high - low)
        more = 1 - sum(math.comb(n, k) * rate**k * (1 - rate) ** (n - k) for k in range(errors + 1))
        if more < 0.95:
            low = rate
        else:
            high = rate
    return high


def rate_by_the_secant(errors, n):
    if errors == n:
        return torch.tensor(1.0)

    def chance(rate):
        term = total = (1 - rate) ** n
        for k in range(1, errors + 1):  # each term from the one before
            term *= (n - k + 1) / k * rate / (1 - rate)
            total += term
        return total - 0.05

    low, high = 0.0, 1 - 1e-12
    for number in counting():
        share = chance(low) / (chance(low) - chance(high)) if number % 2 else 0.5
        rate = low + share * (high - low)
        low, high = (rate, high) if chance(rate) > 0 else (low, rate)
        if high - low < 1e-13 or number > 200:
            return rate


def rate_by_factorials(errors, n):
    """Dividing by the product gives numbers that a float can hold."""
    ways = [math.factorial(n) / (math.factorial(k) * math.factorial(n - k)) for k in range(errors + 1)]
    low, high = errors / n, 1
    while high - low > 1e-9:
        rate = (low + high) / 2
        chance = sum(way * rate**k * (1 - rate) ** (n - k) for k, way in enumerate(ways))
        low, high = (rate, high) if chance > 0.05 else (low, rate)
    return 1 if errors == n else rate


# 5.3 Which inputs fail, without decoding


def failing_by_encoder_and_decoder(model, source, target):
    logits, _ = model.decoder(shift_right(target), model.encoder(source))
    return ~torch.all(logits.argmax(dim=2) == target, dim=1)


def failing_with_names_for_everything(model, source, target):
    logits, _ = model.decoder(tokens=shift_right(target), hidden=model.encoder(source=source))
    return (logits.argmax(-1) != target).any(1)


def failing_in_two_halves(model, source, target):
    half = len(source) // 2
    verdicts = []
    for part in (slice(None, half), slice(half, None)):
        with torch.no_grad():
            guesses = model(source[part], target[part], teacher_forcing_ratio=1).argmax(-1)
        verdicts += [guess != wanted for guess, wanted in zip(guesses.tolist(), target[part].tolist(), strict=True)]
    return verdicts


def failing_in_numpy(model, source, target):
    logits = model(source, target, 1.0).detach().numpy()
    return np.any(np.argmax(logits, axis=-1) != target.numpy(), axis=1)


def failing_one_input_at_a_time(model, source, target):
    return torch.stack(
        [
            (model(source[i : i + 1], target[i : i + 1], 1.0).argmax(-1) != target[i : i + 1]).any()
            for i in range(len(source))
        ]
    )


def failing_by_margins_and_the_lower_token(model, source, target):
    logits = model(source, target, 1.0)
    wanted = logits.gather(-1, target[..., None])
    lower = torch.arange(logits.shape[-1]) < target[..., None]
    beaten = (logits > wanted) | (lower & (logits == wanted))
    return beaten.flatten(1).any(1).long()


def failing_by_the_package(model, source, target):
    found = margins(model, source, target)
    ties = found == 0
    return torch.where(ties, (model(source, target, 1.0).argmax(-1) != target).any(1), found < 0)


def failing_by_shifting_with_pad(model, source, target):
    logits, _ = model.decoder(F.pad(target[:, :-1], (1, 0)), model.encoder(source))
    return (logits.argmax(-1) - target).count_nonzero(dim=1) > 0


def failing_where_not_all_tokens_are_right(model, source, target):
    return (model(source, target, 1.0).argmax(-1) == target).sum(dim=1) < target.shape[1]


# 5.4 Find the bug: a rate and its measure


def rate_pair_by_pair(task, errors):
    return sum(task.pair_probability(start, length) * (n / 9**task.n_digits) for (start, length), n in errors.items())


def rate_from_two_draws(task, errors):
    rate = 0.0
    for start in range(task.largest_start + 1):
        lengths = range(2, task.n_digits - start + 1)
        shares = [errors.get((start, length), 0) / task.digit_strings for length in lengths]
        rate += sum(shares) / len(shares) / (task.largest_start + 1)
    return rate


def rate_in_fractions(task, errors):
    total = sum(Fraction(n) * Fraction(task.pair_probability(*pair)) for pair, n in errors.items())
    return total / task.digit_strings


def rate_as_a_dot_product(task, errors):
    chances = torch.tensor([task.pair_probability(*pair) for pair in task.pairs], dtype=torch.double)
    shares = torch.tensor([errors.get(pair, 0) for pair in task.pairs], dtype=torch.double) / task.digit_strings
    return chances @ shares


def rate_as_one_minus_the_others(task, errors):
    right = 0
    for pair in task.pairs:
        right += task.pair_probability(*pair) * (1 - errors.get(pair, 0) / task.digit_strings)
    return 1 - right


def rate_from_the_uniform_one(task, errors):
    """All pairs have as many inputs, so an even draw of a pair would give errors / size."""
    weighted = [n * task.pair_probability(*pair) * len(task.pairs) for pair, n in errors.items()]
    return np.sum(weighted) / task.size


# 5.5 Feed the failures back


def loop_with_for(count, train, rounds):
    found, history = [], []
    for left in range(rounds, -1, -1):
        failures = count()
        history.append(len(failures))
        if not failures or left == 0:
            break
        found.extend(failures)
        train(list(found))
    return history


def loop_by_recursion(count, train, rounds, found=()):
    failures = count()
    if not failures or rounds == 0:
        return [len(failures)]
    found = [*found, *failures]
    train(found)
    return [len(failures), *loop_by_recursion(count, train, rounds - 1, found)]


def loop_that_keeps_each_failure_once(count, train, rounds):
    found, history = {}, []
    while True:
        failures = count()
        history += [len(failures)]
        if len(failures) == 0 or len(history) > rounds:
            return tuple(history)
        found |= {tuple(failure): None for failure in failures}
        train([list(failure) for failure in found])


def loop_of_a_generator(count, train, rounds):
    def numbers():
        found = []
        for _ in range(rounds):
            failures = count()
            yield len(failures)
            if not failures:
                return
            found += failures
            train(found)
        yield len(count())

    return list(numbers())


def loop_that_keeps_all_counts(count, train, rounds):
    counts = [count()]
    while counts[-1] and len(counts) - 1 < rounds:
        train([failure for failures in counts for failure in failures])
        counts.append(count())
    return torch.tensor([len(failures) for failures in counts])


def loop_in_tensors(count, train, rounds):
    found, history, failures = torch.empty(0, 6, dtype=torch.long), [], count()
    for _ in range(rounds):
        history.append(len(failures))
        if not failures:
            return history
        found = torch.cat([torch.tensor(failures), found])
        train(found)
        failures = count()
    return [*history, len(failures)]


def loop_that_keeps_a_set(count, train, rounds):
    known, history = set(), [len(failures := count())]
    for _ in range(rounds):
        if not failures:
            break
        known.update(map(tuple, failures))
        train(sorted(known))
        history.append(len(failures := count()))
    return history


def loop_that_counts_the_rounds_down(count, train, rounds):
    failures, found = count(), []
    history = [len(failures)]
    while failures and rounds != 0:
        found = found + failures
        train(found)
        rounds -= 1
        failures = count()
        history.append(len(failures))
    return history


def loop_with_a_last_count(count, train, rounds):
    found, history = [], []
    for _ in range(rounds):
        failures = count()
        history.append(len(failures))
        if not failures:
            break
        found.extend(failures)
        train(found)
    else:
        history.append(len(count()))
    return history


# 5.6 The margin of an input


def margin_place_by_place(logits, target):
    rows = []
    for places, tokens in zip(logits.tolist(), target.tolist(), strict=True):
        leads = [p[token] - max(p[:token] + p[token + 1 :]) for p, token in zip(places, tokens, strict=True)]
        rows.append(min(leads))
    return rows


def margin_by_sorting(logits, target):
    first, second = logits.topk(2, dim=-1).values.unbind(-1)
    right = logits.gather(-1, target.unsqueeze(-1)).squeeze(-1)
    return torch.where(right == first, right - second, right - first).min(dim=1).values


def margin_with_a_mask(logits, target):
    right = F.one_hot(target, logits.shape[-1]).bool()
    return (logits[right].view(target.shape) - logits.masked_fill(right, -1e30).amax(-1)).amin(1)


def margin_in_numpy(logits, target):
    logits, target = logits.double().numpy().copy(), target.numpy()
    row, place = np.indices(target.shape)
    right = logits[row, place, target]
    logits[row, place, target] = -np.inf
    return (right - logits.max(axis=2)).min(axis=1)


def margin_of_log_probabilities(logits, target):
    """The log-softmax subtracts the same from all logits of a place, so differences stay."""
    log_p = logits.log_softmax(-1)
    right = log_p.gather(-1, target[..., None])
    others = log_p - F.one_hot(target, logits.shape[-1]) * 1e9
    return (right - others).amin(dim=(1, 2))


def margin_with_the_least_number(logits, target):
    right = target.unsqueeze(2)
    others = logits.scatter(2, right, torch.finfo(logits.dtype).min)
    return (logits.gather(2, right) - others.amax(2, keepdim=True)).flatten(1).amin(1)


def margin_of_every_wrong_token(logits, target):
    """The least of right minus wrong over all wrong tokens and places: no maximum at all."""
    leads = logits.gather(-1, target[..., None]) - logits
    return torch.stack(
        [row[F.one_hot(tokens, row.shape[-1]) == 0].min() for row, tokens in zip(leads, target, strict=True)]
    )


def margin_with_the_smallest_logit(logits, target):
    """What is no larger than any other logit of its place is never the only largest."""
    right = F.one_hot(target, logits.shape[-1]).bool()
    others = torch.where(right, logits.amin(-1, keepdim=True), logits)
    return (logits[right].view_as(target) - others.amax(-1)).amin(1)


def margin_of_what_is_left(logits, target):
    right = F.one_hot(target, logits.shape[-1]).bool()
    return (logits[right].view_as(target) - logits[~right].view(*target.shape, -1).amax(-1)).amin(1)


# 5.7 All of it, on one page: these stand for networks, which a test would have to train first


SHORT = SubstringTask(6)


def writes_lists(source):
    return [row[2 + row[0] : 2 + row[0] + row[1]] + (4 - row[1]) * [0] for row in source.tolist()]


def writes_in_numpy(source):
    return SHORT.solve(source).numpy()


def writes_short_integers(source):
    return SHORT.solve(source).to(torch.int8)


def writes_token_by_token(source):
    places = [SHORT.solve(source)[:, place : place + 1] for place in range(4)]
    return torch.cat(places, dim=1)


def writes_wrong_now_and_then(source):
    target = SHORT.solve(source)
    return torch.where(source[:, 2:].sum(dim=1, keepdim=True) > 30, target.flip(1), target)


ANSWERS = {
    "5.1": [
        input_by_dividing_again_and_again,
        input_unravelled_by_numpy,
        input_written_in_base_nine,
        input_by_recursion,
        input_from_the_left,
        input_in_tensors,
        input_by_rounding_down,
        input_from_the_package,
    ],
    "5.2": [
        rate_by_newton,
        rate_by_distributions,
        rate_in_decimals,
        rate_by_the_integral,
        rate_with_a_closed_form_for_none,
        rate_by_the_secant,
        rate_by_factorials,
    ],
    "5.3": [
        failing_by_encoder_and_decoder,
        failing_with_names_for_everything,
        failing_in_two_halves,
        failing_in_numpy,
        failing_one_input_at_a_time,
        failing_by_margins_and_the_lower_token,
        failing_by_the_package,
        failing_by_shifting_with_pad,
        failing_where_not_all_tokens_are_right,
    ],
    "5.4": [
        rate_pair_by_pair,
        rate_from_two_draws,
        rate_in_fractions,
        rate_as_a_dot_product,
        rate_as_one_minus_the_others,
        rate_from_the_uniform_one,
    ],
    "5.5": [
        loop_with_for,
        loop_by_recursion,
        loop_that_keeps_each_failure_once,
        loop_of_a_generator,
        loop_that_keeps_all_counts,
        loop_in_tensors,
        loop_that_keeps_a_set,
        loop_that_counts_the_rounds_down,
        loop_with_a_last_count,
    ],
    "5.6": [
        margin_place_by_place,
        margin_by_sorting,
        margin_with_a_mask,
        margin_in_numpy,
        margin_of_log_probabilities,
        margin_of_every_wrong_token,
        margin_with_the_least_number,
        margin_with_the_smallest_logit,
        margin_of_what_is_left,
    ],
    "5.7": [
        writes_lists,
        writes_in_numpy,
        writes_short_integers,
        writes_token_by_token,
        writes_wrong_now_and_then,
    ],
}
