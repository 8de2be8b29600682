"""The side-by-side comparison: who runs when, what counts, and what the report says. The competitors are fakes."""

import dataclasses
import json
from pathlib import Path

import bench
import provenance
import pytest
from bench import Competitor

SECONDS = {bench.YARDSTICK: 100.0, "quick": 5.0, "lost": 300.0}


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """The runs that were made, (competitor, seed). The record is elsewhere, and three competitors take what SECONDS
    says, a second more with each seed."""
    runs = []

    def competitor(name, exact_match, has_a_budget=False):
        def run(seed):
            runs.append((name, seed))
            return {
                "seconds": SECONDS[name] + seed,
                "examples": 640,
                "exact_match": exact_match(seed),
                "parameters": 10,
                "more": "is not kept",
            }

        return Competitor(run, has_a_budget)

    monkeypatch.setattr(
        bench,
        "COMPETITORS",
        {
            bench.YARDSTICK: competitor(bench.YARDSTICK, lambda seed: 0.99),
            "quick": competitor("quick", lambda seed: 0.98 if seed == 0 else 0.995, has_a_budget=True),
            "lost": competitor("lost", lambda seed: 0.9 if seed == 1 else 0.99),
        },
    )
    monkeypatch.setattr(provenance, "commit", lambda: "0123abc")  # a copy of the course need not be a git repository
    for name, file in (("RECORD", "bench.json"), ("REPORT", "BENCH.md"), ("PICTURE", "bench.png")):
        monkeypatch.setattr(bench, name, tmp_path / file)
    return runs


def test_everyone_runs_one_seed_before_anyone_runs_the_next(runs):
    bench.main()
    first = [bench.YARDSTICK, "quick", "lost"]
    assert runs[:6] == [(name, 0) for name in first] + [(name, 1) for name in first]
    assert runs[9:] == [("quick", seed) for seed in range(3, 10)]


def recorded():
    return json.loads(bench.RECORD.read_text(encoding="utf-8"))


@pytest.fixture
def begun_before(runs):
    """A record with one run in it, from before runs named their commit and date."""
    one = {"competitor": "quick", "seed": 0, "parameters": 1, "examples": 1, "seconds": 1, "exact_match": 1}
    ours = (bench.ORIGINAL, bench.TUNED, bench.FASTEST)
    record = {**provenance.begun(bench.RECORD, provenance.provenance("make bench"), *ours), "runs": [one]}
    provenance.save(record, bench.RECORD)
    return record


def test_a_stopped_comparison_goes_on_where_it_was(runs, begun_before):
    bench.main()
    assert ("quick", 0) not in runs
    assert len(runs) == 15
    assert recorded()["runs"][:1] == begun_before["runs"]
    assert len(recorded()["runs"]) == 16


def test_runs_of_a_recipe_before_and_after_a_change_are_not_mixed(runs, begun_before, monkeypatch):
    monkeypatch.setattr(bench, "TUNED", dataclasses.replace(bench.TUNED, epochs=6))
    with pytest.raises(SystemExit, match=r"A recipe has changed since bench.json was begun"):
        bench.main()


def test_a_run_is_credited_to_the_commit_it_was_made_at(runs, begun_before, monkeypatch):
    monkeypatch.setattr(provenance, "commit", lambda: "4567def")
    bench.main()
    assert recorded()["commit"] == "0123abc"
    assert {run.get("commit") for run in recorded()["runs"][1:]} == {"4567def"}
    assert "commit 0123abc and 4567def." in bench.REPORT.read_text(encoding="utf-8")


def test_a_write_that_is_broken_off_leaves_the_runs_so_far(runs, begun_before, monkeypatch):
    before, write = bench.RECORD.read_bytes(), Path.write_text

    def half(path, text, **options):
        write(path, text[: len(text) // 2], **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_text", half)
    with pytest.raises(KeyboardInterrupt):
        bench.main()
    assert bench.RECORD.read_bytes() == before


def test_the_picture_says_on_how_many_threads_it_was(runs, monkeypatch):
    bench.main()
    labels = []
    draw = bench.plots.intervals
    monkeypatch.setattr(bench.plots, "intervals", lambda *given: labels.append(given[-1]) or draw(*given))
    bench.picture(recorded() | {"hardware": "A processor, with a comma, 7 threads"})
    assert labels == ["seconds of training, 7 threads"]


def test_times_of_two_machines_are_not_put_side_by_side(runs, monkeypatch):
    bench.main()
    monkeypatch.setattr(provenance, "hardware", lambda: "another machine")
    with pytest.raises(SystemExit, match="another machine"):
        bench.main()


@pytest.mark.parametrize(("threads", "told"), [(2, "A Processor, 2 threads"), (1, "A Processor, 1 thread")])
def test_a_record_names_the_processor_and_how_many_threads(threads, told, monkeypatch):
    monkeypatch.setattr(provenance, "processor", lambda: "A Processor")
    monkeypatch.setattr(provenance.torch, "get_num_threads", lambda: threads)
    assert provenance.hardware() == told


def test_a_budget_counts_by_its_mean_and_a_race_by_each_run(runs):
    bench.main()
    quick, yardstick, lost = bench.table(recorded())
    assert [found["competitor"] for found in (quick, yardstick, lost)] == ["quick", bench.YARDSTICK, "lost"]
    assert (quick["got there"], quick["there"], quick["runs"]) == (True, 9, 10)
    assert quick["seconds"] == pytest.approx(5 + 4.5)
    assert (quick["fewest"], quick["most"]) == (5, 14)
    assert (yardstick["got there"], yardstick["there"], yardstick["seconds"]) == (True, 3, 101)
    assert (lost["got there"], lost["there"]) == (False, 2)


def test_the_report_says_who_is_how_much_faster_and_that_a_lost_race_only_bounds_it(runs):
    bench.main()
    rows = {line.split(" | ")[0]: line for line in bench.REPORT.read_text(encoding="utf-8").splitlines()}
    assert rows["| quick"] == "| quick | 10 | whole budget | 9 of 10 | 640 | 99.35 | 9.5 (5.0 to 14.0) | 10.6 |"
    assert "| 3 of 3 | 640 | 99.00 | 101.0 (100.0 to 102.0) | 1.0 |" in rows[f"| {bench.YARDSTICK}"]
    assert "| to the first 99 % | 2 of 3 | 640 | 96.00 | over 301 | under 0.4 |" in rows["| lost"]
    assert bench.PICTURE.read_bytes().startswith(b"\x89PNG")


def test_a_recipe_of_the_course_runs_by_the_command_line():
    with pytest.raises(bench.subprocess.CalledProcessError):
        bench.course("no such recipe", 0)
    done = bench.course("fastest", 0, "--epochs=1")
    assert done["recipe"] == "fastest"
    assert done["examples"] == 42 * 72
    assert done["seconds"] > 0
