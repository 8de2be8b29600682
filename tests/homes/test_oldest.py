"""The package's tests with the oldest packages that pyproject.toml admits; only PyTorch is the project's.

The environment is made once, in build/oldest; that needs the network.
"""

import subprocess
import tomllib
from pathlib import Path

from lent_torch import environment, installed
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINS = [bound.replace(">=", "==") for bound in PROJECT["dependencies"] if not bound.startswith("torch")]
# Notebooks as files, nbval and the pins are the local environment's matter, which make test looks after.
NOT_OF_THE_PACKAGE = ("notebooks", "notebook_regression", "environments", "tools", "links", "readme")


def test_the_packages_tests_pass_with_the_oldest_packages():
    python = environment(ROOT / "build" / "oldest", [*PINS, "pytest", "nbformat", "nbclient", "ipykernel"])
    versions = dict(installed(python))
    for pin in map(Requirement, PINS):
        assert pin.specifier.contains(versions[pin.name]), pin
    others = [f"--ignore=tests/test_{name}.py" for name in NOT_OF_THE_PACKAGE]
    # What old packages warn of among themselves is not the course's matter.
    command = [python, "-m", "pytest", "-W", "default", *others]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
