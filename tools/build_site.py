"""Build the course as static HTML in build/site, from the notebooks as they are stored: nothing is run.

    python tools/build_site.py

Ends with status 1 where Sphinx has a warning.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import nbformat
from sphinx.cmd.build import main as sphinx_build

from course_utils.plots import STRUCTURE

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "build" / "site-source"
SITE = ROOT / "build" / "site"
README_AND_ITS_LINKS = ("README.md", "LICENSE", "benchmarks/network.png")
REPORTS = ("benchmarks/EXERCISES.md", "benchmarks/MUTATION.md")  # linked to as well, and no chapters of the course


def gather() -> None:
    """Copy what is shown into one folder, for Sphinx reads everything that lies beside the first page."""
    for folder in (SOURCE, SITE):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "site", SOURCE)
    for folder in ("notebooks", "benchmarks"):
        (SOURCE / folder).mkdir()
    for name in README_AND_ITS_LINKS:
        shutil.copy(ROOT / name, SOURCE / name)
    for name in REPORTS:
        report = (ROOT / name).read_text(encoding="utf-8")
        (SOURCE / name).write_text(f"---\norphan: true\n---\n{report}", encoding="utf-8")
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        describe_pictures(notebook)
        nbformat.write(notebook, SOURCE / "notebooks" / path.name)


def describe_pictures(notebook: nbformat.NotebookNode) -> None:
    """Copy each picture's description from its output, where Jupyter looks for it, to its cell, where MyST-NB does.

    What the regression test keeps beside a picture is dropped: MyST-NB warns of what it cannot show.
    """
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(STRUCTURE, None)
            picture = output.get("metadata", {}).get("image/png")
            if picture:
                cell.metadata["mystnb"] = {"image": {"alt": picture["alt"]}}


def main() -> int:
    gather()
    return sphinx_build(["--quiet", "--fail-on-warning", str(SOURCE), str(SITE)])


if __name__ == "__main__":
    sys.exit(main())
