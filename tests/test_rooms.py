"""The rooms of the bug museum say what the record says: a small one here, so that every number is known."""

import re
import sys
from html import unescape

import pytest

from course_utils import EXHIBITS
from course_utils.museum import INSTRUMENTS
from course_utils.properties import PROPERTIES
from course_utils.teaching.predictions import PREDICTIONS
from course_utils.teaching.rooms import room

GOOD = dict.fromkeys(INSTRUMENTS.values(), 0.995) | {"shapes_fit": True, "loss": 0.02}
BETTER = dict.fromkeys(INSTRUMENTS.values(), 1.0) | {"shapes_fit": True, "loss": 0.01}
SICK = GOOD | {"loss": 1.5, "in_use": 0.25}
FAILED = {"causality": {"measured": 1.0, "milliseconds": 2.345}, "the shift": {"measured": 1.0, "milliseconds": 0.5}}


@pytest.fixture
def shown(monkeypatch):
    """What a room displays, of a record in which all exhibits were measured alike."""
    record = {
        "readings": {"healthy": [GOOD, BETTER]} | {name: [GOOD, SICK, SICK] for name in EXHIBITS},
        "diagnoses": {name: {"failed": FAILED} for name in EXHIBITS},
    }
    bundles = []
    module = sys.modules["course_utils.teaching.rooms"]
    monkeypatch.setattr(module, "load_record", {"museum": record}.get)
    monkeypatch.setattr(module, "display", lambda bundle, raw: bundles.append(bundle))
    return bundles


def text_of(html):
    """What a reader sees of it, with everything unfolded."""
    return " ".join(unescape(re.sub("<[^>]*>", " ", html)).split())


@pytest.mark.parametrize("parts", [("Encoder",), ("token_loss", "train_step"), ("evaluate",)])
def test_a_room_holds_the_exhibits_of_its_parts_in_their_order(shown, parts):
    room(*parts)
    inside = [exhibit for exhibit in EXHIBITS.values() if exhibit.part in parts]
    assert inside
    assert shown[0]["text/plain"].splitlines() == [exhibit.title for exhibit in inside]
    summary = r"<details><summary><b>([^<]*)</b> \(<code>([^<]*)</code>\)\. (.*?)</summary>"
    assert [tuple(map(unescape, found)) for found in re.findall(summary, shown[0]["text/html"])] == [
        (exhibit.title, exhibit.id, exhibit.symptom) for exhibit in inside
    ]


def test_a_room_of_a_part_that_has_no_exhibits_is_refused(shown, refused):
    with refused("There are no exhibits for encodr; there are some for Encoder, "):
        room("Encoder", "encodr")
    assert not shown


def test_an_exhibit_asks_first_and_folds_its_plaque(shown):
    room("evaluate")
    html = shown[0]["text/html"]
    for exhibit in (exhibit for exhibit in EXHIBITS.values() if exhibit.part == "evaluate"):
        question = PREDICTIONS[exhibit.id]
        words = [question.text, *(word for option in question.options for word in (option.text, option.reason))]
        places = [text_of(html).index(word.replace("`", "").strip()) for word in words if "`" not in word]
        assert places == sorted(places)
        assert exhibit.mend in text_of(html)
    n_exhibits = len(shown[0]["text/plain"].splitlines())
    assert html.count("<details>") == html.count("</details>") == n_exhibits * (1 + 3 + 1)
    assert html.count("<summary><b>The plaque</b></summary>") == n_exhibits
    assert "<code>right.all(dim=0)</code> asks of each place" in html


def test_a_plaque_gives_means_with_their_ranges_and_marks_what_is_noticed(shown):
    room("evaluate")
    plaque = shown[0]["text/html"].split("<table>")[1].split("</table>")[0]
    rows = re.findall(r"<tr><td>(.*?)</td><td>(.*?)</td><td>(.*?)</td></tr>", plaque)
    assert "with the bug, 3 seeds" in plaque
    assert [name for name, *_ in rows] == list(INSTRUMENTS)
    values = dict(zip(INSTRUMENTS, (row[1:] for row in rows), strict=True))
    assert values["shapes"] == ("fit", "fit")
    assert values["training loss"] == ("0.015 (0.010 to 0.020)", "<b>1.007 (0.020 to 1.500)</b>")
    assert values["exact match in use"] == ("99.8 % (99.5 to 100.0)", "<b>49.8 % (25.0 to 99.5)</b>")
    assert values["forced exact match"] == ("99.8 % (99.5 to 100.0)", "99.5 % (99.5 to 99.5)")


def test_shapes_that_do_not_fit_would_be_said(shown, monkeypatch):
    monkeypatch.setitem(SICK, "shapes_fit", False)
    room("evaluate")
    assert "<td>shapes</td><td>fit</td><td><b>do not fit</b></td>" in shown[0]["text/html"]


def test_a_plaque_names_the_properties_that_fail_and_how_long_each_takes(shown):
    room("evaluate")
    holds = {one.name: one.holds for one in PROPERTIES}
    said = f"causality fails, in 2.3 ms. ({holds['causality']}) the shift fails, in 0.5 ms. ({holds['the shift']})"
    assert text_of(shown[0]["text/html"]).count(f"Without training: {said}") == shown[0]["text/html"].count("<table>")


def test_a_plaque_leads_to_where_people_met_the_bug_or_says_that_nothing_was_found(shown):
    room("evaluate")
    html = shown[0]["text/html"]
    links = [(unescape(url), unescape(title)) for url, title in re.findall(r'<a href="([^"]*)">(.*?)</a>', html)]
    inside = [exhibit for exhibit in EXHIBITS.values() if exhibit.part == "evaluate"]
    assert links == [(thread.url, thread.title) for exhibit in inside for thread in exhibit.threads]
    without = sum(not exhibit.threads for exhibit in inside)
    assert html.count("Met in public:</b> no thread was found.") == without == 1
