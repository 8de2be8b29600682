"""Make .venv-homes, or find it ready: the course's environment with the other programs it should work in on top.

    .venv/bin/python tools/homes.py

It sees the packages of .venv, so PyTorch is not installed twice, and has those of requirements-homes.txt besides.
"""

from __future__ import annotations

import sysconfig
from pathlib import Path

import environment

HOMES = environment.ROOT / ".venv-homes"


def main() -> None:
    environment.create(HOMES)
    # An ordinary line of a .pth file would not read the .pth files there, such as that of course_utils itself.
    line = f"import site; site.addsitedir({str(_site_packages(environment.VENV))!r})\n"
    (_site_packages(HOMES) / "course.pth").write_text(line, encoding="utf-8")
    environment.install(HOMES, "requirements-homes.txt", environment.stamp(environment.VENV).read_bytes())


def _site_packages(venv: Path) -> Path:
    return Path(sysconfig.get_path("purelib", scheme="venv", vars={"base": str(venv), "platbase": str(venv)}))


if __name__ == "__main__":
    main()
