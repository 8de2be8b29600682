"""What was counted of a model's errors, and by what: certificates, which add up, and their files.

Each holds the pieces of the input space that were counted. Those of several parts, counted anywhere, make one.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from functools import reduce
from operator import add
from pathlib import Path
from typing import get_type_hints

from .errors import InputError
from .files import written_whole
from .task import N_DIGIT_VALUES, SubstringTask

BLOCK_DIGITS = 5  # inputs are counted in blocks that differ in their last five digits only: 59,049 at a time
SAFETY = 100  # a margin counts as settled when it is this many times the largest difference of arithmetic
FAILURES_KEPT = 1000


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
    block_size = N_DIGIT_VALUES ** block_digits(task)
    counts = [certificate.parameters, certificate.recounted, *certificate.errors_by_pair.values()]
    counts += [piece.threads for piece in pieces]
    measured = [certificate.tolerance, *certificate.arithmetic.values(), *(piece.seconds for piece in pieces)]
    return (
        all(type(getattr(piece, name)) is kind for piece in pieces for name, kind in get_type_hints(Piece).items())
        and all(piece.start % block_size == piece.stop % block_size == 0 for piece in pieces)
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


def block_digits(task: SubstringTask) -> int:
    """How many last digits the inputs of a block, which are counted in one go, differ in."""
    return min(BLOCK_DIGITS, task.n_digits)


def still_to_count(task: SubstringTask, shard: tuple[int, int], pieces: Iterable[Piece]) -> list[tuple[int, int]]:
    """The ranges start … stop - 1 of a shard's inputs that are in none of a certificate's pieces.

    Raises InputError for a shard that does not exist.
    """
    block_size = N_DIGIT_VALUES ** block_digits(task)
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


def sha256_of(checkpoint: str | Path) -> str:
    """The SHA-256 of a file, as `sha256sum` prints it."""
    try:
        return hashlib.sha256(Path(checkpoint).read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"{checkpoint} cannot be read ({error.strerror}).") from error


def _listed(values: Iterable[str]) -> str:
    return ", ".join(sorted(set(values)))
