"""Counting a model's errors over the whole input space: no sample, no estimate.

Greedy decoding writes the target exactly when, at every place, the right token wins while the decoder reads the target
itself: up to the first error both read the same tokens. So no decoding loop is needed. One whole-sequence call on the
known target gives each input's *margin*, the least by which the right token's logit leads the best other one, over all
places; the input fails where its margin is negative. `margins` is that call, for any model of the package's interface.

For the package's own networks `PrefixTree` computes the same margins faster. Inputs are the leaves of a tree in which
every level is one more digit, and the encoder's state after a shared prefix is computed once. The vocabulary has ten
entries, so embedding and input projection are one table of ten columns.

Floating-point numbers round differently in different orders of the same sum. How much is measured first, on a sample;
inputs whose margin is less than a hundred times that are decided anew, in float64 and step by step.

What was counted is written down as a `Certificate`. Certificates of parts of the input space add up.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import math
import platform
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from functools import reduce
from operator import add
from pathlib import Path
from typing import get_type_hints

import torch
from torch import Tensor, nn

from .data import TEST_SEED, batches
from .errors import InputError
from .evaluation import BATCH_SIZE, predict
from .files import written_whole
from .model import Decoder, Encoder, Seq2Seq, count_parameters, device_of
from .pairs import PairSeq2Seq
from .task import N_DIGIT_VALUES, START_TOKEN, VOCABULARY_SIZE, SubstringTask
from .training import train_step

BLOCK_DIGITS = 5  # inputs are counted in blocks that differ in their last five digits only: 59,049 at a time
CHUNK_DIGITS = 3  # of these, how many a CPU decodes in one go: 729 inputs stay in a core's cache
SAFETY = 100  # a margin counts as settled when it is this many times the largest difference of arithmetic
FAILURES_KEPT = 1000
SECONDS_BETWEEN_SAVES = 20  # of a count: its machine may be taken away
FED_BACK_AT_ONCE = 128  # failures in a batch, and as many fresh examples
FIRST_RATE = 2e-3  # of learning from them
SAMPLE_PER_PAIR = 40  # inputs of each pair on which kinds of arithmetic are compared
ONE_AT_A_TIME = 100  # of them are also tried in batches of one


# --- Margins ----------------------------------------------------------------------------------------------------------


def margins(model: nn.Module, source: Tensor, target: Tensor, batch_size: int = BATCH_SIZE) -> Tensor:
    """Each input's margin, (B,), for source (B, S) and target (B, T), by one whole-sequence call a batch.

    Negative where another token wins somewhere; 0 is a tie, which `argmax` gives to the token with the lower number.
    """
    logits = predict(model, source, target, teacher_forcing_ratio=1.0, batch_size=batch_size)
    return _smallest_margin(logits.permute(1, 2, 0), target.T)


def _smallest_margin(logits: Tensor, target: Tensor) -> Tensor:
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
        return _smallest_margin(torch.stack(logits), self.tokens[target])


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


# --- Certificates -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Piece:
    """Inputs number start … stop - 1, counted by one machine on one day."""

    start: int
    stop: int
    seconds: float
    device: str
    precision: str
    threads: int
    hardware: str
    torch: str
    python: str
    date: str

    def followed_by(self, other: Piece) -> bool:
        """Whether the two are one piece: the same machine went on where it was."""
        return dataclasses.replace(self, start=other.start, stop=other.stop, seconds=other.seconds) == other and (
            self.stop == other.start
        )


@dataclass(frozen=True)
class Certificate:
    """What was counted of a model's errors, and by what. It claims nothing of inputs that no piece has counted.

    `sha256` is that of the checkpoint's file, None for a model counted straight from memory. `tolerance` is the margin
    up to which inputs were decided anew in float64. `arithmetic` holds, for each other way to compute the same sums,
    the largest difference from the margins counted that was found on the sample. `failures` are the first thousand.
    """

    length: int
    sha256: str | None
    parameters: int
    tolerance: float
    arithmetic: dict[str, float]
    pieces: list[Piece] = field(default_factory=list)
    errors_by_pair: dict[tuple[int, int], int] = field(default_factory=dict)
    failures: list[list[int]] = field(default_factory=list)
    recounted: int = 0
    worst_margin: float | None = None
    worst_input: list[int] | None = None

    def __post_init__(self) -> None:
        counted_to = 0
        for piece in self.pieces:
            if not counted_to <= piece.start < piece.stop <= self.task.size:
                raise InputError(
                    f"A certificate's pieces follow one another among the {self.task.size:,} inputs of length "
                    f"{self.length}, but one is {piece.start:,} … {piece.stop:,}, after {counted_to:,} are counted."
                )
            counted_to = piece.stop

    @property
    def task(self) -> SubstringTask:
        """The task whose inputs were counted."""
        return SubstringTask(self.length)

    @property
    def inputs(self) -> int:
        """How many inputs were counted."""
        return sum(piece.stop - piece.start for piece in self.pieces)

    @property
    def errors(self) -> int:
        """How many of the counted inputs are not written exactly."""
        return sum(self.errors_by_pair.values())

    @property
    def complete(self) -> bool:
        """Whether every input of the task was counted."""
        return self.inputs == self.task.size

    @property
    def seconds(self) -> float:
        """The time of counting alone, all pieces together."""
        return sum(piece.seconds for piece in self.pieces)

    @property
    def arithmetic_difference(self) -> float:
        """The largest difference between logits that another way to compute them made."""
        return max(self.arithmetic.values())

    @property
    def exact(self) -> bool:
        """No error on any input, and no margin so small that another order of the sums could change that."""
        return self.complete and self.errors == 0 and self.worst_margin >= SAFETY * self.arithmetic_difference

    @property
    def rate_uniform(self) -> float | None:
        """The share of all inputs that fail; None until all are counted."""
        return self.errors / self.inputs if self.complete else None

    @property
    def rate_under_sampler(self) -> float | None:
        """The chance that an example drawn by `SubstringTask.sample` fails; None until all inputs are counted."""
        if not self.complete:
            return None
        task = self.task
        return sum(task.pair_probability(*pair) * n for pair, n in self.errors_by_pair.items()) / task.digit_strings

    def __add__(self, other: Certificate) -> Certificate:
        """The certificate of both parts; InputError unless they are parts of one count."""
        if other.sha256 != self.sha256:
            raise InputError(
                f"These count different checkpoints, {str(self.sha256)[:8]}… and {str(other.sha256)[:8]}…."
            )
        if other.length != self.length:
            raise InputError(f"These count different tasks, of length {self.length} and of length {other.length}.")
        worst = [each for each in (self, other) if each.worst_margin is not None]
        worst = min(worst, key=lambda each: each.worst_margin, default=self)
        return Certificate(
            length=self.length,
            sha256=self.sha256,
            parameters=self.parameters,
            tolerance=min(self.tolerance, other.tolerance),  # the one that holds for all inputs
            arithmetic=_combined(max, self.arithmetic, other.arithmetic),
            pieces=_joined_up([*self.pieces, *other.pieces]),
            errors_by_pair=_combined(add, self.errors_by_pair, other.errors_by_pair),
            failures=sorted(self.failures + other.failures)[:FAILURES_KEPT],  # in the order that numbers the inputs
            recounted=self.recounted + other.recounted,
            worst_margin=worst.worst_margin,
            worst_input=worst.worst_input,
        )

    def as_dict(self) -> dict:
        """The certificate as plain data, for JSON: what it holds, and the totals that follow from it."""
        return {
            "inputs": self.inputs,
            "errors": self.errors,
            "complete": self.complete,
            "exact": self.exact,
            "rate_uniform": self.rate_uniform,
            "rate_under_sampler": self.rate_under_sampler,
            "worst_margin": self.worst_margin,
            "worst_input": self.worst_input,
            "length": self.length,
            "parameters": self.parameters,
            "sha256": self.sha256,
            "seconds": self.seconds,
            "device": _listed(piece.device for piece in self.pieces),
            "precision": _listed(piece.precision for piece in self.pieces),
            "tolerance": self.tolerance,
            "recounted": self.recounted,
            "arithmetic_difference": self.arithmetic_difference,
            "arithmetic": self.arithmetic,
            "errors_by_pair": {f"{start} {length}": n for (start, length), n in sorted(self.errors_by_pair.items())},
            "failures": self.failures,
            "pieces": [dataclasses.asdict(piece) for piece in self.pieces],
        }


def merge(certificates: Iterable[Certificate]) -> Certificate:
    """One certificate from those of several parts of the input space, counted anywhere and in any order.

    Raises InputError unless there is one, all are of one checkpoint, one length and one precision, and no input was
    counted twice.
    """
    certificates = list(certificates)
    if not certificates:
        raise InputError("There is nothing to merge: give at least one certificate.")
    if any(certificate.sha256 is None for certificate in certificates):
        raise InputError("Only counts of a saved checkpoint can be merged: one of these does not say whose it is.")
    return reduce(add, certificates)


def _combined(function: Callable, one: dict, other: dict) -> dict:
    """The union of two dicts; where both have a key, the function of both values."""
    return {**one, **other, **{key: function(one[key], other[key]) for key in one.keys() & other.keys()}}


def _joined_up(pieces: list[Piece]) -> list[Piece]:
    """The pieces in order, neighbours made one; InputError where they do not belong together."""
    precisions = {piece.precision for piece in pieces}
    if len(precisions) > 1:
        raise InputError(
            f"These are counts in different precisions, {_listed(precisions)}: one says nothing of another."
        )
    joined: list[Piece] = []
    for piece in sorted(pieces, key=lambda piece: piece.start):
        last = joined[-1] if joined else None
        if last is not None and piece.start < last.stop:
            raise InputError(f"The inputs from number {piece.start:,} on are counted twice: leave one count out.")
        if last is not None and last.followed_by(piece):
            joined[-1] = dataclasses.replace(last, stop=piece.stop, seconds=last.seconds + piece.seconds)
        else:
            joined.append(piece)
    return joined


def save_certificate(certificate: Certificate, path: str | Path) -> None:
    """Write it as JSON, whole or not at all: an interrupted write leaves the old file as it was."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as partial:
            partial.write_text(json.dumps(certificate.as_dict(), indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}): name another file.") from error


def load_certificate(path: str | Path, checkpoint: str | Path | None = None) -> Certificate:
    """Read a certificate, and hold it against the checkpoint where one is named.

    Raises InputError for a file that cannot be read, that holds what no count writes, or that is about other weights
    than the checkpoint's.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        values = {each.name: data[each.name] for each in fields(Certificate)}
        values["pieces"] = [Piece(**piece) for piece in data["pieces"]]
        values["errors_by_pair"] = {tuple(map(int, pair.split())): n for pair, n in data["errors_by_pair"].items()}
        certificate = Certificate(**values)
        is_sound = _could_be_counted(certificate) and certificate.as_dict() == data  # with the totals of its parts
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):  # it shows in any of these ways
        is_sound = False
    if not is_sound:
        raise InputError(f"{path} is no certificate of this course, or was damaged or changed.")
    if checkpoint is not None and certificate.sha256 != sha256_of(checkpoint):
        raise InputError(f"{path} is about other weights than those of {checkpoint}.")
    return certificate


def _could_be_counted(certificate: Certificate) -> bool:
    """Whether a count can have written these values; those of a wrong type may raise ValueError or TypeError instead.

    That the pieces follow one another inside the task, every certificate has made sure of.
    """
    task, pieces = certificate.task, certificate.pieces
    counts = [certificate.parameters, certificate.recounted, *certificate.errors_by_pair.values()]
    counts += [piece.threads for piece in pieces]
    measured = [certificate.tolerance, *certificate.arithmetic.values(), *(piece.seconds for piece in pieces)]
    return (
        all(type(getattr(piece, name)) is kind for piece in pieces for name, kind in get_type_hints(Piece).items())
        and all(piece.start % _block_size(task) == piece.stop % _block_size(task) == 0 for piece in pieces)
        and all(type(count) is int and count >= 0 for count in counts)
        and all(0 <= number < math.inf for number in measured)
        and isinstance(certificate.sha256, str | None)
        and certificate.errors_by_pair.keys() <= set(task.pairs)
        and certificate.errors <= certificate.inputs
        and len(certificate.failures) <= min(certificate.errors, FAILURES_KEPT)
        and (
            math.isfinite(certificate.worst_margin)
            and task.validate([*certificate.failures, certificate.worst_input]).dim() == 2
            if pieces
            else certificate.worst_margin is None and certificate.worst_input is None
        )
    )


def sha256_of(checkpoint: str | Path) -> str:
    """The SHA-256 of a file, as `sha256sum` prints it."""
    try:
        return hashlib.sha256(Path(checkpoint).read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"{checkpoint} cannot be read ({error.strerror}).") from error


def _listed(values: Iterable[str]) -> str:
    return ", ".join(sorted(set(values)))


# --- Counting ---------------------------------------------------------------------------------------------------------


@contextmanager
def _one_precision() -> Iterator[None]:
    """Inside, float32 products are as precise as a piece says: a GPU's all as its matrix products, a CPU's in full.

    Of its own accord cuDNN rounds to TF32, and a CPU's library as far as matrix products may.
    """
    as_products = "tf32" if _products_are_rounded() else "ieee"
    gpu, cpu = torch.backends.cudnn, torch.backends.mkldnn
    inside = {gpu.rnn: as_products, gpu.conv: as_products, cpu.matmul: "ieee", cpu.rnn: "ieee", cpu.conv: "ieee"}
    before = {switch: switch.fp32_precision for switch in inside}
    try:
        for switch, precision in inside.items():
            switch.fp32_precision = precision
        yield
    finally:
        for switch, precision in before.items():
            switch.fp32_precision = precision


def _products_are_rounded() -> bool:
    """Whether PyTorch may round to TF32 what a GPU's float32 matrix products multiply."""
    return torch.backends.cuda.matmul.fp32_precision == "tf32"


@_one_precision()
def count_errors(
    model: nn.Module,
    task: SubstringTask | None = None,
    *,
    shard: tuple[int, int] = (1, 1),
    so_far: Certificate | None = None,
    sha256: str | None = None,
    on_block: Callable[[Certificate, int], None] = lambda certificate, n_inputs: None,
) -> Certificate:
    """Count a model's errors over every input of the task, or over one shard of them: (i, n) is the i-th of n.

    so_far: an earlier certificate of the same checkpoint; what it has counted is not counted again.
    sha256: that of the model's checkpoint, to be written down.
    on_block: called after each block, with the certificate so far and the number of inputs in the block.
    Every certificate that `on_block` gets is whole: after an interrupt, a count goes on from the last one as `so_far`.
    """
    task = task or SubstringTask()
    _check_model(model)
    block_size = _block_size(task)
    engine = margins_of_ranges(model, task)
    arithmetic = _differences_of_arithmetic(model, task, engine)
    tolerance = SAFETY * max(arithmetic.values())
    nothing = Certificate(task.length, sha256, count_parameters(model), tolerance, arithmetic)
    certificate = nothing if so_far is None else so_far + nothing
    machine, judge = _machine(model), copy.deepcopy(model).double()
    for start, stop in still_to_count(task, shard, certificate.pieces):
        for first in range(start, stop, block_size):
            began = time.perf_counter()
            margin = engine.margins(first, min(BLOCK_DIGITS, task.n_digits)).cpu()
            right, n_recounted = _decide(judge, task, first, margin, tolerance)
            failing, worst = (~right).nonzero()[:FAILURES_KEPT, 0], margin.argmin()
            source = task.inputs(first, first + block_size)
            seconds, today = time.perf_counter() - began, datetime.now(UTC).date().isoformat()
            certificate += dataclasses.replace(
                nothing,
                errors_by_pair={task.pairs[first // task.digit_strings]: int((~right).sum())},
                failures=source[failing].tolist(),
                recounted=n_recounted,
                worst_margin=margin[worst].item(),
                worst_input=source[worst].tolist(),
                pieces=[Piece(first, first + block_size, seconds, **machine, date=today)],
            )
            on_block(certificate, block_size)
    return certificate


def count_into(
    path: str | Path,
    model: nn.Module,
    task: SubstringTask,
    *,
    shard: tuple[int, int],
    so_far: Certificate | None,
    sha256: str,
    on_block: Callable[[Certificate, int], None],
) -> Certificate:
    """As `count_errors`, with the certificate saved at the path now and then, and whatever ends the count."""
    kept, saved_at = so_far, time.monotonic()

    def keep(certificate: Certificate, n_inputs: int) -> None:
        nonlocal kept, saved_at
        kept = certificate
        if time.monotonic() - saved_at > SECONDS_BETWEEN_SAVES:
            save_certificate(kept, path)
            saved_at = time.monotonic()
        on_block(certificate, n_inputs)

    try:
        kept = count_errors(model, task, shard=shard, so_far=so_far, sha256=sha256, on_block=keep)
        save_certificate(kept, path)
    except BaseException:  # an interrupt, too, and one that comes while it is saved
        if kept is not None:
            save_certificate(kept, path)
        raise
    return kept


def _block_size(task: SubstringTask) -> int:
    """How many inputs are counted in one go."""
    return N_DIGIT_VALUES ** min(BLOCK_DIGITS, task.n_digits)


def still_to_count(task: SubstringTask, shard: tuple[int, int], pieces: Iterable[Piece]) -> list[tuple[int, int]]:
    """The ranges start … stop - 1 of a shard's inputs that are in none of a certificate's pieces.

    Raises InputError for a shard that does not exist.
    """
    block_size = _block_size(task)
    n_blocks = task.size // block_size
    number, n_shards = shard
    if not 1 <= number <= n_shards <= n_blocks:
        raise InputError(
            f"There is no shard {number}/{n_shards}: i/n is the i-th of n shards, and n is at most {n_blocks:,} "
            f"for length {task.length}."
        )
    position, end = ((each * n_blocks // n_shards) * block_size for each in (number - 1, number))
    ranges = []
    for piece in pieces:
        if position < min(piece.start, end):
            ranges.append((position, min(piece.start, end)))
        position = max(position, piece.stop)
    return ranges + ([(position, end)] if position < end else [])


def margins_of_ranges(model: nn.Module, task: SubstringTask) -> PrefixTree | WholeCalls:
    """The fastest way there is to this model's margins."""
    if (type(model), type(getattr(model, "encoder", None)), type(getattr(model, "decoder", None))) == (
        Seq2Seq,
        Encoder,
        Decoder,
    ):
        return PrefixTree(model, task)
    return WholeCalls(model, task)


def _decide(judge: nn.Module, task: SubstringTask, first: int, margin: Tensor, tolerance: float) -> tuple[Tensor, int]:
    """Which inputs of a block are right, (B,), and how many of them were too close to call.

    Those are decided by the float64 model, which writes one token after another; their margins become its, in place.
    """
    right = margin > 0
    (close,) = (~(margin.abs() > tolerance)).nonzero(as_tuple=True)
    if len(close):
        source = task.inputs(first, first + len(margin))[close]
        target = task.solve(source)
        source, target = source.to(device_of(judge)), target.to(device_of(judge))
        output = predict(judge, source, target, teacher_forcing_ratio=0.0).argmax(-1)
        right[close] = (output == target).all(dim=1).cpu()
        margin[close] = margins(judge, source, target).to(margin)
    return right, len(close)


def _differences_of_arithmetic(
    model: nn.Module, task: SubstringTask, engine: PrefixTree | WholeCalls
) -> dict[str, float]:
    """How far the engine's margins lie from those of the same sums in other orders, on some inputs of each pair."""
    generator = torch.Generator().manual_seed(TEST_SEED)
    size = N_DIGIT_VALUES**engine.chunk_digits
    source, counted = [], []
    for first in range(0, task.size, task.digit_strings):
        first += size * int(torch.randint(task.digit_strings // size, (), generator=generator))
        chosen = torch.randperm(size, generator=generator)[:SAMPLE_PER_PAIR]
        source.append(task.inputs(first, first + size)[chosen])
        counted.append(engine.margins(first, engine.chunk_digits).cpu()[chosen])
    source, counted = torch.cat(source), torch.cat(counted)
    target = task.solve(source)
    device = device_of(model)
    here = source.to(device), target.to(device)
    some = slice(None, None, -(-len(source) // ONE_AT_A_TIME))
    written = predict(model, *here, teacher_forcing_ratio=0.0).permute(1, 2, 0).cpu()
    right = (written.argmax(1) == target.T).all(dim=0)  # after an error it reads other tokens, which is no rounding
    found = {
        "whole-sequence calls": margins(model, *here).cpu() - counted,
        "one input at a time": margins(model, here[0][some], here[1][some], batch_size=1).cpu() - counted[some],
        "one step at a time": (_smallest_margin(written, target.T) - counted)[right],
        "float64": margins(copy.deepcopy(model).double(), *here).cpu() - counted,
    }
    if device.type != "cpu":
        found["cpu"] = margins(copy.deepcopy(model).cpu(), source, target) - counted  # uncovered: only a GPU runs it
    return {way: difference.abs().max().item() for way, difference in found.items() if len(difference)}


def _check_model(model: nn.Module) -> None:
    for name, parameter in model.named_parameters():
        if not parameter.isfinite().all():
            raise InputError(f"The weights {name} are not all finite numbers, so there is nothing to count.")
    if isinstance(model, Seq2Seq):
        sizes = (model.encoder.embedding.num_embeddings, model.decoder.embedding.num_embeddings)
        sizes += (model.decoder.fc_out.out_features // (2 if isinstance(model, PairSeq2Seq) else 1),)
        if sizes != (VOCABULARY_SIZE,) * 3:
            raise InputError(
                f"The task has {VOCABULARY_SIZE} tokens, but this model reads {sizes[0]} and {sizes[1]} "
                f"and writes {sizes[2]}: it was made for another vocabulary."
            )


def _machine(model: nn.Module) -> dict[str, object]:
    """What a piece says of who counted it."""
    device = device_of(model)
    dtype = next((parameter.dtype for parameter in model.parameters()), torch.float32)
    precision = str(dtype).removeprefix("torch.")
    # GPUs before the Ampere generation have no TF32: allowed or not, they multiply in float32.
    has_tf32 = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
    if has_tf32 and dtype == torch.float32 and _products_are_rounded():
        precision += " with TF32 products"  # uncovered: only a GPU runs it
    return {
        "device": device.type,
        "precision": precision,
        "threads": torch.get_num_threads(),
        "hardware": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def _processor() -> str:
    """The processor's name, as far as the system tells it."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text(encoding="utf-8").splitlines() if information.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


# --- Learning from what was counted -----------------------------------------------------------------------------------


def feed_back(model: Seq2Seq, task: SubstringTask, failures: list[list[int]], *, steps: int, seed: int) -> None:
    """Go on training a model: half of every batch are fresh examples, half are drawn from inputs that it failed on.

    Fresh examples alone would hardly contain what is left to learn; failures alone would make it forget the rest.
    The rate falls to 0. Of the fresh ones, long substrings are drawn more often.
    """
    if not failures:
        raise InputError("There are no failures to learn from.")
    generator = torch.Generator().manual_seed(seed)
    failing = task.validate(failures)
    optimizer = torch.optim.Adam(model.parameters(), lr=FIRST_RATE)
    falling = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, end_factor=0.0, total_iters=steps)
    for fresh, _ in batches(task, FED_BACK_AT_ONCE, steps, generator, length_weight=1.0):
        again = failing[torch.randint(len(failing), (FED_BACK_AT_ONCE,), generator=generator)]
        source = torch.cat([fresh, again])
        train_step(model, optimizer, source.to(device_of(model)), task.solve(source).to(device_of(model)))
        falling.step()


def train_to_zero(model: Seq2Seq, task: SubstringTask, *, rounds: int = 20, steps: int = 300) -> list[Certificate]:
    """Count, feed the failures back, count again, until none is left or the rounds are over: every count, in order.

    The failures of every count so far are fed back, as far as its certificate keeps them: its first thousand. Those of
    the last count alone would let the earlier ones be forgotten. `steps` are those of each round; its number is their
    seed.
    """
    certificates = [count_errors(model, task)]
    while certificates[-1].errors and len(certificates) <= rounds:
        found = [failure for certificate in certificates for failure in certificate.failures]
        feed_back(model, task, found, steps=steps, seed=len(certificates))
        certificates.append(count_errors(model, task))
    return certificates
