"""Open JupyterLab on the reader's own copy of the notebooks.

    python tools/lab.py [JupyterLab's own options]

The copy, my_notebooks/, is made where it is missing and never overwritten: solving exercises leaves notebooks/ alone.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# On Linux PyTorch's threads wait for each other actively. Those of two notebooks that compute at once on two cores keep
# the cores from each other, and each notebook takes sixty times as long. After a shorter wait they give way: then it is
# four times, and a notebook alone takes some 6 % longer.
GIVE_WAY = {"GOMP_SPINCOUNT": "5000"}


def copy_missing(source: Path, copy: Path) -> list[str]:
    """Copy each notebook that the reader does not have yet, whole or not at all; returns their names."""
    copy.mkdir(exist_ok=True)
    missing = [notebook for notebook in sorted(source.glob("*.ipynb")) if not (copy / notebook.name).exists()]
    for notebook in missing:
        partial = copy / f"{notebook.name}.partial"
        shutil.copyfile(notebook, partial)
        os.replace(partial, copy / notebook.name)
    return [notebook.name for notebook in missing]


def main(arguments: list[str]) -> int:
    new = copy_missing(ROOT / "notebooks", ROOT / "my_notebooks")
    if new:
        print(f"Your own copies are in my_notebooks/: {', '.join(new)}", flush=True)
    # JupyterLab's root is the repository, so that an author finds notebooks/ beside my_notebooks/.
    command = [sys.executable, "-m", "jupyterlab", "--LabApp.default_url=/lab/tree/my_notebooks", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, env=GIVE_WAY | os.environ)
    while True:
        with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C goes to JupyterLab too, which asks before it ends
            return process.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
