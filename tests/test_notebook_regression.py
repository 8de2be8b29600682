"""The notebooks' regression test itself: which pictures count as the same, and what a failure says."""

import base64
import io
import subprocess
import sys
from pathlib import Path

import matplotlib
import nbformat
import pytest
from matplotlib.figure import Figure
from notebook_regression import alike, structure_differences
from PIL import Image

from course_utils import display, plots

ROOT = Path(__file__).parents[1]
X = [number / 10 for number in range(60)]
FIGURES = {
    "lines": lambda: plots.lines({"a": [x * x for x in X], "b": [9 * x**0.5 for x in X]}, "Two curves", "x", "y", x=X),
    "bars": lambda: plots.bars({"a": [0.2, 0.9], "b": [0.5, 0.6]}, ["one", "two"], "Bars", "share"),
    "grid": lambda: plots.pair_grid({(s, m): (s + m) / 9 for s in range(6) for m in range(2, 9 - s)}, "Grid", "p"),
    "substring": lambda: plots.substring([1, 2, 7, 8, 9, 6], [8, 9, 0, 0]),
}
CHANGES = {
    "a curve missing": lambda: plots.lines({"a": [x * x for x in X]}, "Two curves", "x", "y", x=X),
    "axes swapped": lambda: plots.lines({"a": X, "b": X}, "Two curves", "x", "y", x=[x * x for x in X]),
    "an empty plot": lambda: plots.lines({}, "Two curves", "x", "y"),
    "a logarithmic scale": lambda: plots.lines(
        {"a": [x * x for x in X], "b": [9 * x**0.5 for x in X]}, "Two curves", "x", "y", x=X, log_y=True
    ),
}


def picture(figure: Figure) -> Image.Image:
    return Image.open(io.BytesIO(display.png(figure)))


@pytest.mark.parametrize("name", FIGURES)
def test_another_font_or_resolution_makes_no_difference(name):
    before = picture(FIGURES[name]())
    for options in ({"font.family": "serif"}, {"font.size": 11}):
        with matplotlib.rc_context(options):
            assert alike(before, picture(FIGURES[name]()))
    smoother = before.resize((before.width * 3, before.height * 3)).resize(before.size)
    assert alike(before, smoother)


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_picture_is_seen(change):
    assert not alike(picture(FIGURES["lines"]()), picture(CHANGES[change]()))


@pytest.mark.parametrize("one", FIGURES)
def test_pictures_of_different_things_are_told_apart(one):
    assert [other for other in FIGURES if alike(picture(FIGURES[one]()), picture(FIGURES[other]()))] == [one]


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_figure_has_another_structure(change):
    before, after = (display.structure(make()) for make in (FIGURES["lines"], CHANGES[change]))
    assert structure_differences(before, before) == []
    assert structure_differences(before, after)


def test_numbers_may_differ_by_rounding_and_words_not_at_all():
    stored = {"title": "T", "values": [1.0, None, 200], "measured": False}
    assert structure_differences(stored, {**stored, "values": [1.0005, None, 199.9]}) == []
    assert structure_differences(stored, {**stored, "values": [1.002, None, 200]}) == [
        "- values 1: 1.0",
        "+ values 1: 1.002",
    ]
    assert structure_differences(stored, {**stored, "title": "t"}) == ["- title: T", "+ title: t"]
    assert structure_differences(stored, {**stored, "measured": True})
    assert structure_differences(stored, {**stored, "values": [1.0, 200]})


SHOW = "from course_utils import plots, show\nshow(plots.lines({'a': [1.0, 2.0]}, 'T', 'x', 'y'), 'A line.')"


def run(folder: Path, code: list[str], outputs: list) -> subprocess.CompletedProcess:
    """nbval, with the course's settings, on a notebook of these cells with these stored outputs."""
    write(folder / "07_small.ipynb", code, outputs)
    return nbval(folder)


def write(path: Path, code: list[str], outputs: list) -> None:
    cells = [
        nbformat.v4.new_code_cell(source, outputs=stored, execution_count=number)
        for number, (source, stored) in enumerate(zip(code, outputs, strict=True), start=1)
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)


def nbval(folder: Path, *options: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "pytest", "-c", ROOT / "tests" / "nbval.ini", "--rootdir", folder]
    command += [*options, *sorted(folder.glob("*.ipynb"))]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def printed(text: str) -> list:
    return [nbformat.v4.new_output("stream", name="stdout", text=text)]


def shown(figure: Figure, measured: bool = False) -> list:
    png = base64.b64encode(display.png(figure)).decode()
    data = {"image/png": png, display.STRUCTURE: display.structure(figure, measured), "text/plain": "A line."}
    return [nbformat.v4.new_output("display_data", data=data)]


def test_a_changed_result_is_told_in_a_few_lines(tmp_path):
    assert run(tmp_path, ["print(2 + 2)"], [printed("4\n")]).returncode == 0
    done = run(tmp_path, ["# the sum\nprint(2 + 2)"], [printed("5\n")])
    assert done.returncode == 1
    told = done.stdout[done.stdout.index("notebooks/07_small.ipynb, In [1]:") :].splitlines()
    assert told[1:3] == ["    # the sum", "    print(2 + 2)"]
    assert "-5" in told
    assert "+4" in told
    assert "Is the change wanted? `make run NOTEBOOK=07` stores what came. Read its diff first." in told
    assert len(done.stdout.splitlines()) < 25


def test_a_cell_that_fails_ends_its_notebook_and_says_why(tmp_path):
    done = run(tmp_path, ["x = 1\ny = x / 0", "print(y)"], [[], printed("1\n")])
    assert done.returncode != 0
    assert "ZeroDivisionError: division by zero" in done.stdout
    assert "The cells after it are skipped" in done.stdout
    assert "NameError" not in done.stdout


def test_the_notebooks_after_one_that_fails_are_still_run(tmp_path):
    write(tmp_path / "07_small.ipynb", ["1 / 0", "print(1)"], [[], printed("1\n")])
    write(tmp_path / "08_other.ipynb", ["print(1)"], [printed("1\n")])
    done = nbval(tmp_path, "-n", "1", "--dist", "loadfile")
    assert "1 failed, 1 passed, 1 skipped" in done.stdout


def test_a_changed_figure_fails_and_both_can_be_looked_at(tmp_path):
    same = plots.lines({"a": [1.0, 2.0]}, "T", "x", "y")
    assert run(tmp_path, [SHOW], [shown(same)]).returncode == 0
    done = run(tmp_path, [SHOW], [shown(plots.lines({"a": [1.0, 3.0]}, "T", "x", "y"))])
    assert "- axes 1 lines 1 2 values 2: 3.0" in done.stdout
    assert "Stored above, came below: build/pictures/07_small-In1-1.png" in done.stdout
    with Image.open(tmp_path / "build" / "pictures" / "07_small-In1-1.png") as both:
        assert both.height > 2 * 300


def test_of_a_measured_figure_only_the_structure_is_compared(tmp_path):
    code = [SHOW.replace("'A line.'", "'A line.', measured=True")]
    assert run(tmp_path, code, [shown(plots.lines({"a": [5.0, 9.0]}, "T", "x", "y"), True)]).returncode == 0
    assert run(tmp_path, code, [shown(plots.lines({"a": [9.0, 5.0]}, "T", "x", "y"), True)]).returncode == 1


def test_a_figure_that_only_looks_different_fails(tmp_path):
    stored = shown(plots.lines({"a": [1.0, 2.0]}, "T", "x", "y"))
    stored[0].data["image/png"] = shown(FIGURES["grid"]())[0].data["image/png"]
    assert "The picture looks different." in run(tmp_path, [SHOW], [stored]).stdout
