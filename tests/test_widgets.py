"""Widgets: they answer when a control moves, and bring a still picture or text along."""

import dataclasses

import ipywidgets
import pytest

from course_utils import Callback, display, fit, plots, widgets


@pytest.fixture
def shown(monkeypatch):
    """What was displayed, in order: (bundle, metadata)."""
    displayed = []
    for module in (widgets, display):
        monkeypatch.setattr(module, "display", lambda data, metadata, raw: displayed.append((data, metadata)))
    return displayed


def draw(height):
    return plots.bars({"value": [height]}, ["a"], "Title", "y")


def test_an_explorer_shows_a_still_picture_and_its_description(shown):
    widgets.explore(draw, "A bar.", height=widgets.slider("height", 1, 5, 2))
    data, metadata = shown[0]
    assert data["text/plain"] == "A bar."
    assert data["image/png"] == display.png(draw(2))
    assert metadata == {"image/png": {"alt": "A bar."}}
    view = data[widgets.WIDGET_VIEW]
    assert (view.keys(), view["version_major"], view["version_minor"]) == (
        {"model_id", "version_major", "version_minor"},
        2,  # of the format in which frontends look for widgets
        0,
    )


def test_what_its_controls_offer_belongs_to_what_is_compared(shown):
    def draw_three(height, width, name):
        return plots.bars({width: [height * name]}, ["a"], "Title", "y")

    widgets.explore(
        draw_three,
        "A bar.",
        measured=True,
        height=widgets.slider("height", 1, 5, 2),
        width=widgets.dropdown("width", ["thin", "thick", "thicker"], "thick"),
        name=widgets.dropdown("name", {"A": 1, "B": 2}),
    )
    assert shown[0][0][display.STRUCTURE] == display.structure(draw_three(2, "thick", 1), True) | {
        "controls": ["height: 1 to 5, first 2", "width: thin, thick, thicker, first thick", "name: A, B, first A"],
        "at their ends": [
            display.structure(draw_three(1, "thin", 1), True),
            display.structure(draw_three(5, "thicker", 2), True),
        ],
    }


def test_an_explorer_that_cannot_draw_an_end_of_a_slider_says_so_at_once(shown):
    with pytest.raises(ZeroDivisionError):
        widgets.explore(lambda height: draw(1 / (5 - height)), "A bar.", height=widgets.slider("height", 1, 5, 2))


def test_moving_a_slider_draws_the_picture_anew(shown):
    box = widgets.explore(draw, "A bar.", height=widgets.slider("height", 1, 5))
    slider, picture = box.children
    assert picture.value == display.png(draw(1))
    slider.value = 4
    assert picture.value == display.png(draw(4))


def test_every_control_is_observed_and_handed_over_by_name(shown):
    def draw_two(left, right):
        return plots.bars({"value": [left, right]}, ["a", "b"], "Title", "y")

    box = widgets.explore(
        draw_two, "Bars.", left=widgets.slider("left", 0, 9, 1), right=widgets.slider("right", 0, 9, 2)
    )
    box.children[1].value = 7
    assert box.children[2].value == display.png(draw_two(left=1, right=7))


def test_a_slider_begins_at_its_lowest_value_unless_told_otherwise():
    assert widgets.slider("x", 2, 8).value == 2
    assert widgets.slider("x", 2, 8, 5).value == 5
    assert (widgets.slider("x", 2, 8).min, widgets.slider("x", 2, 8).max) == (2, 8)
    assert [widgets.slider("x", 2, 8, end).value for end in (2, 8)] == [2, 8]


@pytest.mark.parametrize("value", [1, 9])
def test_a_slider_cannot_begin_outside_its_range(value, refused):
    with refused("The slider 'x' goes from 2 to 8"):
        widgets.slider("x", 2, 8, value)


def test_a_dropdown_takes_names_or_values_by_name():
    assert widgets.dropdown("x", ["a", "b"]).value == "a"
    named = widgets.dropdown("x", {"A": 1, "B": 2}, 2)
    assert (named.value, named.label, named.description) == (2, "B", "x")
    named.label = "A"
    assert named.value == 1


def test_a_dropdown_cannot_begin_at_what_it_does_not_offer(refused):
    with refused("The menu 'x' offers A, B: it cannot begin at 3"):
        widgets.dropdown("x", {"A": 1, "B": 2}, 3)


def test_a_widget_without_a_still_picture_has_text_and_html(shown):
    widgets.show_widget(ipywidgets.HTML(), "text", {"text/html": "<p>text</p>"})
    data, metadata = shown[0]
    assert (data["text/plain"], data["text/html"]) == ("text", "<p>text</p>")
    assert "image/png" not in data
    assert metadata == {}


def test_live_training_counts_steps_and_draws_the_curve(shown, recipe):
    live = widgets.LiveTraining()
    run = fit(recipe, callbacks=[live])
    assert live.bar.n == recipe.steps
    assert (live.bar.desc, live.bar.unit) == (recipe.name, "step")
    (widget, _), (curve, _) = shown
    assert "progress bar" in widget["text/plain"]
    assert curve["image/png"] == live.picture.value == display.png(widgets.loss_curve(run.step_losses, recipe.steps))
    assert curve[display.STRUCTURE]["measured"]
    assert live.picture.comm is None  # closed: the curve stays as a picture


def test_the_loss_curve_averages_over_steps():
    losses = [1.0] * widgets.LOSSES_PER_POINT + [3.0] * (widgets.LOSSES_PER_POINT // 2)
    (axes,) = widgets.loss_curve(losses, 100, "Training loss, sick").axes
    (line,) = axes.lines
    assert axes.get_title("left") == "Training loss, sick"
    assert list(line.get_ydata()) == [1.0, 3.0]
    assert list(line.get_xdata()) == [widgets.LOSSES_PER_POINT / 2, widgets.LOSSES_PER_POINT * 1.25]  # their middles


@pytest.mark.parametrize(("losses", "low", "high"), [([], 0.01, 3), ([0.5], 0.01, 3), ([5.0] * 16 + [0.001], 0.001, 5)])
def test_the_loss_curve_has_room_for_the_whole_run(losses, low, high):
    (axes,) = widgets.loss_curve(losses, 800).axes
    assert axes.get_xlim() == (0, 800)
    assert axes.get_ylim() == (low, high)
    assert axes.get_yscale() == "log"


def test_live_training_ends_well_when_a_run_is_interrupted(shown, recipe):
    class Stop(Callback):
        def on_step(self, run):
            raise KeyboardInterrupt

    live = widgets.LiveTraining()
    assert fit(dataclasses.replace(recipe, epochs=1), callbacks=[live, Stop()]).interrupted
    assert live.bar.n == 1
