"""`make mutants` tells a mutant that the tests notice from one that they cannot notice."""

import dataclasses
import re
import sys
import types
from pathlib import Path

import mutation
import pytest
from mutation import Place, Verdict, Workshop

from course_utils import EXHIBITS

ROOT = Path(__file__).parents[2]

SOURCE = 'def f(a: int | None, b):\n    """One."""\n    return a + b\n'


@pytest.fixture
def workshop(tmp_path):
    return Workshop(tmp_path / "workshop")


def judge(workshop, place, new, seconds=60.0):
    """What the first command says."""
    return workshop.judge(Verdict(place, "", ""), new, dict.fromkeys(mutation.stages(place), seconds))


def test_all_code_is_mutated():
    files = {file for file, _ in mutation.programs()}
    assert {"course_utils/model.py", "course_utils/teaching/engine.py", "notebooks/01_task_definition.ipynb"} <= files


def test_places_are_those_of_both_tools_and_each_changes_what_runs():
    source = mutation.programs()["course_utils/data.py", None]
    found = mutation.places("course_utils/data.py", None, source)
    kinds = {place.kind for place in found}
    assert "NumberReplacer" in kinds
    assert "swapped arguments" in kinds
    for place in found:
        new = mutation.changed(place, source)
        assert new is None or new != source


def test_nothing_is_changed_where_nothing_runs():
    places = [Place("f.py", None, "ReplaceBinaryOperator_BitOr_Add", 0, 1), Place("f.py", None, "NumberReplacer", 0, 1)]
    assert mutation.changed(places[0], SOURCE) is None
    assert mutation.changed(places[1], "x = 1\n") != "x = 1\n"
    assert "a - b" in mutation.changed(Place("f.py", None, "ReplaceBinaryOperator_Add_Sub", 0, 3), SOURCE)


def test_a_package_mutant_is_killed_by_a_test_and_the_module_is_put_back(workshop):
    file = "course_utils/errors.py"
    before = (workshop.folder / file).read_bytes()
    new = before.decode().replace("if frame.line and not Path", "if frame.line and Path")
    assert new != before.decode()
    place = Place(file, None, "by hand", 0, 1)
    verdict = judge(workshop, place, new)
    assert verdict.killed_by.startswith("tests/")
    assert (verdict.survived, verdict.waits) == (0, False)
    assert (workshop.folder / file).read_bytes() == before


@pytest.mark.parametrize(("addition", "killed"), [("\nprint('more')", True), ("\nmore = 1", False)])
def test_a_notebook_mutant_is_judged_by_the_outputs(workshop, addition, killed):
    file = "notebooks/01_task_definition.ipynb"
    source = mutation.programs()[file, 2]
    place = Place(file, 2, "by hand", 0, 1)
    verdict = judge(workshop, place, source + addition)
    assert (verdict.killed_by is not None) == killed
    assert not verdict.waits


def test_a_set_up_cell_is_judged_by_what_it_installs_too(workshop):
    file = "notebooks/01_task_definition.ipynb"
    place = Place(file, 1, "by hand", 0, 1)
    new = mutation.programs()[file, 1].replace('"--no-deps", ', "")
    verdict = workshop.judge(Verdict(place, "", "", survived=1), new, dict.fromkeys(mutation.stages(place), 60))
    assert verdict.killed_by.startswith("tests/test_notebooks.py::test_a_set_up_that_misses")
    assert not verdict.waits


@pytest.mark.parametrize(("module", "tests"), [("rooms", "test_rooms"), ("trials", "test_teaching")])
def test_a_module_of_teaching_meets_the_tests_that_bear_its_name_where_there_are_some(module, tests):
    assert mutation.own_tests(f"course_utils/teaching/{module}.py")[0] == f"tests/{tests}.py"


def test_a_mutant_that_never_ends_is_too_slow(workshop):
    place = Place("course_utils/errors.py", None, "by hand", 0, 1)
    verdict = judge(workshop, place, "while True: pass", seconds=0.2)
    assert verdict.killed_by == "too slow"


def test_the_same_seed_draws_the_same_sample_and_verdicts_are_kept(monkeypatch, tmp_path):
    monkeypatch.setattr(mutation, "programs", lambda: {("course_utils/errors.py", None): SOURCE})
    first, n_places = mutation.sample(0, 5)
    assert first == mutation.sample(0, 5)[0]
    assert n_places >= len(first) == 5
    kept = tmp_path / "kept.jsonl"
    verdicts = [Verdict(place, *mutation._difference(SOURCE, new), killed_by="tests/t.py::t") for place, new in first]
    kept.write_text("".join(mutation.line(verdict) for verdict in verdicts), encoding="utf-8")
    assert mutation.judged(first, kept, workers=1) == verdicts  # none is judged again


def test_every_exhibit_of_the_museum_is_put_into_the_module_whose_part_it_takes(monkeypatch):
    mutants = {place.kind: (place.file, new) for place, new in mutation.exhibits()}
    assert len(mutants) == len(EXHIBITS)
    for name, exhibit in EXHIBITS.items():
        file, new = mutants[f"exhibit {name}"]
        before = (mutation.ROOT / file).read_text(encoding="utf-8")
        assert new.startswith(before)
        assert re.search(rf"^(class|def) {exhibit.part}\b", before, re.MULTILINE)
        changed = types.ModuleType("changed")
        changed.__package__ = "course_utils"
        monkeypatch.setitem(sys.modules, "changed", changed)  # dataclasses look for their module there
        exec(compile(new, file, "exec"), vars(changed))
        assert getattr(changed, exhibit.part).__qualname__.endswith(f".{exhibit.sick.__name__}")


def test_an_exhibit_is_noticed_by_the_tests_of_its_module(workshop):
    (place, new), *_ = [pair for pair in mutation.exhibits() if pair[0].kind == "exhibit not-shifted"]
    assert judge(workshop, place, new).killed_by.startswith("tests/test_model.py")


def test_the_test_that_notices_is_told_by_its_whole_name(workshop):
    (place, new), *_ = [pair for pair in mutation.exhibits() if pair[0].kind == "exhibit gradients-kept"]
    named = "tests/test_training.py::test_two_steps_equal_those_written_out[0.0-not clipped]"
    assert judge(workshop, place, new).killed_by == named


def test_the_report_on_exhibits_says_which_test_noticed_which():
    places = [Place("course_utils/model.py", None, f"exhibit {name}", 0, 1) for name in "abc"]
    verdicts = [
        Verdict(places[0], "", "", "tests/t.py::t"),
        Verdict(places[1], "", "", survived=len(mutation.stages(places[1]))),
        Verdict(places[2], "", "", survived=1),
    ]
    text = mutation.report_on_exhibits(verdicts)
    assert "Each of the 3 exhibits" in text
    assert "1 were noticed" in text
    assert "| a | `course_utils/model.py` | tests/t.py::t |" in text
    assert "| b | `course_utils/model.py` | nothing |" in text
    assert "| c | `course_utils/model.py` | not judged to the end |" in text


def test_the_report_counts_and_lists(monkeypatch, tmp_path):
    def verdict(file, number, killed_by, survived=1, cell=None):
        place = Place(file, cell, "kind", number, number)
        return Verdict(place, f"old {number}", f"new {number}", killed_by, survived)

    known = tmp_path / "equivalent.toml"
    known.write_text('[[mutant]]\nfile = "course_utils/a.py"\nbefore = "old 3"\nafter = "new 3"\nwhy = "It is."\n')
    monkeypatch.setattr(mutation, "EQUIVALENT", known)
    assert mutation.notes_on(6).exists()
    assert not mutation.notes_on(7).exists()
    (tmp_path / "7.md").write_text("## By hand\n\nOf this sample.\n", encoding="utf-8")
    monkeypatch.setattr(mutation, "notes_on", lambda seed: tmp_path / f"{seed}.md")
    notebook = "notebooks/b.ipynb"
    monkeypatch.setattr(mutation, "programs", lambda: {(notebook, 4): "claim('1', x > 1)\ny = 2"})
    verdicts = [
        verdict("course_utils/a.py", 1, "tests/t.py"),
        verdict("course_utils/a.py", 2, None),
        verdict("course_utils/a.py", 3, None),
        verdict(notebook, 2, "too slow", cell=4),
        verdict(notebook, 1, None, cell=4),  # in the claim
        dataclasses.replace(verdict("course_utils/a.py", 5, None), before="old 5  # uncovered: only a GPU runs it"),
        verdict(notebook, 9, None, survived=0, cell=4),  # waits for its first command
    ]
    text = mutation.report(verdicts, 7, 1000)
    assert "\n\n## By hand\n\nOf this sample.\n\n## Survivors\n\n" in text
    assert "By hand" not in mutation.report(verdicts, 8, 1000)
    assert "7 were drawn" in text
    assert "6 of these judged" in text
    assert "1 mutants in lines that only a GPU can run, and 1 in claims" in text
    assert "| in all | 4 | 2 | 0.500 | 0.150 to 0.850 | 1 | 0.667 |" in text
    assert "course_utils/a.py:2" in text
    assert "Equivalent: It is." in text
    assert not any(words in text for words in ("old 1", "old 5", "old 9"))
    assert "1 were killed by taking ten times" in text
