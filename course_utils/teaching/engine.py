"""How an answer is judged: run it on probes, compare it with the reference, and recognise what went wrong.

An exercise is data. Its named mistakes are implementations of one wrong idea each; an answer that behaves like one of
them gets that mistake's message. Every other wrong answer gets the smallest case where it differs.

comparison.py says whether two outcomes agree; trials.py runs an answer without letting it do harm.
"""

from __future__ import annotations

import contextlib
import copy
import dis
import inspect
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from IPython import get_ipython
from torch import Tensor, nn

from .. import display, plots
from ..errors import InputError
from .comparison import brief, difference, tables
from .trials import Trial, carry_out


@dataclass(frozen=True)
class Mistake:
    """One wrong idea: its id, an answer that has it, and the words that help without giving the answer away.

    `also` holds further answers that go wrong for the same reason and end differently. With `near`, so does every
    answer whose number is wrong on no probe by more than this share.
    """

    id: str
    answer: Callable
    message: str
    also: tuple[Callable, ...] = ()
    near: float = 0.0


def call(answer: Callable, arguments: tuple) -> Any:
    """The usual trial: the answer is called, and what it gives back is compared."""
    return answer(*arguments)


@dataclass(frozen=True)
class Exercise:
    """What `check` needs to judge an answer, and what the notebook says beside it.

    probes() makes the arguments of each trial, the smallest first. run(answer, arguments) carries out one trial and
    returns what is compared, or raises WrongAnswer where a property does not hold. In a "find the bug" exercise
    `given` is the code that the reader gets; as long as it is unchanged, the exercise counts as not attempted.
    """

    id: str
    title: str
    minutes: int
    difficulty: int  # 1 to 3
    reference: Callable
    probes: Callable[[], list[tuple]]
    mistakes: tuple[Mistake, ...]
    run: Callable[[Callable, tuple], Any] = call
    given: Callable | None = None


@dataclass(frozen=True)
class Result:
    """What `check` found. `diagnosis` is the id of the recognised mistake, where there is one.

    `compared` holds the expected table and the answer's, where a picture of both says it faster than numbers.
    """

    id: str
    passed: bool
    attempted: bool
    message: str
    diagnosis: str | None = None
    compared: tuple[Tensor, Tensor] | None = field(default=None, repr=False, compare=False)

    def _ipython_display_(self) -> None:
        """Nothing more: check has printed it already."""


STATES = {"✓": "passed", "✗": "not yet", "○": "not tried"}
LONGEST_LINE = 100  # characters; longer inputs are shown one below the other

EXERCISES: dict[str, Exercise] = {}
tried: dict[tuple, Trial] = {}  # what references and named mistakes did, by exercise, answer and probe
_results: dict[str, Result] = {}  # the best, or else the latest, of each exercise in this session, for `progress`


def register(*exercises: Exercise) -> None:
    """Let `check` know these exercises. Raises ValueError for an id that is taken."""
    for exercise in exercises:
        if exercise.id in EXERCISES:
            raise ValueError(f"There are two exercises {exercise.id}.")
        EXERCISES[exercise.id] = exercise


def check(exercise_id: str, answer: Any) -> Result:
    """Judge an answer, print the verdict, and return it. Whatever the answer does, the notebook goes on."""
    exercise_id = str(exercise_id)  # check(1.1, …) means the same
    if exercise_id not in EXERCISES:
        raise InputError(f"There is no exercise {exercise_id}; there are {', '.join(EXERCISES)}.")
    result = _judge(EXERCISES[exercise_id], answer)
    if exercise_id not in _results or not _results[exercise_id].passed:
        _results[exercise_id] = result  # what has passed once stays so, while other ways are tried
    print(f"{_mark(result)} {result.message}")
    if result.compared is not None and get_ipython() is not None:
        display.show(plots.comparison(*result.compared), alt="The expected table, yours, and the places that differ.")
    return result


def progress(notebook: int) -> None:
    """Which exercises of a notebook pass, which not yet, and which were not tried."""
    exercises = [exercise for exercise in EXERCISES.values() if exercise.id.split(".")[0] == str(notebook)]
    if not exercises:
        known = dict.fromkeys(name.split(".")[0] for name in EXERCISES)
        raise InputError(f"There is no notebook {notebook}; there are {', '.join(known)}.")
    for exercise in exercises:
        result = _results.get(exercise.id)
        mark = _mark(result)
        print(f"{mark} {exercise.id}  {STATES[mark]:<10} {exercise.title}")
    passed = sum(exercise.id in _results and _results[exercise.id].passed for exercise in exercises)
    print(f"{passed} of {len(exercises)} passed")


def _mark(result: Result | None) -> str:
    """What an eye finds at once: passed, not yet, or not tried."""
    return "○" if result is None or not result.attempted else "✓" if result.passed else "✗"


def _judge(exercise: Exercise, answer: Any) -> Result:
    refused = _refused(exercise, answer)
    if refused is not None:
        return refused
    name, probes = exercise.id, exercise.probes()
    trials = _tried(exercise, answer, probes)
    expected = [_ours(exercise, exercise.reference, place, probes) for place in range(len(trials))]
    for reference in expected:
        if reference.failure:  # a machine so slow that even the reference runs out of time, or a broken package
            message = f"{name} cannot be judged here, for the reference itself fails: {reference.failure}"
            return Result(name, passed=False, attempted=True, message=message)
    found = [_difference(*pair) for pair in zip(expected, trials, strict=True)]
    if not found[0] and not trials[-1].failure and _remembers(exercise, answer, probes, trials[0]):
        message = f"{name} not yet: called again with the first inputs, it gives something else. What does it remember?"
        return Result(name, passed=False, attempted=True, message=message)
    if any(found):
        return _not_yet(exercise, answer, probes, expected, trials, found)
    return Result(name, passed=True, attempted=True, message=f"{name} passed: {exercise.title}")


def _refused(exercise: Exercise, answer: Any) -> Result | None:
    """What is said of an answer that need not be tried."""
    name = exercise.id
    if _is_stub(answer):
        return Result(name, passed=False, attempted=False, message=f"{name} not attempted yet")
    if exercise.given is not None and _same_code(answer, exercise.given):
        message = f"{name} not attempted yet: this is still the code you were given"
        return Result(name, passed=False, attempted=False, message=message)
    wanted = "class" if inspect.isclass(exercise.reference) else "function"
    if not callable(answer) or (wanted == "class" and isinstance(answer, nn.Module)):
        message = f"{name} not yet: check needs the {wanted} itself, without calling it, but got {brief(answer)}."
        return Result(name, passed=False, attempted=True, message=message)
    return None


def _tried(exercise: Exercise, answer: Any, probes: list[tuple]) -> list[Trial]:
    """On one probe after another, up to the first failure: an answer that never ends is not waited for again."""
    trials = []
    for probe in probes:
        trials.append(carry_out(exercise.run, answer, probe))
        if trials[-1].failure:
            break
    return trials


def _not_yet(
    exercise: Exercise,
    answer: Callable,
    probes: list[tuple],
    expected: list[Trial],
    trials: list[Trial],
    found: list[str | None],
) -> Result:
    """What is said of an answer that is wrong: where it differs first, and by which mistake, if that is recognised."""
    case = next(number for number, words in enumerate(found) if words)
    mistake = _recognised(exercise, probes, expected, trials, found)
    compared = None if trials[case].failure else tables(expected[case].value, trials[case].value)
    inputs = _inputs(exercise, probes[case])
    words = f" {mistake.message}" if mistake else " here it differs." if inputs and not trials[case].failure else ""
    shown = trials[case].failure or found[case]
    if not probes[case] and not trials[case].failure:  # without inputs the expected value is the answer: not told
        words = words if mistake else " this is not the value, which is wanted exactly."
        shown = f"yours     {brief(trials[case].value)}"
    message = "\n".join(filter(None, [f"{exercise.id} not yet:{words}", inputs, shown]))
    message += trials[case].remarks + ("" if mistake else _made_outside(answer))
    diagnosis = mistake.id if mistake else None
    return Result(exercise.id, passed=False, attempted=True, message=message, diagnosis=diagnosis, compared=compared)


def _made_outside(answer: Callable) -> str:
    """A remark on the tensors, models, optimizers and generators that an answer uses without being given them."""
    answer = inspect.unwrap(answer)
    if not inspect.isfunction(answer):
        return ""
    made = (Tensor, nn.Module, torch.optim.Optimizer, torch.Generator)
    names = dict.fromkeys(step.argval for step in dis.get_instructions(answer) if step.opname == "LOAD_GLOBAL")
    found = [f"`{name}`" for name in names if isinstance(answer.__globals__.get(name), made)]
    if not found:
        return ""
    return f"\nit uses {' and '.join(found)}, made by another cell, where the check hands over its own"


def _remembers(exercise: Exercise, answer: Callable, probes: list[tuple], before: Trial) -> bool:
    """Whether the first probe, tried once more with another behind it, ends otherwise than before."""

    def first_of_two(answer: Callable, arguments: tuple) -> Any:
        outcome = exercise.run(answer, arguments)
        with contextlib.suppress(Exception):  # what it does there has been judged already
            exercise.run(answer, copy.deepcopy(probes[-1]))
        return outcome

    both = carry_out(first_of_two, answer, probes[0])
    return not both.out_of_time and _difference(before, both) is not None  # two calls may take too long, where one ends


def _recognised(
    exercise: Exercise, probes: list[tuple], expected: list[Trial], trials: list[Trial], found: list[str | None]
) -> Mistake | None:
    """The mistake that does on every probe what the answer does, or that every answer has which is so near."""
    # Where the answer is wrong, most mistakes do something else: so they are asked there first.
    places = sorted(range(len(trials)), key=lambda place: found[place] is None)
    for mistake in exercise.mistakes:
        if mistake.near and all(_is_near(*pair, mistake.near) for pair in zip(expected, trials, strict=True)):
            return mistake
        for answer in (mistake.answer, *mistake.also):
            if not any(_difference(_ours(exercise, answer, place, probes), trials[place]) for place in places):
                return mistake
    return None


def _is_near(expected: Trial, got: Trial, share: float) -> bool:
    """Whether two trials give one number each, and these differ by at most a share of the expected one."""
    both = [trial.value for trial in (expected, got)]
    if not all(isinstance(value, Tensor) and value.numel() == 1 and not value.is_complex() for value in both):
        return False
    want, have = (value.item() for value in both)
    return abs(have - want) <= share * abs(want)


def _ours(exercise: Exercise, answer: Callable, place: int, probes: list[tuple]) -> Trial:
    """What the reference or a named mistake does on a probe. It never varies, so it is tried once in a session."""
    key = (exercise.probes, exercise.run, answer, place)
    if key not in tried:
        trial = carry_out(exercise.run, answer, probes[place])
        if trial.out_of_time or (trial.failure and answer is exercise.reference):
            return trial  # the machine was too slow this time
        tried[key] = trial
    return tried[key]


def _difference(expected: Trial, got: Trial) -> str | None:
    if got.failure or expected.failure:
        return None if expected.failure == got.failure else got.failure or expected.failure
    return difference(expected.value, got.value)


def _inputs(exercise: Exercise, probe: tuple) -> str:
    names = list(inspect.signature(exercise.reference).parameters)
    if not probe or len(probe) < len(names):  # a trial of its own has inputs that say nothing to the reader
        return ""
    shown = [f"{name} = {brief(value)}" for name, value in zip(names, probe, strict=False)]
    one_line = ", ".join(shown)
    return "with      " + (one_line if len(one_line) <= LONGEST_LINE else ",\n          ".join(shown))


def _is_stub(answer: Any) -> bool:
    """Whether this is still the notebook's stub: `...` itself, a function whose body is only `...`, or a class with
    such a method whose others set nothing."""
    if answer is ...:
        return True
    if inspect.isclass(answer):
        bodies = [member for member in vars(answer).values() if inspect.isfunction(member)]
        begun = any(step.opname == "STORE_ATTR" for body in bodies for step in dis.get_instructions(body))
        return any(_is_stub(body) for body in bodies) and not begun
    if not inspect.isfunction(answer):
        return False
    does_nothing = {"RESUME", "NOP", "LOAD_CONST", "RETURN_VALUE", "RETURN_CONST"}
    instructions = list(dis.get_instructions(answer))
    returned = [step.argval for step in instructions if step.opname in ("LOAD_CONST", "RETURN_CONST")]
    return {step.opname for step in instructions} <= does_nothing and returned == [None]


def _same_code(one: Any, other: Any) -> bool:
    """Whether two functions were written alike, whatever their names: the same instructions on the same names."""
    return inspect.isfunction(one) and inspect.isfunction(other) and _written(one.__code__) == _written(other.__code__)


def _written(code: types.CodeType) -> list:
    """The instructions, but for what depends on the code around a function: how a module's attribute is called."""
    instructions = []
    for step in dis.get_instructions(code):
        if step.opname in ("PUSH_NULL", "PRECALL", "CACHE", "RESUME"):
            continue
        name = step.opname.replace("LOAD_METHOD", "LOAD_ATTR")
        value = "" if step.opcode in (*dis.hasjrel, *dis.hasjabs) else step.argval
        instructions.append((name, _written(value) if isinstance(value, types.CodeType) else repr(value)))
    return instructions
