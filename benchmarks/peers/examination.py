"""How the doctor's visits to outside models are reported: one line of JSON."""

from __future__ import annotations

import json
import platform
from importlib.metadata import version

import torch

from course_utils import Diagnosis


def report(package: str, diagnosis: Diagnosis) -> None:
    findings = [
        {
            "name": finding.property.name,
            "verdict": finding.verdict,
            "sentence": finding.sentence,
            "measured": finding.measured,
            "milliseconds": finding.milliseconds,
        }
        for finding in diagnosis.findings
    ]
    versions = {package: version(package), "torch": torch.__version__, "python": platform.python_version()}
    print(json.dumps({"versions": versions, "resembles": diagnosis.resembles, "findings": findings}), flush=True)
