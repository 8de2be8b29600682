"""Write the repository's address and the version's tag into the Colab links, the set-up cells and the README.

    python tools/links.py [owner/name]

The address has its one place in pyproject.toml, where a new one is written too; the version has its own in
course_utils/__init__.py. Files are changed as text, so that nothing else in a notebook moves.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FORMS = (
    'Repository = "https://github.com/{repository}"',
    "git clone https://github.com/{repository} && cd {name}",
    "https://colab.research.google.com/github/{repository}/blob/{tag}/",
    "https://github.com/{repository}/archive/refs/tags/{tag}.zip",
)
NAME = r"[A-Za-z0-9_.-]+"
REPOSITORY = rf"[A-Za-z0-9-]+/{NAME}"
FOUND = {"repository": REPOSITORY, "name": NAME, "tag": r"v[0-9][^/\s]*?"}


def linked(text: str, repository: str, version: str) -> str:
    """The text, with each link in it pointing to that repository and version."""
    values = {"repository": repository, "name": repository.split("/")[1], "tag": f"v{version}"}
    for form in FORMS:
        text = re.sub(form.format(**FOUND), form.format(**values), text)
    return text


def present_repository() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["urls"]["Repository"].removeprefix("https://github.com/")


def present_version() -> str:
    package = (ROOT / "course_utils" / "__init__.py").read_text(encoding="utf-8")
    return re.search(r'^__version__ = "(.+)"$', package, flags=re.M)[1]


def main(arguments: list[str]) -> None:
    repository = " ".join(arguments) or present_repository()
    if not re.fullmatch(REPOSITORY, repository) or repository.endswith((".git", "/.", "/..")):
        sys.exit(f"{repository} is no repository: write REPO=owner/name, as on GitHub, without https:// and .git.")
    for path in (ROOT / "pyproject.toml", ROOT / "README.md", *sorted((ROOT / "notebooks").glob("*.ipynb"))):
        before = path.read_bytes()  # bytes, so that line ends stay as they are
        after = linked(before.decode(), repository, present_version()).encode()
        if after != before:
            path.write_bytes(after)
            print(path.relative_to(ROOT))


if __name__ == "__main__":
    main(sys.argv[1:])
