"""Whether two outcomes are the same, and the words for how they are not: kind first, then shape, then value."""

from __future__ import annotations

import contextlib
import math
import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

# What float32 answers that sum in another order stay well inside of. A single number is compared more strictly than a
# table, so that a rounded one does not pass for the value itself; whole numbers are compared exactly.
TABLE_TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}
NUMBER_TOLERANCE = {"rtol": 1e-5, "atol": 1e-8}
INSTEAD = dict.fromkeys((torch.uint16, torch.uint32, torch.uint64), torch.long)
SHOWN_ELEMENTS = 40  # whole numbers up to this many are printed whole, with all their rows
SHOWN_FLOATS = 24  # and numbers with decimals up to this many, so that a small case can be worked out again by hand
SHOWN_IN_A_ROW = 12
LONGEST_KIND = 100  # characters that say what the things are of which a result consists
GIVES_BACK = "It gives back "  # how words on the whole result begin; on a part of it they go without
PICTURED_SIDE = 40  # a larger table is no longer seen at a glance


def normal(value: Any) -> Any:
    """Numbers, lists of numbers and arrays become tensors, so that any of them may stand for the others."""
    if isinstance(value, Tensor):
        return _comparable(value.detach())
    if isinstance(value, torch.nn.Module):
        return normal(value.state_dict())
    if isinstance(value, Mapping):
        return {name: normal(value[name]) for name in value}
    if isinstance(value, (bool, np.bool_)):
        return torch.tensor(bool(value))
    if isinstance(value, numbers.Number) and not isinstance(value, complex):
        return _number_tensor(value)
    if isinstance(value, np.ndarray) or (isinstance(value, (list, tuple)) and _plain(value)):
        with contextlib.suppress(ValueError, TypeError):  # rows of several lengths, or what is not a number
            return _comparable(torch.as_tensor(np.ascontiguousarray(value)))
    if isinstance(value, (list, tuple)):
        return tuple(normal(item) for item in value)
    return value


def _comparable(value: Tensor) -> Any:
    """A dense copy on the CPU, in a type that PyTorch can compare with others and NumPy can draw; of a nested one rows.

    A tensor that has no plain numbers raises an error here, inside the trial, and not where it is shown.
    """
    if value.is_nested:
        return tuple(_comparable(row) for row in value.unbind())
    is_short = value.is_floating_point() and value.element_size() < 4
    dense = value.to_dense().to(torch.float32 if is_short else INSTEAD.get(value.dtype, value.dtype))
    return torch.from_numpy(dense.numpy(force=True).copy())


def _number_tensor(value: Any) -> Tensor:
    if isinstance(value, numbers.Integral) and abs(value) < 2**63:
        return torch.tensor(int(value))
    try:
        return torch.tensor(float(value), dtype=torch.double)
    except OverflowError:
        return torch.tensor(math.inf, dtype=torch.double)


def _plain(value: Any) -> bool:
    """Whether lists hold only Python's own numbers and further such lists."""
    return all(_plain(item) for item in value) if isinstance(value, (list, tuple)) else isinstance(value, (int, float))


def one_tensor(parts: Any) -> Any:
    """What came row by row, or layer by layer, as one tensor; what does not fit together, and all else, as it is."""
    if not isinstance(parts, (list, tuple)):
        return parts
    parts = tuple(one_tensor(part) for part in parts)
    if parts and all(isinstance(part, Tensor) and part.shape == parts[0].shape for part in parts):
        return torch.stack(parts)
    return parts


def _stacked_like(wanted: Any, parts: Any) -> Any:
    """Rows that came one by one, as one tensor where it has the shape that is wanted; else they stay several things."""
    if not isinstance(wanted, Tensor) or not isinstance(parts, tuple):
        return parts
    stacked = one_tensor(parts)
    fits = isinstance(stacked, Tensor) and (stacked.shape == wanted.shape or stacked.dim() < 2)
    return stacked if fits else parts


def difference(expected: Any, got: Any) -> str | None:
    """None where the two agree; else the first way in which they do not."""
    return _normal_difference(normal(expected), normal(got))


def _normal_difference(expected: Any, got: Any) -> str | None:
    expected, got = _stacked_like(got, expected), _stacked_like(expected, got)
    if isinstance(expected, Tensor) and isinstance(got, Tensor):
        return _tensor_difference(expected, got)
    if isinstance(expected, tuple) and isinstance(got, Tensor) and got.dim() > 1 and _rows(expected) is not None:
        got = tuple(got)  # rows that happen to be equally long, where those that are wanted are not
    if isinstance(expected, dict) and isinstance(got, dict):
        for name in expected:
            found = _normal_difference(expected[name], got[name]) if name in got else "missing"
            if found:
                told = got.get(name)
                return f"{name}: {told}" if isinstance(told, str) else f"{name}:\n{found.removeprefix(GIVES_BACK)}"
        return (
            f"There is something in it that does not belong there: {brief(list(got))}."
            if len(got) > len(expected)
            else None
        )
    if isinstance(expected, tuple) and isinstance(got, tuple):
        if len(expected) != len(got):
            return _other_kind(expected, got)
        for number, (want, have) in enumerate(zip(expected, got, strict=True), start=1):
            found = _normal_difference(want, have)
            if found:
                return f"Part {number} of what it gives back: {found.removeprefix(GIVES_BACK)}"
        return None
    if type(expected) is type(got) and not isinstance(expected, (Tensor, tuple, dict)):
        return None if expected == got else f"yours     {brief(got)}\nexpected  {brief(expected)}"
    return _other_kind(expected, got)


def _other_kind(expected: Any, got: Any) -> str:
    """That two outcomes cannot be laid side by side; and the numbers themselves where they are few."""
    lines = [f"{GIVES_BACK}{_kind(got)}; expected {_kind(expected)}."]
    if isinstance(expected, tuple) and _rows(expected) is not None and _rows(got) is not None:
        lines += [f"yours     {_rows(got)}", f"expected  {_rows(expected)}"]
    return "\n".join(lines)


def _rows(value: Any) -> list | None:
    """The lists that a few rows of whole numbers stand for; None for anything else."""
    parts = value if isinstance(value, tuple) else (value,)
    if not all(isinstance(part, Tensor) and not (part.is_floating_point() and part.numel()) for part in parts):
        return None  # what is empty has no kind of number
    if sum(part.numel() for part in parts) > SHOWN_ELEMENTS:
        return None
    return [part.tolist() for part in parts] if isinstance(value, tuple) else value.tolist()


def tables(expected: Any, got: Any) -> tuple[Tensor, Tensor] | None:
    """The first pair of tables (rows, columns) that differ inside the two outcomes, for a picture; None without one."""
    expected, got = normal(expected), normal(got)
    expected, got = _stacked_like(got, expected), _stacked_like(expected, got)
    if isinstance(expected, dict) and isinstance(got, dict):
        shared = [name for name in expected if name in got]
        expected, got = (tuple(each[name] for name in shared) for each in (expected, got))
    if isinstance(expected, tuple) and isinstance(got, tuple):
        pairs = [tables(want, have) for want, have in zip(expected, got, strict=False)]
        return next((pair for pair in pairs if pair is not None), None)
    if not isinstance(expected, Tensor) or not isinstance(got, Tensor) or expected.shape != got.shape:
        return None
    if expected.dim() not in (2, 3) or not (~_same(expected, got)).any():
        return None
    if expected.dim() == 3:
        first = int((~_same(expected, got)).flatten(1).any(dim=1).nonzero()[0])
        expected, got = expected[first], got[first]
    return (expected, got) if max(expected.shape) <= PICTURED_SIDE else None


def brief(value: Any) -> str:
    """A value in a line: its numbers where they are few, else what kind of thing it is."""
    try:
        return _in_a_line(value)
    except Exception:  # a tensor without plain numbers, a number of 5,000 digits, and what else cannot be written
        return f"a {type(value).__name__}"


def _in_a_line(value: Any) -> str:
    if isinstance(value, Tensor):
        if value.is_floating_point() and value.numel() <= (SHOWN_FLOATS if value.dim() > 1 else SHOWN_IN_A_ROW):
            return str(np.round(value.tolist(), 4).tolist())
        if not value.is_floating_point() and value.numel() <= SHOWN_ELEMENTS:
            return str(value.tolist())
        return f"a tensor {tuple(value.shape)}"
    text = repr(value)
    return text if len(text) <= 200 and "object at 0x" not in text and "\n" not in text else f"a {type(value).__name__}"


def _same(expected: Tensor, got: Tensor) -> Tensor:
    if not expected.is_floating_point():
        return got == expected
    tolerance = TABLE_TOLERANCE if expected.dim() > 0 else NUMBER_TOLERANCE
    return torch.isclose(got.double(), expected.double(), equal_nan=True, **tolerance)


def _tensor_difference(expected: Tensor, got: Tensor) -> str | None:
    if expected.dim() == 0 and got.numel() == 1:
        got = got.reshape(())  # a tensor with one number in it will do for a number
    if expected.shape != got.shape:
        both = [f"yours     {brief(got)}", f"expected  {brief(expected)}"] if expected.dim() and got.dim() else []
        shown = [line for line in both if line.endswith("]")]
        return "\n".join([f"{GIVES_BACK}{_kind(got)}; expected {_kind(expected)}.", *shown])
    if got.is_complex():
        return f"{GIVES_BACK}complex numbers."
    if expected.dim() > 0 and got.numel() and got.is_floating_point() and not expected.is_floating_point():
        wanted = (
            "truth values are asked for, True or False."
            if expected.dtype == torch.bool
            else "tokens are whole numbers, in PyTorch torch.long."
        )
        return f"{GIVES_BACK}numbers with a decimal point; {wanted}"
    if expected.dtype == got.dtype and torch.equal(expected, got):
        return None  # the usual case, told quickly
    same = _same(expected, got)
    if same.all():
        return None
    if expected.is_floating_point() and got.dtype == torch.bool:
        if expected.dim() == 0:
            return f"{GIVES_BACK}a truth value, True or False, where a number is asked for."
        return f"{GIVES_BACK}truth values, True or False, where numbers are asked for."
    if expected.dim() == 0:
        return f"yours     {_number(got)}\nexpected  {_number(expected)}"
    place = tuple((~same).nonzero()[0].tolist())
    largest = f", the largest by {(got - expected).abs().max().item():.3g}" if expected.is_floating_point() else ""
    return (
        f"yours     {_around(got, place)}\nexpected  {_around(expected, place)}\n"
        f"first difference at {list(place)}: {_number(got[place])}, expected {_number(expected[place])} "
        f"({int((~same).sum())} of {same.numel()} differ{largest})"
    )


def _around(tensor: Tensor, place: tuple[int, ...]) -> str:
    """The whole tensor where it is small, else the row that holds the place."""
    short = brief(tensor)
    if short.startswith("["):
        return short
    row = tensor[place[:-1]]
    shown = brief(row[:SHOWN_IN_A_ROW])
    cut = shown if len(row) <= SHOWN_IN_A_ROW else f"{shown[:-1]}, …]"
    return f"{cut}  (row {list(place[:-1])} of {tuple(tensor.shape)})" if place[:-1] else cut


def _kind(value: Any) -> str:
    if isinstance(value, Tensor):
        if value.dim() == 0:
            return "one number"
        if value.dim() == 1:
            return "a list of one number" if len(value) == 1 else f"{len(value)} numbers in a row"
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, tuple):
        if len(value) == 1:
            return "one thing in a list"
        kinds = [_kind(part) for part in value]
        told = f"each {kinds[0]}" if len(set(kinds)) == 1 else " and ".join(kinds)
        return f"{len(value)} things" + (f" ({told})" if _rows(value) is None and len(told) <= LONGEST_KIND else "")
    return "None" if value is None else f"a {type(value).__name__}"


def _number(value: Tensor) -> str:
    number = value.item()
    return str(int(number)) if math.isfinite(number) and number == int(number) else f"{number:.7g}"
