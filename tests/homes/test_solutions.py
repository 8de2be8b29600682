"""A reader who copies every solution into its cell can run every notebook from top to bottom."""

import nbformat
from nbclient import NotebookClient
from solutions import answer_with_solutions, exercises


def test_a_notebook_with_its_solutions_runs_and_passes_its_checks(path, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    found = exercises(notebook)
    solved = answer_with_solutions(notebook, found)
    # A cell that fails raises here.
    NotebookClient(
        solved, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    assert found
    for exercise in found:
        printed = "".join(output.get("text", "") for output in solved.cells[exercise.check_cell].outputs)
        assert printed.startswith(f"{exercise.id} passed: "), printed
