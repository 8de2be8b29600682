"""What the notebooks say and ask: claims, exercises with their checks, quizzes, progress.

claims.py             a sentence that is checked where it stands
engine.py             how an answer is judged: tried on every probe, held against the reference, diagnosed
trials.py             how an answer is run, so that nothing it does hurts the notebook
comparison.py         how two values are compared, and how a difference is said
exercises_NN.py       the exercises of notebook NN: references, probes, named mistakes
probes.py             the tiny networks that answers are tried on
quiz.py, quizzes.py   how a quiz is shown; the questions
predictions.py        what to predict of each exhibit of the bug museum
rooms.py              its exhibits, folded, with their plaques
"""

from . import (
    exercises_01,
    exercises_02,
    exercises_03,
    exercises_04,
    exercises_05,
    exercises_06,
)  # each registers its exercises with the engine
from .claims import claim, explain_missing_names
from .engine import EXERCISES, Exercise, Mistake, Result, check, progress
from .exercises_06 import patient
from .quiz import predict_first, quiz
from .rooms import room

__all__ = [
    "EXERCISES",
    "Exercise",
    "Mistake",
    "Result",
    "check",
    "claim",
    "exercises_01",
    "exercises_02",
    "exercises_03",
    "exercises_04",
    "exercises_05",
    "exercises_06",
    "explain_missing_names",
    "patient",
    "predict_first",
    "progress",
    "quiz",
    "room",
]
