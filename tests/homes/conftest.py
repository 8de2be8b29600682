"""What these tests share: the notebooks, a browser, and kernels that import the course_utils of this repository."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).parents[2]
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(autouse=True)
def this_repository(monkeypatch, tmp_path):
    """Programs started by a test use this repository's package, and nobody's personal settings."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    # An activated environment: nbgrader looks for alembic, which keeps its gradebook, on the path.
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def path(request) -> Path:
    """Each notebook in turn."""
    return request.param


@pytest.fixture(scope="module")  # no longer: while Playwright runs, no other test can run an event loop of its own
def browser() -> Iterator[Browser]:
    """The system's own Chromium: nothing is downloaded."""
    found = [path for path in map(shutil.which, CHROMIUM_NAMES) if path]
    if not found:
        pytest.exit("The browser tests need Chromium: on Debian and Ubuntu, `apt install chromium`.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found[0])
        yield browser
        browser.close()
