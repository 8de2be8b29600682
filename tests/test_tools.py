"""The tools behind make: the environment's one-sentence refusals, the reader's copies, storing outputs."""

import importlib.util
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest

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
    for name in ("requirements.txt", "pyproject.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    bin_folder = tmp_path / ".venv" / "bin"
    bin_folder.mkdir(parents=True)
    (bin_folder / "python").symlink_to(sys.executable)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(module, "VENV_PYTHON", bin_folder / "python")
    monkeypatch.setattr(module, "STAMP", tmp_path / ".venv" / "installed")
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
    environment.VENV_PYTHON.unlink()
    assert "make clean" in refusal(environment.main)


def test_a_missing_package_is_named(environment):
    (environment.ROOT / "requirements.txt").write_text("pytest==1.2.3\n", encoding="utf-8")
    assert "pytest 1.2.3 is wanted" in refusal(environment._check_packages)
    (environment.ROOT / "requirements.txt").write_text("no-such-package==1\n", encoding="utf-8")
    assert "no-such-package 1 is wanted, but it is missing" in refusal(environment._check_packages)


def test_a_failed_installation_is_refused_and_begun_again_next_time(environment, monkeypatch):
    monkeypatch.setattr(environment.subprocess, "run", lambda *a, **k: subprocess.CompletedProcess(a, returncode=1))
    monkeypatch.setattr(environment, "_check_runs", lambda: None)
    assert "could not be installed" in refusal(environment.main)
    assert not environment.STAMP.exists()


def test_an_installation_is_made_once_and_again_when_the_requirements_change(environment, monkeypatch):
    installed = []
    monkeypatch.setattr(environment, "_run", lambda command, sentence: installed.append(command))
    monkeypatch.setattr(environment, "_check_packages", lambda: None)
    environment.main()
    environment.main()
    assert len(installed) == 1
    (environment.ROOT / "requirements.txt").write_text("pytest\n", encoding="utf-8")
    environment.main()
    assert len(installed) == 2


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


def test_storing_outputs_twice_gives_the_same_bytes(tmp_path):
    cells = [
        nbformat.v4.new_code_cell("import ipywidgets, time\nfrom course_utils.widgets import show_widget"),
        nbformat.v4.new_code_cell("show_widget(ipywidgets.IntSlider(), 'a slider', html='<b>still</b>')"),
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


def test_the_environments_agree():
    conda = (ROOT / "environment.yml").read_text(encoding="utf-8")
    assert "--requirement requirements.txt" in conda
    assert "==" not in conda
    pins = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = {line.split("==")[0] for line in pins.splitlines() if "==" in line}
    loose = {dependency.split(">=")[0] for dependency in project["dependencies"]}
    assert loose - named <= {"ipython"}  # JupyterLab brings it
    assert "--editable ." in pins.splitlines()
