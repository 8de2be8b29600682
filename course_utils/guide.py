"""A guide for the encoder of a deep network: while it learns, one linear layer reads the whole target off its state.

The idea: what its state lacks, the encoder hears from the decoder alone, through up to as many cells as there are
layers and tokens, and as long as the decoder reads badly itself, that says little. The guide's loss says it directly,
to every layer. It is added to the decoder's, times a factor that falls from 1 to 0 in the course of the run. Then the
guide is thrown away: what is left is the network alone.

A kind of deep supervision: Lee et al. (2015), "Deeply-Supervised Nets"; Szegedy et al. (2015), "Going Deeper with
Convolutions", call such layers auxiliary classifiers. Shapes are called as in `model`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .errors import InputError
from .evaluation import token_loss
from .model import Seq2Seq, shift_right


class Guide(nn.Module):
    """The layer that reads a target off a state, and the factor of its loss, which falls along a line in `n_steps`."""

    def __init__(self, n_layers: int, hidden_dim: int, n_tokens: int, vocabulary_size: int, n_steps: int) -> None:
        super().__init__()
        self.n_tokens = n_tokens
        self.n_steps = n_steps
        self.read = nn.Linear(n_layers * hidden_dim, n_tokens * vocabulary_size)
        # A buffer: it lies on the device, where a captured step changes it, and it is saved with a run.
        self.register_buffer("factor", torch.ones(()))

    def forward(self, hidden: Tensor, target: Tensor) -> Tensor:
        """hidden (L, B, H), target (B, T) -> its loss, in nats a token, times the factor. Training calls are steps."""
        logits = self.read(hidden.transpose(0, 1).flatten(1)).unflatten(1, (self.n_tokens, -1))  # (B, T, V)
        loss = self.factor.clone() * token_loss(logits, target)  # a clone, for the factor falls before the way back
        if self.training:
            self.factor.sub_(1 / self.n_steps).clamp_(min=0)
        return loss


class Guided(nn.Module):
    """A network and its guide, to take steps with: called as the network is, for the same logits.

    The guide's loss goes beside them: on the way back from the decoder's loss its gradient is there, too, so that a
    step is the one of their sum. (Of the sum as it is: to scale or divide the decoder's loss leaves the guide's alone.)
    """

    def __init__(self, model: Seq2Seq, guide: Guide) -> None:
        super().__init__()
        self.model = model
        self.guide = guide

    def forward(
        self,
        source: Tensor,
        target: Tensor,
        teacher_forcing_ratio: float = 1.0,
        coins: Tensor | Sequence[bool] | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """source (B, S), target (B, T) -> logits (B, T, V). Forced throughout; there are no coins."""
        if coins is not None or teacher_forcing_ratio != 1:
            raise InputError("A guided network flips no coins: its teacher forcing ratio is 1.")
        hidden = self.model.encoder(source)
        logits, _ = self.model.decoder(shift_right(target), hidden)
        return _Beside.apply(logits, self.guide(hidden, target))


class _Beside(torch.autograd.Function):
    """The logits as they are. On the way back the loss beside them gets the gradient that a loss gets: 1."""

    @staticmethod
    def forward(ctx: object, logits: Tensor, loss: Tensor) -> Tensor:
        return logits.view_as(logits)

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> tuple[Tensor, Tensor]:
        return gradient, gradient.new_ones(())
