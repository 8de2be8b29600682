"""What each kind of figure consists of: every line, text, bar and picture with its place, colour and size.

    .venv/bin/python tests/figures.py

writes figures.json anew. Look at the figures before you commit it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator

from course_utils import plots

STORED = Path(__file__).with_name("figures.json")
SOURCE, TARGET = [2, 3, 1, 8, 2, 5, 8, 6, 4, 5], [2, 5, 8, 0, 0, 0, 0, 0]
TABLE = np.arange(12).reshape(3, 4) / 12
SHORT = [0, 3, 3, 8, 1, 5]
APART = {"healthy": [3, 8, 1, 0], "sick": [3, 0, 1, 9]}
CHANCES = {"healthy": np.eye(4, 10), "sick": np.ones((4, 10)) / 10}
MANY = {f"series {number}": [number, number + 1.5, number + 1] for number in range(8)}

FIGURES: dict[str, Callable[[], Figure]] = {
    "substring": lambda: plots.substring(SOURCE, TARGET),
    "substring with an output": lambda: plots.substring(SOURCE, TARGET, [2, 5, 9, 1, 0, 0, 0, 0], "A title"),
    "unrolled": lambda: plots.unrolled(SOURCE),
    "unrolled, forced": lambda: plots.unrolled(SHORT, [3, 8, 1, 0], APART["sick"]),
    "unrolled, alone": lambda: plots.unrolled(SHORT, [3, 8, 1, 0], APART["sick"], forced=False),
    "pair_grid": lambda: plots.pair_grid({(0, 2): 0.1, (0, 3): 0.25, (4, 2): 0.9}, "Title", "share", decimals=1),
    "heat_map": lambda: plots.heat_map(TABLE, "Title", "x", "y", marked=[(1, 2)]),
    "heat_map with a limit": lambda: plots.heat_map(
        TABLE - 0.5, "Title", "x", "y", x_ticks="abcd", y_ticks="efg", label="value", limit=2
    ),
    "heat_map, large": lambda: plots.heat_map(np.zeros((30, 40)), "Title", "x", "y"),
    "lines": lambda: plots.lines({"one": [3, 1, 2]}, "Title", "x", "y"),
    "lines, many": lambda: plots.lines(MANY, "Title", "x", "y", x=[5, 6, 8, 9], log_y=True),
    "lines, long": lambda: plots.lines({"one": range(13), "two": range(12)}, "Title", "x", "y"),
    "comparison": lambda: plots.comparison(TABLE, TABLE + np.eye(3, 4)),
    "comparison, large": lambda: plots.comparison(-2 * np.ones((20, 30)), math.nan * np.ones((20, 30))),
    "bars": lambda: plots.bars({"one": [0.5, 0.25], "two": [1, 2]}, ["a", "b"], "Title", "y"),
    "bars with points": lambda: plots.bars(
        {"one": [0.5] * 5}, list("abcde"), "Title", "y", decimals=0, points={"one": [[0.4, 0.6]] * 5}
    ),
    "bars with many points": lambda: plots.bars(
        dict.fromkeys("xyz", [0.5] * 4), list("abcd"), "Title", "y", points=dict.fromkeys("xyz", [[0.4, 0.6]] * 4)
    ),
    "intervals": lambda: plots.intervals(
        {"one": [(0.5, 0.4, 0.7), (1, 1, 1)], "two": [(0.2, 0.1, 0.3), (0, 0, 0.1)]}, ["a", "b"], "Title", "x"
    ),
    "detections": lambda: plots.detections(
        {"a": {"eye": True, "ear": False}, "b": {"eye": True, "ear": True}, "c": {"eye": False, "ear": False}}, "Title"
    ),
    "decodings": lambda: plots.decodings(SHORT, [3, 8, 1, 0], APART, CHANCES, 3),
    "decodings, still alike": lambda: plots.decodings(SHORT, [3, 8, 1, 0], APART, CHANCES, 0),
    "bars and a level": lambda: plots.bars({"one": [0.5, 0.25]}, ["a", "b"], "Title", "y", level=("chance", 0.1)),
    "marks": lambda: plots.marks({"one": [1e-4, 2e-2], "two": [3, 0.1]}, ["a", "b"], "Title", "y"),
    "marks with points": lambda: plots.marks(
        {"one": [0.5] * 5}, list("abcde"), "Title", "y", points={"one": [[0.04, 0.6]] * 5}
    ),
}


def contents(figure: Figure) -> dict:
    """The figure's size, and of each of its parts what a reader sees of it."""
    return {
        "inches": _plain(figure.get_size_inches()),
        "axes": [_axes(axes) for axes in figure.axes],
        "layout": type(figure.get_layout_engine()).__name__,
    }


def same(stored: Any, came: Any) -> bool:
    """Whether two figures consist of the same, but for rounding."""
    if isinstance(stored, dict) and isinstance(came, dict):
        return stored.keys() == came.keys() and all(same(stored[name], came[name]) for name in stored)
    if isinstance(stored, list) and isinstance(came, list):
        return len(stored) == len(came) and all(map(same, stored, came))
    if isinstance(stored, float) and isinstance(came, (int, float)):
        return math.isclose(stored, came, rel_tol=1e-6, abs_tol=1e-9)
    return stored == came


def _axes(axes: Axes) -> dict:
    return {
        "titles": [axes.get_title("left"), axes.get_title("center"), axes.get_xlabel(), axes.get_ylabel()],
        "title sizes": [
            part.get_fontsize() for part in axes.get_children() if isinstance(part, Text) and part.get_text()
        ],
        "limits": _plain([*axes.get_xlim(), *axes.get_ylim()]),
        "scales": [axes.get_xscale(), axes.get_yscale()],
        "ticks": [_ticks(axes.xaxis), _ticks(axes.yaxis)],
        "grid": [line.get_alpha() for line in axes.get_ygridlines()[:1] if line.get_visible()],
        "frame": [name for name, spine in axes.spines.items() if spine.get_visible()] if axes.axison else None,
        "legend": None if axes.get_legend() is None else _legend(axes),
        "parts": [_part(part) for part in [*axes.lines, *axes.patches, *axes.texts, *axes.images]],
    }


def _ticks(axis: Axis) -> list:
    """Those that were set; where matplotlib chooses them, by which rule."""
    locator = axis.get_major_locator()
    if isinstance(locator, FixedLocator):
        return [_plain(axis.get_ticklocs()), [label.get_text() for label in axis.get_ticklabels()]]
    return [type(locator).__name__, getattr(locator, "_integer", None)]


def _legend(axes: Axes) -> list:
    legend = axes.get_legend()
    anchor = legend.get_bbox_to_anchor().transformed(axes.transAxes.inverted())
    return [[text.get_text() for text in legend.get_texts()], legend.get_frame_on(), legend._loc, _plain(anchor)]


def _part(part: Artist) -> dict:
    """What the getters of an artist give, those of them that it has."""
    found: dict[str, Any] = {"kind": type(part).__name__}
    for name in ("text", "position", "xydata", "bbox", "linestyle", "linewidth", "marker", "markersize", "alpha",
                 "fontsize", "ha", "va", "anncoords", "clim", "label"):  # fmt: skip
        if hasattr(part, f"get_{name}"):
            found[name] = _plain(getattr(part, f"get_{name}")())
    if hasattr(part, "xyann"):
        found["offset"] = _plain(part.xyann)
    for name in ("color", "facecolor", "edgecolor"):
        if hasattr(part, f"get_{name}"):
            found[name] = to_hex(getattr(part, f"get_{name}")(), keep_alpha=True)
    if hasattr(part, "get_cmap"):
        found |= {"colours": part.get_cmap().name, "bad": to_hex(part.get_cmap().get_bad())}
        numbers = np.ma.filled(part.get_array(), 0).ravel()
        found["sum"] = _plain((numbers * np.arange(1, numbers.size + 1)).sum())
    return found


def _plain(value: Any) -> Any:
    if hasattr(value, "bounds"):  # a bounding box
        value = value.bounds
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.6g}")
    return value if isinstance(value, (str, int, bool, type(None))) else str(value)


def main() -> None:
    rows = [f"{json.dumps(name)}: {json.dumps(contents(draw()))}" for name, draw in FIGURES.items()]
    STORED.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
