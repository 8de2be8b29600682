"""The notebooks as files: run and whole, alike where they should be, and with solutions that solve.

That their outputs still hold is the work of nbval, which `make test` runs over them.
"""

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
from solutions import exercises

import course_utils
from course_utils.teaching import EXERCISES, engine

ROOT = Path(__file__).parents[1]
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NOTEBOOKS = {path.stem: nbformat.read(path, as_version=4) for path in PATHS}
IGNORED = "nbval-ignore-output"

each_notebook = pytest.mark.parametrize("name", NOTEBOOKS)


def code_cells(name):
    return [cell for cell in NOTEBOOKS[name].cells if cell.cell_type == "code"]


def set_up(name):
    """The names that the set-up cell makes."""
    space: dict = {}
    exec(code_cells(name)[0].source, space)
    return space


def text(name):
    return "\n".join(cell.source for cell in NOTEBOOKS[name].cells if cell.cell_type == "markdown")


def tags(cell):
    return cell.metadata.get("tags", [])


def test_the_notebooks_are_there():
    assert [path.stem for path in PATHS] == [
        "01_task_definition",
        "02_gru_encoder",
        "03_decoder_teacher_forcing",
        "04_cuda_training",
        "05_every_input",
        "06_bug_museum",
    ]


@each_notebook
def test_a_set_up_that_cannot_install_the_package_ends_there(name, monkeypatch):
    run = subprocess.run
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(subprocess, "run", lambda _, **options: run([sys.executable, "-c", "exit(1)"], **options))
    with pytest.raises(subprocess.CalledProcessError):
        set_up(name)


@each_notebook
@pytest.mark.parametrize("given", [None, "dist/course_utils.whl"])
def test_a_set_up_that_misses_the_package_installs_it_alone(name, given, monkeypatch):
    commands = []
    monkeypatch.setattr(importlib.util, "find_spec", lambda package: None if package == "course_utils" else "found")
    monkeypatch.setattr(subprocess, "run", lambda command, **_: commands.append(command))
    monkeypatch.delenv("COURSE_UTILS_SOURCE", raising=False)
    if given:
        monkeypatch.setenv("COURSE_UTILS_SOURCE", given)
    set_up(name)
    (command,) = commands
    *pip, package = command
    assert pip == [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    assert package == given if given else package.endswith(f"/v{course_utils.__version__}.zip")


@each_notebook
def test_a_set_up_that_has_the_package_installs_nothing_and_explains_missing_names(name, monkeypatch):
    called = []
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: called.append("pip"))
    monkeypatch.setattr(course_utils, "explain_missing_names", lambda: called.append("explained"))
    set_up(name)
    assert called == ["explained"]


@each_notebook
def test_every_code_cell_was_run_once_and_in_order(name):
    counts = [cell.execution_count for cell in code_cells(name)]
    assert counts == list(range(1, len(counts) + 1)), f"run the notebook whole: `make run NOTEBOOK={name[:2]}`"


@each_notebook
def test_no_stored_output_is_an_error_or_a_dead_widget(name):
    assert "widgets" not in NOTEBOOKS[name].metadata
    for cell in code_cells(name):
        for output in cell.outputs:
            assert output.output_type != "error"
            assert not any("widget" in mime for mime in output.get("data", {}))
            assert output.get("name") != "stderr"


@each_notebook
def test_nothing_of_the_authors_machine_is_stored(name):
    stored = (ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8")
    assert not re.search(r"/(home|root|tmp|work|Users)/\w", stored)
    assert set(NOTEBOOKS[name].metadata) == {"kernelspec", "language_info"}


@each_notebook
def test_the_set_up_cell_is_the_same_everywhere_and_names_the_published_version(name):
    first, own = code_cells(name)[0].source, code_cells("01_task_definition")[0].source
    assert first.split("\n\n")[:2] == own.split("\n\n")[:2]
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    archive = f"{urls['Repository']}/archive/refs/tags/v{course_utils.__version__}.zip"
    assert f'"{archive}"' in first
    repository = urls["Repository"].removeprefix("https://github.com/")
    colab = (
        f"https://colab.research.google.com/github/{repository}/blob/v{course_utils.__version__}/notebooks/{name}.ipynb"
    )
    assert f"({colab})" in NOTEBOOKS[name].cells[0].source


@each_notebook
def test_cells_are_short_and_show_their_value(name):
    for cell in code_cells(name):
        place, lines = f"In [{cell.execution_count}]", cell.source.splitlines()
        assert len(lines) <= 30, f"{place} has more than 30 lines: a reader no longer sees it whole"
        too_wide = [line for line in lines if len(line) > 105 and "COURSE_UTILS_SOURCE" not in line]
        assert not too_wide, f"{place} has a line of more than 105 characters: JupyterLab hides what does not fit"
        assert not cell.source.rstrip().endswith(";"), f"{place} ends in a semicolon: write `_ = …` to show nothing"


@each_notebook
def test_an_ignored_output_says_why(name):
    for cell in code_cells(name):
        if IGNORED in tags(cell):
            assert re.match(r"# The output is not compared: .+\.\n", cell.source)
        assert not any(tag.startswith("nbval") and tag != IGNORED for tag in tags(cell))


def test_few_outputs_are_ignored():
    cells = [cell for name in NOTEBOOKS for cell in code_cells(name)]
    assert sum(IGNORED in tags(cell) for cell in cells) <= 0.05 * len(cells)


@each_notebook
def test_every_section_with_code_has_an_output_that_is_compared(name):
    section, compared = "", {}
    for cell in NOTEBOOKS[name].cells:
        headings = re.findall(r"^## (.*)$", cell.source, flags=re.M) if cell.cell_type == "markdown" else []
        section = headings[-1] if headings else section
        if cell.cell_type == "code" and section:
            compared[section] = compared.get(section, False) or (bool(cell.outputs) and IGNORED not in tags(cell))
    assert compared
    assert all(compared.values()), compared


@each_notebook
def test_a_notebook_has_its_parts(name):
    for part in ("## Mistakes people make here", "## Quiz", "## Where you stand", "**Recap.**", "**Further reading.**"):
        assert part in text(name)
    assert "**Predict" in text(name)
    assert sum("explore(" in cell.source for cell in code_cells(name)) >= 1


EXERCISES_OF = {name: exercises(notebook) for name, notebook in NOTEBOOKS.items()}


def test_every_exercise_is_in_its_notebook_once():
    assert [exercise.id for found in EXERCISES_OF.values() for exercise in found] == list(EXERCISES)


@each_notebook
def test_an_exercise_has_a_heading_a_stub_two_hints_and_a_solution(name):
    assert len(EXERCISES_OF[name]) >= 4
    for found in EXERCISES_OF[name]:
        exercise = EXERCISES[found.id]
        before, stub, _, after = NOTEBOOKS[name].cells[found.answer_cell - 1 : found.check_cell + 2]
        dots = "●" * exercise.difficulty + "○" * (3 - exercise.difficulty)
        assert f"### Exercise {found.id} · {exercise.title} · {dots} · {exercise.minutes} minutes" in before.source
        assert stub.source.startswith((f"def {found.answer}(", f"class {found.answer}("))
        folded = re.findall(r"<details><summary>([^<]*)</summary>\n\n(.*?)\n</details>", after.source, flags=re.S)
        assert [summary for summary, _ in folded[:3]] == ["Hint 1", "Hint 2", "Solution"]
        assert all(len(hint) > 30 for _, hint in folded[:2])
        assert f"exercise {found.id}" in text(name) or f"({found.id})" in text(name), "no objective names the exercise"


@each_notebook
def test_an_untouched_stub_is_known_as_one(name, capsys):
    space = set_up(name)
    for found in EXERCISES_OF[name]:
        exec(NOTEBOOKS[name].cells[found.answer_cell].source, space)
        result = engine.check(found.id, space[found.answer])
        assert (result.attempted, result.passed) == (False, False)
        assert result.message.startswith(f"{found.id} not attempted yet")


@each_notebook
def test_the_solutions_shown_pass_their_checks(name):
    space = set_up(name)
    for found in EXERCISES_OF[name]:
        exec(found.solution, space)
        result = engine.check(found.id, space[found.answer])
        assert result.passed, result.message


@pytest.mark.parametrize("errors", [0, 135, 1_000])
def test_the_bound_that_5_2_shows_holds_for_large_tests_too(errors):
    found = next(found for found in EXERCISES_OF["05_every_input"] if found.id == "5.2")
    space = {}
    exec(found.solution, space)
    bound = course_utils.highest_rate(errors, 10_000)
    assert space[found.answer](errors, 10_000) == pytest.approx(bound, rel=1e-6)
