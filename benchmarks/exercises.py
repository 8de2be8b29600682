"""Count and time the exercises' checks: how many mistakes are told apart, how many other right answers are tried.

    python benchmarks/exercises.py

Writes benchmarks/EXERCISES.md. The answers are those of tests/right_answers/.
"""

from __future__ import annotations

import contextlib
import io
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from provenance import hardware

from course_utils.teaching import EXERCISES, check, engine

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from right_answers import RIGHT_ANSWERS  # noqa: E402 (found only now)


def milliseconds(exercise_id: str, answers: list[Callable]) -> float:
    """The longest that one of the answers waits for its verdict."""
    times = []
    for answer in answers:
        engine.tried.clear()  # later checks of a session are quicker
        began = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            check(exercise_id, answer)
        times.append(1000 * (time.perf_counter() - began))
    return max(times)


def main() -> None:
    lines = [
        "# The exercises, counted and timed",
        "",
        "For each exercise: how many mistakes its check tells apart, how many right answers of other kinds are tried",
        "(`tests/right_answers/`), and the longest that any of them waited for its verdict as the first of a session,",
        "in milliseconds.",
        "",
        "| exercise | | mistakes | longest | right answers | longest |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for exercise in EXERCISES.values():
        mistakes = [mistake.answer for mistake in exercise.mistakes]
        right = RIGHT_ANSWERS[exercise.id]
        milliseconds(exercise.id, [exercise.reference])  # the first use of an optimizer imports for seconds
        lines.append(
            f"| {exercise.id} | {exercise.title} | {len(mistakes)} | {milliseconds(exercise.id, mistakes):.0f} "
            f"| {len(right)} | {milliseconds(exercise.id, right):.0f} |"
        )
    n_mistakes = sum(len(exercise.mistakes) for exercise in EXERCISES.values())
    n_right = sum(len(answers) for answers in RIGHT_ANSWERS.values())
    lines += [
        f"| {len(EXERCISES)} | in all | {n_mistakes} | | {n_right} | |",
        "",
        f"Made by `python benchmarks/exercises.py` on {hardware()}, "
        f"Python {platform.python_version()}, torch {torch.__version__}.",
    ]
    (ROOT / "benchmarks" / "EXERCISES.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
