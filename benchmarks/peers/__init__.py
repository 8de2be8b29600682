"""The peers of the speed benchmark: other projects' encoder–decoders, trained on the course's task.

`run` makes a peer's environment where it is missing and runs one race in it. Nothing of a peer's project is copied: the
environment holds it, as `requirements-<peer>.txt` pins it. Those files name all packages, and pip is told to install
no others: the projects ask for a PyTorch of their own, or for versions that are not to be had.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "benchmarks" / "peers"
sys.path.append(str(ROOT / "tools"))  # scripts, which nothing installs

import lent_torch  # noqa: E402

PEERS = {  # the file that runs a peer is its name and .py
    "xtransformers": ("default", "tuned"),
    "huggingface": ("bart-default", "bart-tuned"),
    "d2l_seq2seq": ("default", "tuned"),
    "joeynmt_gru": ("default", "tuned"),
}


def pins(peer: str) -> list[str]:
    lines = (FOLDER / f"requirements-{peer}.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if not line.startswith("#")]


def environment(peer: str) -> Path:
    """The Python of a peer's environment, which is made where it is missing. That needs the network."""
    return lent_torch.environment(ROOT / "build" / "peers" / peer, ["--no-deps", *pins(peer)])


def run(peer: str, setting: str, seed: int, seconds: float, threads: int, *options: str) -> dict:
    """One race in a process of its own. Raises RuntimeError, with what the process said, where it fails."""
    python = environment(peer)
    asked = {"setting": setting, "seed": seed, "seconds": seconds, "threads": threads}
    command = [python, FOLDER / f"{peer}.py", *(f"--{name}={value}" for name, value in asked.items()), *options]
    paths = os.pathsep.join(map(str, (ROOT, FOLDER)))
    done = subprocess.run(
        command,
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": str(threads)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{peer} {setting} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])  # libraries may have said something before
