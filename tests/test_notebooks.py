"""The notebooks as files: run and whole, alike where they should be, and with solutions that solve.

That their outputs still hold is the work of nbval, which `make test` runs over them.
"""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest

import course_utils
from course_utils.teaching import EXERCISES, engine

ROOT = Path(__file__).parents[1]
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NOTEBOOKS = {path.stem: nbformat.read(path, as_version=4) for path in PATHS}
IGNORED = "nbval-ignore-output"

each_notebook = pytest.mark.parametrize("name", NOTEBOOKS)


def code_cells(name):
    return [cell for cell in NOTEBOOKS[name].cells if cell.cell_type == "code"]


def text(name):
    return "\n".join(cell.source for cell in NOTEBOOKS[name].cells if cell.cell_type == "markdown")


def tags(cell):
    return cell.metadata.get("tags", [])


def test_the_four_notebooks_of_the_core_are_there():
    assert [path.stem for path in PATHS][:4] == [
        "01_task_definition",
        "02_gru_encoder",
        "03_decoder_teacher_forcing",
        "04_cuda_training",
    ]


@each_notebook
def test_every_code_cell_was_run_once_and_in_order(name):
    assert [cell.execution_count for cell in code_cells(name)] == list(range(1, len(code_cells(name)) + 1))


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
        assert len(cell.source.splitlines()) <= 30
        too_wide = [line for line in cell.source.splitlines() if len(line) > 105 and "COURSE_UTILS_SOURCE" not in line]
        assert not too_wide  # JupyterLab hides what does not fit
        assert not cell.source.rstrip().endswith(";")


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


def exercises(name):
    """(id, name of the answer, stub, markdown before the stub, markdown after the check) of each exercise."""
    cells = NOTEBOOKS[name].cells
    for place, cell in enumerate(cells):
        found = re.fullmatch(r'check\("(.*)", (\w+)\)', cell.source)
        if found:
            yield *found.groups(), cells[place - 1].source, cells[place - 2].source, cells[place + 1].source


def test_every_exercise_is_in_its_notebook_once():
    assert [found[0] for name in NOTEBOOKS for found in exercises(name)] == list(EXERCISES)


@each_notebook
def test_an_exercise_has_a_heading_a_stub_two_hints_and_a_solution(name):
    assert len(list(exercises(name))) >= 4
    for id_, answer, stub, before, after in exercises(name):
        exercise = EXERCISES[id_]
        dots = "●" * exercise.difficulty + "○" * (3 - exercise.difficulty)
        assert f"### Exercise {id_} · {exercise.title} · {dots} · {exercise.minutes} minutes" in before
        assert re.fullmatch(rf"def {answer}\(.*\):\n    \.\.\.", stub)
        assert re.findall(r"<details><summary>(.*)</summary>", after)[:3] == ["Hint 1", "Hint 2", "Solution"]
        assert f"exercise {id_}" in text(name) or f"({id_})" in text(name), "no objective names the exercise"


@each_notebook
def test_the_solutions_shown_pass_their_checks(name):
    space: dict = {}
    exec(code_cells(name)[0].source, space)
    for id_, answer, _, _, after in exercises(name):
        (solution,) = re.findall(r"<summary>Solution</summary>\n\n```python\n(.*?)```", after, flags=re.S)
        exec(solution, space)
        result = engine.check(id_, space[answer])
        assert result.passed, result.message


def test_a_changed_result_fails_the_regression_test(tmp_path):
    def run_nbval(stored_output):
        output = nbformat.v4.new_output("stream", name="stdout", text=stored_output)
        cell = nbformat.v4.new_code_cell("print(2 + 2)", outputs=[output], execution_count=1)
        nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "small.ipynb")
        command = [sys.executable, "-m", "pytest", "-c", ROOT / "tests" / "nbval.ini", "--rootdir", tmp_path, "--nbval"]
        command += ["--nbval-current-env", tmp_path / "small.ipynb"]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert run_nbval("4\n").returncode == 0
    changed = run_nbval("5\n")
    assert changed.returncode == 1
    assert "small.ipynb" in changed.stdout
