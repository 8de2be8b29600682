"""The name of the processor, as results that are written down say it."""

from __future__ import annotations

import platform
from pathlib import Path

INFORMATION = Path("/proc/cpuinfo")  # where Linux tells


def processor() -> str:
    """With family and model where the system tells them: some names stand for several generations."""
    lines = INFORMATION.read_text(encoding="utf-8").splitlines() if INFORMATION.exists() else []
    fields = [line.partition(":") for line in lines]
    told = {name.strip(): value.strip() for name, _, value in reversed(fields)}  # of the first processor
    name = told.get("model name", platform.processor())
    if {"cpu family", "model"} <= told.keys():
        name += f" (family {told['cpu family']}, model {told['model']})"
    return name
