"""The course as a reader at home meets it: each notebook in JupyterLab, in a real browser.

Screenshots are kept in build/browser/, one per screenful: 01-stored-1.png is notebook 01 as it opens, 01-run-1.png
after all its cells ran, 01-slider-1.png and 01-quiz.png after its interactive pieces were used.
"""

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nbformat
import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

ROOT = Path(__file__).parents[2]
SCREENSHOTS = ROOT / "build" / "browser"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

SECONDS_TO_START = 120
SECONDS_TO_RUN = 900  # notebook 04 trains a network of the original's size: minutes, on a busy machine more
SECONDS_TO_REDRAW = 60

OUTPUT = ".jp-OutputArea-output"
TROUBLE = ", ".join(f'{OUTPUT}[data-mime-type="application/vnd.jupyter.{kind}"]' for kind in ("error", "stderr"))
WIDGET_TEXT = re.compile(
    r"Error (displaying|creating) widget|[Ww]idget .*not found|Loading widget|IProgress not found|Javascript Error"
    r"|\b[A-Z]\w+\((children|value|description|layout)=|\bOutput\(\)|<IPython\.|<Figure size"
)
PICTURES = """scroller => [...scroller.querySelectorAll("img")].map(image => {
    const picture = image.getBoundingClientRect();
    let cut = false;
    for (let frame = image; frame !== scroller; ) {
        frame = frame.parentElement;
        const style = getComputedStyle(frame), box = frame.getBoundingClientRect();
        const left = box.left + frame.clientLeft, top = box.top + frame.clientTop;
        if (style.overflowX !== "visible")
            cut ||= picture.left < left - 1 || picture.right > left + frame.clientWidth + 1;
        if (style.overflowY !== "visible" && frame !== scroller)  // up and down, the notebook itself scrolls
            cut ||= picture.top < top - 1 || picture.bottom > top + frame.clientHeight + 1;
    }
    return {
        source: image.src.slice(0, 60), alt: image.alt, cut,
        loaded: image.complete && image.naturalWidth > 0,
        visible: image.checkVisibility({visibilityProperty: true, opacityProperty: true})
                 && picture.width > 0 && picture.height > 0,
    };
})"""
FINGERPRINT = """async image => {
    const bytes = await (await fetch(image.src)).arrayBuffer();
    return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).join(" ");
}"""


# JupyterLab and the browser


def make_home(home: Path) -> None:
    """A folder in which `make lab` works as in the repository, but whose my_notebooks/ is not the reader's own.

    tools/lab.py serves the folder that it lies in, so it is copied. tools/environment.py looks after the environment
    of the folder that it lies in, so it is linked: it finds the repository's, and nothing is installed anew.
    """
    (home / "tools").mkdir()
    for name in ("Makefile", ".venv", "tools/environment.py"):
        (home / name).symlink_to(ROOT / name)
    shutil.copyfile(ROOT / "tools" / "lab.py", home / "tools" / "lab.py")
    shutil.copytree(ROOT / "notebooks", home / "notebooks", ignore=shutil.ignore_patterns(".*"))


def write_settings(config: Path) -> None:
    """All cells are in the page at once, so that a test sees them; and JupyterLab does not ask to fetch its news."""
    settings = config / "lab" / "user-settings" / "@jupyterlab"
    for plugin, values in {
        "notebook-extension/tracker": {"windowingMode": "none", "scrollPastEnd": False},
        "apputils-extension/notification": {"fetchNews": "false"},
    }.items():
        path = settings / f"{plugin}.jupyterlab-settings"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(values), encoding="utf-8")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start `make lab` with nobody's personal settings; gives the address it prints, with its token."""
    folder = tmp_path_factory.mktemp("lab")
    home = folder / "course"
    home.mkdir()
    make_home(home)
    write_settings(folder / "config")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTER")}
    environment |= {
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "IPYTHONDIR": str(folder / "ipython"),
    }
    # Where the port is taken, JupyterLab tries the next ones. Only root needs --allow-root; others may give it.
    command = ["make", "lab", f"PYTHON={sys.executable}", "LAB_ARGS=--no-browser --allow-root --port 8899"]
    log = SCREENSHOTS / "lab.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as output:
        process = subprocess.Popen(
            command, cwd=home, env=environment, stdout=output, stderr=output, start_new_session=True
        )

    def address() -> str | None:
        assert process.poll() is None, f"`make lab` ended; {log} says why:\n{log.read_text()}"
        found = re.search(r"http://127\.0\.0\.1:\S+\?token=\w+", log.read_text())
        return found and found.group()

    try:
        url = wait_for(address, SECONDS_TO_START, "JupyterLab's address")
        yield url
        parts = urlsplit(url)
        stop = urllib.request.Request(f"http://{parts.netloc}/api/shutdown?{parts.query}", method="POST")
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(stop, timeout=60).close()
        process.wait(60)  # JupyterLab ends its kernels first
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def asked_elsewhere() -> list[str]:
    """What the page asked of other hosts than this one. It got nothing."""
    return []


@pytest.fixture
def page(browser: Browser, asked_elsewhere: list[str]) -> Iterator[Page]:
    """A window of a small laptop's size, cut off from the network."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})

    def refuse(route: Route) -> None:
        asked_elsewhere.append(route.request.url)
        route.abort()

    page.route(re.compile(r"^https?://(?!127\.0\.0\.1:)"), refuse)
    yield page
    page.close()


def wait_for(ask: Callable[[], Any], seconds: float, what: str) -> Any:
    """Ask until the answer is something, and return it."""
    end = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(0.3)
    return answer


# What a reader does


def open_notebook(page: Page, lab: str, name: str) -> Locator:
    """Open a notebook and wait until it stands still; gives the part of the page that scrolls."""
    page.goto(lab.replace("?", f"/{name}.ipynb?reset&"))  # else the notebook before this one is opened again, too
    scroller = page.locator(".jp-NotebookPanel-notebook .jp-WindowedPanel-outer")
    expect(scroller.locator(".jp-Cell").first).to_be_visible(timeout=60_000)
    wait_for_idle_kernel(page, SECONDS_TO_START)
    wait_for_still_page(scroller)
    return scroller


def run_all_cells(page: Page, scroller: Locator) -> None:
    """Run > Run All Cells, and wait until the last one is done or the run has stopped at an error."""
    page.locator(".lm-MenuBar-itemLabel").get_by_text("Run", exact=True).click()
    page.locator(".lm-Menu-itemLabel").get_by_text("Run All Cells", exact=True).click()
    waiting = scroller.locator(".jp-CodeCell .jp-InputPrompt").get_by_text("[*]:")
    expect(waiting).not_to_have_count(0)
    expect(waiting).to_have_count(0, timeout=1000 * SECONDS_TO_RUN)
    wait_for_idle_kernel(page, SECONDS_TO_REDRAW)
    wait_for_still_page(scroller)


def wait_for_idle_kernel(page: Page, seconds: float) -> None:
    indicator = page.locator(".jp-NotebookPanel .jp-Notebook-ExecutionIndicator")
    expect(indicator).to_have_attribute("data-status", "idle", timeout=1000 * seconds)


def wait_for_still_page(scroller: Locator) -> None:
    """Widgets, pictures and formulas arrive one after the other, and each changes the notebook's height."""
    heights: list[int] = []

    def still() -> bool:
        heights.append(scroller.evaluate("scroller => scroller.scrollHeight"))
        return len(heights) > 5 and len(set(heights[-5:])) == 1

    wait_for(still, 60, "a page that stands still")


def photograph(page: Page, scroller: Locator, name: str) -> None:
    """Keep screenshots of the whole notebook, one per screenful."""
    screen, whole = scroller.evaluate("scroller => [scroller.clientHeight, scroller.scrollHeight]")
    for number in range(math.ceil(whole / screen)):
        scroller.evaluate("(scroller, top) => { scroller.scrollTop = top; }", number * screen)
        page.screenshot(path=SCREENSHOTS / f"{name}-{number + 1}.png")


# What the course promises


def assert_no_error_output(scroller: Locator) -> None:
    assert scroller.locator(TROUBLE).all_inner_texts() == []


def assert_no_raw_widget_text(scroller: Locator) -> None:
    for text in scroller.locator(OUTPUT).all_inner_texts():
        assert not WIDGET_TEXT.search(text), text


def assert_pictures_are_whole(scroller: Locator, wanted: int) -> None:
    """There are at least as many pictures as wanted; each is loaded, visible and not cut off by a frame around it."""
    pictures = scroller.evaluate(PICTURES)
    assert len(pictures) >= wanted
    for picture in pictures:
        assert picture["loaded"], f"not loaded: {picture}"
        assert picture["visible"], f"not visible: {picture}"
        assert not picture["cut"], f"cut off: {picture}"


def assert_every_cell_ran(scroller: Locator, cells: int) -> None:
    prompts = scroller.locator(".jp-CodeCell .jp-InputPrompt").all_inner_texts()
    assert prompts == [f"[{number}]:" for number in range(1, cells + 1)]


def assert_slider_changes_picture(page: Page, handle: Locator, screenshot: str) -> None:
    """One step to the side and the picture is another; one step back and it is the first again."""
    picture = handle.locator(f"xpath=ancestor::*[contains(@class, '{OUTPUT[1:]}')][1]").locator("img")

    def press(key: str) -> None:
        before = picture.evaluate(FINGERPRINT)
        handle.press(key)
        wait_for(lambda: picture.evaluate(FINGERPRINT) != before, SECONDS_TO_REDRAW, f"a new picture after {key}")

    at_end = handle.get_attribute("aria-valuenow") == handle.get_attribute("aria-valuemax")
    there, back = ("ArrowLeft", "ArrowRight") if at_end else ("ArrowRight", "ArrowLeft")
    first = picture.evaluate(FINGERPRINT)
    press(there)
    picture.scroll_into_view_if_needed()
    page.screenshot(path=SCREENSHOTS / f"{screenshot}.png")
    press(back)
    assert picture.evaluate(FINGERPRINT) == first


def assert_quiz_answers(page: Page, scroller: Locator, screenshot: str) -> None:
    """Each option of the quiz is a button, and pressing it says whether it is right."""
    quiz = scroller.locator(".jp-CodeCell").filter(has_text="quiz(").locator(OUTPUT)
    buttons = quiz.locator("button")
    expect(buttons).not_to_have_count(0)
    for button in buttons.all():
        button.click()
        answer = quiz.locator(".widget-html").filter(has_text=re.compile("Right|Not quite"))
        expect(answer.get_by_text(button.inner_text(), exact=True).last).to_be_visible()
    page.screenshot(path=SCREENSHOTS / f"{screenshot}.png")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_works_in_the_browser(path: Path, page: Page, lab: str, asked_elsewhere: list[str]) -> None:
    code = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    stills, trainings, sliders = (
        sum(len(re.findall(call, cell.source)) for cell in code)
        # A picture that is shown under a condition, as on a GPU, is indented.
        for call in (r"(?m)^(?:_ = )?(?:show|explore)\(", r"\bLiveTraining\(", r"\bslider\(")
    )
    number = path.stem[:2]
    for old in SCREENSHOTS.glob(f"{number}-*.png"):
        old.unlink()

    scroller = open_notebook(page, lab, path.stem)
    photograph(page, scroller, f"{number}-stored")
    assert_no_error_output(scroller)
    assert_no_raw_widget_text(scroller)
    assert_pictures_are_whole(scroller, stills)

    run_all_cells(page, scroller)
    photograph(page, scroller, f"{number}-run")
    assert_no_error_output(scroller)
    assert_every_cell_ran(scroller, len(code))
    assert_no_raw_widget_text(scroller)
    assert_pictures_are_whole(scroller, stills + trainings)

    handles = scroller.locator(f"{OUTPUT} .noUi-handle")
    assert handles.count() == sliders > 0
    for place, handle in enumerate(handles.all(), start=1):
        assert_slider_changes_picture(page, handle, f"{number}-slider-{place}")
    assert_quiz_answers(page, scroller, f"{number}-quiz")
    assert_no_error_output(scroller)
    assert_pictures_are_whole(scroller, stills + trainings)
    assert asked_elsewhere == []
