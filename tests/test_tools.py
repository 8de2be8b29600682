"""The tools behind make: refusals in one sentence, the readers' and the students' copies, storing outputs."""

import dataclasses
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import types
import venv
from pathlib import Path

import nbformat
import pytest
import solutions
import student

from course_utils import SubstringTask, count_errors, fit, save_certificate, save_checkpoint, sha256_of
from course_utils.recipes import SMALL

ROOT = Path(__file__).parents[1]


def load(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """tools/environment.py, working on a folder of its own that is set up already."""
    module = load("environment")
    for name in ("requirements.txt", "requirements-homes.txt", "pyproject.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    bin_folder = tmp_path / ".venv" / "bin"
    bin_folder.mkdir(parents=True)
    (bin_folder / "python").symlink_to(sys.executable)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "VENV", tmp_path / ".venv")
    return module


def refusal(call):
    with pytest.raises(SystemExit) as stopped:
        call()
    assert "\n" not in stopped.value.code
    return stopped.value.code


@pytest.mark.parametrize(
    ("python", "words"), [("no-such-python", "There is no"), ("false", "needs Python 3.11 to 3.13")]
)
def test_a_missing_or_unfit_python_is_refused_with_one_sentence(python, words):
    # `false` fails at whatever it is asked, as a Python of another version does at the first question.
    done = subprocess.run(
        ["make", "environment", f"PYTHON={python}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    said = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert done.returncode != 0
    assert len(said) == 1
    assert words in said[0]


def test_a_python_that_cannot_make_environments_is_refused(environment, monkeypatch):
    monkeypatch.setattr(environment.importlib.util, "find_spec", lambda name: None)
    assert "python3-venv" in refusal(environment._check_venv_can_be_made)


def test_this_python_can_make_environments(environment):
    environment._check_venv_can_be_made()


def test_an_environment_whose_python_is_gone_is_refused(environment):
    environment.python(environment.VENV).unlink()
    assert "make clean" in refusal(environment.main)


def test_an_environment_whose_making_was_broken_off_before_pip_is_refused(environment, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "environment", environment)
    homes = load("homes")
    venv.create(tmp_path / "begun", with_pip=False)
    for module, name in ((environment, "VENV"), (homes, "HOMES")):
        monkeypatch.setattr(module, name, tmp_path / "begun")
        assert "begun is broken, its Python or pip does not run: `make clean`" in refusal(module.main)


def test_a_missing_package_is_named(environment):
    (environment.ROOT / "requirements.txt").write_text("pytest==1.2.3\n", encoding="utf-8")
    assert "pytest 1.2.3 is wanted" in refusal(
        lambda: environment._check_packages(environment.VENV, "requirements.txt")
    )
    (environment.ROOT / "requirements.txt").write_text("no-such-package==1\n", encoding="utf-8")
    assert "no-such-package 1 is wanted, but it is missing" in refusal(
        lambda: environment._check_packages(environment.VENV, "requirements.txt")
    )


def test_a_failed_installation_is_refused_and_begun_again_next_time(environment, monkeypatch):
    monkeypatch.setattr(environment.subprocess, "run", lambda *a, **k: subprocess.CompletedProcess(a, returncode=1))
    monkeypatch.setattr(environment, "_check_runs", lambda venv: None)
    assert "could not be installed" in refusal(environment.main)
    assert not environment.stamp(environment.VENV).exists()


def test_an_installation_is_made_once_and_again_when_the_requirements_change(environment, monkeypatch):
    installed = []
    monkeypatch.setattr(environment, "_run", lambda command, sentence: installed.append(command))
    monkeypatch.setattr(environment, "_check_packages", lambda venv, requirements: None)
    environment.main()
    environment.main()
    assert len(installed) == 1
    (environment.ROOT / "requirements.txt").write_text("pytest\n", encoding="utf-8")
    environment.main()
    assert len(installed) == 2


def test_the_second_environment_sees_the_first_and_is_made_anew_when_that_changes(environment, monkeypatch):
    installed = []
    monkeypatch.setattr(environment, "_run", lambda command, sentence: installed.append(command[-1]))
    monkeypatch.setattr(environment, "_check_runs", lambda venv: None)
    monkeypatch.setattr(environment, "_check_packages", lambda venv, requirements: None)
    monkeypatch.setitem(sys.modules, "environment", environment)
    homes = load("homes")
    site_packages = homes._site_packages(homes.HOMES)
    site_packages.mkdir(parents=True)
    environment.main()
    homes.main()
    homes.main()
    assert installed == ["requirements.txt", "requirements-homes.txt"]
    assert str(homes._site_packages(environment.VENV)) in (site_packages / "course.pth").read_text(encoding="utf-8")
    (environment.ROOT / "requirements.txt").write_text("pytest\n", encoding="utf-8")
    environment.main()
    homes.main()
    assert installed[2:] == ["requirements.txt", "requirements-homes.txt"]


def test_the_readers_copies_are_made_once_and_never_overwritten(tmp_path):
    lab = load("lab")
    source, copy = tmp_path / "notebooks", tmp_path / "mine"
    source.mkdir()
    (source / "01.ipynb").write_text("new", encoding="utf-8")
    assert lab.copy_missing(source, copy) == ["01.ipynb"]
    (copy / "01.ipynb").write_text("solved", encoding="utf-8")
    (source / "02.ipynb").write_text("new", encoding="utf-8")
    assert lab.copy_missing(source, copy) == ["02.ipynb"]
    assert (copy / "01.ipynb").read_text(encoding="utf-8") == "solved"


def test_a_copy_that_is_broken_off_is_made_again(tmp_path, monkeypatch):
    lab = load("lab")
    source, copy = tmp_path / "notebooks", tmp_path / "mine"
    source.mkdir()
    (source / "01.ipynb").write_text("new", encoding="utf-8")

    def half(_, to):
        Path(to).write_text("ne", encoding="utf-8")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(lab.shutil, "copyfile", half)
        with pytest.raises(KeyboardInterrupt):
            lab.copy_missing(source, copy)
    assert lab.copy_missing(source, copy) == ["01.ipynb"]
    assert [path.name for path in copy.iterdir()] == ["01.ipynb"]
    assert (copy / "01.ipynb").read_text(encoding="utf-8") == "new"


@pytest.mark.parametrize(("set_before", "given"), [({}, "5000"), ({"GOMP_SPINCOUNT": "7"}, "7")])
def test_notebooks_give_way_to_each_other(set_before, given, tmp_path, monkeypatch):
    lab = load("lab")
    started = []

    class Process:
        def __init__(self, command, cwd, env):
            started.append((command, env))

        def wait(self):
            return 0

    monkeypatch.setattr(lab, "ROOT", tmp_path)
    (tmp_path / "notebooks").mkdir()
    monkeypatch.setattr(lab, "subprocess", types.SimpleNamespace(Popen=Process))
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    for name, value in set_before.items():
        monkeypatch.setenv(name, value)
    assert lab.main(["--no-browser"]) == 0
    ((command, environment),) = started
    assert command[-1] == "--no-browser"
    assert environment["GOMP_SPINCOUNT"] == given
    assert environment["PATH"] == os.environ["PATH"]


@pytest.mark.parametrize(
    ("code", "words"),
    [("1 / 0", "ZeroDivisionError"), ("while True: pass", "timed out"), ("import os; os._exit(1)", "died")],
)
def test_a_notebook_that_does_not_come_to_its_end_is_named_and_left_as_it_was(code, words, tmp_path, monkeypatch):
    path = tmp_path / "small.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)]), path)
    before = path.read_bytes()
    notebooks = load("notebooks")
    monkeypatch.setattr(notebooks, "SECONDS_PER_CELL", 2)
    monkeypatch.setenv("IPYTHONDIR", "set by main")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        notebooks.main([str(path)])
    first, rest = stopped.value.code.split("\n", 1)
    assert first == f"{path}: a cell failed, and the notebook was left as it was."
    assert words in rest
    assert path.read_bytes() == before


def test_storing_outputs_twice_gives_the_same_bytes(tmp_path):
    cells = [
        nbformat.v4.new_code_cell("import ipywidgets, time\nfrom course_utils.widgets import show_widget"),
        nbformat.v4.new_code_cell(
            "show_widget(ipywidgets.IntSlider(), 'a slider', beside={'text/html': '<b>still</b>'})"
        ),
        nbformat.v4.new_code_cell("time.perf_counter()", metadata={"tags": ["measured"]}),
        nbformat.v4.new_markdown_cell("The end."),
    ]
    path = tmp_path / "small.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    notebooks = load("notebooks")
    notebooks.execute(path)
    first = path.read_bytes()
    notebooks.execute(path)
    assert path.read_bytes() == first
    stored = nbformat.read(path, as_version=4).cells
    assert stored[1].outputs[0].data == {"text/plain": "a slider", "text/html": "<b>still</b>"}
    assert [cell.get("execution_count") for cell in stored] == [1, 2, 3, None]


def test_printed_text_is_stored_in_one_piece_on_its_side_of_a_picture(tmp_path):
    code = "import sys\nprint('a', flush=True)\nprint('b')\ndisplay(1)\nprint('c')\nprint('d', file=sys.stderr)"
    path = tmp_path / "small.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)]), path)
    load("notebooks").execute(path)
    (cell,) = nbformat.read(path, as_version=4).cells
    assert [output.get("text", output.output_type) for output in cell.outputs] == [
        "a\nb\n",
        "display_data",
        "c\n",
        "d\n",
    ]


def test_a_measured_cell_is_measured_again_when_its_code_changes(tmp_path):
    path = tmp_path / "small.ipynb"
    cell = nbformat.v4.new_code_cell("1 + 1", metadata={"tags": ["measured"]})
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    notebooks = load("notebooks")
    notebooks.execute(path)
    changed = nbformat.read(path, as_version=4)
    changed.cells[0].source = "1 + 2"
    nbformat.write(changed, path)
    notebooks.execute(path)
    assert nbformat.read(path, as_version=4).cells[0].outputs[0].data["text/plain"] == "3"


AFTER = """<details><summary>Hint 1</summary>

Add.
</details>
<details><summary>Solution</summary>

```python
def increase(x):
    return x + 1
```
Or the other way round.
</details>

## Then"""


def exercise_cells(stub="def increase(x):\n    ...", after=AFTER):
    said = nbformat.v4.new_output("stream", name="stdout", text="7.1 not attempted yet\n")
    return [
        nbformat.v4.new_markdown_cell("### Exercise 7.1"),
        nbformat.v4.new_code_cell(stub, execution_count=1),
        nbformat.v4.new_code_cell('check("7.1", increase)', outputs=[said], execution_count=2),
        nbformat.v4.new_markdown_cell(after),
    ]


@pytest.mark.parametrize(
    "stub", ["def increase(x):\n    ...", "class Increase:\n    ...", "def increase(x):\n    return x"]
)
def test_an_exercise_is_found_by_its_check_whatever_its_answer_cell_holds(stub):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 + 1"), *exercise_cells(stub)])
    found = solutions.exercises(notebook)
    code = "def increase(x):\n    return x + 1\n"
    assert found == [solutions.Exercise("7.1", "increase", answer_cell=2, check_cell=3, solution=code)]
    solved = solutions.answer_with_solutions(notebook, found)
    assert solved.cells[2].source == code.rstrip()
    assert notebook.cells[2].source == stub


def test_an_exercise_without_a_solution_is_refused():
    notebook = nbformat.v4.new_notebook(cells=exercise_cells(after="No solution."))
    with pytest.raises(ValueError, match=r"7\.1 has 0 solutions"):
        solutions.exercises(notebook)


def test_the_students_notebook_has_no_solution_and_a_graded_check():
    given, taken = student.strip(nbformat.v4.new_notebook(cells=exercise_cells()))
    assert "Hint 1" in given.cells[3].source
    assert given.cells[3].source.endswith("</details>\n<!-- solution 7.1 -->\n\n## Then")
    assert "return x + 1" in taken["7.1"]
    assert "x + 1" not in nbformat.writes(given)
    assert "nbgrader" not in given.cells[1].metadata
    check = given.cells[2]
    assert check.source == 'int(check("7.1", increase).passed)'
    assert [output.output_type for output in check.outputs] == ["stream", "execute_result"]
    assert check.outputs[1].data == {"text/plain": "0"}
    assert check.outputs[1].execution_count == check.execution_count
    assert check.metadata.nbgrader.grade_id == "exercise-7-1"


def test_stripped_notebooks_are_restored_to_the_byte(tmp_path):
    paths = sorted((ROOT / "notebooks").glob("*.ipynb"))
    folder = tmp_path / "student"
    folder.mkdir()
    (folder / "old.ipynb").touch()
    student.write(paths, folder)
    taken = json.loads((tmp_path / "student_solutions.json").read_text(encoding="utf-8"))
    assert [path.name for path in sorted(folder.iterdir())] == [path.name for path in paths]
    for path in paths:
        given = nbformat.read(folder / path.name, as_version=4)
        assert "<summary>Solution</summary>" not in nbformat.writes(given)
        assert (folder / path.name).read_bytes() != path.read_bytes()
        nbformat.write(student.restore(given, taken[path.stem]), tmp_path / path.name)
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_no_file_is_both_tracked_and_ignored():
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("This copy of the course is not a git repository.")
    # .gitignore alone: what else a reader's own git ignores is theirs
    command = ["git", "ls-files", "--cached", "--ignored", "--exclude-per-directory=.gitignore"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == ""


# --- Verifying --------------------------------------------------------------------------------------------------------


@pytest.fixture
def exact_four(tmp_path, monkeypatch):
    """tools/verify.py, and a network for sources of four numbers without errors, with its certificate."""
    tool = load("verify")
    recipe = dataclasses.replace(SMALL, length=4, hidden_dim=24, epochs=1, steps_per_epoch=200, learning_rate=2e-2)
    model = fit(recipe).model
    save_checkpoint({"model": model.state_dict()}, tmp_path / "four.pt")
    certificate = count_errors(model, SubstringTask(4), sha256=sha256_of(tmp_path / "four.pt"))
    assert certificate.exact
    monkeypatch.setattr(tool, "record_path", lambda name: tmp_path / name)
    save_certificate(certificate, tmp_path / "four.json")
    return tool, certificate, tmp_path / "four.json"


def test_a_certificate_that_holds_agrees(exact_four, capsys):
    tool, _, _ = exact_four
    assert tool.holds("four", 1)
    said = capsys.readouterr().out
    assert "four: 0 errors among 81 inputs (number 0 on)" in said
    assert "0 among 81 of 81" in said
    assert "agrees" in said


@pytest.mark.parametrize("off", [1e-3, -1e-3])
def test_a_certificate_whose_margin_is_another_disagrees(off, exact_four, capsys):
    tool, certificate, path = exact_four
    save_certificate(dataclasses.replace(certificate, worst_margin=certificate.worst_margin + off), path)
    assert not tool.holds("four", 1)
    assert "DISAGREES" in capsys.readouterr().out


def test_a_certificate_with_errors_disagrees(exact_four):
    tool, certificate, path = exact_four
    save_certificate(dataclasses.replace(certificate, errors_by_pair={(0, 2): 1}), path)
    assert not tool.holds("four", 1)


def test_a_network_with_errors_disagrees(exact_four, monkeypatch):
    tool, certificate, _ = exact_four
    found = dataclasses.replace(certificate, errors_by_pair={(0, 2): 1})
    monkeypatch.setattr(tool, "count_errors", lambda *_, **__: found)
    assert not tool.holds("four", 1)


def test_an_interrupted_comparison_says_so(exact_four, monkeypatch):
    tool, _, _ = exact_four

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(tool, "count_errors", interrupted)
    assert refusal(lambda: tool.holds("four", 1)) == "Interrupted: nothing was compared."


@pytest.mark.parametrize(
    ("held", "status"),
    [((True, True, True, True), 0), *((tuple(place != wrong for place in range(4)), 1) for wrong in range(4))],
)
def test_verify_fails_where_one_network_does(held, status, monkeypatch):
    tool, asked = load("verify"), []
    answers = iter(held)
    monkeypatch.setattr(tool, "holds", lambda *arguments: asked.append(arguments) or next(answers))
    with pytest.raises(SystemExit) as stopped:
        tool.main()
    assert int(stopped.value.code) == status
    assert asked == [
        ("exact-length8", 1),
        ("exact-length10", 243),
        ("mended-length10", 243),
        ("smallest-length10", 243),
    ]
