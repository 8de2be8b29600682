"""requirements.txt, environment.yml and pyproject.toml say the same of what the course needs."""

import importlib.metadata
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
BOUNDS = [Requirement(line) for line in PROJECT["dependencies"]]


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith(("#", "--")))


def test_every_pin_is_within_the_packages_bounds():
    for bound in BOUNDS:
        version = pins("requirements.txt").get(bound.name) or importlib.metadata.version(bound.name)
        assert bound.specifier.contains(version), bound
    assert {bound.name for bound in BOUNDS} - set(pins("requirements.txt")) == {"ipython"}  # JupyterLab's own


def test_the_bounds_let_colabs_packages_stay():
    colab = pins("tests/homes/colab.txt") | {"torch": "2.11.0"}
    for bound in BOUNDS:
        assert bound.specifier.contains(colab[bound.name]), bound
    assert all(operator.operator == ">=" for bound in BOUNDS for operator in bound.specifier)


def test_conda_brings_a_python_that_will_do_and_installs_requirements_txt_and_nothing_twice():
    packages = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    python, *rest = packages
    assert rest == ["pip", {"pip": ["--requirement requirements.txt"]}]
    version = python.removeprefix("python=")
    assert version in ("3.11", "3.12", "3.13")
    assert SpecifierSet(PROJECT["requires-python"]).contains(version)
    assert "--editable ." in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()


def test_the_other_homes_need_nothing_that_is_pinned_already():
    assert not pins("requirements.txt").keys() & pins("requirements-homes.txt").keys()
