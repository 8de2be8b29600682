"""What the notebooks' regression test adds to nbval: pictures are compared, and a failure is told in a screen's length.

A pytest plugin, loaded by tests/nbval.ini.
"""

from __future__ import annotations

import base64
import difflib
import io
import re
from pathlib import Path

import numpy as np
import pytest
from nbval.plugin import IPyNbCell, NbCellError
from PIL import Image

from course_utils.display import STRUCTURE

VALUE_TOLERANCE = 1e-3  # relative, of a number in a figure: other CPUs sum in other orders
# Pictures are compared by where their colours are, on a coarse grid: text is black, so that a font does not matter, and
# a smoothed edge stays in its place. At most this share of the colour may be elsewhere.
GRID = (24, 14)
COLOUR_TOLERANCE = 0.3
SHOWN_SOURCE, SHOWN_LINES = 6, 24
DIFFERENCES = Path("build") / "pictures"


def compare_outputs(cell: IPyNbCell, came: list, stored: list) -> bool:
    """nbval's own comparison, and then that of the pictures."""
    if not nbval_compares(cell, came, stored, (*cell.parent.skip_compare, STRUCTURE)):
        return False
    cell.comparison_traceback = picture_differences(cell, stored, came)
    return not cell.comparison_traceback


def picture_differences(cell: IPyNbCell, stored: list, came: list) -> list[str]:
    """How the first figure that differs does so, and where both can be looked at."""
    before, after = (
        [output["data"] for output in outputs if STRUCTURE in output.get("data", {})] for outputs in (stored, came)
    )
    if len(before) != len(after):
        return [f"{len(before)} figures are stored, {len(after)} came."]
    for number, figures in enumerate(zip(before, after, strict=True), start=1):
        found = structure_differences(*(figure[STRUCTURE] for figure in figures))
        pictures = [Image.open(io.BytesIO(base64.b64decode(figure["image/png"]))) for figure in figures]
        if not figures[0][STRUCTURE]["measured"] and not alike(*pictures):
            found.append("The picture looks different.")
        if found:
            name = f"{Path(cell.parent.path).stem}-In{cell.cell.execution_count}-{number}.png"
            return [*found, f"Stored above, came below: {side_by_side(*pictures, name)}"]
    return []


def repr_failure(cell: IPyNbCell, excinfo: pytest.ExceptionInfo) -> str:
    """Which cell, what was expected, what came, and how to accept it."""
    error = excinfo.value
    if not isinstance(error, NbCellError):
        return nbval_reports(cell, excinfo)
    path = Path(cell.parent.path)
    source = cell.cell.source.splitlines()
    lines = [f"notebooks/{path.name}, In [{cell.cell.execution_count}]:"]
    lines += [f"    {line}" for line in source[:SHOWN_SOURCE]] + ["    …"] * (len(source) > SHOWN_SOURCE)
    if "differ" in str(error):
        lines += ["Its output is not the stored one (- stored, + came):"]
        lines += cut(text_differences(cell.cell.outputs, cell.test_outputs) or cell.comparison_traceback)
        lines += [f"Is the change wanted? `make run NOTEBOOK={path.name[:2]}` stores what came. Read its diff first."]
    else:
        lines += [f"{error}:", *cut(plain(error.inner_traceback or "").strip().splitlines(), keep_end=True)]
        lines += ["The cells after it are skipped: they would fail only for want of what it makes."]
        cell.parent.failed = True
    return "\n".join(lines)


nbval_compares, nbval_reports = IPyNbCell.compare_outputs, IPyNbCell.repr_failure
IPyNbCell.compare_outputs, IPyNbCell.repr_failure = compare_outputs, repr_failure  # nbval has no hook for either


def pytest_runtest_setup(item: pytest.Item) -> None:
    if getattr(item.parent, "failed", False):
        pytest.skip("A cell before this one failed.")


def structure_differences(stored: object, came: object, place: str = "") -> list[str]:
    """Where two figures' structures differ: words and shapes exactly, numbers beyond the tolerance."""
    if isinstance(stored, dict) and isinstance(came, dict) and stored.keys() == came.keys():
        return [line for key in stored for line in structure_differences(stored[key], came[key], f"{place} {key}")]
    if isinstance(stored, list) and isinstance(came, list) and len(stored) == len(came):
        pairs = enumerate(zip(stored, came, strict=True), start=1)
        return [line for number, pair in pairs for line in structure_differences(*pair, f"{place} {number}")]
    numbers = [isinstance(value, (int, float)) and not isinstance(value, bool) for value in (stored, came)]
    same = np.isclose(stored, came, rtol=VALUE_TOLERANCE, atol=1e-9) if all(numbers) else stored == came
    return [] if same else [f"-{place}: {stored}", f"+{place}: {came}"]


def alike(stored: Image.Image, came: Image.Image) -> bool:
    """Whether two pictures show the same to somebody who does not look at single pixels."""
    one, two = colours(stored), colours(came)
    most = max(np.abs(one).sum(), np.abs(two).sum())
    return most == 0 or np.abs(one - two).sum() / most <= COLOUR_TOLERANCE


def colours(picture: Image.Image) -> np.ndarray:
    """How much red, green and blue, beyond grey, lies in each field of the grid."""
    pixels = np.asarray(picture.convert("RGB"), dtype=np.float32)
    channels = np.moveaxis(pixels - pixels.mean(axis=2, keepdims=True), 2, 0)
    return np.stack([Image.fromarray(channel).resize(GRID, Image.Resampling.BOX) for channel in channels])


def side_by_side(stored: Image.Image, came: Image.Image, name: str) -> Path:
    """Keep both pictures, one above the other, for a person to look at."""
    both = Image.new("RGB", (max(stored.width, came.width), stored.height + came.height + 10), "red")
    both.paste(stored, (0, 0))
    both.paste(came, (0, stored.height + 10))
    DIFFERENCES.mkdir(parents=True, exist_ok=True)
    both.save(DIFFERENCES / name)
    return DIFFERENCES / name


def text_differences(stored: list, came: list) -> list[str]:
    """The lines of text that differ, with a few around them."""
    before, after = ([line for output in outputs for line in words(output)] for outputs in (stored, came))
    return list(difflib.unified_diff(before, after, lineterm="", n=2))[2:]


def words(output: dict) -> list[str]:
    data = output.get("data", {})
    return plain(output.get("text") or data.get("text/html") or data.get("text/plain") or "").splitlines()


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def cut(lines: list[str], keep_end: bool = False) -> list[str]:
    if len(lines) <= SHOWN_LINES:
        return lines
    return ["…", *lines[-SHOWN_LINES:]] if keep_end else [*lines[:SHOWN_LINES], "…"]
