"""What each notebook takes, run from top to bottom: the most memory that its kernel held, and the time.

    python benchmarks/resources.py             (some minutes; writes benchmarks/resources.json)

Linux is asked for the memory, which counts the code and data of PyTorch, too. Another PyTorch, one with CUDA above all,
takes more. The time is that of the cells: a kernel's start comes before it.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from provenance import provenance, save

ROOT = Path(__file__).parents[1]
RECORD = Path(__file__).with_suffix(".json")
SECONDS_PER_CELL = 600
ASK_LINUX = "print(open('/proc/self/status').read())"  # of the kernel, after its last cell


def taken(path: Path) -> dict:
    """MiB at the peak, and seconds. The notebook itself stays as it is."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(ASK_LINUX))
    client = NotebookClient(
        notebook,
        timeout=SECONDS_PER_CELL,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
    )
    with client.setup_kernel():
        began = time.monotonic()
        for number, cell in enumerate(notebook.cells):
            client.execute_cell(cell, number)
        seconds = time.monotonic() - began
    status = "".join(output.text for output in notebook.cells[-1].outputs)
    return {"MiB": round(int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024), "seconds": round(seconds)}


def main() -> None:
    here = provenance("python benchmarks/resources.py")
    notebooks = {}
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        notebooks[path.stem] = taken(path)
        print(path.stem, notebooks[path.stem], flush=True)
    save({**here, "notebooks": notebooks}, RECORD)


if __name__ == "__main__":
    main()
