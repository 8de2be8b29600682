"""Margins: how far each input is from being written wrongly. One way for any model, and a faster one for the course's.

Greedy decoding writes the target exactly when, at every place, the right token wins while the decoder reads the target
itself: up to the first error both read the same tokens. So no decoding loop is needed. One whole-sequence call on the
known target gives each input's *margin*, the least by which the right token's logit leads the best other one, over all
places; the input fails where its margin is negative. `margins` is that call, for any model of the package's interface.

For the package's own networks `PrefixTree` computes the same margins faster. Inputs are the leaves of a tree in which
every level is one more digit, and the encoder's state after a shared prefix is computed once. The vocabulary has ten
entries, so embedding and input projection are one table of ten columns.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .certificates import BLOCK_DIGITS
from .errors import InputError
from .evaluation import BATCH_SIZE, predict
from .model import Decoder, Encoder, Seq2Seq, device_of
from .task import N_DIGIT_VALUES, START_TOKEN, VOCABULARY_SIZE, SubstringTask

CHUNK_DIGITS = 3  # how many of a block's digits a CPU decodes in one go: 729 inputs stay in a core's cache


def margins(model: nn.Module, source: Tensor, target: Tensor, batch_size: int = BATCH_SIZE) -> Tensor:
    """Each input's margin, (B,), for source (B, S) and target (B, T), by one whole-sequence call a batch.

    Negative where another token wins somewhere; 0 is a tie, which `argmax` gives to the token with the lower number.
    """
    logits = predict(model, source, target, teacher_forcing_ratio=1.0, batch_size=batch_size)
    return smallest_margin(logits.permute(1, 2, 0), target.T)


def smallest_margin(logits: Tensor, target: Tensor) -> Tensor:
    """The least lead of the right token over the best other one: logits (T, V, B), target (T, B) -> (B,)."""
    right = target[:, None]  # (T, 1, B)
    best_other = logits.scatter(1, right, -torch.inf).amax(1)
    return (logits.gather(1, right)[:, 0] - best_other).amin(0)


class WholeCalls:
    """The margins of a range of inputs, for any model that has `forward(source, target, teacher_forcing_ratio)`.

    `chunk_digits` is the least number of free digits that may be asked for.
    """

    def __init__(self, model: nn.Module, task: SubstringTask) -> None:
        self.model, self.task = model, task
        self.chunk_digits = min(CHUNK_DIGITS, task.n_digits)

    def margins(self, first: int, n_free_digits: int) -> Tensor:
        """The margins (B,) of the inputs numbered `first` and on that share all but their last digits."""
        source = self.task.inputs(first, first + N_DIGIT_VALUES**n_free_digits)
        device = device_of(self.model)
        return margins(self.model, source.to(device), self.task.solve(source).to(device))


class PrefixTree:
    """The same margins for the package's own `Seq2Seq`, with shared prefixes encoded once.

    Here batches come last: a state is (H, B), so that each gate is one contiguous block of rows. Inside a chunk of
    inputs the free digits vary and all else is fixed, so what the decoder reads at a step is one of few *symbols*:
    symbols 0 to 9 are the tokens themselves, symbol 10 + i is the i-th free digit, another token in each column.
    """

    @torch.no_grad()
    def __init__(self, model: Seq2Seq, task: SubstringTask) -> None:
        self.task = task
        device = device_of(model)
        self.chunk_digits = min(CHUNK_DIGITS if device.type == "cpu" else BLOCK_DIGITS, task.n_digits)
        self.encoder = _FoldedGRU(model.encoder.embedding, model.encoder.rnn)
        self.decoder = _FoldedGRU(model.decoder.embedding, model.decoder.rnn)
        self.output = model.decoder.fc_out
        # A chunk grows by a digit at a time, the newest outermost: the first free digit changes from column to column.
        column = torch.arange(N_DIGIT_VALUES**self.chunk_digits, device=device)
        constant = torch.arange(VOCABULARY_SIZE, device=device)[:, None].expand(-1, len(column))
        free = [column // N_DIGIT_VALUES**i % N_DIGIT_VALUES + 1 for i in range(self.chunk_digits)]
        self.tokens = torch.cat([constant, torch.stack(free)])  # (symbols, B)
        table = self.decoder.table
        self.readings = [*table.split(1, dim=1), *(table[:, tokens] for tokens in free)]  # each (3H, 1) or (3H, B)

    @torch.no_grad()
    def margins(self, first: int, n_free_digits: int) -> Tensor:
        """As `WholeCalls.margins`, of inputs that share a beginning: `first` is the first of them.

        Raises InputError where they do not, or where they are fewer than a chunk.
        """
        if n_free_digits < self.chunk_digits or first % N_DIGIT_VALUES**n_free_digits:
            raise InputError(
                f"The {N_DIGIT_VALUES}^{n_free_digits} inputs from {first} on do not make a whole branch, "
                f"of at least {self.chunk_digits} digits."
            )
        prefix = self.task.inputs(first, first + 1)[0, : self.task.length - n_free_digits].tolist()
        states = self.encoder.start()
        for token in prefix:
            states = self.encoder.step(states, self.encoder.table[:, token, None, None])
        return self._below(prefix, states, n_free_digits)

    def _below(self, prefix: list[int], states: list[Tensor], n_free_digits: int) -> Tensor:
        """The margins of all inputs that begin with the prefix, in their order."""
        digits = self.encoder.table[:, 1:, None]  # (3H, 9, 1): every column of the states gets nine children
        if n_free_digits > self.chunk_digits:
            children = zip(*(state.split(1, dim=1) for state in self.encoder.step(states, digits)), strict=True)
            return torch.cat(
                [self._below([*prefix, 1 + i], list(child), n_free_digits - 1) for i, child in enumerate(children)]
            )
        for _ in range(n_free_digits):
            states = self.encoder.step(states, digits)
        margin = self._decode(prefix, states)
        by_digit = margin.view([N_DIGIT_VALUES] * n_free_digits)
        return by_digit.permute(*reversed(range(n_free_digits))).flatten()

    def _decode(self, prefix: list[int], states: list[Tensor]) -> Tensor:
        """The margins of a chunk, (B,): states are (H, B) for each layer."""
        start, length, *digits = prefix
        digits += range(VOCABULARY_SIZE, len(self.tokens))
        target = digits[start : start + length] + [0] * (self.task.n_digits - length)  # in symbols
        logits = []
        for symbol in [START_TOKEN, *target[:-1]]:
            states = self.decoder.step(states, self.readings[symbol][:, None])
            logits.append(torch.addmm(self.output.bias[:, None], self.output.weight, states[-1]))  # (V, B)
        return smallest_margin(torch.stack(logits), self.tokens[target])


class _FoldedGRU:
    """A GRU whose embedding and first input projection are one table (3H, V): a column for each token."""

    def __init__(self, embedding: nn.Embedding, rnn: nn.GRU) -> None:
        def weights(kind: str) -> list[tuple[Tensor, Tensor]]:
            return [
                (getattr(rnn, f"weight_{kind}_l{layer}"), getattr(rnn, f"bias_{kind}_l{layer}")[:, None])
                for layer in range(rnn.num_layers)
            ]

        self.hidden_dim = rnn.hidden_size
        self.from_hidden = weights("hh")
        (weight, bias), *self.from_below = weights("ih")
        self.table = weight @ embedding.weight.T + bias

    def start(self) -> list[Tensor]:
        """The state before anything is read: zeros, (H, 1) for each layer."""
        return [self.table.new_zeros(self.hidden_dim, 1) for _ in self.from_hidden]

    def step(self, states: list[Tensor], read: Tensor) -> list[Tensor]:
        """One step of every column: states (H, B) for each layer, read (3H, D, 1 or B) -> states (H, D * B).

        D is how many tokens each column is continued by; the matrix products with the old states serve all of them.
        """
        new: list[Tensor] = []
        for layer, hidden in enumerate(states):
            weight, bias = self.from_hidden[layer]
            gates = torch.addmm(bias, weight, hidden)[:, None]  # (3H, 1, B)
            if layer > 0:
                weight, bias = self.from_below[layer - 1]
                read = torch.addmm(bias, weight, new[-1]).unflatten(1, (-1, hidden.shape[1]))
            new.append(_gru_cell(gates, read, hidden[:, None]).flatten(1))
        return new


def _gru_cell(gates: Tensor, read: Tensor, hidden: Tensor) -> Tensor:
    """PyTorch's variant of Cho et al. (2014), on whole blocks of rows: reset, update, candidate."""
    n = hidden.shape[0]
    reset, update = (gates[: 2 * n] + read[: 2 * n]).sigmoid_().split(n)
    candidate = torch.addcmul(read[2 * n :], reset, gates[2 * n :]).tanh_()
    return torch.lerp(candidate, hidden, update)


def margins_of_ranges(model: nn.Module, task: SubstringTask) -> PrefixTree | WholeCalls:
    """The fastest way there is to this model's margins."""
    if (type(model), type(getattr(model, "encoder", None)), type(getattr(model, "decoder", None))) == (
        Seq2Seq,
        Encoder,
        Decoder,
    ):
        return PrefixTree(model, task)
    return WholeCalls(model, task)
