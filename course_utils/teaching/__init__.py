"""What the notebooks say and ask: claims, exercises with their checks, quizzes, progress.

claims.py             a sentence that is checked where it stands
engine.py             how an answer is run, compared and diagnosed
exercises_NN.py       the exercises of notebook NN: references, probes, named mistakes
probes.py             the tiny networks that answers are tried on
quiz.py, quizzes.py   how a quiz is shown; the questions
"""

from . import exercises_01, exercises_02, exercises_03, exercises_04, exercises_05  # each registers its exercises
from .claims import claim, explain_missing_names
from .engine import EXERCISES, Exercise, Mistake, Result, check, progress
from .quiz import quiz

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
    "explain_missing_names",
    "progress",
    "quiz",
]
