"""Every line of course_utils is executed by the package's own tests, or says why it is not."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_packages_tests_execute_every_line(tmp_path, monkeypatch):
    monkeypatch.setenv("COVERAGE_FILE", str(tmp_path / "coverage"))

    def coverage(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "coverage", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
        )

    tests = coverage("run", "-m", "pytest", "-p", "no:cacheprovider")
    assert tests.returncode == 0, tests.stdout[-3000:]
    combined = coverage("combine")
    assert combined.returncode == 0, combined.stdout + combined.stderr
    report = coverage("report", "--show-missing", "--skip-covered", "--fail-under=100")
    assert report.returncode == 0, report.stdout
