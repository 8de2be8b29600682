"""The course as a web site: built from the stored notebooks, and whole in a browser that has no network."""

import functools
import http.server
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser, Locator, Page

ROOT = Path(__file__).parents[2]
SITE = ROOT / "build" / "site"
SHOTS = ROOT / "build" / "site-shots"  # to be looked at
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NOTEBOOKS = {path.stem: nbformat.read(path, as_version=4) for path in PATHS}
each_notebook = pytest.mark.parametrize("name", NOTEBOOKS)

# Without other processes there is no kernel, so nothing can be run again.
BUILD_ALONE = """
import runpy, sys

def refuse(event, arguments):
    if event in {"socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.posix_spawn"}:
        raise ConnectionRefusedError(f"building the site asks for {event} {arguments}")

sys.addaudithook(refuse)
runpy.run_path("tools/build_site.py", run_name="__main__")
"""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """The address of the site, built anew: without a warning, a kernel or the network."""
    shutil.rmtree(SHOTS, ignore_errors=True)
    SHOTS.mkdir(parents=True)
    built = subprocess.run([sys.executable, "-c", BUILD_ALONE], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (built.returncode, built.stdout, built.stderr) == (0, "", "")
    handler = functools.partial(QuietHandler, directory=SITE)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_arguments: object) -> None:
        """Say nothing: a page that is missing is seen by the browser."""


@pytest.fixture
def page(site: str, browser: Browser) -> Iterator[Page]:
    """A page of a laptop's size; afterwards, nothing that it asked for was elsewhere, missing or broken."""
    problems: list[str] = []
    context = browser.new_context(base_url=site, viewport={"width": 1280, "height": 800})

    def refuse(route):
        problems.append(f"asks for {route.request.url}")
        route.abort()

    context.route(lambda url: not url.startswith((site, "data:")), refuse)
    page = context.new_page()
    page.on("response", lambda response: response.ok or problems.append(f"{response.status} {response.url}"))
    page.on("pageerror", lambda error: problems.append(str(error)))
    yield page
    context.close()
    assert not problems


def opened(page: Page, address: str) -> Locator:
    """Go to a page and return its text, once its equations are set."""
    page.goto(address, wait_until="networkidle")
    page.evaluate("window.MathJax?.startup?.promise")
    return page.locator("article")


def stored(name: str, cell_type: str) -> str:
    """All the text of a notebook's cells of a type."""
    return "\n\n".join(cell.source for cell in NOTEBOOKS[name].cells if cell.cell_type == cell_type)


def outputs(name: str) -> list:
    return [output for cell in NOTEBOOKS[name].cells if cell.cell_type == "code" for output in cell.outputs]


def shoot(page: Page, place: Locator, name: str) -> None:
    """Keep a picture of the window with the place at its top."""
    place.evaluate("element => { element.scrollIntoView(); window.scrollBy(0, -120) }")
    page.screenshot(path=SHOTS / f"{name}.png")


def assert_pictures_are_whole(article: Locator, descriptions: list[str]) -> None:
    """Loaded, described, in their own proportions, and not wider than the text."""
    right = article.evaluate("element => element.getBoundingClientRect().right")
    pictures = article.locator("img").all()
    assert [picture.get_attribute("alt") for picture in pictures] == descriptions
    for picture in pictures:
        natural = picture.evaluate("image => image.complete ? image.naturalWidth / image.naturalHeight : 0")
        box = picture.bounding_box()
        assert box["width"] >= 100
        assert box["width"] / box["height"] == pytest.approx(natural, rel=0.01)
        assert box["x"] + box["width"] <= right


@each_notebook
def test_what_the_notebook_printed_is_on_its_page(name, page):
    text = opened(page, f"/notebooks/{name}.html").text_content()
    printed = [output.text for output in outputs(name) if output.output_type == "stream"]
    assert printed
    for words in printed:
        assert " ".join(words.split()) in " ".join(text.split())  # a table is parted from the claims below it
    curly = set("“”‘’")
    assert curly & set(text) <= curly & set(nbformat.writes(NOTEBOOKS[name]))


@each_notebook
def test_every_picture_is_there_and_whole(name, page):
    article = opened(page, f"/notebooks/{name}.html")
    pictures = [output for output in outputs(name) if "image/png" in output.get("data", {})]
    assert_pictures_are_whole(article, [picture.metadata["image/png"]["alt"] for picture in pictures])
    shoot(page, article, f"{name}-top")
    shoot(page, article.locator("img").first, f"{name}-picture")


@each_notebook
def test_a_fold_opens_and_shows_code_and_text(name, page):
    article = opened(page, f"/notebooks/{name}.html")
    html = "".join(output.get("data", {}).get("text/html", "") for output in outputs(name))
    assert article.locator("details").count() == (stored(name, "markdown") + html).count("<details>")
    for summary, inside in (("Hint 1", "p"), ("Solution", "div.highlight pre")):
        fold = article.locator("details", has=page.locator("summary", has_text=summary)).first
        assert not fold.locator(inside).first.is_visible()
        fold.locator("summary").click()
        assert fold.locator(inside).first.is_visible()
        assert "```" not in fold.inner_text()
    assert fold.evaluate("element => parseFloat(getComputedStyle(element).marginBottom)") >= 16
    shoot(page, fold, f"{name}-fold")


@each_notebook
def test_equations_are_set_and_fit(name, page):
    article = opened(page, f"/notebooks/{name}.html")
    equations = article.locator(".math")
    assert (equations.count() > 0) == bool(re.search(r"\$[^$]+\$", stored(name, "markdown")))
    assert article.locator(".math > mjx-container").count() == equations.count()
    assert article.locator("mjx-merror").count() == 0
    for equation in article.locator("mjx-container[display=true]").all():
        assert equation.evaluate("element => element.scrollWidth <= element.clientWidth")
        shoot(page, equation, f"{name}-equation")
    prose = article.evaluate("""element => {
        const copy = element.cloneNode(true);
        copy.querySelectorAll('pre, code, .math, script, style').forEach(part => part.remove());
        return copy.textContent;
    }""")
    assert not re.search(r"[$\\]", prose)


@each_notebook
def test_the_colab_link_is_the_notebooks(name, page):
    (link,) = re.findall(r"\[▶ Open in Colab\]\((.*)\)", NOTEBOOKS[name].cells[0].source)
    article = opened(page, f"/notebooks/{name}.html")
    assert article.get_by_role("link", name="Open in Colab").get_attribute("href") == link
    what_stands_still = "Sliders, buttons and live figures work in JupyterLab and Colab"
    assert article.locator("p", has_text="Open in Colab").locator("+ p").inner_text().startswith(what_stands_still)


@each_notebook
def test_an_exercise_weighs_less_than_its_section(name, page):
    article = opened(page, f"/notebooks/{name}.html")
    assert article.locator("h3 small").count() == len(
        re.findall("^### Exercise", stored(name, "markdown"), re.MULTILINE)
    )
    sizes = "element => [getComputedStyle(element).fontWeight, getComputedStyle(element).fontSize].map(parseFloat)"
    weight, size = article.locator("h2").first.evaluate(sizes)
    for heading in article.locator("h3").all():
        its_weight, its_size = heading.evaluate(sizes)
        assert its_weight <= weight
        assert its_size < size


def test_the_first_page_leads_to_every_notebook(page):
    article = opened(page, "/index.html")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert_pictures_are_whole(article, re.findall(r"!\[(.*)\]", readme))
    shoot(page, article, "index")
    for bar_or_text in (page.locator(".bd-sidebar-primary nav"), article.locator("table").first):
        links = bar_or_text.locator("a.reference.internal[href$='.html']").all()
        assert [link.get_attribute("href") for link in links] == [f"notebooks/{name}.html" for name in NOTEBOOKS]
    links[0].click()
    assert page.title().startswith(NOTEBOOKS[PATHS[0].stem].cells[0].source.splitlines()[0].removeprefix("# "))


def pages() -> list[str]:
    """The addresses of all pages, once the site is built."""
    found = (path.relative_to(SITE).as_posix() for path in sorted(SITE.rglob("*.html")))
    return [address for address in found if not address.startswith("_static")]


def too_wide(article: Locator, parts: str) -> list[str]:
    """The beginnings of what is cut, or has to be moved sideways."""
    return article.locator(parts).evaluate_all("""elements => elements
        .filter(element => element.scrollWidth > element.clientWidth)
        .map(element => element.textContent.trim().slice(0, 60))""")


def test_code_and_tables_fit_a_laptop(page):
    for address in pages():
        article = opened(page, address)
        assert not too_wide(article, ".pst-scrollable-table-container, .cell pre, #the-package pre"), address


def test_a_phone_shows_every_page(page):
    """No page slides sideways, what is printed is read without, and what is wider scrolls in its own box."""
    page.set_viewport_size({"width": 390, "height": 844})
    for address in pages():
        article = opened(page, address)
        page.screenshot(path=SHOTS / f"phone-{address.replace('/', '-')}.png")
        page.evaluate("document.querySelectorAll('article details').forEach(fold => { fold.open = true })")
        assert page.evaluate("document.scrollingElement.scrollWidth") <= 390, address
        assert not too_wide(article, ".stream pre"), address
        for part in article.locator("img, mjx-container[display=true]").all():
            assert part.evaluate("""part => {
                const box = part.tagName == 'IMG' ? part.parentElement : part;
                return box.scrollWidth <= box.clientWidth || getComputedStyle(box).overflowX == 'auto';
            }"""), address
        for picture in article.locator("img").all():
            natural, shown = picture.evaluate("image => [image.naturalWidth, image.width]")
            assert shown >= min(natural, 600), address


def test_the_columns_of_a_printed_table_stay_on_a_phone(page):
    page.set_viewport_size({"width": 390, "height": 844})
    article = opened(page, "/notebooks/04_cuda_training.html")
    table = article.locator(".cell_output pre", has_text="best by validation loss")
    assert table.evaluate("element => getComputedStyle(element).whiteSpace") == "pre"
    assert "✓" not in table.inner_text()
    shoot(page, table, "phone-table")


def test_search_finds_a_word(page):
    opened(page, "/search.html?q=teacher")
    results = page.locator("#search-results li", has=page.locator("p.context"))  # the lines around the word
    results.first.wait_for()
    assert any("teacher forcing" in result for result in results.all_inner_texts())
    page.screenshot(path=SHOTS / "search.png")


def test_the_site_is_whole_as_files_too(site, browser):
    """Opened from a disk, without a server."""
    page = browser.new_page()
    name = PATHS[0].stem
    article = opened(page, (SITE / "notebooks" / f"{name}.html").as_uri())
    assert article.locator(".math > mjx-container").count() > 0
    assert article.locator("img").first.evaluate("image => image.naturalWidth") > 0
    page.close()
