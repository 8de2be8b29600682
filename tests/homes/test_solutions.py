"""A reader who copies every solution into its cell can run every notebook; with one token changed, no check passes."""

import dataclasses
from pathlib import Path

import nbformat
import pytest
from mutants import mutants
from nbclient import NotebookClient
from solutions import answer_with_solutions, exercises

from course_utils.teaching import EXERCISES, engine, trials

NOTEBOOKS = [
    nbformat.read(path, as_version=4) for path in sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
]


def test_a_notebook_with_its_solutions_runs_and_passes_its_checks(path, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    found = exercises(notebook)
    solved = answer_with_solutions(notebook, found)
    # A cell that fails raises here.
    NotebookClient(
        solved, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    assert found
    for exercise in found:
        printed = "".join(output.get("text", "") for output in solved.cells[exercise.check_cell].outputs)
        assert printed.startswith(f"✓ {exercise.id} passed: "), printed


TRAINED = "5.7"  # a network is handed in: with another number in its code another one is trained, as good
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
        "target[:5] = (target[:5] - 1) % 7": "any other token is wrong",
        "target[:5] = (target[:5] + 2) % 7": "any other token is wrong",
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
    ("notebook", "exercise"),
    [(notebook, exercise) for notebook in NOTEBOOKS for exercise in exercises(notebook) if exercise.id != TRAINED],
    ids=lambda value: getattr(value, "id", ""),
)
def test_a_solution_changed_by_one_token_is_refused(notebook, exercise, monkeypatch):
    space: dict = {}
    exec(next(cell.source for cell in notebook.cells if cell.cell_type == "code"), space)  # the set-up
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
