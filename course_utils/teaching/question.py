"""A question with the answers to choose from, as quizzes and predictions are written."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Option:
    """One answer to a question, and the reason why it is right or wrong."""

    text: str
    reason: str
    right: bool = False


@dataclass(frozen=True)
class Question:
    """What is asked, and what may be answered; each option has its own explanation."""

    text: str
    options: tuple[Option, ...]
