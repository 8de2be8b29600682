"""The bug museum: what the usual instruments, and the properties, make of each of its exhibits.

`train` and `read` say what the instruments show, `examine` what the properties do. What both said, over seeds, is in
records/museum.json.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn import functional as F

from . import training
from .data import held_out
from .evaluation import exact_match, predict, token_accuracy
from .exhibits import EXHIBITS, Exhibit
from .model import Seq2Seq, seed_dropout
from .networks import build_model
from .properties import Diagnosis, diagnose
from .recipes import SMALL, Recipe
from .task import SubstringTask
from .training import Callback, Run, fit

# Two layers, since some bugs mix them up; a little dropout, since others leave it on.
MUSEUM = dataclasses.replace(SMALL, name="museum", n_layers=2, dropout=0.1)
OPENING = "context-follows-the-state"  # the bug that notebook 6 begins with, where its name would tell too much
EXAMINED = 1025  # examples a network is scored on: one more than a round number, so that the last batch is a small one
TOGETHER = 25  # sources in a batch when the network is in use
EXTRA_TOKENS = 2  # how much longer than these one more source in that batch is
PADDING = -100  # what PyTorch's cross-entropy ignores where nothing else is said


@dataclass(frozen=True)
class Readings:
    """What the usual instruments say of one trained network. All but `in_use` is what the sick course itself reports.

    loss is the mean over the last epoch's steps, in nats per token. `in_use` is the exact match of what `generate`
    writes for sources in a batch with a longer one, padded to its length.
    """

    shapes_fit: bool
    loss: float
    forced_token_accuracy: float
    forced_exact_match: float
    reported_token_accuracy: float
    reported_exact_match: float
    in_use: float


INSTRUMENTS = {  # what people look at, and which reading that is
    "shapes": "shapes_fit",
    "training loss": "loss",
    "forced token accuracy": "forced_token_accuracy",
    "forced exact match": "forced_exact_match",
    "reported token accuracy": "reported_token_accuracy",
    "reported exact match": "reported_exact_match",
    "exact match in use": "in_use",
}
NOTICED_BEYOND = (2, 0.01)  # times the worst healthy network's error, and so much more


@contextmanager
def opened(exhibit: Exhibit | None) -> Iterator[None]:
    """The exhibit's own `open`, or nothing where there is none: the healthy course."""
    if exhibit is None:
        yield
    else:
        with exhibit.open():
            yield


def examine(exhibit: Exhibit | None, seed: int = 0) -> Diagnosis:
    """What the properties say of an untrained network with this bug, and of the functions around it."""
    with opened(exhibit):
        return diagnose(
            build_model(MUSEUM, seed),
            loss=training.token_loss,
            train_step=training.train_step,
            evaluate=training.evaluate,
            padding=PADDING,
        )


def train(exhibit: Exhibit | None, seed: int = 0, recipe: Recipe = MUSEUM, callbacks: Iterable[Callback] = ()) -> Run:
    """A run of the course with this bug."""
    with opened(exhibit):
        return fit(recipe, seed=seed, callbacks=callbacks)


def read(exhibit: Exhibit | None, run: Run) -> Readings:
    """The instruments, after a run with this bug."""
    task = SubstringTask(run.recipe.length)
    source, target = held_out(task, EXAMINED)
    with opened(exhibit), torch.random.fork_rng(devices=[]):
        seed_dropout(run.device, run.seed)  # for what drops at random where nothing should
        forced = predict(run.model, source, target, teacher_forcing_ratio=1.0)
        reported = training.evaluate(run.model, source, target)
        run.model.eval()
        used = torch.cat([decode_in_use(run.model, batch) for batch in source.split(TOGETHER)])
    return Readings(
        shapes_fit=forced.shape == (*target.shape, forced.shape[-1]),
        loss=run.history[-1]["loss"],
        forced_token_accuracy=token_accuracy(forced.argmax(-1), target),
        forced_exact_match=exact_match(forced.argmax(-1), target),
        reported_token_accuracy=reported.token_accuracy,
        reported_exact_match=reported.exact_match,
        in_use=exact_match(used, target),
    )


def decode_in_use(model: Seq2Seq, source: Tensor) -> Tensor:
    """What `generate` writes for source (B, S) in a batch with a longer source, to which all are padded: (B, S - 2)."""
    n_rows, width = source.shape
    longer, _ = held_out(SubstringTask(width + EXTRA_TOKENS), 1, source.device)
    padded = torch.cat([F.pad(source, (0, EXTRA_TOKENS)), longer])
    lengths = torch.tensor([width] * n_rows + [width + EXTRA_TOKENS])
    # `generate` takes no lengths: they are laid on the encoder.
    with patch.object(model.encoder, "forward", functools.partial(model.encoder.forward, lengths=lengths)):
        return model.generate(padded, width - 2)[:n_rows]


def watch(model: Seq2Seq, source: Tensor) -> tuple[Tensor, Tensor]:
    """The model in use, step by step: the tokens (B, T) it writes, and how probable it finds each (B, T, V)."""
    steps = []
    hook = model.decoder.register_forward_hook(lambda _module, _given, outcome: steps.append(outcome[0][:, -1]))
    try:
        tokens = decode_in_use(model.eval(), source)
    finally:
        hook.remove()
    return tokens, torch.stack(steps, dim=1)[: len(source)].softmax(-1)


def spread(readings: list[dict], instrument: str) -> tuple[float, float, float]:
    """An instrument's mean, lowest and highest reading over the seeds of a record."""
    values = [float(one[INSTRUMENTS[instrument]]) for one in readings]
    return sum(values) / len(values), min(values), max(values)


def notices(instrument: str, readings: list[dict], healthy: list[dict]) -> bool:
    """Whether an instrument's error, on the mean over seeds, is clearly above that of the worst healthy network.

    The error is the loss itself, or else what a share lacks to 1. The factor and the margin are NOTICED_BEYOND's.
    """
    factor, margin = NOTICED_BEYOND

    def error(value: float) -> float:
        return value if instrument == "training loss" else 1 - value

    mean, *_ = spread(readings, instrument)
    _, lowest, highest = spread(healthy, instrument)
    return error(mean) > factor * max(error(lowest), error(highest)) + margin


def detections(record: dict) -> dict[str, dict[str, bool]]:
    """Which exhibit is noticed by which detector, by their names: the instruments and, last, the properties."""
    healthy = record["readings"]["healthy"]
    return {
        name: {instrument: notices(instrument, record["readings"][name], healthy) for instrument in INSTRUMENTS}
        | {"properties": bool(record["diagnoses"][name]["failed"])}
        for name in EXHIBITS
    }
