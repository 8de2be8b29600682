"""The repository's address has one place, and tools/links.py writes it into all others.

That notebooks hold the published version's links is in test_notebooks.py.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import course_utils

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
OLD = re.search(r'Repository = "https://github.com/(.+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))[1]
NEW = "Some-Body/their.own_course"


@pytest.fixture
def copy(tmp_path):
    """The files that hold links, and the tool that writes them, in a folder of their own."""
    for name in ("pyproject.toml", "README.md", "course_utils/__init__.py", "tools/links.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks", ignore=shutil.ignore_patterns(".*"))
    return tmp_path


def links(copy, *arguments):
    command = [sys.executable, copy / "tools" / "links.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def contents(copy):
    return {path.relative_to(copy): path.read_bytes() for path in copy.rglob("*") if path.is_file()}


def test_the_readme_links_to_the_published_version_of_each_notebook():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"git clone https://github.com/{OLD} && cd {OLD.split('/')[1]}\n" in readme
    tag = f"v{course_utils.__version__}"
    colab = re.findall(r"\(https://colab\.research\.google\.com/github/(.+)/blob/(.+)/notebooks/(.+)\)", readme)
    assert colab == [(OLD, tag, name) for name in NOTEBOOKS]


@pytest.mark.parametrize("arguments", [[], [OLD]])
def test_the_present_address_changes_nothing(copy, arguments):
    before = contents(copy)
    assert links(copy, *arguments).returncode == 0
    assert contents(copy) == before


def test_another_address_is_written_everywhere_and_can_be_taken_back(copy):
    before = contents(copy)
    done = links(copy, NEW)
    assert done.returncode == 0
    assert done.stdout.split() == ["pyproject.toml", "README.md", *(f"notebooks/{name}" for name in NOTEBOOKS)]
    after = contents(copy)
    for path, text in before.items():
        assert OLD.encode() not in after[path], path
        assert after[path].count(NEW.encode()) == text.count(OLD.encode())
    assert f"cd {NEW.split('/')[1]}\n".encode() in after[Path("README.md")]
    links(copy, OLD)
    assert contents(copy) == before


def test_another_version_is_written_everywhere(copy):
    tag = f"v{course_utils.__version__}".encode()
    before = contents(copy)
    package = copy / "course_utils" / "__init__.py"
    version = f'__version__ = "{course_utils.__version__}"'
    package.write_text(package.read_text(encoding="utf-8").replace(version, '__version__ = "9.8.7rc1"'), "utf-8")
    assert links(copy).returncode == 0
    after = contents(copy)
    for path in map(Path, ("README.md", *(f"notebooks/{name}" for name in NOTEBOOKS))):
        assert before[path].replace(tag, b"v9.8.7rc1") == after[path]


@pytest.mark.parametrize(
    "repository", ["name", "owner/", "https://github.com/owner/name", "owner/name/", "owner/name.git", "two words/a b"]
)
def test_what_is_no_address_is_refused_with_one_sentence(copy, repository):
    before = contents(copy)
    done = links(copy, repository)
    assert done.returncode == 1
    assert done.stderr.startswith(f"{repository} is no repository: ")
    assert done.stderr.count("\n") == 1
    assert contents(copy) == before
