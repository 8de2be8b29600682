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


def main() -> None:
    create(VENV)
    # course_utils is installed by its path, so a moved folder is installed anew
    install(VENV, "requirements.txt", (ROOT / "pyproject.toml").read_bytes() + str(ROOT).encode())


def create(venv: Path) -> None:
    """Make an environment without packages, or see that the one which is there runs."""
    if venv.exists():
        _check_runs(venv)
        return
    _check_venv_can_be_made()
    _run([sys.executable, "-m", "venv", str(venv)], f"Python could not make an environment in {venv.name}; see above.")


def install(venv: Path, requirements: str, made_from: bytes) -> None:
    """Install the packages, or find them: it is done once, and again when `requirements` or `made_from` changes."""
    wanted = hashlib.sha256((ROOT / requirements).read_bytes() + made_from).hexdigest()
    if stamp(venv).exists() and stamp(venv).read_text(encoding="utf-8") == wanted:
        _check_packages(venv, requirements)
        return
    print("Installing the course's packages. The first time this takes some minutes.", flush=True)
    _run(
        [str(python(venv)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements],
        "The packages could not be installed; pip says why above. The first set-up needs the network and about 2 GB.",
    )
    stamp(venv).write_text(wanted, encoding="utf-8")


def stamp(venv: Path) -> Path:
    """Says what was installed. Written last, so a broken-off installation is begun again."""
    return venv / "installed"


def python(venv: Path) -> Path:
    return venv / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def _check_venv_can_be_made() -> None:
    if importlib.util.find_spec("ensurepip") is None:
        _stop("This Python cannot make environments: on Debian and Ubuntu, `apt install python3-venv` mends that.")


def _check_runs(venv: Path) -> None:
    try:
        subprocess.run([python(venv), "-c", "import pip"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        _stop(
            f"The environment in {venv.name} is broken, its Python or pip does not run: `make clean`, then try again."
        )


def _check_packages(venv: Path, requirements: str) -> None:
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
    lines = (ROOT / requirements).read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if "==" in line and not line.startswith("#")]
    result = subprocess.run([python(venv), "-c", program, *pins], capture_output=True, text=True, check=False)
    if result.returncode:
        problem = result.stderr.strip().splitlines()[-1]
        _stop(f"The environment in {venv.name} is broken, {problem}: `make clean`, then try again.")


def _run(command: list[str], sentence: str) -> None:
    if subprocess.run(command, cwd=ROOT, check=False).returncode:
        _stop(sentence)


def _stop(sentence: str) -> None:
    sys.exit(sentence)


if __name__ == "__main__":
    main()
