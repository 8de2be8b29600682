"""The README's numbers are the record's, and what it points to exists."""

import dataclasses
import json
import math
import re
import statistics
from pathlib import Path

import bench
import counting
import floor
import pytest
import recipes
import torch
from right_answers import RIGHT_ANSWERS

from course_utils import (
    EXACT,
    EXACT_8,
    SMALLEST,
    TUNED,
    SubstringTask,
    build_model,
    count_parameters,
    load_certificate,
    load_checkpoint,
    load_model,
    load_record,
    record_path,
)
from course_utils.teaching import EXERCISES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHORT_OF_THE_GOAL = ("original", "no dropout", "always forced", "without guide")
RECORDS = (ROOT / "benchmarks" / "RECORDS.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("recipe", ["original", "tuned"])
@pytest.mark.parametrize(
    ("weights", "measure"), [("last weights", "exact_match"), ("lowest validation loss", "best_exact_match")]
)
def test_the_results_are_those_of_the_record(recipe, weights, measure):
    runs = [run for run in load_record("recipes")["runs"] if run["recipe"] == recipe]
    values = [100 * run[measure] for run in runs]
    row = [f"`{recipe}`, {weights}", f"{runs[0]['examples']:,}", f"{len(runs)}"]
    row += [f"{value:.2f}" for value in (statistics.mean(values), min(values), max(values))]
    assert f"| {' | '.join(row)} |" in README


def test_the_times_are_those_of_the_record():
    record = load_record("recipes")
    text = " ".join(README.split())
    seconds = {
        recipe: statistics.mean(run["seconds"] for run in record["runs"] if run["recipe"] == recipe)
        for recipe in ("original", "tuned", "fastest")
    }
    times = "`original` {original:.0f} s, `tuned` {tuned:.0f} s, `fastest` {fastest:.1f} s".format(**seconds)
    assert f"({record['hardware']}, torch {record['versions']['torch']}): {times}" in text
    batches = json.loads((ROOT / "benchmarks" / "batches.json").read_text(encoding="utf-8"))
    faster = batches["times as fast"]["cpu, batches of 4096"]
    assert faster >= 50
    assert f"{faster:.0f} times as fast as one at a time" in text


def test_the_race_is_told_as_it_was_run():
    record = json.loads(bench.RECORD.read_text(encoding="utf-8"))
    assert bench.REPORT.read_text(encoding="utf-8") == bench.report(record)
    rows = {row["competitor"]: row for row in bench.table(record)}
    original, tuned, fastest = (rows[name] for name in (bench.YARDSTICK, "tuned", "fastest"))
    peer = min(
        (row for name, row in rows.items() if row["got there"] and row not in (original, tuned, fastest)),
        key=lambda row: row["seconds"],
    )
    text = " ".join(README.split())
    assert f"`original`, run on until it gets there, takes {original['seconds']:.0f} s" in text
    for name, row in (("tuned", tuned), ("fastest", fastest)):
        assert row["got there"]
        assert row["runs"] == 10
        times = original["seconds"] / row["seconds"]
        assert f"`{name}` {row['seconds']:.1f} s ({times:.{0 if times > 20 else 1}f} times as fast)" in text
    assert f"in {peer['seconds']:.1f} s, {peer['seconds'] / fastest['seconds']:.1f} times as long as `fastest`" in text
    assert fastest["there"] == 10
    assert tuned["there"] == 10
    assert "all ten runs of each got there" in text
    assert original["runs"] == 3


def test_the_recipes_get_there_with_seeds_that_no_choice_was_made_with():
    found = json.loads((ROOT / "benchmarks" / "seeds.json").read_text(encoding="utf-8"))["exact match"]
    means = {name: 100 * statistics.mean(runs.values()) for name, runs in found.items()}
    assert min(means.values()) >= 99
    assert (len(found["tuned"]), len(found["fastest"])) == (20, 40)
    assert min(int(seed) for runs in found.values() for seed in runs) >= 200
    assert f"`tuned` has {means['tuned']:.2f} % and `fastest` {means['fastest']:.2f} %" in " ".join(README.split())
    for name, runs in found.items():
        values = [100 * value for value in runs.values()]
        assert f"`{name}` has {means[name]:.2f} % ({min(values):.2f} to {max(values):.2f})" in " ".join(RECORDS.split())
    assert sum(value < 0.99 for value in found["fastest"].values()) == 1


def test_the_seconds_promised_are_those_of_the_race():
    record = json.loads(bench.RECORD.read_text(encoding="utf-8"))
    runs = [run for run in record["runs"] if run["competitor"] == "tuned"]
    assert "Xeon" in record["hardware"]
    assert len(runs) == 10
    assert {run["examples"] for run in runs} == {TUNED.examples}
    assert min(run["exact_match"] for run in runs) > 0.99
    seconds = [run["seconds"] for run in runs]
    assert f"in {math.floor(min(seconds))} to {math.ceil(max(seconds))} seconds on two CPU cores" in " ".join(
        README.split()
    )


def test_the_time_of_a_notebook_is_that_of_its_exercises_and_an_hour():
    minutes = [
        sum(exercise.minutes for exercise in EXERCISES.values() if exercise.id.startswith(f"{number}."))
        for number in range(1, 7)
    ]
    least, most = min(minutes), max(minutes)
    text = " ".join(README.split())
    assert f"take {least} to {most} minutes more" in text
    assert f"{math.floor((60 + least) / 60)} to {math.ceil((60 + most) / 60)} hours in all" in text


def test_the_score_of_the_tests_is_that_of_the_report():
    report = (ROOT / "benchmarks" / "MUTATION.md").read_text(encoding="utf-8")
    score, without = re.search(r"^\| in all \| \d+ \| \d+ \| (\S+) \|.*\| (\S+) \|$", report, flags=re.M).groups()
    (goal,) = re.findall(r"^The goal is (\S+)\. ", report, flags=re.M)
    assert float(score) < float(goal) <= float(without)
    text = " ".join(README.split())
    assert f"The goal, a score of {goal}, is reached only without changes that make no difference" in text
    assert f"has {without} without and {score} with them" in text
    once, counted = re.findall(r", (0\.\d{3})", report.partition("Judged so, ")[2])[:2]
    assert f"judged once it had {counted} and {once}," in text


def test_each_notebook_takes_time_and_memory_as_recorded_and_less_than_one_and_a_half_gibibytes():
    record = json.loads((ROOT / "benchmarks" / "resources.json").read_text(encoding="utf-8"))
    assert record["hardware"].endswith(", 2 threads")
    assert sorted(record["notebooks"]) == sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
    for name, taken in record["notebooks"].items():
        (row,) = [line for line in README.splitlines() if line.startswith("|") and f"](notebooks/{name}.ipynb)" in line]
        assert f" | {taken['seconds']} s | {taken['MiB']} MiB |" in row
        assert taken["MiB"] < 1.5 * 1024


def test_the_network_that_fails_once_is_told_as_it_is():
    weights = record_path("once-wrong-length10.pt")
    certificate = load_certificate(record_path("once-wrong-length10.json"), weights)
    assert (certificate.complete, certificate.errors) == (True, 1)
    assert f"A network of {certificate.parameters:,} fails on [a single input]" in " ".join(README.split())
    source = torch.tensor(certificate.failures)
    target, written = SubstringTask().solve(source), load_model(weights).generate(source, 8)
    length = int(source[0, 1])
    failure, right, wrong = (
        " ".join(map(str, row.tolist())) for row in (source[0], target[0, :length], written[0, :length])
    )
    records = " ".join(RECORDS.split())
    assert (
        f"a network of {certificate.parameters:,} parameters fails, with seed 0 and before anything is fed back, "
        f"on a single one of the {certificate.inputs:,} inputs: " in records
    )
    assert f"{failure}, of which it writes {wrong}, and not {right}." in records


def test_what_was_counted_is_what_the_certificate_says():
    certificate = load_certificate(record_path("exact-length10.json"), record_path("exact-length10.pt"))
    assert (certificate.complete, certificate.errors, certificate.exact) == (True, 0, True)
    text = " ".join(README.split())
    assert f"A network of {certificate.parameters:,} parameters writes the right output for every one" in text
    assert f"of the task's {certificate.inputs:,} inputs" in text
    assert f"leads by at least {certificate.worst_margin:.2f} everywhere" in text
    records = [json.loads(each.RECORD.read_text(encoding="utf-8")) for each in (counting, floor)]
    assert {record["hardware"] for record in records} == {"AMD EPYC (family 26, model 2), 1 thread"}
    speed = max(speed for record in records for speed in record["operations a second of one thread"].values())
    hours = SubstringTask().size * counting.operations_per_input(build_model(TUNED), SubstringTask()) / speed / 3600
    assert certificate.pieces[0].threads == 1
    assert (
        f"{certificate.seconds / 60:.0f} minutes on one core of a Xeon for {certificate.parameters:,} parameters. For "
        f"`tuned`'s {count_parameters(build_model(TUNED)):,} it takes at least {math.floor(hours)} hours of one "
        "core of an EPYC, by"
    ) in text
    times = certificate.worst_margin / certificate.arithmetic_difference
    assert f"{round(times, -4):,.0f} times the largest difference that float64, or another order of the same" in text


def test_the_pictures_description_tells_what_a_perfect_network_writes():
    written, source = re.search(r"writes ([\d ]+) for the source ([\d ]+),", README).groups()
    assert SubstringTask().solve([int(token) for token in source.split()]).tolist() == list(map(int, written.split()))


def test_what_the_readme_points_to_exists():
    for target in re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert (ROOT / target).exists(), target
    for verb in re.findall(r"`make ([a-z-]+)", README):
        assert re.search(rf"^{verb}:", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.M), verb


def test_the_table_of_exercises_counts_what_is_there():
    table = (ROOT / "benchmarks" / "EXERCISES.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d\.\d) \| .* \| (\d+) \| \d+ \| (\d+) \| \d+ \|$", table, flags=re.M)
    counts = [(exercise.id, len(exercise.mistakes), len(RIGHT_ANSWERS[exercise.id])) for exercise in EXERCISES.values()]
    assert [(id_, int(mistakes), int(right)) for id_, mistakes, right in rows] == counts
    text = " ".join(README.split())
    mistakes, right = sum(count[1] for count in counts), sum(count[2] for count in counts)
    assert f"{len(counts)} exercises tell {mistakes} mistakes apart, and are tested to accept {right} other" in text


@pytest.mark.parametrize(
    ("name", "trained_by"),
    [
        ("exact-length8", "`train --recipe exact-8`"),
        ("exact-length10", "`train --recipe exact`"),
        ("mended-length10", "`smallest` with states of 22, and its one failure fed back"),
        ("smallest-length10", "`smallest`, and 46 failures fed back"),
    ],
)
def test_the_smallest_exact_networks_are_those_of_their_certificates(name, trained_by):
    found = load_certificate(record_path(f"{name}.json"), record_path(f"{name}.pt"))
    counted = f"all {found.inputs:,}" if found.complete else f"{found.inputs:,} of {found.task.size:,}"
    row = [f"{found.length}", f"{found.parameters:,}", counted, f"{found.errors}", f"{found.worst_margin:.2f}"]
    assert load_checkpoint(record_path(f"{name}.pt"))["recipe"]["name"] in trained_by
    row += [trained_by, f"[{name}.json](../course_utils/records/{name}.json)"]
    assert f"| {' | '.join(row)} |" in RECORDS


@pytest.mark.parametrize("recipe", [*recipes.SAME_NETWORK, *recipes.ANY_NETWORK], ids=lambda recipe: recipe.name)
def test_the_way_to_the_quick_recipes_is_told_as_it_was_run(recipe):
    record = load_record("recipes")
    (line,) = (line for line in RECORDS.splitlines() if line.startswith(f"| `{recipe.name}`: "))
    assert line.endswith(f" | {recipes.row(record, recipe)} |")
    runs = [run for run in record["runs"] if run["recipe"] == recipe.name]
    assert len({run["seed"] for run in runs}) == len(runs) == (5 if recipe in recipes.LONG_RUNS else 10)
    assert {run["examples"] for run in runs} == {recipe.examples}
    assert (statistics.mean(run["exact_match"] for run in runs) >= 0.99) == (recipe.name not in SHORT_OF_THE_GOAL)
    where = f"{record['hardware']}, torch {record['versions']['torch']}, commit {record['commit']}, {record['date']}"
    assert where in " ".join(RECORDS.split())


def test_what_the_records_say_of_the_recipes_is_so():
    assert (EXACT.emb_dim, EXACT.hidden_dim, EXACT.n_layers, EXACT.batch_size) == (16, 32, 1, 256)
    assert (EXACT.learning_rate, EXACT.length_weight, EXACT.one_cycle) == (0.01, 1.0, True)
    assert "one layer, embeddings of 16 and states of 32" in RECORDS
    differs = {name: value for name, value in dataclasses.asdict(SMALLEST).items() if value != getattr(EXACT, name)}
    assert differs == {"name": "smallest", "epochs": 200, "emb_dim": 10, "hidden_dim": 20, "length_weight": 3.0}
    assert f"embeddings of 10 and states of 20, and {SMALLEST.steps:,} such batches" in " ".join(RECORDS.split())
    assert f"`exact` takes {EXACT.steps:,} batches of {EXACT.batch_size}" in " ".join(RECORDS.split())
    assert f"`exact-8` takes {EXACT_8.steps:,}" in " ".join(RECORDS.split())


@pytest.mark.parametrize("recipe", counting.RECIPES, ids=lambda recipe: recipe.name)
def test_the_speed_of_counting_is_that_of_its_record(recipe):
    record = json.loads(counting.RECORD.read_text(encoding="utf-8"))
    found = record["networks"][recipe.name]
    model = build_model(recipe)
    assert found["parameters"] == count_parameters(model)
    assert found["operations an input"] == round(counting.operations_per_input(model, SubstringTask(recipe.length)))
    whole, tree = (f"{found['inputs a second'][engine]:,} a second" for engine in ("WholeCalls", "PrefixTree"))
    numbers = f"{found['operations an input']:,} | {whole} | {tree} | {100 * found['share of the floor']:.0f} %"
    assert f"| {found['parameters']:,} parameters, length {recipe.length} | {numbers} |" in RECORDS
    speed = max(record["operations a second of one thread"].values())
    where = f"{record['hardware']}, torch {record['versions']['torch']}, {record['date']}"
    assert f"{where}, at {speed / 1e9:.0f} GFLOP/s" in " ".join(RECORDS.split())
