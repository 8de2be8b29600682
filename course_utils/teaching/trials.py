"""One trial of an answer, carried out so that nothing it does can hurt the notebook around it."""

from __future__ import annotations

import contextlib
import copy
import inspect
import io
import linecache
import random
import signal
import sys
import threading
import types
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from IPython import get_ipython

from .comparison import difference, normal

SECONDS_ALLOWED = 30
SECONDS_BETWEEN_STOPS = 0.05
SHOWN_LINES = 5  # of what an answer prints
NOTHING_BACK = (
    "it gives back None. Is a `return` missing, or does what stands behind it give nothing, as `print(…)` and "
    "`….append(…)` do?"
)


class WrongAnswer(Exception):  # noqa: N818 (it says what the answer is, and is caught in one place)
    """Raised by an exercise's own `run` where a property does not hold; its text says which."""


@dataclass(frozen=True)
class Trial:
    """What came of a trial: a value, or the failure in a sentence; and what may help to see why."""

    value: Any = None
    failure: str | None = None
    remarks: str = ""
    out_of_time: bool = False


def carry_out(run: Callable[[Callable, tuple], Any], answer: Callable, probe: tuple) -> Trial:
    """Run the answer on a copy of the probe. Never raises, whatever the answer does, but for the reader's own stop."""
    arguments = copy.deepcopy(probe)
    printed = io.StringIO()
    try:
        with _contained(printed), _time_limit():
            value = normal(_run_inside(run, answer, arguments))
        changed = difference(probe, arguments)
    except _TimeIsUpError:  # uncovered: it is run, but the alarm's own tracing has ended that of coverage
        failure = f"it was stopped after {SECONDS_ALLOWED} s. Does a loop never end, or go through too many cases?"
        return Trial(failure=failure, remarks=_printed(printed), out_of_time=True)
    except WrongAnswer as property_:
        return Trial(failure=str(property_), remarks=_printed(printed))
    except SystemExit:
        return Trial(failure="it tries to end the program. Give the result back with `return`.")
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # an answer may raise whatever there is
        failure = f"it stopped with {type(error).__name__}: {_said(error)}"
        return Trial(failure=failure, remarks=_where(error, answer) + _printed(printed))
    if value is None:
        return Trial(failure=NOTHING_BACK, remarks=_printed(printed))
    if changed:
        return Trial(failure="it changes its inputs. Work on a copy: the caller still needs them.")
    return Trial(value=value, remarks=_printed(printed))


def _run_inside(run: Callable, answer: Callable, arguments: tuple) -> Any:
    """A frame of its own, by which the alarm knows whether the answer is still running."""
    return run(answer, arguments)


class _TimeIsUpError(BaseException):
    """Not an Exception, so that an answer's own `except Exception` cannot swallow it."""


@contextlib.contextmanager
def _time_limit() -> Iterator[None]:
    """Interrupt what runs inside after SECONDS_ALLOWED, where the system can (not on Windows, not in a thread)."""
    if not hasattr(signal, "SIGALRM") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_signal: int, frame: types.FrameType | None) -> None:
        if not _still_running(frame):
            return
        # A bare `except:` may swallow what is raised here. Then the next line that runs raises it again.
        signal.setitimer(signal.ITIMER_REAL, SECONDS_BETWEEN_STOPS)
        sys.settrace(stop_at_next_line)
        while frame.f_code is not _run_inside.__code__:
            frame.f_trace, frame = stop_at_next_line, frame.f_back
        raise _TimeIsUpError

    def stop_at_next_line(frame: types.FrameType, event: str, _argument: object) -> Callable:  # uncovered: it traces
        if event == "line" and _still_running(frame):
            raise _TimeIsUpError
        return stop_at_next_line

    handler, trace = signal.signal(signal.SIGALRM, stop), sys.gettrace()
    signal.setitimer(signal.ITIMER_REAL, SECONDS_ALLOWED)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        sys.settrace(trace)


def _still_running(frame: types.FrameType | None) -> bool:
    """Whether the answer is somewhere below this frame, so that stopping it is all that an exception here does."""
    while frame is not None and frame.f_code is not _run_inside.__code__:
        frame = frame.f_back
    return frame is not None


@contextlib.contextmanager
def _contained(printed: io.StringIO) -> Iterator[None]:
    """Same random numbers for every answer; and what it prints, draws, sets or ends is undone or held back."""
    python, numpy_, dtype = random.getstate(), np.random.get_state(), torch.get_default_dtype()
    device, threads = torch.get_default_device(), torch.get_num_threads()
    shell = get_ipython()

    def leave() -> None:
        raise SystemExit

    if shell is not None:
        shell.ask_exit = leave  # what `exit()` calls in a notebook: it would end the kernel after the cell
    try:
        with (
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(io.StringIO()),
            warnings.catch_warnings(),
            torch.random.fork_rng(devices=[]),
            torch.enable_grad(),
        ):
            warnings.simplefilter("ignore")
            random.seed(0)
            np.random.seed(0)
            torch.default_generator.manual_seed(0)  # and not a GPU's, which would not be put back
            yield
    finally:
        if shell is not None:
            del shell.ask_exit
        random.setstate(python)
        np.random.set_state(numpy_)
        torch.set_default_dtype(dtype)
        if torch.get_default_device() != device:
            torch.set_default_device(None if device.type == "cpu" else device)
        torch.set_num_threads(threads)


def _said(error: BaseException) -> str:
    """An error's message, without PyTorch's list of all the ways in which the function may be called."""
    try:
        message, _, _ = str(error).partition(", but expected one of:")
    except Exception:  # an error of the reader's own making may fail to say what it is
        message = ""
    return message or "no message"


def _where(error: BaseException, answer: Callable) -> str:
    """The last line of the reader's own code on the way to the error."""
    answer = inspect.unwrap(answer)  # of a decorator like torch.no_grad
    function = getattr(answer, "__code__", None) or getattr(getattr(answer, "__init__", None), "__code__", None)
    step, found = error.__traceback__, None
    while step is not None:
        if function is not None and step.tb_frame.f_code.co_filename == function.co_filename:
            found = step
        step = step.tb_next
    line = linecache.getline(found.tb_frame.f_code.co_filename, found.tb_lineno).strip() if found else ""
    return f"\nin the line  {line}" if line else ""


def _printed(printed: io.StringIO) -> str:
    lines = printed.getvalue().splitlines()
    shown = lines[:SHOWN_LINES] + (["…"] if len(lines) > SHOWN_LINES else [])
    return "".join(f"\nit printed   {line}" for line in shown)
