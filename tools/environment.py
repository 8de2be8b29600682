"""Make the course's environment in .venv, or find it ready. Standard library only: it runs before anything else.

    python tools/environment.py

Ends with status 1 and one sentence where something is in the way. The Makefile has checked Python's version
before: a much older Python could not even read this file.
"""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
STAMP = VENV / "installed"  # written last, so a broken-off installation is begun again


def main() -> None:
    made_from = (ROOT / "requirements.txt").read_bytes() + (ROOT / "pyproject.toml").read_bytes()
    made_from += str(ROOT).encode()  # course_utils is installed by its path, so a moved folder is installed anew
    wanted = hashlib.sha256(made_from).hexdigest()
    if VENV.exists():
        _check_runs()
    if STAMP.exists() and STAMP.read_text(encoding="utf-8") == wanted:
        _check_packages()
        return
    if not VENV.exists():
        _check_venv_can_be_made()
        _run([sys.executable, "-m", "venv", str(VENV)], "Python could not make an environment in .venv; see above.")
    print("Installing the course's packages. The first time this takes some minutes.", flush=True)
    _run(
        [str(VENV_PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", "requirements.txt"],
        "The packages could not be installed; pip says why above. The first set-up needs the network and about 2 GB.",
    )
    STAMP.write_text(wanted, encoding="utf-8")


def _check_venv_can_be_made() -> None:
    if importlib.util.find_spec("ensurepip") is None:
        _stop("This Python cannot make environments: on Debian and Ubuntu, `apt install python3-venv` mends that.")


def _check_runs() -> None:
    try:
        subprocess.run([VENV_PYTHON, "-c", ""], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        _stop("The environment in .venv is broken, its Python does not run: `make clean`, then try again.")


def _check_packages() -> None:
    """Ask the environment itself whether each pinned package is there, in its pinned version."""
    program = (
        "import sys, importlib.metadata as m\n"
        "for pin in sys.argv[1:]:\n"
        "    name, version = pin.split('==')\n"
        "    try: found = m.version(name).split('+')[0]\n"
        "    except m.PackageNotFoundError: found = 'missing'\n"
        "    if found != version: sys.exit(f'{name} {version} is wanted, but it is {found}')\n"
        "try: m.version('course_utils')\n"
        "except m.PackageNotFoundError: sys.exit('course_utils is missing')\n"
    )
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if "==" in line and not line.startswith("#")]
    result = subprocess.run([VENV_PYTHON, "-c", program, *pins], capture_output=True, text=True, check=False)
    if result.returncode:
        problem = result.stderr.strip().splitlines()[-1]
        _stop(f"The environment in .venv is broken, {problem}: `make clean`, then try again.")


def _run(command: list[str], sentence: str) -> None:
    if subprocess.run(command, cwd=ROOT, check=False).returncode:
        _stop(sentence)


def _stop(sentence: str) -> None:
    sys.exit(sentence)


if __name__ == "__main__":
    main()
