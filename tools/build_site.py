"""Build the course as static HTML in build/site, from the notebooks as they are stored: nothing is run.

    python tools/build_site.py

Ends with status 1 where Sphinx has a warning.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import nbformat
from sphinx.cmd.build import main as sphinx_build

from course_utils.plots import STRUCTURE

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "build" / "site-source"
SITE = ROOT / "build" / "site"
LINK = re.compile(r"\]\((?!http)([^)#]+)\)")


def gather() -> None:
    """Copy what is shown into one folder, for Sphinx reads everything that lies beside the first page."""
    for folder in (SOURCE, SITE):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "site", SOURCE)
    shutil.copy(ROOT / "README.md", SOURCE)
    for path in linked(ROOT / "README.md"):
        copy_with_links(path)
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        describe_pictures(notebook)
        nbformat.write(notebook, SOURCE / "notebooks" / path.name)


def linked(page: Path) -> list[Path]:
    """The files that a page links to or shows."""
    return [(page.parent / target).resolve() for target in LINK.findall(page.read_text(encoding="utf-8"))]


def copy_with_links(path: Path) -> None:
    """Copy a file to its place in the site. A report is a page of its own, and no chapter of the course."""
    copy = SOURCE / path.relative_to(ROOT)
    if copy.exists():  # pages may link to each other
        return
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, copy)
    if path.suffix == ".md":
        copy.write_text(f"---\norphan: true\n---\n{path.read_text(encoding='utf-8')}", encoding="utf-8")
        for further in linked(path):
            copy_with_links(further)


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
