"""The task: read `start, length, digits…`, write the substring, padded with zeros.

Everything here is exact. The input space is finite, so it can be solved, sampled, counted and numbered.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from .errors import InputError

VOCABULARY_SIZE = 10  # the ten decimal digits, in the source and in the target
START_TOKEN = 0  # what the decoder reads before it has written anything
END_TOKEN = 0  # the first 0 of a target says that the substring is over
SHORTEST_SUBSTRING = 2
LARGEST_START = 5
N_DIGIT_VALUES = 9  # 1 to 9: a zero among the digits could not be told from padding
EVERY_COUNT_DIVIDES = 840  # the least common multiple of 1 … 8


@dataclass(frozen=True)
class SubstringTask:
    """Copy a substring. `length` counts the source tokens: start, length and `length - 2` digits.

    Raises InputError unless 4 <= length <= 11; beyond 11 the substring's length would need two digits.
    """

    length: int = 10

    def __post_init__(self) -> None:
        if not isinstance(self.length, int) or not 4 <= self.length <= 11:
            raise InputError(f"The task's length must be a whole number from 4 to 11, not {self.length!r}.")

    @property
    def n_digits(self) -> int:
        """How many digits follow start and length; also how many tokens the target has."""
        return self.length - 2

    @property
    def largest_start(self) -> int:
        """The last start behind which the shortest substring fits, and never above 5."""
        return min(LARGEST_START, self.n_digits - SHORTEST_SUBSTRING)

    @cached_property
    def pairs(self) -> list[tuple[int, int]]:
        """Every valid (start, length), in the order that numbers the inputs."""
        return [
            (start, length)
            for start in range(self.largest_start + 1)
            for length in range(SHORTEST_SUBSTRING, self.n_digits - start + 1)
        ]

    @property
    def digit_strings(self) -> int:
        """How many digit strings there are: 9 to the power of their number."""
        return N_DIGIT_VALUES**self.n_digits

    @property
    def size(self) -> int:
        """How many inputs there are in all: 3**19 for the default length."""
        return len(self.pairs) * self.digit_strings

    def pair_probability(self, start: int, length: int) -> float:
        """The chance that `sample` draws this pair: start first, then length among what is left."""
        if (start, length) not in self.pairs:
            raise InputError(self._impossible_pair(start, length))
        n_lengths = self.n_digits - start - SHORTEST_SUBSTRING + 1
        return 1 / (self.largest_start + 1) / n_lengths

    def solve(self, source: Tensor | list) -> Tensor:
        """The target of each source.

        source: (..., S) whole numbers, a tensor or nested lists. Returns (..., T) int64, T = S - 2.
        Raises InputError, in one sentence, for anything that is not an input of this task.
        """
        return self.solve_unchecked(self.validate(source))

    def solve_unchecked(self, source: Tensor) -> Tensor:
        """As `solve`, for rows that are known to be inputs: to look at them would make a GPU wait."""
        start, length, digits = source[..., :1], source[..., 1:2], source[..., 2:]
        place = torch.arange(self.n_digits, device=source.device)
        taken = (start + place).clamp(max=self.n_digits - 1).expand_as(digits)
        return digits.gather(-1, taken) * (place < length)

    def sample(
        self, n: int, generator: torch.Generator | None = None, device: torch.device | str | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw n examples independently, as the original experiment does: source (n, S), target (n, T), int64.

        The numbers are drawn on `device` (the generator's where none is named), and never leave it.
        """
        if n < 0:
            raise InputError(f"The number of examples must not be negative, but is {n}.")
        if device is None:
            device = generator.device if generator is not None else torch.device("cpu")
        if generator is not None and generator.device.type != torch.device(device).type:
            raise InputError(
                f"The generator lives on {generator.device} but the examples are wanted on {device}: "
                f"make it with torch.Generator({str(device)!r})."
            )

        def draw(low: int, high: int, shape: tuple[int, ...]) -> Tensor:
            return torch.randint(low, high, shape, generator=generator, device=device)

        start = draw(0, self.largest_start + 1, (n, 1))
        n_lengths = self.n_digits - start - SHORTEST_SUBSTRING + 1
        # The number of lengths differs from row to row but always divides 840: the remainder is as uniform as the draw.
        length = SHORTEST_SUBSTRING + draw(0, EVERY_COUNT_DIVIDES, (n, 1)) % n_lengths
        digits = draw(1, N_DIGIT_VALUES + 1, (n, self.n_digits))
        source = torch.cat([start, length, digits], dim=1)
        return source, self.solve_unchecked(source)

    def inputs(self, start: int, stop: int) -> Tensor:
        """The inputs numbered start … stop - 1, (stop - start, S) int64: pair by pair, digits counting in base 9."""
        if not 0 <= start <= stop <= self.size:
            raise InputError(f"Inputs are numbered 0 to {self.size - 1:,}: no range goes from {start:,} to {stop:,}.")
        index = torch.arange(start, stop)
        pairs = torch.tensor(self.pairs)[index // self.digit_strings]
        digits = index[:, None] // self._place_values % N_DIGIT_VALUES + 1
        return torch.cat([pairs, digits], dim=1)

    def index(self, source: Tensor | list) -> Tensor:
        """The number of each input, the inverse of `inputs`: source (..., S), returns (...) int64."""
        source = self.validate(source).cpu()
        numbers = torch.zeros(self.largest_start + 1, self.n_digits + 1, dtype=torch.long)
        for number, (start, length) in enumerate(self.pairs):
            numbers[start, length] = number
        pair_number = numbers[source[..., 0], source[..., 1]]
        return pair_number * self.digit_strings + ((source[..., 2:] - 1) * self._place_values).sum(-1)

    def validate(self, source: Tensor | list) -> Tensor:
        """The source as an int64 tensor; InputError, with the first thing that is wrong, unless all rows are inputs."""
        try:
            source = torch.as_tensor(source)
        except (TypeError, ValueError, RuntimeError) as error:  # text, rows of several lengths, numbers beyond int64
            raise InputError("A source holds whole numbers, in rows of the same length.") from error
        if source.dim() == 0 or source.shape[-1] != self.length:
            found = source.shape[-1] if source.dim() else "no row at all"
            raise InputError(
                f"A source has {self.length} numbers (start, length, {self.n_digits} digits), but this one has {found}."
            )
        if source.is_floating_point() or source.is_complex() or source.dtype == torch.bool:
            raise InputError(f"A source holds whole numbers, but this one is {source.dtype}.")
        rows = source.reshape(-1, self.length).long().cpu()
        start, length, digits = rows[:, 0], rows[:, 1], rows[:, 2:]
        possible = (start >= 0) & (start <= self.largest_start)
        possible &= (length >= SHORTEST_SUBSTRING) & (length <= self.n_digits - start)
        if not possible.all():
            wrong = int((~possible).nonzero()[0])
            raise InputError(self._impossible_pair(int(start[wrong]), int(length[wrong])))
        in_range = (digits >= 1) & (digits <= N_DIGIT_VALUES)
        if not in_range.all():
            row, place = (~in_range).nonzero()[0].tolist()
            raise InputError(f"Digits go from 1 to 9, but x{place} is {int(digits[row, place])}.")
        return source.long()

    @property
    def _place_values(self) -> Tensor:
        return N_DIGIT_VALUES ** torch.arange(self.n_digits - 1, -1, -1)

    def _impossible_pair(self, start: int, length: int) -> str:
        return (
            f"start {start} with length {length} is impossible: start goes from 0 to {self.largest_start}, "
            f"length from {SHORTEST_SUBSTRING} to {self.n_digits} - start."
        )


def generate_example(rng: random.Random, length: int = 10) -> tuple[list[int], list[int]]:
    """One example in plain Python, drawn as the original experiment draws it: (source, target).

    The batched twin is `SubstringTask.sample`; this one is for reading, and for `SyntheticDataset`.
    """
    task = SubstringTask(length)
    start = rng.randint(0, task.largest_start)
    substring_length = rng.randint(SHORTEST_SUBSTRING, task.n_digits - start)
    digits = [rng.randint(1, N_DIGIT_VALUES) for _ in range(task.n_digits)]
    substring = digits[start : start + substring_length]
    return [start, substring_length, *digits], substring + [0] * (task.n_digits - substring_length)
