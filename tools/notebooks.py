"""Execute notebooks and store their outputs, so that two runs of an unchanged notebook are the same to the byte.

    python tools/notebooks.py notebooks/01_task_definition.ipynb …

Some things would differ or be useless in a stored notebook, and are settled here:
- widgets need a living kernel: their views are dropped and the still picture or text beside them stays;
- timings: a cell tagged `measured` keeps the outputs it had, unless its code has changed since;
- execution times and the kernel's version are not stored.
"""

from __future__ import annotations

import copy
import hashlib
import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from course_utils.files import written_whole
from course_utils.widgets import WIDGET_VIEW

ROOT = Path(__file__).resolve().parents[1]
SECONDS_PER_CELL = 600
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def execute(path: Path) -> None:
    """Run a notebook in its own folder and write it back with its outputs, whole or not at all."""
    notebook = nbformat.read(path, as_version=4)
    before = copy.deepcopy(notebook)
    client = NotebookClient(
        notebook,
        timeout=SECONDS_PER_CELL,
        kernel_name="python3",
        record_timing=False,
        store_widget_state=False,
        extra_arguments=["--IPKernelApp.log_level=40"],  # a kernel's remarks about its own transport help nobody here
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute()
    notebook.metadata = nbformat.from_dict(METADATA)
    for old, cell in zip(before.cells, notebook.cells, strict=True):
        if cell.cell_type != "code":
            continue
        if "measured" in cell.metadata.get("tags", []):
            code = hashlib.sha256(cell.source.encode()).hexdigest()
            if old.metadata.get("measured_code") == code:
                cell.outputs = old.outputs
            cell.metadata["measured_code"] = code
        cell.outputs = _joined(cell.outputs)
        for output in cell.outputs:
            output.get("data", {}).pop(WIDGET_VIEW, None)
    with written_whole(path) as partial:
        nbformat.write(notebook, partial)


def _joined(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Printed text in one piece, up to the next picture: how it is cut into messages is a matter of timing."""
    joined = []
    for output in outputs:
        last = joined[-1] if joined else {}
        if (
            output.output_type == "stream"
            and output.output_type == last.get("output_type")
            and output.name == last.name
        ):
            last.text += output.text
        else:
            joined.append(output)
    return joined


def main(paths: list[str]) -> None:
    profile = ROOT / "build" / "ipython"  # an empty one, so that nobody's personal start-up files are run
    profile.mkdir(parents=True, exist_ok=True)
    os.environ["IPYTHONDIR"] = str(profile)
    for path in map(Path, paths):
        print(path, flush=True)
        try:
            execute(path)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            sys.exit(f"{path}: a cell failed, and the notebook was left as it was.\n{error}")


if __name__ == "__main__":
    main(sys.argv[1:])
