"""The notebooks in the home that Colab is: an empty folder, Colab's packages, no repository, and then no network.

The environment is made once, in build/colab; that needs the network.
"""

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from lent_torch import environment, installed
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).parents[2]
LINES = Path(__file__).with_name("colab.txt").read_text(encoding="utf-8").splitlines()
PINS = [line for line in LINES if "==" in line]
COLAB = ROOT / "build" / "colab"
PYTHON = COLAB / "bin" / "python"
SECONDS_FOR_SET_UP = 10
SECONDS_PER_CELL = 600

# Every connection that Python code opens passes this hook, and a hook cannot be taken away again. The kernel's own
# sockets are not Python's.
CUT_THE_NETWORK = """
import sys

def refuse(event, arguments):
    if event in {"socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"}:
        raise ConnectionRefusedError("the network is cut")

sys.addaudithook(refuse)
"""
TRY_THE_NETWORK = """
import socket, urllib.request
for attempt in (
    lambda: socket.create_connection(("192.0.2.1", 80), timeout=1),
    lambda: urllib.request.urlopen("http://example.org", timeout=1),
):
    try:
        attempt()
    except OSError as error:
        print("the network is cut" in str(error))
    else:
        print("connected")
"""
MOVE_EVERY_WIDGET = """
import ipywidgets
moved = 0
for widget in list(ipywidgets.Widget.widgets.values()):
    if isinstance(widget, ipywidgets.IntSlider):
        for widget.value in (widget.min, widget.max):
            moved += 1
    if isinstance(widget, ipywidgets.Button):
        widget.click()
        moved += 1
print(moved)
"""


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as Colab would fetch it, built from a copy: building leaves files behind."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "course_utils", source / "course_utils")
    subprocess.run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", built, source], check=True)
    (wheel,) = built.glob("*.whl")
    return wheel


@pytest.fixture
def colab(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in whose kernel the course is not installed yet."""
    environment(COLAB, PINS)
    monkeypatch.delenv("PYTHONPATH", raising=False)  # it could lead to the repository
    subprocess.run([PYTHON, "-m", "pip", "uninstall", "--quiet", "--yes", "course_utils"], check=True)
    kernel = tmp_path / "jupyter" / "kernels" / "colab" / "kernel.json"
    kernel.parent.mkdir(parents=True)
    command = [str(PYTHON), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel.write_text(json.dumps({"argv": command, "display_name": "Colab", "language": "python"}), encoding="utf-8")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    monkeypatch.setenv("COURSE_UTILS_SOURCE", str(wheel))
    folder = tmp_path / "content"
    folder.mkdir()
    return folder


class Session:
    """A notebook in its kernel: runs cells, and keeps what failed."""

    def __init__(self, client: NotebookClient):
        self.client = client
        self.problems: list[str] = []

    def run(self, index: int) -> None:
        cell = self.client.nb.cells[index]
        try:
            self.client.execute_cell(cell, index)
        except CellExecutionError as error:
            self.problems.append(
                f"cell {index}, {cell.source.strip().splitlines()[0]!r}: {error.ename}: {error.evalue}"
            )
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr":
                self.problems.append(f"cell {index} says on stderr: {output.text}")

    def ask(self, code: str) -> str:
        """Run a cell that is not the notebook's; returns what it prints."""
        self.client.nb.cells.append(nbformat.v4.new_code_cell(code))
        self.run(len(self.client.nb.cells) - 1)
        return "".join(output.get("text", "") for output in self.client.nb.cells.pop().outputs)


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_runs_in_colab(path: Path, colab: Path):
    shutil.copy(path, colab)
    notebook = nbformat.read(colab / path.name, as_version=4)
    cells = [index for index, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    before = installed(PYTHON)
    client = NotebookClient(
        notebook, kernel_name="colab", timeout=SECONDS_PER_CELL, resources={"metadata": {"path": str(colab)}}
    )
    session = Session(client)
    with client.setup_kernel():
        start = time.perf_counter()
        session.run(cells[0])
        seconds = time.perf_counter() - start
        assert not session.problems
        after_set_up = installed(PYTHON)

        session.ask(CUT_THE_NETWORK)
        assert session.ask(TRY_THE_NETWORK).split() == ["True", "True"]
        for index in cells[1:]:
            session.run(index)
        moved = session.ask(MOVE_EVERY_WIDGET)

    assert not session.problems, "\n".join(session.problems)
    assert int(moved) > 0
    version = re.search(r'__version__ = "(.*)"', (ROOT / "course_utils" / "__init__.py").read_text(encoding="utf-8"))
    assert before <= after_set_up
    assert after_set_up - before == {("course_utils", version[1])}
    assert installed(PYTHON) == after_set_up
    assert seconds <= SECONDS_FOR_SET_UP


def test_the_environment_is_colabs():
    """Else a package that came with PyTorch could stand in for Colab's."""
    environment(COLAB, PINS)
    assert {tuple(pin.split("==")) for pin in PINS} <= installed(PYTHON)
    lent = {path.name for path in (COLAB / "torch").iterdir()}
    assert "torch" in lent
    assert not lent & {"IPython", "ipywidgets", "matplotlib", "numpy", "tqdm", "course_utils"}
