"""The package's tests with the oldest packages that pyproject.toml admits, and what they execute.

Only PyTorch is the project's. The environment is made once, in build/oldest; that needs the network. What the tests
execute is measured here, and not a second time with new packages: the tests take minutes, and are the same.
"""

import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path

from lent_torch import environment, installed
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINS = [bound.replace(">=", "==") for bound in PROJECT["dependencies"] if not bound.startswith("torch")]
FOR_TESTS = ["pytest", "nbformat", "nbclient", "ipykernel", f"coverage=={version('coverage')}"]
# Notebooks as files, nbval and the pins are the local environment's matter, which make test looks after.
NOT_OF_THE_PACKAGE = ("notebooks", "notebook_regression", "environments", "tools", "links", "readme")


def test_the_packages_tests_pass_with_the_oldest_packages_and_execute_every_line(tmp_path, monkeypatch):
    python = environment(ROOT / "build" / "oldest", [*PINS, *FOR_TESTS])
    versions = dict(installed(python))
    for pin in map(Requirement, PINS):
        assert pin.specifier.contains(versions[pin.name]), pin

    monkeypatch.setenv("COVERAGE_FILE", str(tmp_path / "coverage"))

    def coverage(*arguments):
        done = subprocess.run(
            [python, "-m", "coverage", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]

    others = [f"--ignore=tests/test_{name}.py" for name in NOT_OF_THE_PACKAGE]
    # What old packages warn of among themselves is not the course's matter.
    coverage("run", "-m", "pytest", "-p", "no:cacheprovider", "-W", "default", *others)
    coverage("combine")
    coverage("report", "--show-missing", "--skip-covered", "--fail-under=100")
