"""Build the course as static HTML in build/site, from the notebooks as they are stored: nothing is run.

    python tools/build_site.py

Ends with status 1 where Sphinx has a warning.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import nbformat
from nbformat.v4 import new_output
from sphinx.cmd.build import main as sphinx_build

from course_utils.display import STRUCTURE

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "build" / "site-source"
SITE = ROOT / "build" / "site"
LINK = re.compile(r"\[([^]]*)\]\((?!http)([^)#]+)\)")
COLAB = re.compile(r"^\*\*\[▶ Open in Colab\].*$", re.MULTILINE)
STILL = (
    "Sliders, buttons and live figures work in JupyterLab and Colab; here still pictures and folds take their place."
)
EFFORT = re.compile(r"^(### Exercise .*?) · ([●○]+ · .*)$", re.MULTILINE)
TEST = re.compile(r"(?<=::)test_\w+")
# A line too long for a phone, with two gaps: columns or code.
TABLE = re.compile(r"^(?=.{56})(.*?  +\S){2}", re.MULTILINE)


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
        fit_to_the_page(notebook)
        nbformat.write(notebook, SOURCE / "notebooks" / path.name)


def linked(page: Path) -> list[Path]:
    """The files that a page links to or shows."""
    targets = [(page.parent / target).resolve() for _, target in LINK.findall(page.read_text(encoding="utf-8"))]
    return [target for target in targets if not target.is_dir()]


def copy_with_links(path: Path) -> None:
    """Copy a file to its place in the site. A report is a page of its own, and no chapter of the course."""
    copy = SOURCE / path.relative_to(ROOT)
    if copy.exists():  # pages may link to each other
        return
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, copy)
    if path.suffix == ".md":
        text = path.read_text(encoding="utf-8")
        # A folder has no page to link to. The names of tests are wider than a column, and may break.
        text = LINK.sub(lambda link: link[1] if (path.parent / link[2]).is_dir() else link[0], text)
        text = TEST.sub(lambda name: re.sub(r"\w{20,}?_", r"\g<0><wbr>", name[0]), text)
        copy.write_text(f"---\norphan: true\n---\n{text}", encoding="utf-8")
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


def fit_to_the_page(notebook: nbformat.NotebookNode) -> None:
    """Say what stands still here, set the effort of an exercise small, and part printed tables from what may wrap."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = COLAB.sub(rf"\g<0>\n\n*{STILL}*", cell.source)
            cell.source = EFFORT.sub(r"\1 <small>\2</small>", cell.source)
        else:
            cell.outputs = [part for output in cell.outputs for part in parted(output)]


def parted(output: nbformat.NotebookNode) -> Iterator[nbformat.NotebookNode]:
    """A printed table as an output of another kind, which the style sheet does not wrap, and the claims around it."""
    if not TABLE.search(output.get("text", "")):
        yield output
        return
    for _, lines in groupby(output.text.splitlines(keepends=True), key=lambda line: line.startswith("✓")):
        text = "".join(lines)
        is_table = TABLE.search(text)
        yield new_output("display_data", {"text/plain": text}) if is_table else new_output("stream", text=text)


def main() -> int:
    gather()
    return sphinx_build(["--quiet", "--fail-on-warning", str(SOURCE), str(SITE)])


if __name__ == "__main__":
    sys.exit(main())
