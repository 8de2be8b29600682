"""The most memory that each notebook takes: what its kernel held resident at its peak, run from top to bottom.

    python benchmarks/memory.py             (some minutes; writes benchmarks/memory.json)

It asks Linux, which counts the code and data of PyTorch too. Another PyTorch, one with CUDA above all, takes more.
"""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from provenance import provenance, save

ROOT = Path(__file__).parents[1]
RECORD = Path(__file__).with_suffix(".json")
SECONDS_PER_CELL = 600
ASK_LINUX = "print(open('/proc/self/status').read())"  # of the kernel, after its last cell


def peak_memory(path: Path) -> int:
    """In MiB. The notebook itself stays as it is."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(ASK_LINUX))
    folder = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=SECONDS_PER_CELL, kernel_name="python3", resources=folder).execute()
    status = "".join(output.text for output in notebook.cells[-1].outputs)
    return round(int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024)


def main() -> None:
    here = provenance("python benchmarks/memory.py")
    peaks = {}
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        peaks[path.stem] = peak_memory(path)
        print(f"{path.stem}  {peaks[path.stem]} MiB", flush=True)
    save({**here, "MiB at the peak": peaks}, RECORD)


if __name__ == "__main__":
    main()
