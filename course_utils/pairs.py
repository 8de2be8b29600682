"""An encoder–decoder that takes two tokens a step, with LSTM cells: the network of the recipe `fastest`.

What a small network costs on a CPU is steps and calls, not arithmetic. So this one makes few of them:

- Two embeddings, side by side, are one input, and one state writes two tokens: half as many steps.
- PyTorch hands a whole LSTM layer (Hochreiter & Schmidhuber, 1997) to oneDNN as one piece of work, forward and
  backward; a GRU's steps it takes one by one.

As in `model`, all that the decoder knows of the source is the encoder's final state. Shapes are called as there.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .errors import InputError
from .model import Decoder, Encoder, Seq2Seq, start_tokens

OPEN = 2.0  # added to the forget gates' bias, so that little is forgotten at first (Gers et al., 2000)


class OneStateLSTM(nn.LSTM):
    """An `nn.LSTM` whose two states are one tensor, (L, B, 2H): the hidden state, and behind it the cell's.

    Its forget gates begin open.
    """

    def reset_parameters(self) -> None:
        """PyTorch's own starting weights, but for the forget gates' bias."""
        super().reset_parameters()
        with torch.no_grad():
            for layer in range(self.num_layers):
                _, forget, _, _ = getattr(self, f"bias_hh_l{layer}").chunk(4)
                forget += OPEN

    def forward(self, inputs: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        # Contiguous, because cuDNN refuses them otherwise.
        both = None if state is None else tuple(part.contiguous() for part in state.chunk(2, dim=-1))
        outputs, both = super().forward(inputs, both)
        return outputs, torch.cat(both, dim=-1)


class PairEncoder(Encoder):
    """As `Encoder`, two tokens a step; the state is (L, B, 2H)."""

    def __init__(self, input_dim: int, emb_dim: int, hidden_dim: int, n_layers: int, dropout: float) -> None:
        super().__init__(input_dim, emb_dim, hidden_dim, n_layers, dropout)
        self.rnn = _for_pairs(self.rnn)

    def forward(self, source: Tensor) -> Tensor:
        """source (B, S) -> state (L, B, 2H)."""
        _, state = self.rnn(self.dropout(_side_by_side(self.embedding, source)))
        return state


class PairDecoder(Decoder):
    """As `Decoder`, two tokens a step; the state is (L, B, 2H)."""

    def __init__(self, output_dim: int, emb_dim: int, hidden_dim: int, n_layers: int, dropout: float) -> None:
        super().__init__(output_dim, emb_dim, hidden_dim, n_layers, dropout)
        self.rnn = _for_pairs(self.rnn)
        self.fc_out = nn.Linear(hidden_dim, 2 * output_dim)

    def forward(self, tokens: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """tokens (B, T), state (L, B, 2H) -> logits (B, T, V), state. T is 2 for a single step.

        The logits are those of the two tokens that come after each two.
        """
        outputs, hidden = self.rnn(self.dropout(_side_by_side(self.embedding, tokens)), hidden)  # (B, T / 2, H)
        return self.fc_out(outputs).unflatten(-1, (2, -1)).flatten(1, 2), hidden


class PairSeq2Seq(Seq2Seq):
    """The two together. The decoder starts from two start tokens and the encoder's final state."""

    def forward(
        self,
        source: Tensor,
        target: Tensor,
        teacher_forcing_ratio: float = 1.0,
        coins: Tensor | Sequence[bool] | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """source (B, S), target (B, T), both even -> logits (B, T, V).

        Forced throughout (1), as in training, or not at all (0), as it is looked at. There are no coins.
        """
        if coins is not None or teacher_forcing_ratio not in (0, 1):
            raise InputError("A network in pairs flips no coins: its teacher forcing ratio is 1 or 0.")
        if teacher_forcing_ratio == 0:
            target = self.generate(source, target.shape[1])  # then it reads what it has written itself
        read = torch.cat([_start_pairs(source), target[:, :-2]], dim=1)
        return self.decoder(read, self.encoder(source))[0]

    @torch.no_grad()
    def generate(self, source: Tensor, max_length: int) -> Tensor:
        """Greedy decoding: source (B, S), S even -> tokens (B, max_length)."""
        if max_length < 1:
            raise InputError(f"At least one token must be written, not {max_length}.")
        hidden = self.encoder(source)
        pair = _start_pairs(source)
        pairs = []
        for _ in range(0, max_length, 2):
            logits, hidden = self.decoder(pair, hidden)
            pair = logits.argmax(-1)
            pairs.append(pair)
        return torch.cat(pairs, dim=1)[:, :max_length]


def _for_pairs(gru: nn.GRU) -> OneStateLSTM:
    return OneStateLSTM(2 * gru.input_size, gru.hidden_size, gru.num_layers, dropout=gru.dropout, batch_first=True)


def _side_by_side(embedding: nn.Embedding, tokens: Tensor) -> Tensor:
    """tokens (B, T) -> two embeddings a row, (B, T / 2, 2E)."""
    if tokens.shape[1] % 2:
        raise InputError(f"A network in pairs takes an even number of tokens, not {tokens.shape[1]}.")
    return embedding(tokens).unflatten(1, (-1, 2)).flatten(2)


def _start_pairs(source: Tensor) -> Tensor:
    """What the decoder reads first, (B, 2)."""
    return start_tokens(source).expand(-1, 2)
