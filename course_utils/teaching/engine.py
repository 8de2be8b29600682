"""How an answer is judged: run it on probes, compare it with the reference, and recognise what went wrong.

An exercise is data. Its named mistakes are implementations of one wrong idea each; an answer that behaves like one of
them gets that mistake's message. Every other wrong answer gets the smallest case where it differs.
"""

from __future__ import annotations

import contextlib
import copy
import dis
import inspect
import io
import math
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

SECONDS_ALLOWED = 30
RELATIVE_TOLERANCE = 1e-4  # float32 answers that sum in another order stay well inside
ABSOLUTE_TOLERANCE = 1e-5
SHOWN_ELEMENTS = 40  # tensors up to this size are printed whole


@dataclass(frozen=True)
class Mistake:
    """One wrong idea: its id, an answer that has it, and the words that help without giving the answer away."""

    id: str
    answer: Callable
    message: str


@dataclass(frozen=True)
class Exercise:
    """What `check` needs to judge an answer.

    probes() makes the arguments of each trial, the smallest first. run(answer, arguments) carries out one trial and
    returns what is compared; by default it just calls the answer.
    """

    id: str
    title: str
    minutes: int
    difficulty: int  # 1 to 3
    reference: Callable
    probes: Callable[[], list[tuple]]
    mistakes: tuple[Mistake, ...]
    run: Callable[[Callable, tuple], Any] = lambda answer, arguments: answer(*arguments)


@dataclass(frozen=True)
class Result:
    """What `check` found. `diagnosis` is the id of the recognised mistake, where there is one."""

    id: str
    passed: bool
    attempted: bool
    message: str
    diagnosis: str | None = None

    def _ipython_display_(self) -> None:
        """Nothing more: check has printed it already."""


EXERCISES: dict[str, Exercise] = {}
_results: dict[str, Result] = {}  # the latest result of each exercise in this session, for `progress`


def register(*exercises: Exercise) -> None:
    for exercise in exercises:
        if exercise.id in EXERCISES:
            raise ValueError(f"There are two exercises {exercise.id}.")
        EXERCISES[exercise.id] = exercise


def check(exercise_id: str, answer: Any) -> Result:
    """Judge an answer, print the verdict, and return it. Whatever the answer does, the notebook goes on."""
    if exercise_id not in EXERCISES:
        raise KeyError(f"There is no exercise {exercise_id!r}; there are {', '.join(EXERCISES)}.")
    result = _judge(EXERCISES[exercise_id], answer)
    _results[exercise_id] = result
    print(result.message)
    return result


def progress(notebook: int) -> None:
    """Which exercises of a notebook pass, which not yet, and which were not tried."""
    for exercise in EXERCISES.values():
        if exercise.id.split(".")[0] == str(notebook):
            result = _results.get(exercise.id)
            state = "not tried" if result is None or not result.attempted else "passed" if result.passed else "not yet"
            print(f"{exercise.id}  {state:<10} {exercise.title}")


def _judge(exercise: Exercise, answer: Any) -> Result:
    name = exercise.id
    if _is_stub(answer):
        return Result(name, passed=False, attempted=False, message=f"{name} not attempted yet")
    if not callable(answer):
        message = f"{name} not yet: check needs the function itself, without calling it, but got {_brief(answer)}."
        return Result(name, passed=False, attempted=True, message=message)

    probes = exercise.probes()
    outcomes = []
    for probe in probes:
        outcomes.append(_trial(exercise, answer, probe))
        if isinstance(outcomes[-1], _Failure):
            break  # one is enough, and an answer that never ends is not waited for again
    expected = [_trial(exercise, exercise.reference, probe) for probe in probes[: len(outcomes)]]
    differences = [difference(want, got) for want, got in zip(expected, outcomes, strict=True)]
    if not any(differences):
        return Result(name, passed=True, attempted=True, message=f"{name} passed: {exercise.title}")

    first = next(number for number, found in enumerate(differences) if found)
    case = "\n".join(filter(None, [_inputs(exercise, probes[first]), differences[first]]))
    for mistake in exercise.mistakes:
        wrong = [_trial(exercise, mistake.answer, probe) for probe in probes[: len(outcomes)]]
        if not any(difference(want, got) for want, got in zip(wrong, outcomes, strict=True)):
            message = f"{name} not yet: {mistake.message}\n{case}"
            return Result(name, passed=False, attempted=True, message=message, diagnosis=mistake.id)
    return Result(name, passed=False, attempted=True, message=f"{name} not yet: here it differs.\n{case}")


def _is_stub(answer: Any) -> bool:
    """Whether this is still the notebook's stub: `...` itself, or a function or class whose bodies are only `...`."""
    if answer is ...:
        return True
    if inspect.isclass(answer):
        bodies = [member for member in vars(answer).values() if inspect.isfunction(member)]
        return any(_is_stub(body) for body in bodies)
    if not inspect.isfunction(answer):
        return False
    does_nothing = {"RESUME", "NOP", "LOAD_CONST", "RETURN_VALUE", "RETURN_CONST"}
    instructions = list(dis.get_instructions(answer))
    returned = [step.argval for step in instructions if step.opname in ("LOAD_CONST", "RETURN_CONST")]
    return {step.opname for step in instructions} <= does_nothing and returned == [None]


@dataclass(frozen=True)
class _Failure:
    """A trial that gave nothing to compare."""

    message: str


def _trial(exercise: Exercise, answer: Callable, probe: tuple) -> Any:
    """The outcome of one trial, normalised; the probe itself is never handed out, so nothing can change it."""
    arguments = copy.deepcopy(probe)
    try:
        with _time_limit(), contextlib.redirect_stdout(io.StringIO()), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            outcome = exercise.run(answer, arguments)
    except _TimeIsUpError:
        return _Failure(f"it was still running after {SECONDS_ALLOWED} s and was stopped. Does a loop never end?")
    except (Exception, SystemExit) as error:
        return _Failure(f"it stopped with {type(error).__name__}: {error}")
    if outcome is None:
        return _Failure("it gives back None. Is a `return` missing?")
    if difference(_normal(probe), _normal(arguments)) and exercise.run is Exercise.run:
        return _Failure("it changes its inputs. Work on a copy: the caller still needs them.")
    return _normal(outcome)


class _TimeIsUpError(BaseException):
    """Not an Exception, so that an answer's own `except Exception` cannot swallow it."""


@contextlib.contextmanager
def _time_limit() -> Iterator[None]:
    """Interrupt what runs inside after SECONDS_ALLOWED, where the system can (not on Windows, not in a thread)."""
    if not hasattr(signal, "SIGALRM") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_signal: int, _frame: object) -> None:
        raise _TimeIsUpError

    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS_ALLOWED)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def _normal(value: Any) -> Any:
    """Numbers, lists of numbers and arrays become tensors, so that any of them may stand for the others."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, np.ndarray):
        return torch.as_tensor(value)
    if isinstance(value, torch.nn.Module):
        return tuple(_normal(tensor) for tensor in value.state_dict().values())
    if isinstance(value, (bool, int, float, np.number)) or hasattr(value, "numerator"):
        return torch.tensor(float(value) if hasattr(value, "numerator") and not isinstance(value, int) else value)
    if isinstance(value, (list, tuple)):
        with contextlib.suppress(ValueError, TypeError, RuntimeError):
            if not any(isinstance(item, Tensor) for item in value):
                return torch.tensor(value)
            return (
                torch.stack([torch.as_tensor(item) for item in value])
                if isinstance(value, list)
                else tuple(_normal(item) for item in value)
            )
        return tuple(_normal(item) for item in value)
    return value


def difference(expected: Any, got: Any) -> str | None:
    """None where they agree; else the first way in which they do not: kind, then shape, then value."""
    if isinstance(got, _Failure):
        return None if expected == got else got.message
    expected, got = _normal(expected), _normal(got)
    if isinstance(expected, Tensor) and isinstance(got, Tensor):
        return _tensor_difference(expected, got)
    if isinstance(expected, tuple) and isinstance(got, tuple):
        if len(expected) != len(got):
            return f"It gives back {len(got)} things; expected {len(expected)}."
        for number, (want, have) in enumerate(zip(expected, got, strict=True)):
            found = difference(want, have)
            if found:
                return f"Part {number + 1} of what it gives back: {found}"
        return None
    if type(expected) is type(got) and not isinstance(expected, (Tensor, tuple)):
        return None if expected == got else f"yours     {_brief(got)}\nexpected  {_brief(expected)}"
    return f"It gives back {_kind(got)}; expected {_kind(expected)}."


def _tensor_difference(expected: Tensor, got: Tensor) -> str | None:
    if expected.shape != got.shape:
        return f"It gives back {_kind(got)}; expected {_kind(expected)}."
    if expected.dim() > 0 and got.is_floating_point() and not expected.is_floating_point():
        return f"It gives back numbers with a decimal point ({got.dtype}); tokens are whole numbers (torch.long)."
    want, have = expected.double(), got.double()
    same = torch.isclose(have, want, rtol=RELATIVE_TOLERANCE, atol=ABSOLUTE_TOLERANCE, equal_nan=True)
    if same.all():
        return None
    lines = [f"yours     {_brief(got)}", f"expected  {_brief(expected)}"]
    if expected.dim() > 0:
        place = tuple((~same).nonzero()[0].tolist())
        largest = (have - want).abs().max().item()
        lines.append(
            f"first difference at {list(place)}: {_number(have[place])}, expected {_number(want[place])} "
            f"({int((~same).sum())} of {same.numel()} differ, the largest by {largest:.3g})"
        )
    return "\n".join(lines)


def _inputs(exercise: Exercise, probe: tuple) -> str:
    if not probe or exercise.run is not Exercise.run:  # a trial of its own has inputs that say nothing to the reader
        return ""
    names = inspect.signature(exercise.reference).parameters
    shown = [f"{name} = {_brief(value)}" for name, value in zip(names, probe, strict=False)]
    return "with      " + ", ".join(shown)


def _brief(value: Any) -> str:
    if isinstance(value, Tensor):
        if value.numel() <= SHOWN_ELEMENTS and not (value.is_floating_point() and value.dim() > 1):
            rounded = value.tolist() if not value.is_floating_point() else np.round(value.tolist(), 4).tolist()
            return str(rounded)
        return f"a tensor {tuple(value.shape)}"
    text = repr(value)
    return text if len(text) <= 200 and "object at 0x" not in text else f"a {type(value).__name__}"


def _kind(value: Any) -> str:
    if isinstance(value, Tensor):
        if value.dim() < 2:
            return "one number" if value.dim() == 0 else f"{len(value)} numbers in a row"
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, tuple):
        return f"{len(value)} things"
    return f"a {type(value).__name__}"


def _number(value: Tensor) -> str:
    number = value.item()
    return str(int(number)) if math.isfinite(number) and number == int(number) else f"{number:.5g}"
