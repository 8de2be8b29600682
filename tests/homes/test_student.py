"""The notebooks to hand out, in nbgrader: released, handed in with and without answers, and marked."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from conftest import PATHS
from nbgrader.api import Gradebook
from solutions import exercises
from student import write

SOLVED, UNTOUCHED = "solved", "untouched"


@pytest.fixture(scope="module")
def student_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("build") / "student"
    write(PATHS, folder)
    return folder


def nbgrader(course: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "nbgrader", *arguments]
    done = subprocess.run(command, cwd=course, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def hand_in(course: Path, student: str, released: Path, answers: dict[int, str]) -> None:
    """Put a copy of the released notebook, with answers typed into some cells, where nbgrader collects it."""
    notebook = nbformat.read(released, as_version=4)
    for place, answer in answers.items():
        notebook.cells[place].source = answer
    handed_in = course / "submitted" / student / released.stem / released.name
    handed_in.parent.mkdir(parents=True)
    nbformat.write(notebook, handed_in)


def marks(course: Path, assignment: str) -> dict[str, tuple[float, float]]:
    """(score, highest possible score) of each student."""
    with Gradebook(f"sqlite:///{course}/gradebook.db") as gradebook:
        submissions = gradebook.assignment_submissions(assignment)
        return {submission.student.id: (submission.score, submission.max_score) for submission in submissions}


def test_nbgrader_gives_all_points_for_the_solutions_and_none_for_the_stubs(path, student_folder, tmp_path):
    found = exercises(nbformat.read(path, as_version=4))
    source = tmp_path / "source" / path.stem / path.name
    source.parent.mkdir(parents=True)
    source.write_bytes((student_folder / path.name).read_bytes())
    nbgrader(tmp_path, "generate_assignment", path.stem)
    released = tmp_path / "release" / path.stem / path.name
    hand_in(tmp_path, SOLVED, released, {exercise.answer_cell: exercise.solution for exercise in found})
    hand_in(tmp_path, UNTOUCHED, released, {})
    nbgrader(tmp_path, "autograde", path.stem, "--ExecutePreprocessor.timeout=600")
    assert marks(tmp_path, path.stem) == {SOLVED: (len(found), len(found)), UNTOUCHED: (0, len(found))}

    # nbgrader has run the untouched notebook from top to bottom, and a failing cell does not stop it.
    handed_out = nbformat.read(student_folder / path.name, as_version=4)
    ran = nbformat.read(tmp_path / "autograded" / UNTOUCHED / path.stem / path.name, as_version=4)
    assert not [output for cell in ran.cells for output in cell.get("outputs", []) if output.output_type == "error"]
    for exercise in found:
        text = shown(ran.cells[exercise.check_cell].outputs)
        assert re.match(rf"[○✗] {exercise.id} not (attempted )?yet", text)
        assert text == shown(handed_out.cells[exercise.check_cell].outputs)


def shown(outputs: list) -> str:
    """As one text: what a cell prints may have been kept in several outputs."""
    return "".join(output.text if output.output_type == "stream" else output.data["text/plain"] for output in outputs)
