"""How a figure reaches its readers: as a picture, in words, and as plain data, which the regression test compares."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence

import numpy as np
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator
from numpy.typing import ArrayLike

STRUCTURE = "application/vnd.seq2seq-exactly.figure+json"  # beside the picture; programs that show it take no notice
CLEAR_TREND = 0.5  # of the range


def png(figure: Figure) -> bytes:
    """The figure as PNG bytes, cut to its content; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, bbox_inches="tight", metadata={"Software": None})
    return buffer.getvalue()


def show(figure: Figure, alt: str, measured: bool = False) -> None:
    """Display a figure with its description for readers who cannot see it.

    `measured` says that its numbers depend on the machine, as those of a trained network or a timing do: the
    regression test then compares what kind of figure it is, and not the values.
    """
    bundle = {"image/png": png(figure), STRUCTURE: structure(figure, measured), "text/plain": alt}
    display(bundle, metadata={"image/png": {"alt": alt}}, raw=True)


def structure(figure: Figure, measured: bool = False) -> dict:
    """What a figure says, as plain data: titles, labels, scales, and each series with its values or its trend.

    Of what is written at ticks and in the figure, `measured` leaves the words alone.
    """
    return {"measured": measured, "axes": [_axes_structure(axes, measured) for axes in figure.axes]}


def _axes_structure(axes: Axes, measured: bool) -> dict:
    legend = axes.get_legend()
    texts = [text.get_text() for text in axes.texts]
    ticks = [_names_of_ticks(axis) for axis in (axes.xaxis, axes.yaxis)]
    if measured:
        texts, ticks = _words(texts), [_words(names) for names in ticks]
    return {
        "title": axes.get_title("left"),
        "labels": [axes.get_xlabel(), axes.get_ylabel()],
        "scales": [axes.get_xscale(), axes.get_yscale()],
        "legend": [] if legend is None else [text.get_text() for text in legend.get_texts()],
        "ticks": ticks,
        "texts": texts,
        "lines": [
            [_series(line.get_xdata(), False), _series(line.get_ydata(), measured and not _is_level(line))]
            for line in axes.lines
        ],
        "bars": _series([bar.get_height() for bars in axes.containers for bar in bars], measured),
        "images": [_series(np.ma.filled(image.get_array(), math.nan), measured) for image in axes.images],
        "colour limits": [_limits(image, measured) for image in axes.images],
    }


def _is_level(line: Line2D) -> bool:
    """Whether it goes straight across the figure, at a height that was given and not measured."""
    x_is_data, _ = line.get_transform().contains_branch_seperately(line.axes.transData)
    return not x_is_data  # else it is a share of the figure's width


def _names_of_ticks(axis: Axis) -> list[str]:
    """What is written at ticks that were given. Those that matplotlib finds go with the values."""
    given = isinstance(axis.get_major_locator(), FixedLocator)
    return [tick.get_text() for tick in axis.get_ticklabels()] if given else []


def _words(texts: Sequence[str]) -> list[str]:
    """The texts with every number as 0: another machine measures other ones."""
    return [re.sub(r"-?\d+(\.\d+)?(e[-+]\d+)?", "0", text) for text in texts]


def _limits(image: AxesImage, measured: bool) -> list[float]:
    """Which values the first and the last colour stand for, but for those measured ones that are the values' own."""
    values, limits = image.get_array(), [float(f"{limit:.5g}") for limit in image.get_clim()]
    return [] if measured and image.get_clim() == (values.min(), values.max()) else limits


def _series(values: ArrayLike, measured: bool) -> dict:
    values = np.asarray(values, dtype=float)
    flat = values.ravel()
    finite = bool(np.isfinite(flat).all())
    if not measured:
        return {"shape": list(values.shape), "values": [None if math.isnan(v) else float(f"{v:.5g}") for v in flat]}
    return {"shape": list(values.shape), "finite": finite, "trend": _trend(flat) if values.ndim == 1 and finite else ""}


def _trend(values: np.ndarray) -> str:
    """Whether a series goes down or up over most of its range; where it does neither, nothing is said."""
    span = np.ptp(values) if len(values) else 0
    change = (values[-1] - values[0]) / span if span else 0
    return "falls" if change < -CLEAR_TREND else "rises" if change > CLEAR_TREND else ""
