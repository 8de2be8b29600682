"""Plain arrays in, a matplotlib figure out. No function here touches pyplot, so nothing is drawn unless it is shown."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from numpy.typing import ArrayLike

from .task import START_TOKEN

# Okabe & Ito's palette: told apart with any kind of colour vision.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9")
COLOURS = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY)
LINE_STYLES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P")
GREY = "#D9D9D9"
NEARLY_WHITE = "#F2F2F2"
FEW_DECADES = 1000  # up to this factor a logarithmic axis is labelled between the powers of ten, too
LABELS_FIT = 12  # up to this many ticks a heat map labels each one


def substring(
    source: Sequence[int], target: Sequence[int], output: Sequence[int] | None = None, title: str | None = None
) -> Figure:
    """A source with the part to copy lit up, the target below it and, where given, a model's output with its errors."""
    start, length, digits = source[0], source[1], source[2:]
    rows = ["source", "target"] if output is None else ["source", "target", "output"]
    figure, axes = _axes(0.62 * (len(source) + 2.2), 0.62 * 1.35 * len(rows) + 0.5)
    axes.set_title(title or f"start {start}, length {length}", loc="left")
    for place, token in enumerate(source):
        header = place < 2
        lit = not header and start <= place - 2 < start + length
        _box(axes, place, 0, token, ORANGE if lit else SKY if header else "white")
    axes.text(0, 0.72, "start", ha="center", fontsize=8)
    axes.text(1, 0.72, "length", ha="center", fontsize=8)
    for place in range(len(digits)):
        axes.text(place + 2, 0.72, f"$x_{{{place}}}$", ha="center", fontsize=9)
    for place, token in enumerate(target):
        _box(axes, place + 2, -1.4, token, ORANGE if token else GREY)
    if output is not None:
        for place, (token, right) in enumerate(zip(output, target, strict=True)):
            _box(axes, place + 2, -2.6, token, (ORANGE if token else GREY) if token == right else RED)
            if token != right:
                axes.text(place + 2, -3.3, "wrong", ha="center", fontsize=8)
    for row, height in zip(rows, (0, -1.4, -2.6), strict=False):
        axes.text(-0.7, height, row, ha="right", va="center")
    axes.set_xlim(-2.2, len(source) - 0.4)
    axes.set_ylim(-3.5 if output is not None else -2.0, 1.1)
    axes.set_axis_off()
    return figure


def unrolled(
    source: Sequence[int],
    target: Sequence[int] = (),
    written: Sequence[int] = (),
    forced: bool = True,
) -> Figure:
    """An encoder–decoder with a cell for each token that it reads; without a target the encoder alone.

    What the decoder has written stands on top, its errors in red. Below it reads the target, moved one place, where it
    is forced, and else what it has written.
    """
    encoder = [float(place) for place in range(len(source))]
    decoder = [len(source) + 0.9 + 1.3 * place for place in range(len(target))]  # with room for arrows in between
    cells = [*encoder, *decoder]
    right = cells[-1] + (0.6 if target else 1.6)
    figure, axes = _axes(0.62 * (right + 1.4), 3.3 if target else 2.3)
    encoder_alone = "The encoder, unrolled: one cell, once for each token"
    told = "Forced: it reads the truth, whatever it wrote" if forced else "Alone: it reads what it wrote"
    axes.set_title(told if target else encoder_alone, loc="left")
    for place, token in zip(encoder, source, strict=True):
        _box(axes, place, -1.5, token, "white")
    past = [START_TOKEN, *target][: len(target)]
    read = past if forced else [START_TOKEN, *written][: len(target)]
    for place, token, true in zip(decoder, read, past, strict=True):
        _box(axes, place, -1.5, token, _colour(token, true))
    for place, token, true in zip(decoder, written, target, strict=True):
        _box(axes, place, 1.5, token, _colour(token, true))
        _arrow(axes, (place, 0.45), (place, 1.05))
    for place in cells:
        colour = SKY if place in encoder else GREEN  # two cells, each with weights of its own
        axes.add_patch(FancyBboxPatch((place - 0.3, -0.4), 0.6, 0.8, boxstyle="round,pad=0.05", facecolor=colour))
        _arrow(axes, (place, -1.05), (place, -0.47))
    for before, after in pairwise([*cells, *([] if target else [right])]):
        _arrow(axes, (before + 0.36, 0), (after - 0.38, 0))
    if target:
        axes.text((encoder[-1] + decoder[0]) / 2, 0.55, "the last\nstate", ha="center", fontsize=8)
        axes.text((decoder[0] + decoder[-1]) / 2, -2.35, "the decoder reads", ha="center")
        axes.text(decoder[0] - 0.6, 1.5, "and writes", ha="right", va="center")
    else:
        axes.text(right - 0.25, 0, "the last\nstate", va="center", fontsize=8)
    axes.text((len(source) - 1) / 2, -2.35, "the encoder reads", ha="center")
    if not forced:
        for before, after in pairwise(decoder):
            between = (before + after) / 2
            corners = [before + 0.42, between, between, after - 0.44], [1.5, 1.5, -1.5, -1.5]
            axes.plot(*corners, color=PURPLE, linestyle="--", linewidth=1.5, marker=">", markevery=[3], markersize=4)
    axes.set_xlim(-0.7, right + 0.5)
    axes.set_ylim(-2.6, 2.1 if target else 0.7)
    axes.set_axis_off()
    return figure


def _colour(token: int, true: int) -> str:
    return RED if token != true else ORANGE if token else GREY


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "shrinkA": 0, "shrinkB": 0})


def pair_grid(
    values: Mapping[tuple[int, int], float], title: str, label: str, decimals: int = 3, limit: float | None = None
) -> Figure:
    """One value for each (start, length), as a coloured grid with the numbers written in.

    With `limit` the colours run from 0 to it, so that several grids can be compared; without, over the values.
    """
    starts = sorted({start for start, _ in values})
    lengths = sorted({length for _, length in values})
    grid = np.full((len(starts), len(lengths)), math.nan)
    for (start, length), value in values.items():
        grid[starts.index(start), lengths.index(length)] = value
    figure, axes = _axes(0.85 * len(lengths) + 2, 0.55 * len(starts) + 1.3)
    low, high = (np.nanmin(grid), np.nanmax(grid)) if limit is None else (0, limit)
    image = axes.imshow(grid, cmap="cividis", aspect="auto", vmin=low, vmax=high)
    middle = (low + high) / 2
    for (row, column), value in np.ndenumerate(grid):
        if not math.isnan(value):
            ink = "white" if value <= middle else "black"
            axes.text(column, row, f"{value:.{decimals}f}", ha="center", va="center", color=ink, fontsize=9)
    axes.set_xticks(range(len(lengths)), lengths)
    axes.set_yticks(range(len(starts)), starts)
    axes.set_xlabel("length")
    axes.set_ylabel("start")
    axes.set_title(title, loc="left")
    figure.colorbar(image, label=label)
    return figure


def heat_map(
    values: np.ndarray,
    title: str,
    x_label: str,
    y_label: str,
    x_ticks: Sequence | None = None,
    y_ticks: Sequence | None = None,
    label: str = "",
    limit: float | None = None,
    marked: Sequence[tuple[int, int]] = (),
) -> Figure:
    """A matrix (rows, columns) as colours. With `limit` the scale is symmetric; without, it runs from 0 to 1.

    `marked` cells, (row, column), are framed. Cells that are nan are grey.
    """
    values = np.asarray(values, dtype=float)
    rows, columns = values.shape
    figure, axes = _axes(min(0.5 * columns + 2.2, 9), min(0.32 * rows + 1.3, 4.6))
    if limit is None:
        scale = {"cmap": colormaps["cividis"].with_extremes(bad=GREY), "vmin": 0, "vmax": 1}
    else:
        scale = {"cmap": colormaps["PuOr"].with_extremes(bad=GREY), "vmin": -limit, "vmax": limit}
    image = axes.imshow(values, aspect="auto", interpolation="nearest", **scale)
    for row, column in marked:
        frame = FancyBboxPatch(
            (column - 0.5, row - 0.5), 1, 1, boxstyle="square,pad=0", fill=False, edgecolor=RED, linewidth=2.5
        )
        axes.add_patch(frame)
    if x_ticks is not None:
        axes.set_xticks(range(columns), x_ticks)
    if y_ticks is not None:
        axes.set_yticks(range(rows), y_ticks)
    elif rows <= LABELS_FIT:
        axes.set_yticks(range(rows))
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.set_title(title, loc="left")
    figure.colorbar(image, label=label)
    return figure


def lines(
    series: Mapping[str, Sequence[float]],
    title: str,
    x_label: str,
    y_label: str,
    x: Sequence[float] | None = None,
    log_y: bool = False,
) -> Figure:
    """One line for each series, named in a legend where there are several."""
    figure, axes = _axes(7, 3.6)
    for number, (name, values) in enumerate(series.items()):
        places = range(len(values)) if x is None else x[: len(values)]
        colour = COLOURS[number % len(COLOURS)]
        marker = "o" if len(values) <= LABELS_FIT else None
        axes.plot(places, values, label=name, color=colour, linestyle=LINE_STYLES[number % len(LINE_STYLES)],
                  marker=marker, markersize=4)  # fmt: skip
    if log_y:
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        if high < FEW_DECADES * low:
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter(NullFormatter())  # else it labels some in between, in another style
    if x is None:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _finish(axes, title, x_label, y_label)
    if len(series) > 1:
        _legend_beside(axes)
    return figure


def comparison(expected: Sequence[Sequence[float]], got: Sequence[Sequence[float]]) -> Figure:
    """Two tables side by side on one colour scale, and how far apart they are, white where they agree."""
    expected, got = np.asarray(expected, dtype=float), np.asarray(got, dtype=float)
    apart = np.abs(expected - got)
    rows, columns = expected.shape
    figure = Figure(figsize=(3 * max(2.2, 0.28 * columns), max(1.8, 0.28 * rows + 0.9)), layout="constrained")
    finite = np.concatenate([expected[np.isfinite(expected)], got[np.isfinite(got)]])
    scale = {"vmin": finite.min(initial=0), "vmax": finite.max(initial=1), "cmap": "cividis"}
    tables = {"expected": (expected, scale), "yours": (got, scale), "apart by": (apart, {"vmin": 0, "cmap": "Reds"})}
    for axes, (title, (table, style)) in zip(figure.subplots(1, 3), tables.items(), strict=True):
        figure.colorbar(axes.imshow(table, aspect="auto", **style), ax=axes)
        axes.set_title(title, loc="left", fontsize=10)
        axes.set_xlabel("column")
        axes.set_ylabel("row")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def bars(
    groups: Mapping[str, Sequence[float]],
    names: Sequence[str],
    title: str,
    y_label: str,
    decimals: int = 2,
    points: Mapping[str, Sequence[Sequence[float]]] | None = None,
    level: tuple[str, float] | None = None,
) -> Figure:
    """A bar for each name in each group, its value on top.

    `points` shows the single seeds, beside the value; `level` a dashed line across, what it is and its height.
    """
    return _grouped(Axes.bar, f"{{:.{decimals}f}}", groups, names, title, y_label, points, level)


def marks(
    groups: Mapping[str, Sequence[float]],
    names: Sequence[str],
    title: str,
    y_label: str,
    points: Mapping[str, Sequence[Sequence[float]]] | None = None,
) -> Figure:
    """A mark for each name in each group, its value above it, on a logarithmic scale, which has no 0 to begin a bar.

    `points` shows the single seeds, beside the value.
    """
    figure = _grouped(_dashes, "{:.2g}", groups, names, title, y_label, points)
    (axes,) = figure.axes
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xlim(-0.6, len(names) - 0.4)
    return figure


def _dashes(axes: Axes, places: Sequence[float], values: Sequence[float], _, **style) -> None:
    axes.plot(places, values, "_", markersize=24, markeredgewidth=3, **style)


def _grouped(
    draw: Callable[..., object],
    number_format: str,
    groups: Mapping[str, Sequence[float]],
    names: Sequence[str],
    title: str,
    y_label: str,
    points: Mapping[str, Sequence[Sequence[float]]] | None,
    level: tuple[str, float] | None = None,
) -> Figure:
    """What `bars` and `marks` share: places side by side, values above, single seeds beside these, and a legend."""
    for_points = 0 if points is None else 1.1 * len(groups) * len(names)
    figure, axes = _axes(max(1.15 * len(names) + 1.5, for_points, 5), 3.6)
    width = 0.8 / len(groups)
    for number, (group, values) in enumerate(groups.items()):
        places = [place - 0.4 + width * (number + 0.5) for place in range(len(names))]
        draw(axes, places, list(values), width * 0.92, label=group, color=COLOURS[number % len(COLOURS)])
        dots = [[]] * len(places) if points is None else points[group]
        for place, value, runs in zip(places, values, dots, strict=True):
            # Beside the number, and a little apart, so that two equal ones are two.
            aside = place + width * np.linspace(0.26, 0.46, len(runs) + 2)[1:-1]
            (drawn,) = axes.plot(aside, runs, "o", color="black", markeredgecolor="white", markersize=4.5)
            above = {"xytext": (0, 4), "textcoords": "offset points", "ha": "center", "fontsize": 9}
            axes.annotate(number_format.format(value), (place, value), **above)
    if points is not None:
        drawn.set_label("one seed")  # for all of them
    if level is not None:
        axes.axhline(level[1], label=level[0], color="black", linestyle="--", linewidth=1)
    axes.set_xticks(range(len(names)), names)
    axes.margins(y=0.15)
    _finish(axes, title, "", y_label)
    if len(groups) > 1 or points is not None or level is not None:
        _legend_beside(axes)
    return figure


def _legend_beside(axes: Axes) -> None:
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))  # never over what is drawn


def intervals(
    groups: Mapping[str, Sequence[tuple[float, float, float]]], names: Sequence[str], title: str, x_label: str
) -> Figure:
    """For each name, the first on top, a dot of each group at its mean and a line from its lowest to its highest."""
    figure, axes = _axes(7.5, 0.26 * len(names) + 1.2)
    for number, (group, values) in enumerate(groups.items()):
        means, lows, highs = (np.asarray(column, dtype=float) for column in zip(*values, strict=True))
        places = np.arange(len(names)) + 0.25 * (number - (len(groups) - 1) / 2)
        axes.hlines(places, lows, highs, color=COLOURS[number], linewidth=2, alpha=0.6)
        axes.plot(means, places, MARKERS[number], label=group, color=COLOURS[number], markersize=5)
    axes.set_yticks(range(len(names)), names, fontsize=9)
    axes.set_ylim(len(names) - 0.4, -0.6)
    _finish(axes, title, x_label, "")
    _legend_beside(axes)
    return figure


def detections(found: Mapping[str, Mapping[str, bool]], title: str) -> Figure:
    """Who catches what: a row for each name, a column for each detector, filled where it does; the counts below."""
    detectors = list(next(iter(found.values())))
    table = np.array([[row[detector] for detector in detectors] for row in found.values()], dtype=float)
    rows, columns = table.shape
    figure, axes = _axes(0.75 * columns + 2.6, 0.26 * rows + 2.2)
    axes.imshow(table, aspect="auto", cmap=ListedColormap([NEARLY_WHITE, BLUE], name="noticed"), vmin=0, vmax=1)
    for row, column in np.argwhere(table):
        axes.text(column, row, "✓", ha="center", va="center", color="white", fontsize=9)
    counts = [f"{int(count)} of {rows}" for count in table.sum(axis=0)]
    axes.set_xticks(range(columns), counts, fontsize=8)
    axes.set_yticks(range(rows), list(found), fontsize=9)
    above = axes.secondary_xaxis("top")
    above.set_xticks(range(columns), detectors, rotation=35, ha="left", fontsize=9)
    for edge in np.arange(0.5, rows - 1):
        axes.axhline(edge, color="white", linewidth=1)
    for edge in np.arange(0.5, columns - 1):
        axes.axvline(edge, color="white", linewidth=1)
    axes.set_title(title, loc="left")
    return figure


def decodings(
    source: Sequence[int],
    target: Sequence[int],
    outputs: Mapping[str, Sequence[int]],
    probabilities: Mapping[str, ArrayLike],
    step: int,
) -> Figure:
    """Two models decoding the same source, after `step` + 1 tokens: what they wrote, and how sure of it each was.

    outputs are lists of T tokens, probabilities arrays (T, V), both by the models' names. The first place at which the
    outputs differ is framed.
    """
    names = list(outputs)
    figure = Figure(figsize=(8.2, 3.2), layout="constrained")
    boxes, chances = figure.subplots(1, 2, width_ratios=[1, 1])
    rows = {"source": (source, 0), "target": (target, 2)} | {name: (outputs[name][: step + 1], 2) for name in names}
    for height, (name, (tokens, indent)) in enumerate(rows.items()):
        boxes.text(-0.7, -1.2 * height, name, ha="right", va="center")
        for place, token in enumerate(tokens):
            wrong = height > 1 and token != target[place]
            colour = RED if wrong else "white" if height == 0 else ORANGE if token else GREY
            _box(boxes, place + indent, -1.2 * height, token, colour)
    differ = [place for place in range(step + 1) if outputs[names[0]][place] != outputs[names[1]][place]]
    if differ:
        corner = (differ[0] + 2 - 0.55, -1.2 * 3 - 0.58)
        boxes.add_patch(
            FancyBboxPatch(corner, 1.1, 2.36, boxstyle="square,pad=0", fill=False, edgecolor=PURPLE, lw=2.5)
        )
        boxes.text(differ[0] + 2, -1.2 * 3 - 0.95, "here they part", ha="center", color=PURPLE, fontsize=9)
    boxes.set_xlim(-3.2, len(source) - 0.2)
    boxes.set_ylim(-5, 0.7)
    boxes.set_axis_off()
    parted = f": they part at token {differ[0] + 1}" if differ else ""
    boxes.set_title(f"Step {step + 1} of {len(target)}{parted}", loc="left")
    for number, (name, colour) in enumerate(zip(names, (BLUE, GREEN), strict=True)):  # no colour of a token's box
        values = np.asarray(probabilities[name], dtype=float)[step]
        places = np.arange(len(values)) + 0.4 * (number - 0.5)
        chances.bar(places, values, 0.38, label=name, color=colour)
    chances.set_xticks(range(len(values)))
    chances.set_ylim(0, 1.08)  # room above a bar of probability 1
    _finish(chances, "What each finds likely at this step", "token", "probability")
    chances.legend(frameon=False)
    return figure


def _axes(width: float, height: float):
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def _finish(axes, title: str, x_label: str, y_label: str) -> None:
    axes.set_title(title, loc="left")
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(axis="y", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def _box(axes, x: float, y: float, text: object, colour: str) -> None:
    """A token in its box. One in red is an error, and bold and white in a thick frame besides."""
    frame, font = {}, {}
    if colour == RED:
        frame, font = {"linewidth": 2.5}, {"color": "white", "weight": "bold"}
    corner, sides = (x - 0.4, y - 0.42), (0.8, 0.84)
    axes.add_patch(FancyBboxPatch(corner, *sides, boxstyle="round,pad=0.02", fc=colour, ec="black", **frame))
    axes.text(x, y, str(text), ha="center", va="center", fontsize=13, **font)
