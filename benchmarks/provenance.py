"""What every record of a measurement says of where it comes from; how it is written, and gone on with."""

from __future__ import annotations

import dataclasses
import json
import platform
import subprocess
from datetime import date
from pathlib import Path

import torch

from course_utils import Recipe, Run
from course_utils.files import written_whole
from course_utils.machine import processor

ROOT = Path(__file__).resolve().parents[1]


def provenance(command: str) -> dict:
    """The command that makes a record, the machine and the versions it runs on, the course's commit, and today's date.

    Asked before the work: what is loaded then does it, whatever is committed meanwhile.
    """
    return {"made by": command, **machine(), "commit": commit(), "date": date.today().isoformat()}


def machine() -> dict:
    return {"hardware": hardware(), "versions": {"torch": torch.__version__, "python": platform.python_version()}}


def hardware() -> str:
    """The processor, and how many threads this program uses on it."""
    threads = torch.get_num_threads()
    return f"{processor()}, {threads} thread{'s' * (threads != 1)}"


def commit() -> str:
    """The course's commit, with "-dirty" where code has changed since; "unknown" where git knows nothing of it."""
    git = ["git", f"--git-dir={ROOT / '.git'}"]  # else git would answer for another repository around a bare copy
    try:
        done = subprocess.run([*git, "describe", "--always"], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    # Code alone: the records themselves change with every measurement.
    changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", "*.py", "*.ipynb"], cwd=ROOT, check=False)
    return done.stdout.strip() + "-dirty" * bool(changed.returncode)


def made_at(here: dict) -> dict:
    """What a run says of itself, in a record that goes on with runs made before: of `provenance`, commit and date."""
    return {name: here[name] for name in ("commit", "date")}


def begun(path: Path, here: dict, *recipes: Recipe) -> dict:
    """The record so far; without one, what `provenance` says here and the settings of the recipes that are measured.

    Measurements of two machines are not mixed, nor those of a recipe before and after a change.
    """
    settings = {recipe.name: dataclasses.asdict(recipe) | {"betas": list(recipe.betas)} for recipe in recipes}
    if not path.exists():
        return here | {"settings": settings}
    record = json.loads(path.read_text(encoding="utf-8"))
    if record["settings"] != settings:
        raise SystemExit(f"A recipe has changed since {path.name} was begun: remove the file to begin anew.")
    if _told(record) != _told(here):
        raise SystemExit(
            f"{path.name} was begun on another machine or with other versions, {_told(record)}, and here it is "
            f"{_told(here)}: go on there, or remove the file to begin anew."
        )
    return record


def _told(record: dict) -> str:
    return f"{record['hardware']}, torch {record['versions']['torch']}, Python {record['versions']['python']}"


def save(record: object, path: Path, indent: int | None = 1) -> None:
    """Write a record whole or not at all: a broken-off write leaves what was there."""
    with written_whole(path) as partial:
        partial.write_text(json.dumps(record, indent=indent) + "\n", encoding="utf-8")


def whole(run: Run) -> Run:
    """The run itself. One that was interrupted, which training swallows, is no measurement and ends this program."""
    if run.interrupted:
        raise KeyboardInterrupt
    return run
