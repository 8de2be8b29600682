"""ipywidgets around the package. Each is displayed with a still picture or text beside it, for readers without
a kernel.

Only what ipywidgets 7 and 8 share is used, so the same notebooks run at home and in Colab.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import ipywidgets
from IPython.display import display
from matplotlib.figure import Figure
from tqdm.notebook import tqdm

from .display import STRUCTURE, png, show, structure
from .errors import InputError
from .plots import lines
from .training import ProgressBar, Run

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
LOSSES_PER_POINT = 16  # the live curve averages this many steps: single losses are too noisy to read
LOW_LOSS, HIGH_LOSS = 0.01, 3.0  # nats per token; the live curve's axis holds both, and more where a loss is outside


def show_widget(widget: ipywidgets.Widget, text: str, beside: dict[str, object] | None = None) -> None:
    """Display a widget, and beside it what readers see where no widgets run: by MIME type, or else `text`."""
    bundle: dict = {
        "text/plain": text,
        WIDGET_VIEW: {"version_major": 2, "version_minor": 0, "model_id": widget.model_id},
        **(beside or {}),
    }
    metadata = {"image/png": {"alt": text}} if "image/png" in bundle else {}
    display(bundle, metadata=metadata, raw=True)


def explore(
    draw: Callable[..., Figure], alt: str, measured: bool = False, **controls: ipywidgets.Widget
) -> ipywidgets.VBox:
    """Controls above the picture that `draw` makes of their values; it is drawn anew when one of them moves.

    The controls are those of `slider` and `dropdown`, named as `draw` takes them. Both ends of their ranges are drawn
    at once, for the regression test alone: a `draw` that fails there fails here. For `measured` see `display.show`.
    """

    def frame() -> Figure:
        return draw(**{name: control.value for name, control in controls.items()})

    first = frame()
    still = png(first)
    picture = ipywidgets.Image(value=still, format="png")
    picture.layout.max_width = "100%"
    picture.layout.object_fit = "contain"
    picture.layout.align_self = "flex-start"  # else a column of widgets stretches it out of shape

    def redraw(_change: object) -> None:
        picture.value = png(frame())

    for control in controls.values():
        control.observe(redraw, names="value")
    box = ipywidgets.VBox([*controls.values(), picture])
    ends = zip(*map(_ends, controls.values()), strict=True)
    compared = structure(first, measured) | {
        "controls": [_range(control) for control in controls.values()],
        "at their ends": [structure(draw(**dict(zip(controls, values, strict=True))), measured) for values in ends],
    }
    show_widget(box, alt, {"image/png": still, STRUCTURE: compared})
    return box


def _ends(control: ipywidgets.Widget) -> tuple[object, object]:
    """The lowest and the highest value of a slider, the first and the last of a dropdown."""
    if isinstance(control, ipywidgets.Dropdown):
        return control.options[0][1], control.options[-1][1]
    return control.min, control.max


def _range(control: ipywidgets.Widget) -> str:
    """What a slider or a dropdown offers, and where it begins: in words, which the regression test compares exactly."""
    if isinstance(control, ipywidgets.Dropdown):
        return f"{control.description}: {', '.join(name for name, _ in control.options)}, first {control.label}"
    return f"{control.description}: {control.min} to {control.max}, first {control.value}"


def slider(label: str, low: int, high: int, value: int | None = None) -> ipywidgets.IntSlider:
    """A slider over whole numbers, wide enough for its label. Without a value it begins at its lowest."""
    if value is not None and not low <= value <= high:  # ipywidgets would take another without a word
        raise InputError(f"The slider {label!r} goes from {low} to {high}: it cannot begin at {value}.")
    return ipywidgets.IntSlider(
        value=low if value is None else value,
        min=low,
        max=high,
        description=label,
        continuous_update=False,
        style={"description_width": "initial"},
        layout={"width": "420px"},
    )


def dropdown(label: str, options: Sequence[str] | Mapping[str, object], value: object = None) -> ipywidgets.Dropdown:
    """A choice among options, by their names; the first is chosen unless a value is given."""
    options = list(options.items()) if isinstance(options, Mapping) else [(name, name) for name in options]
    if value is not None and value not in [each for _, each in options]:
        names = ", ".join(name for name, _ in options)
        raise InputError(f"The menu {label!r} offers {names}: it cannot begin at {value!r}.")
    chosen = {} if value is None else {"value": value}
    return ipywidgets.Dropdown(
        options=options,
        description=label,
        style={"description_width": "initial"},
        layout={"width": "420px"},
        **chosen,
    )


class LiveTraining(ProgressBar):
    """A progress bar and the loss curve, drawn while a network trains in a notebook. At the end the curve stays.

    The title tells one training of a cell from another.
    """

    def __init__(self, title: str = "Training loss") -> None:
        self.title = title

    def on_start(self, run: Run) -> None:
        self.bar = tqdm(total=run.recipe.steps, initial=run.step, desc=run.recipe.name, unit="step", display=False)
        _, bar, _ = self.bar.container.children
        bar.layout.min_width = "80px"  # in a narrow window the text beside it would leave nothing of it
        self.picture = ipywidgets.Image(value=png(self._curve(run)), format="png")
        self.picture.layout.object_fit = "contain"
        self.picture.layout.align_self = "flex-start"
        box = ipywidgets.VBox([self.bar.container, self.picture])
        show_widget(box, "While the cell runs, a progress bar stands here, and the loss curve grows.")

    def on_epoch(self, run: Run) -> None:
        super().on_epoch(run)
        self.picture.value = png(self._curve(run))

    def on_end(self, run: Run) -> None:
        super().on_end(run)
        self.picture.close()
        show(self._curve(run), f"{self.title} against steps, on a logarithmic axis.", measured=True)

    def _curve(self, run: Run) -> Figure:
        return loss_curve(run.step_losses, run.recipe.steps, self.title)


def loss_curve(step_losses: list[float], n_steps: int, title: str = "Training loss") -> Figure:
    """The training loss over the steps, averaged over a few steps at a time, on axes that hold the whole run."""
    chunks = [step_losses[i : i + LOSSES_PER_POINT] for i in range(0, len(step_losses), LOSSES_PER_POINT)]
    means = [sum(chunk) / len(chunk) for chunk in chunks]
    steps = [LOSSES_PER_POINT * number + len(chunk) / 2 for number, chunk in enumerate(chunks)]  # the middle of each
    figure = lines({"training loss": means}, title, "step", "nats per token", x=steps, log_y=True)
    (axes,) = figure.axes
    axes.set_xlim(0, n_steps)
    axes.set_ylim(min([LOW_LOSS, *means]), max([HIGH_LOSS, *means]))
    return figure
