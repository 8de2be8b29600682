"""Environments with other versions of the packages than the course's own, in which only PyTorch is the project's."""

import hashlib
import importlib.metadata
import shutil
import subprocess
import sys
from pathlib import Path

from packaging.requirements import Requirement


def environment(folder: Path, pins: list[str]) -> Path:
    """Make an environment, where it was not made of the same things before; returns its Python. Needs the network."""
    python = folder / "bin" / "python"
    torch = importlib.metadata.distribution("torch")
    made_from = f"{pins} {sys.version} {torch.locate_file('torch')} {torch.version}"
    wanted = hashlib.sha256(made_from.encode()).hexdigest()
    stamp = folder / "installed"  # written last, so a broken-off installation is begun again
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *pins], check=True)
    _lend_torch(folder / "torch")
    (packages,) = folder.glob("lib/python*/site-packages")
    # What a .pth file names comes last, so the environment's own packages go first.
    (packages / "torch.pth").write_text(str(folder / "torch"), encoding="utf-8")
    stamp.write_text(wanted, encoding="utf-8")
    return python


def installed(python: Path) -> set[tuple[str, str]]:
    """Name and version of each package that this Python finds."""
    code = "import importlib.metadata as m; print(*(f'{d.name} {d.version}' for d in m.distributions()), sep='\\n')"
    done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True)
    return {tuple(line.split()) for line in done.stdout.splitlines()}


def _lend_torch(folder: Path) -> None:
    """Fill a folder with links to this environment's PyTorch and what that needs, and to nothing else."""
    folder.mkdir()
    found: dict[str, importlib.metadata.Distribution] = {}
    _needed_by("torch", found)
    for distribution in found.values():
        for name in {file.parts[0] for file in distribution.files} - {"..", "__pycache__"}:
            link = folder / name  # packages may share a folder
            if not link.exists():
                link.symlink_to(distribution.locate_file(name))


def _needed_by(name: str, found: dict[str, importlib.metadata.Distribution]) -> None:
    """Collect a package of this environment and all that it needs."""
    if name in found:
        return
    found[name] = importlib.metadata.distribution(name)
    for requirement in map(Requirement, found[name].requires or []):
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            _needed_by(requirement.name, found)
