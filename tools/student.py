"""Write the notebooks to hand out, without solutions and ready for nbgrader.

    python tools/student.py

build/student/ gets the notebooks, and build/student_solutions.json what was taken out of them. `restore` puts it back.
"""

from __future__ import annotations

import copy
import json
import re
import shutil
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from solutions import CHECK, SOLUTION, exercises

ROOT = Path(__file__).resolve().parents[1]
GRADED_CHECK = re.compile(rf"int\(({CHECK.pattern})\.passed\)")


def strip(notebook: NotebookNode) -> tuple[NotebookNode, dict[str, str]]:
    """A copy of the notebook to hand out, and the solution taken out of each exercise, by the exercise's id.

    The answer cells get no metadata: nbgrader would put a stub of its own into a cell marked as a solution.
    """
    student, solutions = copy.deepcopy(notebook), {}
    for exercise in exercises(notebook):
        _grade(student.cells[exercise.check_cell], exercise.id)
        after = student.cells[exercise.check_cell + 1]
        solutions[exercise.id] = SOLUTION.search(after.source)[0]
        after.source = after.source.replace(solutions[exercise.id], _mark(exercise.id))
    return student, solutions


def restore(student: NotebookNode, solutions: dict[str, str]) -> NotebookNode:
    """The notebook that was stripped."""
    notebook = copy.deepcopy(student)
    for cell in notebook.cells:
        check = GRADED_CHECK.fullmatch(cell.source)
        if check:
            cell.source = check[1]
            del cell.metadata["nbgrader"]
            cell.outputs = [output for output in cell.outputs if output.output_type != "execute_result"]
        for id_, solution in solutions.items():
            cell.source = cell.source.replace(_mark(id_), solution)
    return notebook


def _grade(cell: NotebookNode, id_: str) -> None:
    """Make a check worth a point. nbgrader takes a displayed number as the points; else all but an error gets them."""
    cell.source = f"int({cell.source}.passed)"
    cell.outputs.append(
        nbformat.v4.new_output("execute_result", data={"text/plain": "0"}, execution_count=cell.execution_count)
    )
    cell.metadata["nbgrader"] = {
        "schema_version": 3,
        "grade_id": f"exercise-{id_.replace('.', '-')}",
        "cell_type": "code",
        "grade": True,
        "solution": False,
        "task": False,
        "locked": True,
        "points": 1,
    }


def _mark(id_: str) -> str:
    """What stands in a solution's place. It does not show where text is rendered."""
    return f"<!-- solution {id_} -->"


def write(paths: list[Path], folder: Path) -> None:
    """Write the student's notebooks to `folder`, made anew, and the solutions beside it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    solutions = {}
    for path in paths:
        student, solutions[path.stem] = strip(nbformat.read(path, as_version=4))
        nbformat.write(student, folder / path.name)
    beside = folder.with_name(f"{folder.name}_solutions.json")
    beside.write_text(json.dumps(solutions, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    write(sorted((ROOT / "notebooks").glob("*.ipynb")), ROOT / "build" / "student")
    print("The notebooks to hand out are in build/student/, their solutions in build/student_solutions.json.")


if __name__ == "__main__":
    main()
