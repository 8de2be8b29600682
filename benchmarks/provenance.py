"""Where a number comes from: what every record of a measurement says of itself."""

from __future__ import annotations

import platform
import subprocess
from datetime import date
from pathlib import Path

import torch


def provenance(command: str) -> dict:
    """The command that made a record, the machine and the versions it ran on, the course's commit, and today's date."""
    return {"made by": command, **machine(), "commit": commit(), "date": date.today().isoformat()}


def machine() -> dict:
    return {"hardware": hardware(), "versions": {"torch": torch.__version__, "python": platform.python_version()}}


def hardware() -> str:
    names = [
        line.split(":")[1].strip() for line in _text("/proc/cpuinfo").splitlines() if line.startswith("model name")
    ]
    return f"{names[0] if names else platform.processor()}, {torch.get_num_threads()} threads"


def _text(path: str) -> str:
    return Path(path).read_text(encoding="utf-8") if Path(path).exists() else ""


def commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    return done.stdout.strip()
