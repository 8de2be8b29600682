"""What happens to people in a notebook: cells run twice or in the wrong order, a kernel interrupted, two at once."""

import asyncio

import nbformat
import pytest
from conftest import PATHS
from nbclient import NotebookClient

QUICK = [path for path in PATHS if path.stem < "04"]  # 04 trains for a minute each time
each_quick_notebook = pytest.mark.parametrize("path", QUICK, ids=lambda path: path.stem)


def client(notebook, folder, **options) -> NotebookClient:
    resources = {"metadata": {"path": str(folder)}}
    whole = {"coalesce_streams": True}  # a print's text and its end of line may arrive apart
    return NotebookClient(notebook, timeout=600, kernel_name="python3", resources=resources, **whole, **options)


def code_cells(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


@each_quick_notebook
def test_every_cell_can_be_run_twice(path, tmp_path):
    cells = [nbformat.v4.new_code_cell(cell.source) for cell in code_cells(path) for _ in range(2)]
    client(nbformat.v4.new_notebook(cells=cells), tmp_path).execute()  # a cell that fails raises here


@each_quick_notebook
def test_in_the_wrong_order_every_cell_says_what_is_missing(path, tmp_path):
    first, *rest = code_cells(path)
    notebook = nbformat.v4.new_notebook(cells=[first, *reversed(rest)])
    client(notebook, tmp_path, allow_errors=True).execute()
    failed = [cell for cell in notebook.cells if any(output.output_type == "error" for output in cell.outputs)]
    assert failed
    for cell in failed:
        assert [output.ename for output in cell.outputs if output.output_type == "error"] == ["NameError"]
        printed = "".join(output.text for output in cell.outputs if output.output_type == "stream")
        assert "If an earlier cell makes it, run the cells above first." in printed


def test_bad_input_shows_the_lines_of_cells_and_a_sentence(tmp_path):
    cells = [
        "from course_utils import SubstringTask\ndef mine(row):\n    return SubstringTask().solve(row)",
        "import torch\nmine(torch.tensor([[9, 9, 1, 1, 1, 1, 1, 1, 1, 1]]))",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client(notebook, tmp_path, allow_errors=True).execute()
    (error,) = notebook.cells[1].outputs
    *lines, sentence = error.traceback
    assert lines == [
        "line 2: mine(torch.tensor([[9, 9, 1, 1, 1, 1, 1, 1, 1, 1]]))",
        "line 3: return SubstringTask().solve(row)",
    ]
    assert sentence.startswith("InputError: start 9 with length 9 is impossible: ")


def test_a_run_interrupted_in_the_kernel_can_be_used(tmp_path):
    cells = [
        "import dataclasses\nfrom pathlib import Path\n"
        "from course_utils import SMALL, Callback, LiveTraining, SubstringTask, fit\n"
        "recipe = dataclasses.replace(SMALL, epochs=1000)\n"  # nobody waits for its end
        "class Told(Callback):\n    def on_epoch(self, run):\n        Path('an epoch is over').touch()",
        "run = fit(recipe, callbacks=[LiveTraining(), Told()])",
        "print(run.interrupted, 0 < len(run.step_losses) < recipe.steps, run.best_model().generate("
        "SubstringTask(6).sample(2)[0], 4).shape)",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    run = client(notebook, tmp_path, allow_errors=True)

    async def stop_the_second_cell():
        async with run.async_setup_kernel():
            await run.async_execute_cell(notebook.cells[0], 0)
            training = asyncio.create_task(run.async_execute_cell(notebook.cells[1], 1))
            while not training.done() and not (tmp_path / "an epoch is over").exists():
                await asyncio.sleep(0.1)
            assert not training.done()
            await run.km.interrupt_kernel()
            await training
            await run.async_execute_cell(notebook.cells[2], 2)

    asyncio.run(stop_the_second_cell())
    assert not [output for cell in notebook.cells for output in cell.outputs if output.output_type == "error"]
    assert notebook.cells[2].outputs[0].text == "True True torch.Size([2, 4])\n"


def test_two_notebooks_can_run_at_once(tmp_path):
    notebooks = [nbformat.read(path, as_version=4) for path in QUICK[:2]]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    async def run_both():
        await asyncio.gather(*(client(notebook, elsewhere).async_execute() for notebook in notebooks))

    asyncio.run(run_both())
    assert list(elsewhere.iterdir()) == []  # and they leave nothing behind
