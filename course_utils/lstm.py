"""The same encoder–decoder with LSTM cells (Hochreiter & Schmidhuber, 1997): the network of the recipe `fastest`.

Only the cell is another. On a CPU, PyTorch hands a whole LSTM layer to oneDNN as one piece of work, forward and
backward; a GRU's steps it takes one by one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .model import Decoder, Encoder


class OneStateLSTM(nn.LSTM):
    """An `nn.LSTM` whose two states are one tensor, (L, B, 2H): the hidden state, and behind it the cell's."""

    def forward(self, inputs: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        both = None if state is None else tuple(part.contiguous() for part in state.chunk(2, dim=-1))
        outputs, both = super().forward(inputs, both)
        return outputs, torch.cat(both, dim=-1)


class LSTMEncoder(Encoder):
    """As `Encoder`; the state is (L, B, 2H)."""

    def __init__(self, input_dim: int, emb_dim: int, hidden_dim: int, n_layers: int, dropout: float) -> None:
        super().__init__(input_dim, emb_dim, hidden_dim, n_layers, dropout)
        self.rnn = _in_place_of(self.rnn)


class LSTMDecoder(Decoder):
    """As `Decoder`; the state is (L, B, 2H)."""

    def __init__(self, output_dim: int, emb_dim: int, hidden_dim: int, n_layers: int, dropout: float) -> None:
        super().__init__(output_dim, emb_dim, hidden_dim, n_layers, dropout)
        self.rnn = _in_place_of(self.rnn)


def _in_place_of(gru: nn.GRU) -> OneStateLSTM:
    return OneStateLSTM(gru.input_size, gru.hidden_size, gru.num_layers, dropout=gru.dropout, batch_first=True)
