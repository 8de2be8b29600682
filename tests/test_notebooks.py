"""The notebooks as files: run and whole, alike where they should be, and with solutions that solve.

That their outputs still hold is the work of nbval, which `make test` runs over them.
"""

import dataclasses
import re
import tomllib
from pathlib import Path

import nbformat
import pytest
from mutants import mutants
from solutions import exercises

import course_utils
from course_utils.teaching import EXERCISES, engine, trials

ROOT = Path(__file__).parents[1]
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NOTEBOOKS = {path.stem: nbformat.read(path, as_version=4) for path in PATHS}
IGNORED = "nbval-ignore-output"

each_notebook = pytest.mark.parametrize("name", NOTEBOOKS)


def code_cells(name):
    return [cell for cell in NOTEBOOKS[name].cells if cell.cell_type == "code"]


def set_up(name):
    """The names that the set-up cell makes."""
    space: dict = {}
    exec(code_cells(name)[0].source, space)
    return space


def text(name):
    return "\n".join(cell.source for cell in NOTEBOOKS[name].cells if cell.cell_type == "markdown")


def tags(cell):
    return cell.metadata.get("tags", [])


def test_the_notebooks_are_there():
    assert [path.stem for path in PATHS][:5] == [
        "01_task_definition",
        "02_gru_encoder",
        "03_decoder_teacher_forcing",
        "04_cuda_training",
        "05_every_input",
    ]


@each_notebook
def test_every_code_cell_was_run_once_and_in_order(name):
    counts = [cell.execution_count for cell in code_cells(name)]
    assert counts == list(range(1, len(counts) + 1)), f"run the notebook whole: `make run NOTEBOOK={name[:2]}`"


@each_notebook
def test_no_stored_output_is_an_error_or_a_dead_widget(name):
    assert "widgets" not in NOTEBOOKS[name].metadata
    for cell in code_cells(name):
        for output in cell.outputs:
            assert output.output_type != "error"
            assert not any("widget" in mime for mime in output.get("data", {}))
            assert output.get("name") != "stderr"


@each_notebook
def test_nothing_of_the_authors_machine_is_stored(name):
    stored = (ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8")
    assert not re.search(r"/(home|root|tmp|work|Users)/\w", stored)
    assert set(NOTEBOOKS[name].metadata) == {"kernelspec", "language_info"}


@each_notebook
def test_the_set_up_cell_is_the_same_everywhere_and_names_the_published_version(name):
    first, own = code_cells(name)[0].source, code_cells("01_task_definition")[0].source
    assert first.split("\n\n")[:2] == own.split("\n\n")[:2]
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    archive = f"{urls['Repository']}/archive/refs/tags/v{course_utils.__version__}.zip"
    assert f'"{archive}"' in first
    repository = urls["Repository"].removeprefix("https://github.com/")
    colab = (
        f"https://colab.research.google.com/github/{repository}/blob/v{course_utils.__version__}/notebooks/{name}.ipynb"
    )
    assert f"({colab})" in NOTEBOOKS[name].cells[0].source


@each_notebook
def test_cells_are_short_and_show_their_value(name):
    for cell in code_cells(name):
        place, lines = f"In [{cell.execution_count}]", cell.source.splitlines()
        assert len(lines) <= 30, f"{place} has more than 30 lines: a reader no longer sees it whole"
        too_wide = [line for line in lines if len(line) > 105 and "COURSE_UTILS_SOURCE" not in line]
        assert not too_wide, f"{place} has a line of more than 105 characters: JupyterLab hides what does not fit"
        assert not cell.source.rstrip().endswith(";"), f"{place} ends in a semicolon: write `_ = …` to show nothing"


@each_notebook
def test_an_ignored_output_says_why(name):
    for cell in code_cells(name):
        if IGNORED in tags(cell):
            assert re.match(r"# The output is not compared: .+\.\n", cell.source)
        assert not any(tag.startswith("nbval") and tag != IGNORED for tag in tags(cell))


def test_few_outputs_are_ignored():
    cells = [cell for name in NOTEBOOKS for cell in code_cells(name)]
    assert sum(IGNORED in tags(cell) for cell in cells) <= 0.05 * len(cells)


@each_notebook
def test_every_section_with_code_has_an_output_that_is_compared(name):
    section, compared = "", {}
    for cell in NOTEBOOKS[name].cells:
        headings = re.findall(r"^## (.*)$", cell.source, flags=re.M) if cell.cell_type == "markdown" else []
        section = headings[-1] if headings else section
        if cell.cell_type == "code" and section:
            compared[section] = compared.get(section, False) or (bool(cell.outputs) and IGNORED not in tags(cell))
    assert compared
    assert all(compared.values()), compared


@each_notebook
def test_a_notebook_has_its_parts(name):
    for part in ("## Mistakes people make here", "## Quiz", "## Where you stand", "**Recap.**", "**Further reading.**"):
        assert part in text(name)
    assert "**Predict" in text(name)
    assert sum("explore(" in cell.source for cell in code_cells(name)) >= 1


EXERCISES_OF = {name: exercises(notebook) for name, notebook in NOTEBOOKS.items()}


def test_every_exercise_is_in_its_notebook_once():
    assert [exercise.id for found in EXERCISES_OF.values() for exercise in found] == list(EXERCISES)


@each_notebook
def test_an_exercise_has_a_heading_a_stub_two_hints_and_a_solution(name):
    assert len(EXERCISES_OF[name]) >= 4
    for found in EXERCISES_OF[name]:
        exercise = EXERCISES[found.id]
        before, stub, _, after = NOTEBOOKS[name].cells[found.answer_cell - 1 : found.check_cell + 2]
        dots = "●" * exercise.difficulty + "○" * (3 - exercise.difficulty)
        assert f"### Exercise {found.id} · {exercise.title} · {dots} · {exercise.minutes} minutes" in before.source
        assert stub.source.startswith((f"def {found.answer}(", f"class {found.answer}("))
        folded = re.findall(r"<details><summary>([^<]*)</summary>\n\n(.*?)\n</details>", after.source, flags=re.S)
        assert [summary for summary, _ in folded[:3]] == ["Hint 1", "Hint 2", "Solution"]
        assert tuple(hint for _, hint in folded[:2]) == exercise.hints
        assert f"exercise {found.id}" in text(name) or f"({found.id})" in text(name), "no objective names the exercise"


@each_notebook
def test_an_untouched_stub_is_known_as_one(name, capsys):
    space = set_up(name)
    for found in EXERCISES_OF[name]:
        exec(NOTEBOOKS[name].cells[found.answer_cell].source, space)
        result = engine.check(found.id, space[found.answer])
        assert (result.attempted, result.passed) == (False, False)
        assert result.message.startswith(f"{found.id} not attempted yet")


@each_notebook
def test_the_solutions_shown_pass_their_checks(name):
    space = set_up(name)
    for found in EXERCISES_OF[name]:
        exec(found.solution, space)
        result = engine.check(found.id, space[found.answer])
        assert result.passed, result.message


@pytest.mark.parametrize("errors", [0, 135, 1_000])
def test_the_bound_that_5_2_shows_holds_for_large_tests_too(errors):
    found = next(found for found in EXERCISES_OF["05_every_input"] if found.id == "5.2")
    space = {}
    exec(found.solution, space)
    bound = course_utils.highest_rate(errors, 10_000)
    assert space[found.answer](errors, 10_000) == pytest.approx(bound, rel=1e-6)


# Solutions with one token changed that still do what was asked: the changed line, and why.
EQUIVALENT = {
    "2.4": {"layer_input = input_dim if layer <= 0 else hidden_dim": "layers are numbered from 0"},
    "4.3": {"if loss <= best_loss:": "which of two equally good epochs is kept was not asked"},
    "3.8": {"after = errors_before != 0": "a count is never below 0"},
    "5.2": {
        "if errors >= n:": "there are no more errors than inputs",
        "if errors > n:": "50 halvings come close enough to 1, and do not ask for the logarithm of 0",
        "for _ in range(51):": "one halving more does no harm",
        "if sum(map(math.exp, log_chances)) >= 0.05:": "no rate that is tried gives exactly 5 %",
        **dict.fromkeys(
            [f"log_ways = [math.log(math.comb(n, k)) for k in range({end})]" for end in ("n + 1", "errors + 2")],
            "more of them than are needed do no harm",
        ),
    },
    "6.1": {
        **dict.fromkeys(
            ["changed[:, -1] = source[:, 1]", "changed[:, -1] = source[:, -2]"], "any other token shows the bug"
        ),
        "before, again, after = (model(target, read, 1.0) for read in (target, target, changed))": "any source will do",
        'return "not-shifted", torch.allclose(before, again) and not torch.allclose(again, after)': "the two are alike",
    },
    "6.2": {
        **dict.fromkeys(
            [
                "zeros, ones = (F.pad(source, (0, 2), value=token) for token in (0, 1))",
                "zeros, ones = (F.pad(source, (0, 1), value=token) for token in (0, 2))",
            ],
            "any padding shows the bug",
        ),
        **dict.fromkeys(
            [
                "steady = torch.allclose(first, again) and torch.allclose(again[:, -1:], alone)",
                'return "state-after-padding", steady and not torch.allclose(again, other)',
            ],
            "the two are alike",
        ),
    },
    "6.3": {
        "state, token, forgetful = model.encoder(source), torch.zeros_like(written[:, :1]), []": "like another",
        "validated = model(source, written, 1.0).argmax(-1)  # of `written`, ratio 0 takes the length only": (
            "forced on what it wrote, a model would write that again"
        ),
    },
    "6.4": {"state = model.encoder(target)": "any state will do"},
    "6.5": {
        "changed[:, 2] = changed[:, 3].flip(-1)": "any change of the logits will do",
        "changed[:, 2] = changed[:, 2].flip(1)": "that axis is the last",
    },
    "6.6": {
        "source = torch.randint(7, (71, 6))": "one example more",
        "source = torch.randint(7, (70, 7))": "a network reads sources of any length",
        "target = model.generate(source, 7)": "and writes as many tokens as it is asked for",
        'return "mean-of-batch-means", abs(first.exact_match - second.exact_match) >= 0.001': "it is 0, or far more",
    },
}


def passes(exercise, code, space):
    space = dict(space)
    try:
        exec(code, space)
    except Exception:  # the answer cell itself fails, so the student sees that something is wrong
        return False
    return engine.check(exercise.id, space[exercise.answer]).passed


@pytest.mark.parametrize(
    ("name", "exercise"),
    [(name, exercise) for name, found in EXERCISES_OF.items() for exercise in found],
    ids=lambda value: value if isinstance(value, str) else value.id,
)
def test_a_solution_changed_by_one_token_is_refused(name, exercise, monkeypatch):
    space = set_up(name)
    assert passes(exercise, exercise.solution, space)  # and what is loaded on first use is not timed below
    monkeypatch.setattr(trials, "SECONDS_ALLOWED", 5)
    # Only whether an answer passes is asked here, and looking for the mistake it makes takes most of a check's time.
    monkeypatch.setitem(EXERCISES, exercise.id, dataclasses.replace(EXERCISES[exercise.id], mistakes=()))
    passed = {line for line, mutant in mutants(exercise.solution) if passes(exercise, mutant, space)}
    assert passed == set(EQUIVALENT.get(exercise.id, {}))


def test_one_token_is_changed_in_every_way():
    """Else a mistake in making changes would let every check pass."""
    lines = [line for line, _ in mutants("def f(a):\n    b = -a * 2\n    return not a or b < True\n")]
    assert lines[:8] == [
        "b = a * 2",
        "b = -b * 2",
        *(f"b = -a {sign} 2" for sign in ["+", "-", "/", "//", "@"]),
        "b = -a * 3",
    ]
    assert lines[8:11] == ["return  a or b < True", "return not b or b < True", "return not a and b < True"]
    assert lines[11:] == [
        "return not a or a < True",
        *(f"return not a or b {sign} True" for sign in ["<=", ">", ">=", "==", "!="]),
        "return not a or b < False",
    ]
