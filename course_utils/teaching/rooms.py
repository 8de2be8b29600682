"""The rooms of the bug museum: every exhibit folded, with what to predict of it and the plaque behind that."""

from __future__ import annotations

from html import escape

from IPython.display import display

from ..errors import InputError
from ..exhibits import EXHIBITS, Exhibit
from ..museum import INSTRUMENTS, notices, spread
from ..properties import PROPERTIES
from ..records import load_record
from .predictions import PREDICTIONS
from .quiz import options_html, text_html

HOLDS = {one.name: one.holds for one in PROPERTIES}


def room(*parts: str) -> None:
    """Show the exhibits that take the place of these parts of the course, from the record."""
    known = list(dict.fromkeys(exhibit.part for exhibit in EXHIBITS.values()))
    for part in parts:
        if part not in known:
            raise InputError(f"There are no exhibits for {part}; there are some for {', '.join(known)}.")
    record = load_record("museum")
    exhibits = [exhibit for exhibit in EXHIBITS.values() if exhibit.part in parts]
    html = "\n".join(_exhibit(exhibit, record) for exhibit in exhibits)
    display({"text/html": html, "text/plain": "\n".join(exhibit.title for exhibit in exhibits)}, raw=True)


def _exhibit(exhibit: Exhibit, record: dict) -> str:
    question = PREDICTIONS[exhibit.id]
    name = f"<b>{escape(exhibit.title)}</b> (<code>{escape(exhibit.id)}</code>)"
    return (
        f"<details><summary>{name}. {escape(exhibit.symptom)}</summary>"
        f"<div style='margin: 0 2em 1em'><p><b>Predict.</b> {text_html(question.text)}</p>{options_html(question)}"
        f"<details><summary><b>The plaque</b></summary>{_plaque(exhibit, record)}</details></div></details>"
    )


def _plaque(exhibit: Exhibit, record: dict) -> str:
    """What the instruments say, which property fails, the mend, and where people met the bug."""
    threads = ", ".join(f'<a href="{escape(thread.url)}">{escape(thread.title)}</a>' for thread in exhibit.threads)
    return (
        f"{_readings(exhibit, record)}"
        f"<p><b>Without training:</b> {_failures(exhibit, record)}</p>"
        f"<p><b>Mend:</b> <code>{escape(exhibit.mend)}</code></p>"
        f"<p><b>Met in public:</b> {threads or 'no thread was found.'}</p>"
    )


def _readings(exhibit: Exhibit, record: dict) -> str:
    """The mean of each instrument over the seeds with its lowest and highest reading; bold where it is noticed."""
    healthy, sick = record["readings"]["healthy"], record["readings"][exhibit.id]
    rows = [f"<tr><th></th><th>healthy</th><th>with the bug, {len(sick)} seeds</th></tr>"]
    for instrument in INSTRUMENTS:
        value = _reading(instrument, sick)
        if notices(instrument, sick, healthy):
            value = f"<b>{value}</b>"
        rows.append(f"<tr><td>{instrument}</td><td>{_reading(instrument, healthy)}</td><td>{value}</td></tr>")
    return f"<table>{''.join(rows)}</table>"


def _reading(instrument: str, readings: list[dict]) -> str:
    mean, lowest, highest = spread(readings, instrument)
    if instrument == "shapes":
        return "fit" if lowest else "do not fit"
    if instrument == "training loss":
        return f"{mean:.3f} ({lowest:.3f} to {highest:.3f})"
    return f"{100 * mean:.1f} % ({100 * lowest:.1f} to {100 * highest:.1f})"


def _failures(exhibit: Exhibit, record: dict) -> str:
    failed = record["diagnoses"][exhibit.id]["failed"]
    return " ".join(
        f"<i>{escape(name)}</i> fails, in {found['milliseconds']:.1f} ms. ({escape(HOLDS[name])})"
        for name, found in failed.items()
    )
