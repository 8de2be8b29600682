"""The package as a whole: its public names, the one direction of its imports, and how little importing it costs."""

import ast
import dataclasses
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import course_utils

FOLDER = Path(course_utils.__file__).parent
ORDER = list(course_utils._PUBLIC)  # from the foundation up


def files_of(module: str) -> list[Path]:
    """A module is a file, or a folder of files."""
    file = FOLDER / f"{module}.py"
    return [file] if file.exists() else sorted((FOLDER / module).glob("*.py"))


def siblings_imported_by(file: Path) -> set[str]:
    """The modules of the package that a file imports, at its top or inside a function."""
    package = ("course_utils", *file.relative_to(FOLDER).parts[:-1])
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            names |= {f"{module}.{alias.name}" for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("course_utils.")}


CHANGING = ["Run", "Subject", "Validation"]  # what goes on while it is looked at


def test_data_cannot_be_changed_but_where_it_is_meant_to():
    modules = [
        import_module(".".join(["course_utils", *file.relative_to(FOLDER).with_suffix("").parts]))
        for file in sorted(FOLDER.rglob("*.py"))
        if not file.stem.startswith("__")
    ]
    kinds = {
        kind
        for module in modules
        for kind in vars(module).values()
        if isinstance(kind, type) and dataclasses.is_dataclass(kind) and kind.__module__ == module.__name__
    }
    assert sorted(kind.__name__ for kind in kinds if not kind.__dataclass_params__.frozen) == CHANGING


@pytest.mark.parametrize("name", course_utils.__all__)
def test_public_names_are_importable_from_the_package(name):
    (home,) = [module for module, names in course_utils._PUBLIC.items() if name in names]
    assert getattr(course_utils, name) is getattr(import_module(f"course_utils.{home}"), name)
    assert name in dir(course_utils)


def test_all_lists_every_public_name_once():
    names = [name for names in course_utils._PUBLIC.values() for name in names]
    assert course_utils.__all__ == sorted(set(names))
    assert len(names) == len(set(names))


@pytest.mark.parametrize("module", ORDER)
def test_modules_are_importable_from_the_package(module):
    assert getattr(course_utils, module) is import_module(f"course_utils.{module}")


def test_a_name_that_is_not_there_says_so():
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = course_utils.nonsense


def test_a_record_that_is_not_there_says_which_are(refused):
    there = "exact-length10, exact-length8, (gpu, )?mended-length10, museum, once-wrong-length10, outside, recipes, "
    there += "smallest-length10"
    with refused(f"no record 'recipe': name one of {there}"):
        course_utils.load_record("recipe")


def test_every_module_has_its_place_in_the_order():
    modules = {path.stem for path in FOLDER.glob("*.py")} | {path.parent.name for path in FOLDER.glob("*/__init__.py")}
    assert modules - {"__init__", "__main__"} == set(ORDER)


def test_the_packages_list_says_what_every_module_is_for():
    listed = [line[2:].partition(": ")[0] for line in course_utils.__doc__.splitlines() if line.startswith("- ")]
    assert listed == ORDER


@pytest.mark.parametrize("module", ORDER)
def test_a_module_imports_only_those_above_it(module):
    files = files_of(module)
    assert files
    for file in files:
        assert siblings_imported_by(file) <= {module, *ORDER[: ORDER.index(module)]}, file


def test_the_check_of_imports_sees_imports():
    """Else a mistake in reading them would let everything pass."""
    assert siblings_imported_by(FOLDER / "model.py") == {"errors", "task"}


def test_importing_the_package_loads_no_figures_and_no_widgets():
    code = (
        "import sys, course_utils; from course_utils import TUNED, fit, evaluate, SubstringTask; "
        "print([name for name in ('matplotlib', 'ipywidgets', 'IPython') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_importing_the_package_does_not_even_load_pytorch():
    code = "import sys, course_utils; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"


TIME_OF_IMPORTS = """
import time
import torch
before = time.process_time()
import course_utils
for name, home in course_utils._HOME_OF.items():
    if home not in ("display", "widgets", "teaching"):
        getattr(course_utils, name)
print(time.process_time() - before)
"""


def test_the_package_without_figures_and_widgets_adds_at_most_0_3_seconds_to_importing_pytorch():
    """Of processor time, which other programs hardly change, and in the best of three tries."""

    def seconds() -> float:
        done = subprocess.run(
            [sys.executable, "-c", TIME_OF_IMPORTS], capture_output=True, text=True, check=True, timeout=60
        )
        return float(done.stdout)

    assert any(seconds() < 0.3 for _ in range(3))


def test_bad_input_can_be_caught_as_what_python_itself_raises():
    with pytest.raises(ValueError, match="There is no recipe"):
        course_utils.find_recipe("none")
