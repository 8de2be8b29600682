"""How good is a model? Every measure here is taken over all examples at once: no mean of batch means.

The logits scored are those of free running, where the decoder reads its own guesses, unless forcing is asked for.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.distributions import Binomial
from torch.nn import functional as F

from .errors import InputError
from .task import END_TOKEN

BATCH_SIZE = 1000  # large enough for full speed on a CPU, small enough for any memory
DOUBT = 0.05  # how often an upper bound may be too low
HALVINGS = 60  # of the interval from 0 to 1: beyond what a float64 can tell apart


@dataclass(frozen=True)
class Scores:
    """What `evaluate` measures. Loss in nats a token; the accuracies are shares between 0 and 1."""

    examples: int
    loss: float
    perplexity: float
    token_accuracy: float
    exact_match: float
    accuracy_by_position: list[float]  # one for each target position
    exact_match_by_pair: dict[tuple[int, int], float]  # for each (start, length) that occurs


def token_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Mean cross-entropy over all tokens, in nats: logits (B, T, V), target (B, T) -> scalar.

    Zeros are targets too: the model must learn to stop.
    """
    return F.cross_entropy(logits.flatten(0, 1), target.flatten())


def perplexity(loss: float) -> float:
    """exp(loss), the number of equally likely tokens a model is as unsure as; infinite beyond what a float can hold."""
    try:
        return math.exp(loss)
    except OverflowError:
        return math.inf


def token_accuracy(output: Tensor, target: Tensor) -> float:
    """The share of tokens that are right: output and target (B, T)."""
    return (output == target).double().mean().item()


def exact_match(output: Tensor, target: Tensor) -> float:
    """The share of examples whose every token is right: output and target (B, T)."""
    return (output == target).all(dim=1).double().mean().item()


def before_end(tokens: Tensor) -> list[list[int]]:
    """What each row of (B, T) says: the tokens before its first end token, or all of them where there is none."""
    return [row[: row.index(END_TOKEN)] if END_TOKEN in row else row for row in tokens.tolist()]


def accuracy_after_first_error(output: Tensor, reference: Tensor, target: Tensor) -> float:
    """The share of `output`'s tokens that are right, counting only places after the first error of `reference`.

    All are (B, T). Comparing a forced and a free-running output needs the same places for both: `reference` names them.
    Returns nan where nothing comes after any error.
    """
    wrong = reference != target
    after = (wrong.cumsum(dim=1) - wrong.long()) > 0
    if not after.any():
        return math.nan
    return (output == target)[after].double().mean().item()


def highest_rate(errors: int, examples: int) -> float:
    """An upper bound of an error rate: the highest at which so few errors, or fewer, still have a chance of 5 %.

    The exact one-sided bound of Clopper & Pearson (1934); without an error it is about 3 / examples. It is too low for
    at most one test set in twenty. The examples must be drawn independently, and the rate is that under their measure.
    Raises InputError unless 0 <= errors <= examples and there is an example.
    """
    if not 0 <= errors <= examples or examples == 0:
        raise InputError(f"{errors} errors among {examples} examples: there must be examples, and no more errors.")
    if errors == examples:
        return 1.0
    as_few = torch.arange(errors + 1, dtype=torch.double)
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        rate = (low + high) / 2
        chance = Binomial(*torch.tensor([examples, rate], dtype=torch.double)).log_prob(as_few).exp().sum()
        low, high = (rate, high) if chance > DOUBT else (low, rate)
    return low


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Dropout off and no gradients inside; each part's mode is put back afterwards."""
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, training in modes:
            part.training = training


def predict(
    model: nn.Module,
    source: Tensor,
    target: Tensor,
    teacher_forcing_ratio: float = 0.0,
    batch_size: int = BATCH_SIZE,
) -> Tensor:
    """The model's logits (N, T, V) for source (N, S), in batches, without dropout. At ratio 0 no target is read."""
    if len(source) != len(target):
        raise InputError(f"There are {len(source)} sources but {len(target)} targets.")
    if len(source) == 0:
        raise InputError("There are no examples to evaluate: ask for at least one.")
    if batch_size < 1:
        raise InputError(f"A batch has at least one example, not {batch_size}.")
    with evaluating(model):
        logits = [
            model(source_batch, target_batch, teacher_forcing_ratio)
            for source_batch, target_batch in zip(source.split(batch_size), target.split(batch_size), strict=True)
        ]
    return torch.cat(logits)


def evaluate(model: nn.Module, source: Tensor, target: Tensor, batch_size: int = BATCH_SIZE) -> Scores:
    """Score a model in free running on source (N, S) and target (N, T)."""
    logits = predict(model, source, target, batch_size=batch_size)
    return score(logits, source, target)


def score(logits: Tensor, source: Tensor, target: Tensor) -> Scores:
    """The measures of logits (N, T, V) against target (N, T)."""
    output = logits.argmax(-1)
    loss = token_loss(logits.double(), target).item()
    right = output == target
    exact = right.all(dim=1)
    by_pair: dict[tuple[int, int], float] = {}
    pairs, pair_of = source[:, :2].unique(dim=0, return_inverse=True)
    for number, (start, length) in enumerate(pairs.tolist()):
        by_pair[start, length] = exact[pair_of == number].double().mean().item()
    return Scores(
        examples=len(source),
        loss=loss,
        perplexity=perplexity(loss),
        token_accuracy=token_accuracy(output, target),
        exact_match=exact_match(output, target),
        accuracy_by_position=right.double().mean(dim=0).tolist(),
        exact_match_by_pair=by_pair,
    )


@dataclass(frozen=True)
class Mistake:
    """One wrong output, as plain lists of tokens, and the kind of mistake it is."""

    source: list[int]
    output: list[int]
    target: list[int]
    kind: str


def mistakes(source: Tensor, output: Tensor, target: Tensor) -> list[Mistake]:
    """Every wrong output, in the order given: source (N, S), output and target (N, T)."""
    wrong = (output != target).any(dim=1)
    rows = zip(source[wrong].tolist(), output[wrong].tolist(), target[wrong].tolist(), strict=True)
    return [Mistake(s, o, t, kind_of_mistake(s, o, t)) for s, o, t in rows]


def kind_of_mistake(source: list[int], output: list[int], target: list[int]) -> str:
    """Name what went wrong, from the outside in: the length, then the place, then the order, then single digits."""
    length = source[1]
    digits = source[2:]
    written = output.index(0) if 0 in output else len(output)
    if written < length:
        return "stopped too early"
    if written > length or any(output[length:]):
        return "stopped too late"
    copied = output[:length]
    if any(digits[start : start + length] == copied for start in range(len(digits) - length + 1)):
        return "copied from the wrong place"
    if Counter(copied) == Counter(target[:length]):
        return "right digits, wrong order"
    n_wrong = sum(a != b for a, b in zip(copied, target, strict=False))
    return "one wrong digit" if n_wrong == 1 else "several wrong digits"


def table_of_mistakes(found: list[Mistake], limit: int = 10) -> str:
    """A readable table: how many of each kind, then `limit` of them, some of each kind, the commonest first."""
    if not found:
        return "No mistakes."
    counts = Counter(mistake.kind for mistake in found)
    kinds = [kind for kind, _ in counts.most_common()]
    width = max(map(len, kinds))
    lines = [f"{kind:<{width}}  {counts[kind]:>6,}" for kind in kinds]
    rows = [("source", "output", "target", "kind")]
    for mistake in _some_of_each(found, kinds, limit):
        tokens = (" ".join(map(str, row)) for row in (mistake.source, mistake.output, mistake.target))
        rows.append((*tokens, mistake.kind))
    *widths, _ = (max(map(len, column)) for column in zip(*rows, strict=True))
    lines += ["", *("  ".join([*map(str.ljust, row, widths), row[-1]]) for row in rows)]
    return "\n".join(lines)


def _some_of_each(found: list[Mistake], kinds: list[str], limit: int) -> list[Mistake]:
    """The first of each kind, then the second of each, and so on, up to the limit; in the order of the kinds."""
    n_before: Counter[str] = Counter()
    turns = []
    for mistake in found:
        turns.append((n_before[mistake.kind], kinds.index(mistake.kind), mistake))
        n_before[mistake.kind] += 1
    chosen = sorted(turns, key=lambda turn: turn[:2])[:limit]
    return [mistake for _, _, mistake in sorted(chosen, key=lambda turn: turn[1])]
