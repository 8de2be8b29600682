"""Quizzes: a widget where widgets run, folded text elsewhere. Every option says why it is right or wrong."""

from __future__ import annotations

import re
from html import escape

import ipywidgets

from ..errors import InputError
from ..widgets import show_widget
from .predictions import PREDICTIONS
from .question import Option, Question
from .quizzes import QUIZZES


def quiz(notebook: int) -> None:
    """Show the questions of a notebook. Nothing is scored and nothing is sent anywhere."""
    questions = {str(number): each for number, each in QUIZZES.items()}
    if str(notebook) not in questions:
        raise InputError(f"There is no quiz {notebook}; there are {', '.join(questions)}.")
    _show(questions[str(notebook)])


def predict_first(exhibit_id: str) -> None:
    """Show the question that comes before an exhibit of the bug museum."""
    if exhibit_id not in PREDICTIONS:
        raise InputError(f"There is no exhibit {exhibit_id}; there are {', '.join(PREDICTIONS)}.")
    _show((PREDICTIONS[exhibit_id],))


def _show(questions: tuple[Question, ...]) -> None:
    box = ipywidgets.VBox([_question_widget(number, question) for number, question in enumerate(questions, start=1)])
    html = "\n".join(_question_html(number, question) for number, question in enumerate(questions, start=1))
    show_widget(box, "\n".join(question.text for question in questions), {"text/html": html})


def _question_widget(number: int, question: Question) -> ipywidgets.VBox:
    # Plain buttons wrap long options, which radio buttons cut off.
    reason = ipywidgets.HTML()
    buttons = [
        ipywidgets.Button(description=option.text.replace("`", ""), layout={"width": "auto", "margin": "2px 0"})
        for option in question.options
    ]
    for button, option in zip(buttons, question.options, strict=True):

        def answer(button: ipywidgets.Button, option: Option = option) -> None:
            button.button_style = "success" if option.right else "danger"  # it stays: so one sees what was tried
            mark = "✓" if option.right else "✗"
            reason.value = _paragraph(f"{mark} <b>{text_html(option.text)}</b>: {_verdict(option)}")

        button.on_click(answer)
    title = ipywidgets.HTML(_paragraph(f"<b>{number}. {text_html(question.text)}</b>"))
    return ipywidgets.VBox([title, *buttons, reason], layout={"max_width": "760px"})


def _question_html(number: int, question: Question) -> str:
    return f"<p style='margin-top: 1em'><b>{number}. {text_html(question.text)}</b></p>{options_html(question)}"


def options_html(question: Question) -> str:
    """The answers to a question, each folded over its reason."""
    return "".join(
        f"<details><summary>{text_html(option.text)}</summary>{_verdict(option)}</details>"
        for option in question.options
    )


def _verdict(option: Option) -> str:
    return f"{'Right' if option.right else 'Not quite'}. {text_html(option.reason)}"


def _paragraph(html: str) -> str:
    return f"<div style='line-height: 1.4'>{html}</div>"  # a widget's own lines stand further apart


def text_html(text: str) -> str:
    """Plain text as HTML, `code` in it as such."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text))
