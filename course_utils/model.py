"""The GRU encoder–decoder.

Shapes, throughout:
    B  examples in a batch      S  tokens in a source       T  tokens in a target
    V  tokens in the vocabulary E  size of an embedding     H  size of a hidden state
    L  layers
    source (B, S), target (B, T), logits (B, T, V), hidden (L, B, H). Batches come first everywhere except in `hidden`:
    `batch_first=True` does not change the layout of a GRU's state.

Sutskever et al. (2014), "Sequence to Sequence Learning with Neural Networks"; the cell is that of Cho et al. (2014),
in PyTorch's variant, where the reset gate acts after the matrix product.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from .errors import InputError
from .task import START_TOKEN

INITIAL_RANGE = 0.08  # Sutskever et al. (2014), section 3.4


class Encoder(nn.Module):
    """Reads a source, one token after another; its last state is all that the decoder will know of it."""

    def __init__(self, input_dim: int, emb_dim: int, hidden_dim: int, n_layers: int, dropout: float) -> None:
        super().__init__()
        self.hidden_dim = hidden_dim
        self.n_layers = n_layers
        self.embedding = nn.Embedding(input_dim, emb_dim)
        self.rnn = nn.GRU(emb_dim, hidden_dim, n_layers, dropout=_between_layers(dropout, n_layers), batch_first=True)
        self.dropout = nn.Dropout(dropout)

    def forward(self, source: Tensor, lengths: Tensor | Sequence[int] | None = None) -> Tensor:
        """source (B, S) -> hidden (L, B, H).

        With lengths (B,) the state is that after each row's last real token, whatever stands
        in the padding. Lengths are given, not read off the tokens: 0 may be padding, but it
        is also a valid start.
        """
        embedded = self.dropout(self.embedding(source))  # (B, S, E)
        if lengths is not None:
            lengths = torch.as_tensor(lengths)
            _check_lengths(lengths, *source.shape)
            embedded = pack_padded_sequence(
                embedded,
                lengths.cpu(),
                batch_first=True,
                enforce_sorted=False,
            )
        _, hidden = self.rnn(embedded)
        return hidden


class Decoder(nn.Module):
    """Writes a target: given the tokens so far and a state, says what comes next."""

    def __init__(self, output_dim: int, emb_dim: int, hidden_dim: int, n_layers: int, dropout: float) -> None:
        super().__init__()
        self.hidden_dim = hidden_dim
        self.n_layers = n_layers
        self.embedding = nn.Embedding(output_dim, emb_dim)
        self.rnn = nn.GRU(emb_dim, hidden_dim, n_layers, dropout=_between_layers(dropout, n_layers), batch_first=True)
        self.fc_out = nn.Linear(hidden_dim, output_dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """tokens (B, T), hidden (L, B, H) -> logits (B, T, V), hidden (L, B, H). T is 1 for a single step."""
        embedded = self.dropout(self.embedding(tokens))  # (B, T, E)
        outputs, hidden = self.rnn(embedded, hidden)  # (B, T, H)
        return self.fc_out(outputs), hidden


class Seq2Seq(nn.Module):
    """The two together. The decoder starts from the start token and the encoder's final state."""

    def __init__(self, encoder: Encoder, decoder: Decoder) -> None:
        super().__init__()
        if (encoder.n_layers, encoder.hidden_dim) != (decoder.n_layers, decoder.hidden_dim):
            raise InputError(
                f"The encoder's final state ({encoder.n_layers} layers of {encoder.hidden_dim}) must fit the decoder "
                f"({decoder.n_layers} layers of {decoder.hidden_dim}): make them agree, or put a learned bridge "
                "between them, a linear layer from one size to the other."
            )
        self.encoder = encoder
        self.decoder = decoder

    def forward(
        self,
        source: Tensor,
        target: Tensor,
        teacher_forcing_ratio: float = 0.5,
        coins: Tensor | Sequence[bool] | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """source (B, S), target (B, T) -> logits (B, T, V).

        After step t a coin decides what the decoder reads next: the true token t (heads, with probability
        `teacher_forcing_ratio`) or its own best guess (tails). One flip serves the whole batch. Given `coins`, (T,) or
        (B, T) booleans, replace the flips; the last one decides nothing. Williams & Zipser (1989); the coin is the
        scheduled sampling of Bengio et al. (2015) at a fixed rate.
        """
        n_steps = target.shape[1]
        if n_steps < 1:
            raise InputError("A target has at least one token.")
        if not 0 <= teacher_forcing_ratio <= 1:
            raise InputError(f"The teacher forcing ratio is a share from 0 to 1, not {teacher_forcing_ratio}.")
        hidden = self.encoder(source)
        if coins is None and teacher_forcing_ratio == 1:
            # The decoder never reads a guess of its own, so all steps can be one call.
            return self.decoder(shift_right(target), hidden)[0]
        if coins is None:
            coins = flip_coins(n_steps, teacher_forcing_ratio, generator)
        coins = torch.as_tensor(coins)
        if coins.is_floating_point():
            raise InputError("Coins are truth values, not shares: draw them first, as `flip_coins` does.")
        if coins.shape not in [(n_steps,), tuple(target.shape)]:
            raise InputError(f"Coins must have shape ({n_steps},) or {tuple(target.shape)}, not {tuple(coins.shape)}.")
        coins = coins.to(source.device, torch.bool).expand_as(target)
        token = start_tokens(source)
        logits = []
        for step in range(n_steps):
            step_logits, hidden = self.decoder(token, hidden)
            logits.append(step_logits)
            guess = step_logits.argmax(-1)
            token = torch.where(coins[:, step : step + 1], target[:, step : step + 1], guess)
        return torch.cat(logits, dim=1)

    @torch.no_grad()
    def generate(self, source: Tensor, max_length: int) -> Tensor:
        """Greedy decoding: source (B, S) -> tokens (B, max_length), always that many, nothing masked after an end.

        Call `eval()` first: dropout stays on in training mode here as everywhere.
        """
        if max_length < 1:
            raise InputError(f"At least one token must be written, not {max_length}.")
        hidden = self.encoder(source)
        token = start_tokens(source)
        tokens = []
        for _ in range(max_length):
            logits, hidden = self.decoder(token, hidden)
            token = logits.argmax(-1)
            tokens.append(token)
        return torch.cat(tokens, dim=1)


def flip_coins(n_steps: int, teacher_forcing_ratio: float, generator: torch.Generator | None = None) -> Tensor:
    """Booleans (n_steps,) on the CPU: what `Seq2Seq.forward` decides by unless it is given coins."""
    if teacher_forcing_ratio in (0, 1):  # nothing is left to chance, so no random number is taken
        return torch.full((n_steps,), teacher_forcing_ratio == 1)
    return torch.rand(n_steps, generator=generator) < teacher_forcing_ratio


def start_tokens(source: Tensor) -> Tensor:
    """What the decoder reads first, (B, 1)."""
    return torch.full((source.shape[0], 1), START_TOKEN, dtype=torch.long, device=source.device)


def shift_right(target: Tensor) -> Tensor:
    """The decoder's inputs under full teacher forcing: the start token, then all but the last of the target (B, T)."""
    return torch.cat([start_tokens(target), target[:, :-1]], dim=1)


def init_weights(
    model: nn.Module, generator: torch.Generator | None = None, initial_range: float = INITIAL_RANGE
) -> None:
    """Draw every parameter, biases and embeddings too, uniformly from ±initial_range, in place."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(-initial_range, initial_range, generator=generator)


def count_parameters(model: nn.Module) -> int:
    """How many numbers training may change."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def device_of(model: nn.Module) -> torch.device:
    """Where a model's weights are; the CPU for one without any."""
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


def seed_dropout(device: torch.device, seed: int) -> None:
    """Seed what dropout draws from on this device: PyTorch's own generators. Other GPUs' are left alone."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):  # uncovered: only a GPU runs it
            torch.cuda.manual_seed(seed)


def _check_lengths(lengths: Tensor, n_rows: int, width: int) -> None:
    if lengths.is_floating_point() or lengths.shape != (n_rows,) or lengths.min() < 1 or lengths.max() > width:
        raise InputError(f"Lengths must be {n_rows} whole numbers between 1 and the source's width, {width}.")


def _between_layers(dropout: float, n_layers: int) -> float:
    # nn.GRU warns when it is given dropout but has no gap between layers to put it in.
    return dropout if n_layers > 1 else 0.0
