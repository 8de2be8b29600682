"""What is shown of a figure: the same picture for the same figure, its words, and the data that the tests compare."""

import math

import pytest

from course_utils import display, plots


def test_the_same_figure_gives_the_same_bytes():
    first, second = (display.png(plots.substring([0, 2, 1, 2, 3, 4], [1, 2, 0, 0])) for _ in range(2))
    assert first == second
    assert first.startswith(b"\x89PNG")


def test_show_describes_the_picture_for_those_who_cannot_see_it(monkeypatch):
    shown = {}
    monkeypatch.setattr(display, "display", lambda data, **options: shown.update(data=data, **options))
    display.show(plots.lines({"one": [1.0, math.pi]}, "Title", "x", "y"), "A rising line.")
    assert shown["data"]["text/plain"] == "A rising line."
    assert shown["metadata"] == {"image/png": {"alt": "A rising line."}}
    assert shown["raw"] is True
    assert shown["data"]["image/png"].startswith(b"\x89PNG")


def test_the_structure_of_lines_says_what_they_show():
    series = {"one": [1.0, 2.0, 4.0], "two": [3.0, 2.0, 1.0]}
    (axes,) = display.structure(plots.lines(series, "Title", "x", "y", log_y=True))["axes"]
    assert (axes["title"], axes["labels"], axes["scales"]) == ("Title", ["x", "y"], ["linear", "log"])
    assert axes["legend"] == ["one", "two"]
    assert [y["values"] for _, y in axes["lines"]] == list(series.values())
    measured = display.structure(plots.lines(series, "Title", "x", "y"), measured=True)
    assert measured["measured"]
    assert [y for _, y in measured["axes"][0]["lines"]] == [
        {"shape": [3], "finite": True, "trend": "rises"},
        {"shape": [3], "finite": True, "trend": "falls"},
    ]


def test_the_structure_of_bars_and_tables_has_their_values():
    bars = display.structure(plots.bars({"a": [1.0, 2.0], "b": [3.0, 4.0]}, ["x", "y"], "Title", "share"))["axes"][0]
    assert bars["bars"]["values"] == [1, 2, 3, 4]
    assert bars["texts"] == ["1.00", "2.00", "3.00", "4.00"]
    grid = display.structure(plots.pair_grid({(0, 2): 0.5, (0, 3): 0.25, (1, 2): 0.125}, "Title", "p"))["axes"][0]
    assert grid["images"] == [{"shape": [2, 2], "values": [0.5, 0.25, 0.125, None]}]


def test_a_structure_has_the_names_at_ticks_and_those_of_measured_numbers_only():
    marks = plots.marks({"a": [0.25, 1.5e-7]}, ["x0", "after 300 steps"], "Title", "share")
    (exact,), (measured,) = (display.structure(marks, one)["axes"] for one in (False, True))
    assert exact["ticks"] == [["x0", "after 300 steps"], []]
    assert exact["texts"] == ["0.25", "1.5e-07"]
    assert measured["ticks"] == [["x0", "after 0 steps"], []]
    assert measured["texts"] == ["0", "0"]


@pytest.mark.parametrize("measured", [False, True])
def test_a_structure_has_the_height_of_a_level(measured):
    bars = plots.bars({"a": [0.2, 0.4]}, ["x", "y"], "Title", "share", level=("a ninth", 1 / 9))
    assert display.structure(bars, measured)["axes"][0]["lines"][-1][1]["values"] == [0.11111, 0.11111]


@pytest.mark.parametrize("measured", [False, True])
def test_a_structure_has_the_limits_of_its_colours(measured):
    changes = display.structure(plots.heat_map([[0.5, -0.25]], "Title", "x", "y", limit=2), measured)["axes"][0]
    assert changes["colour limits"] == [[-2, 2]]
    values = {(0, 2): 0.5, (0, 3): 0.25, (1, 2): 0.125}
    given = display.structure(plots.pair_grid(values, "Title", "p", limit=1), measured)["axes"][0]
    assert given["colour limits"] == [[0, 1]]
    own = display.structure(plots.pair_grid(values, "Title", "p"), measured)["axes"][0]
    assert own["colour limits"] == ([[]] if measured else [[0.125, 0.5]])  # another machine measures other ones


@pytest.mark.parametrize(
    ("values", "trend", "finite"),
    [([0.0, 5.0, 1.0], "", True), ([2.0, 2.0], "", True), ([], "", True), ([1.0, math.nan], "", False)],
)
def test_a_trend_is_told_only_where_there_is_one(values, trend, finite):
    line = display.structure(plots.lines({"y": values}, "Title", "x", "y"), measured=True)["axes"][0]["lines"][0][1]
    assert line == {"shape": [len(values)], "finite": finite, "trend": trend}
