"""What the checks of several notebooks try answers on, and what an answer must leave alone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

from ..model import Decoder, Encoder, Seq2Seq
from .trials import WrongAnswer

VOCABULARY = 7  # no size equals another in the probes, so that a confused axis shows


def random_model(seed: int, dropout: float = 0.0) -> Seq2Seq:
    """A tiny model, in training mode, whose weights are large enough for its outputs to vary."""
    sizes = (VOCABULARY, 5, 6, 2, dropout)
    return fill_at_random(Seq2Seq(Encoder(*sizes), Decoder(*sizes)), seed)


def fill_at_random(module: nn.Module, seed: int) -> nn.Module:
    """The module itself, its weights drawn large and all different: zeros and small numbers hide bugs."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, 1.2, generator=generator)
    return module


@contextlib.contextmanager
def left_as_found(model: nn.Module) -> Iterator[None]:
    """An answer that only uses a model must not change it: WrongAnswer says what is not as it was before."""
    before = _condition(model)
    with torch.enable_grad():
        yield
        if not torch.is_grad_enabled():
            raise WrongAnswer("Gradients are left switched off. `with torch.no_grad():` switches them on again.")
    for sentence, found in _condition(model).items():
        if found != before[sentence]:
            raise WrongAnswer(sentence)


def _condition(model: nn.Module) -> dict[str, object]:
    modes = [module.training for module in model.modules()]
    return {
        "The model is not left in the mode, training or evaluation, in which it came.": modes[0],
        "The model is back in its mode, but its parts are not: `model.train(mode)` reaches them all.": modes,
        "The model's parameters no longer ask for gradients.": [p.requires_grad for p in model.parameters()],
        "Gradients are left behind in the model.": [p.grad is None for p in model.parameters()],
        "The model is left with another dropout.": [getattr(part, "p", None) for part in model.modules()],
    }
