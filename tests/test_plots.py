"""Figures: they hold what they were given, and the same figure gives the same picture."""

import io
import json
import math

import figures
import matplotlib.image
import numpy as np
import pytest

from course_utils import display, plots


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def pixels(figure):
    return matplotlib.image.imread(io.BytesIO(display.png(figure)))


def test_a_substring_shows_source_and_target():
    figure = plots.substring([1, 2, 7, 8, 9, 6], [8, 9, 0, 0])
    assert [text for text in texts(figure) if text.isdigit()] == list("127896") + list("8900")
    assert figure.axes[0].get_title("left") == "start 1, length 2"


def test_only_the_copied_digits_are_lit():
    figure = plots.substring([1, 2, 7, 8, 9, 6], [8, 9, 0, 0])
    lit = [patch for patch in figure.axes[0].patches if matplotlib.colors.to_hex(patch.get_facecolor()) == "#e69f00"]
    assert sorted(round(patch.get_x() + 0.4) for patch in lit) == [2, 3, 3, 4]


def test_a_wrong_output_is_marked():
    right = plots.substring([1, 2, 7, 8, 9, 6], [8, 9, 0, 0], [8, 9, 0, 0], "Output")
    wrong = plots.substring([1, 2, 7, 8, 9, 6], [8, 9, 0, 0], [8, 7, 0, 0])
    assert texts(right).count("wrong") == 0
    assert texts(wrong).count("wrong") == 1
    assert right.axes[0].get_title("left") == "Output"


def boxes(figure, height):
    """Token and colour of each box in this row, from left to right."""
    axes = figure.axes[0]
    colours = {
        round(patch.get_x() + 0.4, 6): matplotlib.colors.to_hex(patch.get_facecolor())
        for patch in axes.patches
        if round(patch.get_y() + 0.42, 6) == height
    }
    tokens = {round(text.get_position()[0], 6): text for text in axes.texts if text.get_position()[1] == height}
    return [(tokens[place].get_text(), colours[place]) for place in sorted(colours)]


@pytest.mark.parametrize(
    ("forced", "read"),
    [
        (True, [("0", "#d9d9d9"), ("9", "#e69f00"), ("2", "#e69f00"), ("0", "#d9d9d9")]),
        (False, [("0", "#d9d9d9"), ("9", "#e69f00"), ("5", "#d55e00"), ("8", "#d55e00")]),
    ],
)
def test_an_unrolled_decoder_reads_the_truth_or_what_it_wrote_and_errors_are_red(forced, read):
    figure = plots.unrolled([1, 2, 4, 9, 2, 7], [9, 2, 0, 0], [9, 5, 8, 0], forced)
    assert boxes(figure, -1.5)[:6] == [(token, "#ffffff") for token in "124927"]
    assert boxes(figure, -1.5)[6:] == read
    assert [token for token, _ in boxes(figure, 1.5)] == list("9580")
    assert len(figure.axes[0].lines) == (0 if forced else 3)


def test_an_unrolled_encoder_has_a_cell_and_an_arrow_for_each_token_and_ends_with_its_state():
    figure = plots.unrolled([0, 2, 5, 6])
    assert [token for token, _ in boxes(figure, -1.5)] == list("0256")
    assert sum(patch.get_facecolor() == matplotlib.colors.to_rgba(plots.SKY) for patch in figure.axes[0].patches) == 4
    assert "the last\nstate" in texts(figure)
    assert "the decoder reads" not in texts(figure)


def test_a_pair_grid_writes_every_value_in_its_cell():
    figure = plots.pair_grid({(0, 2): 0.25, (0, 3): 0.5, (1, 2): 0.125}, "Title", "share", decimals=2)
    axes = figure.axes[0]
    cells = {(text.get_position()[1], text.get_position()[0]): text.get_text() for text in axes.texts}
    assert cells == {(0, 0): "0.25", (0, 1): "0.50", (1, 0): "0.12"}
    assert [label.get_text() for label in axes.get_xticklabels()] == ["2", "3"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("length", "start")
    assert figure.axes[1].get_ylabel() == "share"


@pytest.mark.parametrize(
    ("limit", "scale", "inks"), [(None, (2, 4), ["white", "white", "black"]), (10, (0, 10), ["white"] * 3)]
)
def test_a_pair_grid_has_the_scale_that_it_is_given(limit, scale, inks):
    axes = plots.pair_grid({(0, 2): 2, (0, 3): 3, (1, 2): 4}, "Title", "share", limit=limit).axes[0]
    assert axes.images[0].get_clim() == scale
    assert [text.get_color() for text in axes.texts] == inks


def test_a_pair_grid_of_zeros_can_be_drawn():
    axes = plots.pair_grid({(0, 2): 0, (0, 3): 0}, "Title", "share", decimals=0, limit=100).axes[0]
    assert [text.get_text() for text in axes.texts] == ["0", "0"]


@pytest.mark.parametrize(("limit", "scale"), [(None, (0, 1)), (2.0, (-2, 2))])
def test_a_heat_map_has_a_fixed_scale(limit, scale):
    figure = plots.heat_map(np.array([[0.0, 1.0], [0.5, 0.2], [0.1, 0.3]]), "Title", "x", "y", limit=limit)
    image = figure.axes[0].images[0]
    assert image.get_clim() == scale
    assert image.get_array().shape == (3, 2)


def test_a_heat_map_names_its_ticks_and_frames_marked_cells():
    figure = plots.heat_map(
        np.zeros((2, 3)), "Title", "x", "y", x_ticks=["a", "b", "c"], y_ticks=["p", "q"], marked=[(1, 2)], label="hue"
    )
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b", "c"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["p", "q"]
    (frame,) = axes.patches
    assert (frame.get_x(), frame.get_y()) == (1.5, 0.5)
    assert figure.axes[1].get_ylabel() == "hue"


def test_a_large_heat_map_leaves_its_rows_unnumbered():
    many, few = (plots.heat_map(np.zeros((rows, 2)), "Title", "x", "y") for rows in (40, 3))
    assert len(few.axes[0].get_yticks()) == 3
    assert len(many.axes[0].get_yticks()) < 40


def test_lines_draw_each_series():
    figure = plots.lines(
        {"one": [1, 2, 3], "two": [3, 2, 1]},
        "Title",
        "x",
        "y",
        x=[10, 20, 30],
        log_y=True,
    )
    axes = figure.axes[0]
    assert [(line.get_label(), list(line.get_ydata())) for line in axes.lines] == [
        ("one", [1, 2, 3]),
        ("two", [3, 2, 1]),
    ]
    assert list(axes.lines[0].get_xdata()) == [10, 20, 30]
    assert axes.get_yscale() == "log"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["one", "two"]
    assert (axes.get_title("left"), axes.get_xlabel(), axes.get_ylabel()) == ("Title", "x", "y")


@pytest.mark.parametrize(("values", "labels"), [([2.3, 0.02], ["0.05", "0.5", "1", "2"]), ([1.0, 1e-6], [])])
def test_a_logarithmic_axis_is_labelled_between_powers_of_ten_where_it_has_few(values, labels):
    figure = plots.lines({"one": values}, "Title", "x", "y", log_y=True)
    display.png(figure)  # draws it
    found = {label.get_text() for label in figure.axes[0].get_yticklabels()}
    assert found >= set(labels)
    assert labels or "0.5" not in found


def test_a_single_line_needs_no_legend_and_counts_from_zero():
    axes = plots.lines({"one": [5.0, 6.0]}, "Title", "x", "y").axes[0]
    assert axes.get_legend() is None
    assert list(axes.lines[0].get_xdata()) == [0, 1]


def test_series_differ_in_colour_and_in_line_style():
    axes = plots.lines({name: [1, 2] for name in "abc"}, "Title", "x", "y").axes[0]
    assert axes.get_legend().get_window_extent().x0 >= axes.get_window_extent().x1  # beside them
    assert len({line.get_color() for line in axes.lines}) == 3
    assert len({str(line.get_linestyle()) for line in axes.lines}) == 3


def test_bars_show_values_and_the_runs_behind_them():
    figure = plots.bars(
        {"left": [0.5, 0.25], "right": [1, 2]},
        ["a", "b"],
        "Title",
        "y",
        points={"left": [[0.4, 0.6], [0.2, 0.3]], "right": [[], []]},
    )
    axes = figure.axes[0]
    assert [bar.get_height() for bar in axes.patches] == [0.5, 0.25, 1, 2]
    assert texts(figure) == ["0.50", "0.25", "1.00", "2.00"]
    assert [list(line.get_ydata()) for line in axes.lines if len(line.get_ydata())] == [[0.4, 0.6], [0.2, 0.3]]
    assert [text.xy[1] for text in axes.texts] == [0.5, 0.25, 1, 2]  # on the bar, and its dots aside
    assert all(line.get_xdata()[0] > text.xy[0] for line, text in zip(axes.lines[:2], axes.texts[:2], strict=True))
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b"]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["one seed", "left", "right"]


def test_there_may_be_more_groups_than_colours():
    figure = plots.bars({name: [1.0] for name in "abcdefg"}, ["x"], "Title", "y")
    assert len(figure.axes[0].patches) == 7


def test_a_level_is_a_dashed_line_across_the_bars():
    axes = plots.bars({"only": [1.0, 2.0]}, ["a", "b"], "Title", "y", level=("chance", 0.25)).axes[0]
    assert [list(line.get_ydata()) for line in axes.lines if line.get_linestyle() == "--"] == [[0.25, 0.25]]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["chance", "only"]


def test_marks_stand_on_a_logarithmic_scale_with_their_magnitude_and_the_runs_behind_them():
    seeds = {"left": [[1e-7, 1e-5], [0.25]], "right": [[], [0.75]]}
    figure = plots.marks({"left": [1e-6, 0.5], "right": [1e-3, 1]}, ["a", "b"], "Title", "y", points=seeds)
    (axes,) = figure.axes
    assert (axes.get_title("left"), axes.get_ylabel(), axes.get_yscale()) == ("Title", "y", "log")
    assert texts(figure) == ["1e-06", "0.5", "0.001", "1"]
    drawn = {line.get_label(): list(line.get_ydata()) for line in axes.lines if line.get_marker() == "_"}
    assert drawn == {"left": [1e-6, 0.5], "right": [1e-3, 1]}
    assert [list(line.get_ydata()) for line in axes.lines if line.get_marker() == "o"] == [
        *seeds["left"],
        *seeds["right"],
    ]
    assert not axes.patches  # the length of a bar says nothing here
    assert axes.get_xlim() == (-0.6, 1.6)  # a mark has its whole width


def test_bars_of_one_group_need_no_legend():
    assert plots.bars({"only": [1.0]}, ["a"], "Title", "y").axes[0].get_legend() is None


def test_no_ink_touches_the_edge_of_a_picture():
    for figure in (
        plots.substring([5, 3, 7, 8, 9, 6, 1, 2, 3, 4], [2, 3, 4, 0, 0, 0, 0, 0], [0] * 8),
        plots.pair_grid({(0, 2): 0.25, (1, 2): 0.5}, "A rather long title for so small a grid", "share"),
    ):
        picture = pixels(figure)[..., :3]
        edges = (picture[0], picture[-1], picture[:, 0], picture[:, -1])
        assert all(np.all(edge > 0.99) for edge in edges)


def test_a_comparison_shows_both_tables_and_how_far_they_are_apart():
    figure = plots.comparison([[1.0, 2.0], [3.0, 4.0]], [[1.0, 2.5], [3.0, math.nan]])
    panels = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title("left") for axes in panels] == ["expected", "yours", "apart by"]
    tables = [np.ma.filled(axes.images[0].get_array(), math.nan) for axes in panels]
    assert np.array_equal(tables[2], [[0, 0.5], [0, math.nan]], equal_nan=True)
    assert panels[0].images[0].get_clim() == panels[1].images[0].get_clim()


def test_intervals_show_mean_and_range_the_first_name_on_top():
    figure = plots.intervals({"one": [(0.5, 0.4, 0.7), (1, 1, 1)], "two": [(0, 0, 0), (1, 0, 2)]}, ["a", "b"], "T", "x")
    axes = figure.axes[0]
    assert [list(line.get_xdata()) for line in axes.lines] == [[0.5, 1], [0, 1]]
    assert axes.lines[0].get_ydata()[0] < axes.lines[1].get_ydata()[0] < axes.lines[0].get_ydata()[1]
    ranges = [[list(segment[:, 0]) for segment in lines.get_segments()] for lines in axes.collections]
    assert ranges == [[[0.4, 0.7], [1, 1]], [[0, 0], [0, 2]]]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]


def test_detections_are_ticked_and_counted():
    found = {"a": {"eye": True, "ear": False}, "b": {"eye": True, "ear": True}}
    axes = plots.detections(found, "Title").axes[0]
    assert {text.get_position() for text in axes.texts} == {(0, 0), (0, 1), (1, 1)}
    assert [label.get_text() for label in axes.get_xticklabels()] == ["2 of 2", "1 of 2"]
    assert [label.get_text() for label in axes.child_axes[0].get_xticklabels()] == ["eye", "ear"]
    assert axes.images[0].get_array().tolist() == [[1, 0], [1, 1]]
    assert len(axes.lines) == 2  # one between the rows, one between the columns


@pytest.mark.parametrize(("step", "parted"), [(0, False), (1, True), (3, True)])
def test_decodings_frame_the_first_place_where_they_part(step, parted):
    figure = plots.decodings(figures.SHORT, [3, 8, 1, 0], figures.APART, figures.CHANCES, step)
    boxes, chances = figure.axes
    words = [text.get_text() for text in boxes.texts]
    assert words[:4] == ["source", "0", "3", "3"]
    assert [word for word in words if word.isdigit()] == [*"033815", *"3810", *"3810"[: step + 1], *"3019"[: step + 1]]
    frames = [patch for patch in boxes.patches if not patch.get_fill()]
    assert len(frames) == words.count("here they part") == parted
    if parted:
        assert frames[0].get_x() == pytest.approx(3 - 0.55)  # the second token
    assert [bar.get_height() for bar in chances.patches] == [*np.eye(4, 10)[step], *[0.1] * 10]
    assert [text.get_text() for text in chances.get_legend().get_texts()] == ["healthy", "sick"]


@pytest.mark.parametrize("place", range(4))
def test_where_decodings_part_the_words_stand_below_the_frame(place):
    healthy = [3, 8, 1, 0]
    outputs = {"healthy": healthy, "sick": [*healthy[:place], 7, *healthy[place + 1 :]]}
    boxes, _ = plots.decodings(figures.SHORT, healthy, outputs, figures.CHANCES, 3).axes
    (frame,) = [patch for patch in boxes.patches if not patch.get_fill()]
    (below,) = [text for text in boxes.texts if text.get_text() == "here they part"]
    assert below.get_position()[0] == pytest.approx(frame.get_x() + frame.get_width() / 2)


@pytest.mark.parametrize("name", figures.FIGURES)
def test_every_figure_still_consists_of_what_it_did(name):
    stored = json.loads(figures.STORED.read_text(encoding="utf-8"))[name]
    came = figures.contents(figures.FIGURES[name]())
    same = figures.same(stored, came)
    assert same, f"{name} differs; if that is wanted, `.venv/bin/python tests/figures.py` stores it"


def test_every_kind_of_figure_is_stored():
    assert json.loads(figures.STORED.read_text(encoding="utf-8")).keys() == figures.FIGURES.keys()
