"""Checks: references and other right answers pass, each mistake is recognised as itself, accidents end well."""

import contextlib
import functools
import json
import math
import random
import signal
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from fractions import Fraction
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import outcomes
import pytest
import torch
from right_answers import RIGHT_ANSWERS
from torch import nn

from course_utils import EXHIBITS, InputError, Seq2Seq, evaluate, token_loss
from course_utils.teaching import (
    EXERCISES,
    check,
    claim,
    claims,
    comparison,
    engine,
    exercises_01,
    exercises_06,
    explain_missing_names,
    patient,
    predict_first,
    progress,
    quiz,
    trials,
)
from course_utils.teaching.engine import Exercise, Mistake
from course_utils.teaching.predictions import PREDICTIONS
from course_utils.teaching.quizzes import QUIZZES

ALL_MISTAKES = [
    pytest.param(exercise, mistake, answer, id=f"{exercise.id}-{mistake.id}-{number}")
    for exercise in EXERCISES.values()
    for mistake in exercise.mistakes
    for number, answer in enumerate((mistake.answer, *mistake.also))
]


MANY_ANSWERS = dict.fromkeys(["6.1", "6.2", "6.3"], pytest.mark.slow)  # dozens, each of which asks as many networks


@pytest.mark.parametrize(
    "exercise", [pytest.param(one, id=name, marks=MANY_ANSWERS.get(name, ())) for name, one in EXERCISES.items()]
)
def test_every_answer_still_gives_what_it_gave(exercise):
    stored = json.loads(outcomes.STORED.read_text(encoding="utf-8"))[exercise.id]
    came = outcomes.outcomes(exercise)
    assert list(came) == list(stored)
    for answer in came:
        same = outcomes.same(stored[answer], came[answer])
        assert same, f"{answer} differs; if that is wanted, `.venv/bin/python tests/outcomes.py` stores it"


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=list(EXERCISES))
def test_the_reference_passes(exercise):
    result = check(exercise.id, exercise.reference)
    assert result.passed
    assert result.attempted
    assert result.diagnosis is None


@pytest.mark.slow
@pytest.mark.parametrize(("exercise", "mistake", "answer"), ALL_MISTAKES)
def test_each_mistake_is_recognised_as_itself(exercise, mistake, answer):
    # The code that a "find the bug" exercise gives would count as not attempted: here somebody wrote it anew.
    answer = (lambda *given: exercise.given(*given)) if answer is exercise.given else answer
    result = check(exercise.id, answer)
    assert not result.passed
    assert result.diagnosis == mistake.id
    assert mistake.message in result.message


def what_comes_of(exercise, answer):
    """What an answer does on the probes, up to the first on which it fails."""
    found = []
    for probe in exercise.probes():
        found.append(trials.carry_out(exercise.run, answer, probe))
        if found[-1].failure:
            break
    return found


@pytest.mark.slow
@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=list(EXERCISES))
def test_no_two_mistakes_of_an_exercise_are_alike(exercise):
    done = [
        (mistake.id, what_comes_of(exercise, answer))
        for mistake in exercise.mistakes
        for answer in (mistake.answer, *mistake.also)
    ]
    for (one, first), (other, second) in combinations(done, 2):
        pairs = zip(first, second, strict=False)
        apart = len(first) != len(second) or any(engine._difference(*pair) for pair in pairs)
        assert apart, (one, other)


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=list(EXERCISES))
def test_an_exercise_has_several_mistakes_with_messages_of_their_own(exercise):
    assert len(exercise.mistakes) >= 3
    assert len({mistake.id for mistake in exercise.mistakes}) == len(exercise.mistakes)
    assert len({mistake.message for mistake in exercise.mistakes}) == len(exercise.mistakes)


def test_no_mistake_is_one_only_because_it_cannot_be_called():
    assert "positional argument" not in outcomes.STORED.read_text(encoding="utf-8")


FIND_THE_BUG = [exercise for exercise in EXERCISES.values() if exercise.given is not None]


@pytest.mark.parametrize("exercise", FIND_THE_BUG, ids=lambda exercise: exercise.id)
def test_the_code_that_was_given_is_no_attempt(exercise):
    result = check(exercise.id, exercise.given)
    assert not result.attempted
    assert result.message == f"{exercise.id} not attempted yet: this is still the code you were given"


def test_there_are_enough_exercises_of_each_kind():
    for notebook in "123456":
        assert sum(name.startswith(f"{notebook}.") for name in EXERCISES) >= 4
    assert len(EXERCISES) >= 20
    assert sum(len(exercise.mistakes) for exercise in EXERCISES.values()) >= 80
    assert sum(exercise.given is not None for exercise in EXERCISES.values()) >= 5


@pytest.mark.slow
@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=list(EXERCISES))
def test_a_verdict_comes_within_two_seconds(exercise, takes_less_than):
    def first_check(answer):
        engine.tried.clear()  # later ones are quicker
        check(exercise.id, answer)

    check(exercise.id, exercise.reference)  # the first use of an optimizer imports for seconds
    for answer in (exercise.reference, exercise.mistakes[-1].answer, lambda *_: "nothing that was ever thought of"):
        assert takes_less_than(2, functools.partial(first_check, answer))


ALL_RIGHT_ANSWERS = [
    pytest.param(name, answer, id=f"{name}-{getattr(answer, '__name__', type(answer).__name__)}-{number}")
    for name, answers in RIGHT_ANSWERS.items()
    for number, answer in enumerate(answers)
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "answer"), ALL_RIGHT_ANSWERS)
def test_right_answers_of_other_kinds_pass(name, answer):
    result = check(name, answer)
    assert result.passed, result.message


def test_every_exercise_has_at_least_five_other_right_answers():
    assert set(RIGHT_ANSWERS) == set(EXERCISES)
    assert all(len(answers) >= 5 for answers in RIGHT_ANSWERS.values())


# Accidents: whatever an answer does, the reader gets a sentence and the notebook goes on.


def test_an_untouched_stub_is_not_attempted(capsys):
    def stub(source): ...

    def stub_with_docstring(source):
        """What it will do."""
        ...

    for answer in (stub, stub_with_docstring, ...):
        result = check("1.1", answer)
        assert not result.attempted
        assert not result.passed
        assert capsys.readouterr().out == "○ 1.1 not attempted yet\n"


def test_a_class_is_untouched_until_it_sets_something():
    class Untouched(nn.Module):
        def __init__(self, *sizes):
            super().__init__()
            ...

        def forward(self, source): ...

    class Begun(EXERCISES["2.3"].reference):
        def __init__(self, *sizes):
            super().__init__(*sizes)
            self.more = 1

        def forward(self, source): ...

    assert not check("2.3", Untouched).attempted
    assert check("2.3", Begun).attempted


def raises_an_error_that_cannot_say_what_it_is(source):
    class SilentError(Exception):
        def __str__(self):
            raise AttributeError

    raise SilentError


def test_an_answer_that_does_nothing_on_purpose_is_attempted():
    result = check("1.1", lambda source: 0)
    assert result.attempted


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda source: source.nonsense, "AttributeError"),
        (raises_an_error_that_cannot_say_what_it_is, "no message"),
        (lambda source: sys.exit(), "tries to end the program"),
        (lambda source: print("loud"), "as `print(…)` and `….append(…)` do?\nit printed   loud"),
        (lambda source: np.array([None] * 8), "It gives back a ndarray"),
        (lambda source: 10**40, "It gives back one number; expected 8 numbers in a row"),
        (lambda source: "2 5 8", "It gives back a str"),
        (
            lambda source: [1, 2, 3],
            "3 numbers in a row; expected 8 numbers in a row.\nyours     [1, 2, 3]\nexpected  [",
        ),
        ([2, 5, 8], "check needs the function itself"),
    ],
    ids=[
        "raises",
        "raises in silence",
        "exits",
        "prints only",
        "objects",
        "huge",
        "text",
        "wrong shape",
        "not a function",
    ],
)
def test_accidents_are_explained(answer, words, capsys):
    result = check("1.1", answer)
    assert not result.passed
    assert result.attempted
    assert words in result.message
    assert capsys.readouterr().out == f"✗ {result.message}\n"  # what it printed comes once, inside the message


def test_an_error_is_shown_with_the_line_it_happened_in():
    def fails(source):
        return source[99]

    assert "IndexError" in check("1.1", fails).message
    for answer in (fails, torch.no_grad()(fails)):
        assert "in the line  return source[99]" in check("1.1", answer).message


def test_an_error_is_shown_without_the_list_of_all_ways_to_call_the_function():
    message = check("1.1", lambda source: torch.zeros(2).sum(dim="x")).message
    assert "it stopped with TypeError: sum() received an invalid combination of arguments - got (dim=str" in message
    assert "expected one of" not in message


def test_a_long_print_is_cut():
    message = check("1.1", lambda source: print(*range(30), sep="\n")).message
    assert "it printed   4\nit printed   …" in message
    assert "it printed   5" not in message


def test_an_answer_that_remembers_is_told_so():
    def returns_the_same_list_each_time(source, shared=[0] * 8):
        shared[:] = EXERCISES["1.1"].reference(source)
        return shared

    assert check("1.1", returns_the_same_list_each_time).message.endswith("What does it remember?")

    first, last = ([list(source) for (source,) in EXERCISES["1.1"].probes()][place] for place in (0, -1))
    shared = []

    def returns_the_same_list_for_two_sources(source):
        target = EXERCISES["1.1"].reference(source)
        if source not in (first, last):
            return target
        shared[:] = target
        return shared

    assert check("1.1", returns_the_same_list_for_two_sources).message.endswith("What does it remember?")


def test_an_answer_cannot_change_the_settings_around_it():
    def meddles(source):
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)
        random.seed(1)
        np.random.seed(1)
        warnings.warn("loud", stacklevel=1)
        return EXERCISES["1.1"].reference(source)

    random.seed(3)
    np.random.seed(3)
    expected = random.random(), np.random.rand()
    random.seed(3)
    np.random.seed(3)
    assert check("1.1", meddles).passed
    assert torch.is_grad_enabled()
    assert torch.get_default_dtype() == torch.float32
    assert (random.random(), np.random.rand()) == expected


def test_an_answer_that_changes_its_input_is_told_so():
    def clears(source):
        target = EXERCISES["1.1"].reference(source)
        source.clear()
        return target

    assert "changes its inputs" in check("1.1", clears).message


def catches_exceptions_for_ever(source):
    while True:
        with contextlib.suppress(Exception):
            time.sleep(0.01)


def catches_everything_for_ever(source):
    while True:
        try:  # noqa: SIM105
            time.sleep(0.01)
        except:  # noqa: E722 (what a reader may write)
            pass


def counts_for_ever(source):
    number = 0
    while True:
        number += 1


@pytest.mark.parametrize("forever", [catches_exceptions_for_ever, catches_everything_for_ever, counts_for_ever])
def test_an_answer_that_never_ends_is_interrupted(monkeypatch, forever):
    monkeypatch.setattr(trials, "SECONDS_ALLOWED", 0.3)
    began = time.perf_counter()
    result = check("1.1", forever)
    assert "it was stopped after" in result.message
    assert time.perf_counter() - began < 5


def test_an_answer_is_judged_in_a_thread_too():
    with ThreadPoolExecutor(1) as pool:  # where no alarm can be set
        assert pool.submit(check, "1.2", EXERCISES["1.2"].reference).result().passed


def test_an_alarm_after_the_answer_stops_nothing():
    with trials._time_limit():
        signal.raise_signal(signal.SIGALRM)


def test_long_inputs_stand_one_below_the_other():
    message = check("2.2", lambda *arguments: arguments[1]).message
    assert "with      x = [[0.7, 0.3, 0.1]],\n          h = [[0.4, -0.2]],\n          w_ih = [[" in message
    assert "…" not in message
    assert "a tensor" not in message


def test_an_unknown_mistake_gets_the_smallest_case(capsys):
    check("1.1", lambda source: [9] * 8)
    shown = capsys.readouterr().out
    assert "1.1 not yet: here it differs.\nwith      source = [3, 2, 4, 4, 9, 1, 7, 2, 6, 8]" in shown
    assert "yours     [9, 9, 9, 9, 9, 9, 9, 9]" in shown
    assert "expected  [1, 7, 0, 0, 0, 0, 0, 0]" in shown
    assert "first difference at [0]: 9, expected 1" in shown


def test_an_answer_without_inputs_is_not_told_the_value(capsys):
    result = check("1.7", lambda: 0.4)
    assert result.message == "1.7 not yet: this is not the value, which is wanted exactly.\nyours     0.4"
    assert "expected" not in result.message


def test_a_large_table_is_shown_by_the_row_that_differs():
    expected = torch.arange(120.0).view(10, 12) / 7
    got = expected.clone()
    got[3, 2] += 1
    message = comparison.difference(expected, got)
    assert "yours     [5.1429, 5.2857, 6.4286, " in message
    assert "(row [3] of (10, 12))" in message
    assert "(1 of 120 differ, the largest by 1)" in message


def test_tables_that_differ_are_handed_to_the_picture():
    expected = torch.zeros(2, 3, 4)
    got = expected.clone()
    got[1, 2, 3] = 1
    assert check("3.2", lambda target: target.roll(1, 1)).compared[0].shape == (2, 4)
    assert torch.equal(comparison.tables(expected, got)[1], got[1])
    assert torch.equal(comparison.tables((1, {"a": expected}), (1, {"a": got}))[1], got[1])
    assert comparison.tables(torch.zeros(3), torch.ones(3)) is None
    assert comparison.tables(torch.zeros(3, 50), torch.ones(3, 50)) is None
    assert comparison.tables(expected, expected) is None


def test_a_check_leaves_the_readers_random_numbers_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    check("4.1", EXERCISES["4.1"].reference)
    assert torch.equal(torch.rand(3), expected)


def answers_otherwise(reference, change):
    return lambda *arguments: change(reference(*arguments))


@pytest.mark.parametrize(
    "change",
    [
        lambda target: np.array(target, dtype=np.uint64),
        lambda target: torch.tensor(target).to(torch.uint16),
        lambda target: torch.tensor(target).to_sparse(),
    ],
    ids=["uint64", "uint16", "sparse"],
)
def test_whole_numbers_of_any_type_are_accepted(change):
    assert check("1.1", answers_otherwise(EXERCISES["1.1"].reference, change)).passed


def test_numbers_of_half_precision_can_be_drawn_beside_others(monkeypatch):
    monkeypatch.setattr(engine, "get_ipython", lambda: True)
    shown = []
    monkeypatch.setattr(engine.display, "show", lambda figure, alt: shown.append(figure))
    result = check("3.3", lambda *arguments: torch.zeros(2, 3, dtype=torch.bfloat16))
    assert not result.passed
    assert comparison.tables(torch.ones(2, 3), torch.zeros(2, 3, dtype=torch.bfloat16))[1].dtype == torch.float32


def test_an_empty_list_has_no_decimal_points():
    assert comparison.difference(torch.empty(0, dtype=torch.long), []) is None


def test_tables_are_laid_beside_those_of_the_same_name():
    zeros, ones = torch.zeros(2, 2), torch.ones(2, 2)
    expected, got = comparison.tables({"a": zeros, "b": ones}, {"b": ones, "a": 7 * ones})
    assert torch.equal(expected, zeros)
    assert torch.equal(got, 7 * ones)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda source: source.append(source) or [1], "RecursionError"),
        (lambda source: (_ for _ in ()).throw(GeneratorExit("bye")), "it stopped with GeneratorExit: bye"),
    ],
)
def test_nothing_that_an_answer_does_or_raises_leaves_the_check(answer, words):
    result = check("1.1", answer)
    assert not result.passed
    assert words in result.message


class Unspeakable:
    def __repr__(self) -> str:
        raise RuntimeError("This has no name.")


def quantized():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they are on their way out of PyTorch
        return torch.quantize_per_tensor(torch.ones(3), scale=0.5, zero_point=0, dtype=torch.qint8)


@pytest.mark.parametrize("name", ["1.1", "1.6", "1.7"])
@pytest.mark.parametrize(
    "make",
    [
        Unspeakable,
        quantized,
        lambda: torch.empty(3, dtype=torch.uint4),
        lambda: torch.masked.masked_tensor(torch.ones(3), torch.tensor([True, False, True])),
    ],
    ids=["no repr", "quantized", "no plain numbers", "masked"],
)
def test_an_answer_may_give_back_what_cannot_be_written(make, name):
    result = check(name, lambda *_: make())
    assert not result.passed
    assert result.message.startswith(f"{name} not yet:")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (10**5000, "a int"),
        (Unspeakable(), "a Unspeakable"),
        (torch.empty(3, device="meta"), "a Tensor"),
        (quantized(), "a Tensor"),
    ],
    ids=["many digits", "no repr", "meta", "quantized"],
)
def test_what_is_no_function_and_cannot_be_written_is_named_by_its_kind(answer, words):
    assert check("1.1", answer).message.endswith(f"but got {words}.")


def test_the_readers_own_stop_stops_the_check():
    def stopped(source):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check("1.1", stopped)


def test_one_batch_is_no_stream_of_batches():
    result = check("4.2", lambda task, n_epochs, steps, size, seed: task.sample(size))
    assert "`yield` hands out one after the other" in result.message


def test_pytorchs_own_generator_is_not_the_one_to_put_back():
    def resume(checkpoint, model, optimizer, generator):
        EXERCISES["4.6"].reference(checkpoint, model, optimizer, generator)
        torch.set_rng_state(checkpoint["generator"])

    assert "sets PyTorch's own generator, or draws from it" in check("4.6", resume).message


@pytest.mark.slow
def test_an_answer_that_takes_long_is_not_accused_of_remembering(monkeypatch):
    monkeypatch.setattr(trials, "SECONDS_ALLOWED", 1.2)  # enough for one call, and not for two
    reference, probes = EXERCISES["1.1"].reference, EXERCISES["1.1"].probes()

    def slow(source):
        if (source,) in (probes[0], probes[-1]):  # the two that are tried in one go
            time.sleep(0.7)
        return reference(source)

    assert check("1.1", slow).passed


def test_a_mistake_that_ran_out_of_time_once_is_tried_again(monkeypatch):
    exercise = EXERCISES["1.1"]
    late = trials.Trial(failure="it was stopped", out_of_time=True)
    with monkeypatch.context() as patched:
        patched.setattr(engine, "tried", {})
        patched.setattr(engine, "carry_out", lambda *_: late)
        mistake = exercise.mistakes[0].answer
        assert engine._ours(exercise, mistake, 0, exercise.probes()) is late
        assert engine.tried == {}


def test_the_readers_default_device_and_threads_are_left_alone():
    before = torch.get_default_device(), torch.get_num_threads()

    def sets_all(source):
        torch.set_default_device("meta")
        torch.set_num_threads(before[1] + 1)
        return [0]

    assert not check("1.1", sets_all).passed
    assert (torch.get_default_device(), torch.get_num_threads()) == before
    assert check("1.1", EXERCISES["1.1"].reference).passed


def test_an_exercise_may_be_named_by_a_number():
    assert check(1.1, EXERCISES["1.1"].reference).passed


def test_an_unknown_exercise_is_named():
    with pytest.raises(InputError, match=r"There is no exercise 9\.9; there are 1\.1, "):
        check("9.9", len)


def test_two_exercises_cannot_share_an_id():
    with pytest.raises(ValueError, match="two exercises"):
        engine.register(EXERCISES["1.1"])


@pytest.mark.parametrize(
    ("expected", "got", "words"),
    [
        (torch.zeros(2, 3), torch.zeros(3, 2), "a tensor of shape (3, 2); expected a tensor of shape (2, 3)"),
        (torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.5]), "first difference at [1]: 2.5, expected 2"),
        ((torch.zeros(2), torch.ones(3)), (torch.zeros(2), torch.zeros(3)), "Part 2"),
        ((torch.zeros(2), torch.ones(3)), (torch.zeros(2),), "one thing in a list; expected 2 things"),
        (torch.zeros(8), [torch.tensor(1.0), torch.tensor(2.0)], "It gives back 2 numbers in a row; expected 8"),
        (torch.zeros(2, 3), (torch.zeros(2, 3),) * 2, "2 things (each a tensor of shape (2, 3)); expected a tensor of"),
        (torch.zeros(2, 3), (torch.zeros(2, 3), None), "2 things (a tensor of shape (2, 3) and None); expected"),
        (torch.zeros(2, 3), tuple(torch.zeros(2, n) for n in range(9)), "It gives back 9 things; expected"),
        (
            [[4, 9], [5]],
            [[4, 9], [5, 3]],
            "Part 2 of what it gives back: 2 numbers in a row; expected a list of one number",
        ),
        ([[4, 9], [5]], [[4, 9], [5, 3]], "yours     [5, 3]\nexpected  [5]"),
        ([[4, 9], [5]], [2, 1], "2 things.\nyours     [2, 1]\nexpected  [[4, 9], [5]]"),
        ([[4, 9], [5]], [[4], [5, 9], [7]], "3 things; expected 2 things.\nyours     [[4], [5, 9], [7]]\nexpected  ["),
        ([[1] * 19, [2] * 21], [3], "yours     [3]\nexpected  [[1, 1"),
        ([[4, 9], [5]], [], "yours     []\nexpected  [[4, 9], [5]]"),
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, "b:\nyours     3\nexpected  2"),
        ({"a": 1, "b": 2}, {"a": 1}, "b:\nmissing"),
        ({"a": 1}, {"a": 1, "c": 1}, "does not belong there"),
        (torch.zeros(2), torch.zeros(2, dtype=torch.complex64), "complex"),
        (9**11, 9.0**11 + 1, "expected  31381059609"),
        (0.53125, 0.5312, "yours     0.5312\nexpected  0.53125"),
        ("yes", "no", "expected  'yes'"),
        (3, "three", "It gives back a str; expected one number"),
        (torch.tensor([1, 2]), torch.tensor([1.0, 2.0]), "tokens are whole numbers"),
        (torch.tensor([True, False]), torch.tensor([1.0, 0.0]), "truth values are asked for, True or False."),
        (torch.rand(2), torch.tensor([True, False]), "truth values, True or False, where numbers are asked for"),
        (torch.rand(2, 3), torch.ones(2, 3).bool(), "truth values, True or False, where numbers are asked for"),
        (0.5, torch.tensor(True), "a truth value, True or False, where a number is asked for"),
    ],
)
def test_a_difference_says_what_differs_first(expected, got, words):
    assert words in comparison.difference(expected, got)


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        (([1] * 20, [2] * 21), [3]),  # 41 numbers
        ((torch.zeros(2), torch.zeros(3)), [3]),
        (([1], [1, 2]), [0.5]),
        (([1], [1, 2]), "three"),
        (torch.zeros(2, 3).long(), ([1], [1, 2])),
    ],
    ids=["long", "tables", "decimals", "text", "no rows wanted"],
)
def test_rows_that_say_little_are_not_shown(expected, got):
    assert "yours" not in comparison.difference(expected, got)


@pytest.mark.parametrize(
    "got",
    [
        [1, 2],
        (1, 2.0),
        torch.tensor([1, 2]),
        torch.tensor([1.0, 2.0 + 1e-6]),
        np.array([2, 1])[::-1],
        [torch.tensor(1), torch.tensor(2.0)],
        torch.tensor([1, 2]).to_sparse(),
        torch.tensor([1.0, 2.0]).to(torch.float8_e4m3fn),
    ],
    ids=["list", "tuple", "whole numbers", "rounded", "numpy from behind", "tensors in a list", "sparse", "8 bits"],
)
def test_lists_tensors_and_rounding_make_no_difference(got):
    assert comparison.difference(torch.tensor([1.0, 2.0]), got) is None


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
def test_a_sparse_table_may_be_stored_by_rows():
    assert comparison.difference(torch.eye(2), torch.eye(2).to_sparse_csr()) is None


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
def test_a_nested_tensor_is_its_rows(layout):
    nested = torch.nested.nested_tensor([torch.tensor([1]), torch.tensor([2, 3])], layout=layout)
    assert comparison.difference([[1], [2, 3]], nested) is None
    assert "2 things" in comparison.difference(torch.ones(2, 3), nested)


def test_what_is_compared_stays_as_it_was():
    value = torch.zeros(2)
    kept = comparison.normal(value)
    value += 1  # as an answer may do that is called once more
    assert torch.equal(kept, torch.zeros(2))


def test_large_whole_numbers_are_told_whole():
    message = comparison.difference(123_456_789.0, 987_654_321.0)
    assert message.split() == ["yours", "987654321", "expected", "123456789"]


def test_many_rows_are_equal_to_themselves():
    assert comparison.difference([[1], [2, 3]] * 150, [[1], [2, 3]] * 150) is None


def test_a_number_too_large_for_a_float_is_wrong_and_no_accident():
    assert "inf" in comparison.difference(torch.tensor(3), comparison.normal(10**400))


@pytest.mark.parametrize("got", [1 / 3, Fraction(1, 3), Decimal(1) / 3, torch.tensor([[1 / 3]]), np.float64(1 / 3)])
def test_a_number_may_come_in_many_forms(got):
    assert comparison.difference(1 / 3, got) is None


MADE_BEFORE = torch.zeros(2)


def test_an_unrecognised_answer_is_told_what_it_uses_without_being_given_it():
    result = check("4.5", lambda losses, tokens: MADE_BEFORE.exp().sum() + math.pi)
    assert result.message.endswith("\nit uses `MADE_BEFORE`, made by another cell, where the check hands over its own")
    assert "made by another cell" not in check("4.5", lambda losses, tokens: math.pi).message
    assert "made by another cell" not in check("4.5", functools.partial(math.fsum, [1])).message


def test_truth_values_do_for_the_numbers_0_and_1():
    assert comparison.difference(torch.tensor([1.0, 0.0]), torch.tensor([True, False])) is None


ONE = "a truth value, True or False, where a number is asked for"
MANY = "truth values, True or False, where numbers are asked for"


@pytest.mark.parametrize(("name", "words"), [("1.4", ONE), ("2.2", MANY), ("5.2", ONE), ("5.6", MANY)])
def test_truth_values_in_the_place_of_numbers_are_a_wrong_answer(name, words):
    exercise = EXERCISES[name]
    result = check(name, lambda *given: torch.as_tensor(exercise.reference(*given)) < 0.1)
    assert words in result.message
    assert result.diagnosis is None


@pytest.mark.parametrize("got", [np.True_, torch.tensor(True), True, 1])
def test_true_may_come_in_many_forms(got):
    assert comparison.difference(True, got) is None
    assert comparison.difference([True, False], [got, False]) is None
    assert comparison.difference(False, got) is not None


def test_rows_may_come_one_by_one():
    table = torch.rand(3, 2)
    for rows in (list(table), tuple(table), [row.numpy() for row in table], [[*row] for row in table]):
        assert comparison.difference(table, rows) is None
        assert comparison.difference(rows, table) is None


def test_progress_tells_what_passed(capsys, monkeypatch):
    monkeypatch.setattr(engine, "_results", {})
    check("4.5", EXERCISES["4.5"].reference)
    assert capsys.readouterr().out.startswith("✓ 4.5 passed: ")
    check("4.6", EXERCISES["4.6"].mistakes[0].answer)
    capsys.readouterr()
    progress(4)
    *lines, total = capsys.readouterr().out.splitlines()
    states = [line[0] + line[7:17].strip() for line in lines]
    assert states == ["○not tried", "○not tried", "○not tried", "○not tried", "✓passed", "✗not yet"]
    assert total == "1 of 6 passed"


def test_a_claim_prints_one_fixed_line_or_raises(capsys):
    claim("two and two are four", torch.tensor(2 + 2 == 4))
    assert capsys.readouterr().out == "✓ two and two are four\n"
    with pytest.raises(AssertionError, match="two and two are five"):
        claim("two and two are five", False)


def test_a_missing_name_is_explained_below_its_error(monkeypatch, capsys):
    shell = SimpleNamespace(shown=[])
    shell.showtraceback = lambda error, tb_offset: shell.shown.append(error)
    shell.set_custom_exc = lambda kinds, explain: setattr(shell, "explain", {kinds: explain})
    monkeypatch.setattr(claims, "get_ipython", lambda: shell)
    explain_missing_names()
    error = NameError("name 'task' is not defined", name="task")
    shell.explain[NameError,](shell, NameError, error, None)
    assert shell.shown == [(NameError, error, None)]
    said = "`task` does not exist yet. Is it spelt right? If an earlier cell makes it, run the cells above first.\n"
    assert capsys.readouterr().out == said


def test_outside_a_notebook_a_missing_name_stays_pythons_matter():
    explain_missing_names()


@pytest.mark.parametrize("notebook", QUIZZES)
def test_every_quiz_option_has_a_reason_and_one_is_right(notebook):
    assert len(QUIZZES[notebook]) >= 4
    for question in QUIZZES[notebook]:
        assert sum(option.right for option in question.options) == 1
        assert len(question.options) >= 3
        assert all(len(option.reason) > 10 and option.reason.endswith(".") for option in question.options)
        assert not any(option.text.endswith(".") for option in question.options)


def test_the_right_option_is_not_always_in_the_same_place():
    places = {[option.right for option in q.options].index(True) for quiz_ in QUIZZES.values() for q in quiz_}
    assert places == {0, 1, 2}


def test_a_quiz_button_answers_with_its_reason(monkeypatch):
    shown = {}
    module = sys.modules["course_utils.teaching.quiz"]  # the name itself now stands for the function
    monkeypatch.setattr(
        module, "show_widget", lambda box, text, beside: shown.update(box=box, html=beside["text/html"])
    )
    quiz(1)
    question = QUIZZES[1][0]
    *_, reason = first = shown["box"].children[0].children
    for button, option in zip(first[1:-1], question.options, strict=True):
        button.click()
        assert option.reason.split("'")[0] in reason.value
        assert ("Right." in reason.value) == option.right
        assert (button.button_style, "✓" in reason.value) == (("success", True) if option.right else ("danger", False))
        assert not any("`" in each.description for each in first[1:-1])
    assert shown["html"].count("<details>") == sum(len(question.options) for question in QUIZZES[1])


def test_every_exhibit_has_a_prediction_and_its_options_reasons():
    assert list(PREDICTIONS) == list(EXHIBITS)
    for question in PREDICTIONS.values():
        assert sum(option.right for option in question.options) == 1
        assert len(question.options) == 3
        assert all(len(option.reason) > 10 and option.reason.endswith(".") for option in question.options)
        assert not any(option.text.endswith(".") for option in question.options)
    places = [[option.right for option in question.options].index(True) for question in PREDICTIONS.values()]
    assert all(places.count(place) >= 8 for place in range(3))


def test_a_prediction_is_asked_as_a_quiz_of_one_question(monkeypatch):
    shown = {}
    module = sys.modules["course_utils.teaching.quiz"]
    monkeypatch.setattr(
        module, "show_widget", lambda box, text, beside: shown.update(text=text, html=beside["text/html"])
    )
    predict_first("stale-token")
    assert shown["text"] == PREDICTIONS["stale-token"].text
    assert shown["html"].count("<details>") == 3


# The patients of notebook 06


def exhibits_like(name):
    """The exhibits that the patient of an exercise might have."""
    part = EXHIBITS[exercises_06.PATIENTS[name]].part
    network = {"Encoder", "Decoder", "Seq2Seq"}
    return [one.id for one in EXHIBITS.values() if one.part == part or network >= {one.part, part}]


def test_what_is_no_tensor_is_not_asked_for_again():
    calls = []
    assert not check("3.5", lambda *given: calls.append(given)).passed
    assert len(calls) == 1


@pytest.mark.parametrize("digit", range(1, 10))
def test_one_digit_that_comes_too_rarely_is_noticed_whichever_it_is(digit):
    counts = torch.full((9,), 10_100)  # one standard deviation above what is expected
    counts[digit - 1] = 9_200  # more than eight below
    column = torch.arange(1, 10).repeat_interleave(counts)
    with pytest.raises(trials.WrongAnswer, match="not equally likely"):
        exercises_01._check_digits(column[:, None].repeat(1, 8), 90_000)


def test_an_empty_list_holds_no_thing():
    assert comparison._kind(()) == "0 things"


def test_as_many_calls_as_are_allowed_are_no_loop():
    with exercises_01._LimitedCalls(2):
        torch.zeros(1)
        torch.zeros(1)
        with pytest.raises(trials.WrongAnswer, match="one by one"):
            torch.zeros(1)


def test_rows_of_another_shape_stay_several_things():
    rows = (torch.zeros(2), torch.ones(2))
    assert comparison._stacked_like(torch.zeros(2, 3), rows) is rows
    assert comparison._stacked_like(torch.zeros(2, 2), rows).shape == (2, 2)
    assert comparison._stacked_like(torch.zeros(3), (torch.tensor(1.0), torch.tensor(2.0))).tolist() == [1, 2]


@pytest.mark.parametrize("name", ["6.1", "6.2", "6.3", "6.4"])
def test_who_adds_one_to_the_last_tokens_leaves_the_vocabulary_in_every_case(name):
    for ((*_, tokens),) in EXERCISES[name].probes():
        assert tokens[:, -1].max() == exercises_06.VOCABULARY - 1


def test_another_end_is_another_token_in_the_last_place_alone():
    target = torch.arange(exercises_06.VOCABULARY)[:, None].repeat(1, 3)  # each token in each place
    changed = exercises_06._with_another_end(target)
    assert (changed != target).tolist() == [[False, False, True]] * len(target)
    assert torch.equal(changed[:, -1].unique(), target[:, -1])


@pytest.mark.parametrize("name", exercises_06.PATIENTS)
def test_the_reference_tells_the_patients_kind_from_every_other_exhibit(name):
    exercise = EXERCISES[name]
    verdicts = {}
    for probe in exercise.probes():
        verdicts |= exercise.run(exercise.reference, probe)
    others = [one for one in exhibits_like(name) if one != exercises_06.PATIENTS[name]]
    first, second, *further = verdicts
    assert (first, second) == ("The patient", "A healthy one")
    assert further[: len(others)] == [f"One with `{one}`" for one in others]
    patients = [True, False, True] if name in ("6.1", "6.4") else [True, False]
    assert ["patient" in kind for kind in further[len(others) :]] == patients
    found = [kind for kind, words in verdicts.items() if words == "your experiment finds the bug."]
    assert found == [kind for kind in verdicts if "patient" in kind]
    assert {verdicts[kind] for kind in verdicts if kind not in found} == {"your experiment finds nothing."}


@pytest.mark.parametrize("name", exercises_06.PATIENTS)
def test_every_case_has_the_bug_that_it_is_said_to_have(name):
    for ((kind, has_the_bug, subject, *_),) in EXERCISES[name].probes():
        assert has_the_bug == ("patient" in kind)
        exhibit = kind.split("`")[1] if "`" in kind else exercises_06.PATIENTS[name] if has_the_bug else None
        sick = EXHIBITS[exhibit].sick if exhibit else None
        if isinstance(subject, torch.nn.Module):
            parts = [type(part).__mro__ for part in (subject, subject.encoder, subject.decoder)]
            assert (sick in sum(parts, ())) == (sick is not None)
        else:
            inside = subject.__closure__[0].cell_contents
            assert inside == (sick or {"6.5": token_loss, "6.6": evaluate}[name])


def test_no_reference_takes_another_network_for_the_patient_whatever_the_weights():
    tokens = torch.randint(7, (2, 5, 6), generator=torch.Generator().manual_seed(0))
    for name in ("6.1", "6.2", "6.4"):
        given = tokens[: 1 if name == "6.2" else 2]
        for seed, one in enumerate([None, *map(EXHIBITS.get, exhibits_like(name))], start=200):
            subject = exercises_06._subject(name, one, seed)
            id_, found = EXERCISES[name].reference(subject, *given)
            assert id_ == exercises_06.PATIENTS[name]
            assert found == (one is not None and one.id == id_)


def test_a_network_that_sees_the_answer_is_found_whatever_the_token_before_the_last_is():
    subject = exercises_06._subject("6.1", EXHIBITS["not-shifted"], 0)
    source, target = torch.randint(7, (1, 6), generator=torch.Generator().manual_seed(0)), torch.tensor([[1, 2, 3, 4]])
    assert exercises_06.sees_the_answer(subject, source, target) == ("not-shifted", True)


@pytest.mark.parametrize("name", exercises_06.PATIENTS)
def test_a_patient_has_the_bug_of_its_exercise_and_no_telling_name(name):
    exercise = EXERCISES[name]
    one = patient(name)
    if isinstance(one, torch.nn.Module):
        names = {type(part).__name__ for part in one.modules()}
        assert names <= {"Seq2Seq", "Encoder", "Decoder", "Embedding", "GRU", "Linear", "Dropout"}
        assert one.training == (name == "6.4")
        assert one.decoder.fc_out.bias.dtype == (torch.float64 if name == "6.2" else torch.float32)
        assert torch.equal(one.decoder.fc_out.bias, patient(name).decoder.fc_out.bias)
        assert one.decoder.dropout.p == one.encoder.rnn.dropout == 0.5
    else:
        assert one.__name__ == "<lambda>"
    ((_, _, subject, *beside),) = exercise.probes()[0]
    assert exercise.reference(one, *beside) == (exercises_06.PATIENTS[name], True)
    assert type(patient(float(name))).__name__ == type(one).__name__  # check(6.1, …) takes numbers, too
    if isinstance(one, torch.nn.Module):
        assert not torch.equal(one.decoder.fc_out.bias, subject.decoder.fc_out.bias)


def test_the_model_beside_an_evaluation_is_healthy_and_in_evaluation_mode():
    for ((*_, model),) in EXERCISES["6.6"].probes():
        assert not model.training
        assert type(model) is Seq2Seq


def test_there_is_no_seventh_patient():
    with pytest.raises(KeyError, match=r"There is no patient '6.7'; there are 6.1, 6.2"):
        patient("6.7")


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (True, "two things, in this order: the exhibit's id, as text, and True or False"),
        (("not-shifted", True, 1), "two things"),
        ((True, "not-shifted"), "in this order"),
        (("shifted", True), "There is no exhibit 'shifted': do you mean `not-shifted`?"),
        (("stale-token", True), "another bug than the exhibit that you name"),
        (("mean-of-batch-means", False), "another bug than the exhibit that you name"),
        (("not-shifted", None), "is to be True or False; yours is None. `.any()`"),
        (("not-shifted", 0.3), "yours is 0.3."),
        (("not-shifted", "yes"), "yours is 'yes'."),
        (
            ("not-shifted", torch.tensor([True, False])),
            "yours is [True, False]. `.any()`, `.all()` or `torch.allclose`",
        ),
        (("not-shifted", torch.ones(5, 6, 7)), "yours is a tensor (5, 6, 7)."),
        (("stale-token", torch.ones(2)), "yours is [1.0, 1.0]."),
    ],
)
def test_an_experiment_names_an_exhibit_and_says_yes_or_no(outcome, words):
    assert words in check("6.1", lambda *_: outcome).message


@pytest.mark.parametrize("form", [bool, int, np.bool_, torch.tensor, lambda found: torch.tensor([[float(found)]])])
def test_true_and_false_may_come_in_many_forms(form):
    reference = EXERCISES["6.5"].reference
    assert check("6.5", lambda *given: ["end-masked-as-padding", form(reference(*given)[1])]).passed


def test_a_wrong_experiment_is_told_whom_it_judges_wrongly():
    asked_only_once = next(mistake for mistake in EXERCISES["6.1"].mistakes if mistake.id == "asked-only-once")
    one = check("6.1", asked_only_once.answer).message
    found = "your experiment finds the bug, and it is not there."
    assert one.endswith(f"\nOne with `state-from-the-last-batch`: {found} What would tell it from the patient?")
    where = lambda *_: ("not-shifted", True)  # noqa: E731 (as short as it can be)
    assert check("6.1", where).message.endswith(f"\nA healthy one: {found}")
    turned_round = lambda *given: ("not-shifted", not EXERCISES["6.1"].reference(*given)[1])  # noqa: E731
    missed = "The patient: your experiment finds nothing, and the bug is there."
    asked = "In a healthy one it finds it: is it the wrong way round? True is for the bug."
    assert check("6.1", turned_round).message.endswith(f"\n{missed} {asked}")


def test_a_bug_that_is_missed_is_told_what_was_asked():
    asked_and_ignored = lambda *given: ("not-shifted", EXERCISES["6.1"].reference(*given)[1] and False)  # noqa: E731
    missed = "The patient: your experiment finds nothing, and the bug is there."
    asked = "Logits can move where the likeliest token stays: what does it compare, and where?"
    assert check("6.1", asked_and_ignored).message.endswith(f"\n{missed} {asked}")


def test_what_a_loss_was_shown_is_judged_as_it_was_then():
    def finds_nothing(loss, logits, target):
        target = target.clone()
        target[0, 0] = 0
        loss(target=target, logits=logits)
        target[0, 0] = 1
        return "end-masked-as-padding", False

    assert check("6.5", finds_nothing).diagnosis == "finds-it-nowhere"


@pytest.mark.parametrize(
    ("calls", "words"),
    [
        ([(64, 0.5), (3, 0.5)], "All examples that it tries fit in one batch."),
        ([(64, 0.5), (128, 0.5)], "All batches that it tries are equally large."),
        ([(64, 0.5), (65, 1.0)], ""),
        ([(65, 0.0), (70, 1.0)], "Its examples are all right, or all wrong."),
        ([(65, 0.0), (65, 0.5)], ""),
    ],
)
def test_why_an_experiment_cannot_see_a_preference(calls, words):
    calls = [(torch.zeros(n, 6), SimpleNamespace(exact_match=score)) for n, score in calls]
    assert exercises_06._what_examples_were_tried(calls).strip() == words


@pytest.mark.parametrize(
    "change",
    [
        lambda rate: rate * 1.019,
        lambda rate: rate * 0.981,
        lambda rate: torch.tensor([rate + 2e-5]),
        *(lambda rate, n=n: math.floor(rate * 2**n) / 2**n for n in (13, 15, 16)),
    ],
    ids=["above", "below", "in a tensor", "13 halvings", "15 halvings", "16 halvings"],
)
def test_a_rate_that_is_nearly_right_is_called_close(change):
    result = check("5.2", lambda errors, n: 1.0 if errors == n else change(EXERCISES["5.2"].reference(errors, n)))
    assert result.diagnosis == "too-coarse"


@pytest.mark.parametrize(
    "answer",
    [
        lambda errors, n: 1.03 * EXERCISES["5.2"].reference(errors, n),
        lambda errors, n: [EXERCISES["5.2"].reference(errors, n) + 1e-4] * 2,
        lambda errors, n: "three in a hundred",
        lambda errors, n: EXERCISES["5.2"].reference(errors, n) + 1e-4 if n < 400 else 1 / 0,
    ],
    ids=["too far", "two numbers", "words", "an error"],
)
def test_what_is_far_off_or_no_number_is_not_called_close(answer):
    assert check("5.2", answer).diagnosis is None


def test_a_loop_that_waits_for_new_failures_is_refused_where_a_known_one_is_left():
    waits = next(mistake for mistake in EXERCISES["5.5"].mistakes if mistake.id == "stops-without-new-failures")
    counts = iter([[[0, 2, 1, 1, 1, 1]], [[0, 2, 1, 1, 1, 1]], []])
    assert waits.answer(lambda: next(counts), lambda failures: None, 5) == [1, 1]
    assert "yours     [2, 1]\nexpected  [2, 1, 0]" in check("5.5", waits.answer).message


def test_nothing_passes_where_the_reference_fails(monkeypatch):
    monkeypatch.setattr(engine, "EXERCISES", {})
    broken = Exercise("0.2", "Broken", 1, 1, lambda x: x.nonsense, lambda: [(2,)], ())
    engine.register(broken)
    result = engine.check("0.2", lambda x: x.nonsense)
    assert not result.passed
    assert "cannot be judged here" in result.message


def test_the_engine_judges_a_new_exercise(monkeypatch):
    monkeypatch.setattr(engine, "EXERCISES", {})
    engine.register(
        Exercise(
            id="0.1",
            title="Doubling",
            minutes=1,
            difficulty=1,
            reference=lambda x: 2 * x,
            probes=lambda: [(2,), (3,)],
            mistakes=(Mistake("squares", lambda x: x * x, "That is the square."),),
        )
    )
    assert engine.check("0.1", lambda x: x + x).passed
    assert engine.check("0.1", lambda x: x**2).diagnosis == "squares"
    assert engine.check("0.1", lambda x: x + 2).diagnosis is None


def test_numbers_one_by_one_are_told_apart_by_how_many_they_are():
    assert comparison.difference(torch.zeros(4), (1.0, 2.0)).startswith("It gives back 2 numbers in a row; expected 4")
    assert comparison.difference((1.0, 2.0), torch.zeros(4)).startswith("It gives back 4 numbers in a row; expected 2")
    assert comparison.difference(torch.tensor([1.0, 2.0]), (1.0, 2.0)) is None


# Claims, quizzes and predictions: what they refuse


@pytest.mark.parametrize("kind", [bool, np.bool_, np.array, torch.tensor, lambda holds: torch.tensor([[holds]])])
def test_a_claim_takes_one_truth_value_of_any_kind(kind, capsys):
    claim("it holds", kind(True))
    assert capsys.readouterr().out == "✓ it holds\n"
    with pytest.raises(AssertionError, match="it does not"):
        claim("it does not", kind(False))


@pytest.mark.parametrize(
    ("holds", "words"),
    [
        (torch.tensor([False]).all, "builtin_function_or_method"),
        ((one for one in [False]), "generator"),
        (math.nan, "nan"),
        (0.5, "0.5"),
        (1, "1"),
        (None, "None"),
        (torch.tensor([True, True]), r"\[True, True\]"),
        (torch.tensor([], dtype=torch.bool), r"\[\]"),
        (torch.tensor(1.0), "1.0"),
        (np.array([True, False]), "array"),
    ],
)
def test_a_claim_that_is_no_truth_value_is_refused(holds, words, refused, capsys):
    with refused(f"A claim is True or False, but this is .*{words}"):
        claim("it holds", holds)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("error", [UnboundLocalError("too early"), NameError("own words")])
def test_an_error_that_has_no_name_is_shown_and_not_explained(error, monkeypatch, capsys):
    shell = SimpleNamespace(shown=[], showtraceback=lambda error, tb_offset: shell.shown.append(error))
    shell.set_custom_exc = lambda kinds, explain: setattr(shell, "explain", explain)
    monkeypatch.setattr(claims, "get_ipython", lambda: shell)
    explain_missing_names()
    shell.explain(shell, type(error), error, None)
    assert shell.shown == [(type(error), error, None)]
    assert capsys.readouterr().out == ""


def test_a_quiz_is_found_by_number_or_by_text(monkeypatch):
    shown = []
    monkeypatch.setattr(sys.modules[quiz.__module__], "_show", shown.append)
    quiz(3)
    quiz("3")
    assert shown == [QUIZZES[3]] * 2


def test_a_quiz_that_there_is_not_is_refused(refused):
    with refused("There is no quiz 9; there are 1, 2, 3, 4, 5, 6"):
        quiz(9)


def test_a_prediction_of_no_exhibit_is_refused(refused):
    with refused(f"There is no exhibit nope; there are {', '.join(EXHIBITS)}"):
        predict_first("nope")


def test_the_progress_of_no_notebook_is_refused(refused):
    with refused("There is no notebook 9; there are 1, 2, 3, 4, 5, 6"):
        progress(9)
