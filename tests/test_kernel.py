"""What checks do in a notebook's kernel and nowhere else.

A file of its own, because its imports take two seconds: test_teaching.py meets every mutant of an exercise.
"""

import nbformat
from nbclient import NotebookClient


def test_exit_is_survived_and_a_picture_drawn():
    cells = [
        "from course_utils import check, progress\nimport torch",
        'check("1.1", lambda source: exit())',
        'check("1.1", lambda source: quit())',
        'check("3.2", lambda target: target.roll(1, 1))',
        "progress(1)",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=120, kernel_name="python3", coalesce_streams=True).execute()
    for cell in notebook.cells[1:3]:
        assert "tries to end the program" in cell.outputs[0].text
    assert "image/png" in notebook.cells[3].outputs[1].data
    assert notebook.cells[4].outputs[0].text.startswith("✗ 1.1  not yet")
