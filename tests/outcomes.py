"""What each answer of each exercise gives: its reference, its given code and its mistakes, on the exercise's probes.

    .venv/bin/python tests/outcomes.py

writes outcomes.json anew, but for what differs by rounding alone. A mistake is recognised by being the same as itself,
so nothing else would notice if its code, or a probe, were changed by accident. Read the difference before committing.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from course_utils.teaching import EXERCISES, comparison, trials
from course_utils.teaching.engine import Exercise

STORED = Path(__file__).with_name("outcomes.json")


def outcomes(exercise: Exercise) -> dict[str, list]:
    """The probes themselves; and for each answer, what comes of each, down to the first that fails."""
    answers = {"reference": exercise.reference}
    for mistake in exercise.mistakes:
        answers[mistake.id] = mistake.answer
        answers |= {f"{mistake.id}, also {number}": answer for number, answer in enumerate(mistake.also, start=1)}
    if exercise.given is not None:
        answers["given"] = exercise.given
    probes = exercise.probes()
    came = {name: _outcomes(exercise, answer, probes) for name, answer in answers.items()}
    return {"probes": [_summary(comparison.normal(probe)) for probe in probes]} | came


def same(stored: Any, came: Any) -> bool:
    """Whether two outcomes agree, but for rounding on another processor."""
    if isinstance(stored, list) and isinstance(came, list):
        return len(stored) == len(came) and all(map(same, stored, came))
    if isinstance(stored, float) and isinstance(came, float):
        return math.isclose(stored, came, rel_tol=1e-3, abs_tol=1e-4) or (math.isnan(stored) and math.isnan(came))
    return stored == came


def _outcomes(exercise: Exercise, answer: Any, probes: list[tuple]) -> list:
    found = []
    for probe in probes:
        trial = trials.carry_out(exercise.run, answer, probe)
        found.append(_summary(trial.value) if trial.failure is None else trial.failure)
        if trial.failure is not None:
            break
    return found


def _summary(value: Any) -> Any:
    """A tensor as its shape and a weighted sum, which another order or another number changes."""
    if isinstance(value, dict):
        return [[str(name), _summary(part)] for name, part in value.items()]
    if isinstance(value, tuple):
        return [_summary(part) for part in value]
    if isinstance(value, Tensor):
        numbers = value.double().flatten()
        weights = torch.arange(1, len(numbers) + 1, dtype=torch.double).cos()
        kind = "float" if value.is_floating_point() else "whole"
        return [kind, list(value.shape), float(f"{(weights * numbers).sum().item():.6g}")]
    return value if isinstance(value, str) else type(value).__name__


def _kept(stored: dict[str, list], came: dict[str, list]) -> dict[str, list]:
    """What came, and where it agrees with what is stored, that."""
    return {name: stored[name] if same(stored.get(name), value) else value for name, value in came.items()}


def main() -> None:
    stored = json.loads(STORED.read_text(encoding="utf-8"))
    rows = []
    for exercise in EXERCISES.values():
        kept = _kept(stored.get(exercise.id, {}), outcomes(exercise))
        answers = [f"  {json.dumps(name)}: {json.dumps(came)}" for name, came in kept.items()]
        rows.append(f" {json.dumps(exercise.id)}: {{\n" + ",\n".join(answers) + "\n }")
    STORED.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
