"""What the checks of several notebooks try answers on."""

from __future__ import annotations

import torch

from ..model import Decoder, Encoder, Seq2Seq

VOCABULARY = 7  # no size equals another in the probes, so that a confused axis shows


def random_model(seed: int, dropout: float = 0.0) -> Seq2Seq:
    """A tiny model, in training mode, whose weights are large enough for its outputs to vary."""
    sizes = (VOCABULARY, 5, 6, 2, dropout)
    model = Seq2Seq(Encoder(*sizes), Decoder(*sizes))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 1.2, generator=generator)
    return model
