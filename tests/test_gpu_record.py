"""`make gpu`: rehearsed on the CPU at toy sizes, refused without a GPU, resumed, and its gaps on one visible list."""

import dataclasses
import itertools
import json
import math
import re
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import gpu
import pytest
import torch

from course_utils import (
    FASTEST,
    ORIGINAL,
    TUNED,
    InputError,
    SubstringTask,
    build_model,
    count_errors,
    count_parameters,
    fit,
    load_certificate,
    plots,
    record_path,
    save_checkpoint,
    verification,
)
from course_utils.ladder import RUNGS

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def build(tmp_path, monkeypatch):
    """Everything goes into a folder of the test's own."""
    monkeypatch.setattr(gpu, "BUILD", tmp_path)
    monkeypatch.setattr(gpu, "record_path", lambda name: tmp_path / name if name == "gpu.json" else record_path(name))
    return tmp_path


def stages_of(path):
    return json.loads(path.read_text(encoding="utf-8"))["stages"]


def test_every_stage_can_be_rehearsed(build, capsys):
    assert gpu.main(["--rehearse", "--commit", "abc"]) == 0, capsys.readouterr().err
    stages = stages_of(build / "rehearsal" / "gpu.json")
    assert list(stages) == list(gpu.STAGES)
    for result in stages.values():
        assert {"hardware", "versions", "date", "took"} <= result.keys()
        assert result["commit"] == "abc"
    assert stages["tests"]["skipped"] >= 15
    assert min(stages["start-up"]["seconds"].values()) > 0
    assert [row["name"] for row in stages["ladder"]["rungs"]] == [rung.name for rung in RUNGS[:-1]]
    for name, runs in (("tuned", 2), ("fastest", 2), ("original", 1)):
        assert [run["seed"] for run in stages[name]["runs"]] == list(range(runs))
    assert stages["exact count"]["certificate"]["inputs"] == 9**5
    assert stages["exact count"]["certificate"]["errors"] == 0
    assert stages["large count"]["certificate"]["complete"]
    assert (stages["notebook"]["claims that hold"], stages["notebook"]["claims that fail"]) == (2, [])
    assert stages["memory"]["MiB"].keys() == {"plain", "captured"}
    assert not (build / "gpu.json").exists()


def test_without_a_gpu_it_says_so_in_one_sentence(build, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main([]) == 2
    assert re.fullmatch(r"There is no CUDA GPU here: [^\n]+\.\n", capsys.readouterr().err)
    assert list(build.iterdir()) == []


def test_where_git_knows_no_commit_it_has_to_be_named(build, capsys, monkeypatch):
    monkeypatch.setattr(gpu.provenance, "commit", lambda: "unknown")
    assert gpu.main(["--rehearse"]) == 2
    assert capsys.readouterr().err == "Git does not say which commit this is: name it with --commit.\n"
    assert list(build.iterdir()) == []


# --- Resuming ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def toy_stages(monkeypatch):
    """Three stages that only say that they were run, the second of which fails at first."""
    ran = []

    def stage(name):
        def work(plan):
            ran.append(name)
            if name == "b" and ran.count("b") == 1:
                raise gpu.NotDoneError("half of it is left.")
            return {"number": 1 / 3}

        return work

    monkeypatch.setattr(gpu, "STAGES", {name: stage(name) for name in "abc"})
    return ran


def test_what_is_done_is_not_done_again(build, toy_stages, capsys):
    rehearse = ["--rehearse", "--commit", "abc"]
    assert gpu.main(rehearse) == 1
    said = capsys.readouterr().err
    assert "not done: half of it is left.\n" in said
    assert said.endswith("Not done: b.\n")
    path = build / "rehearsal" / "gpu.json"
    assert list(stages_of(path)) == ["a", "c"]
    assert gpu.main(rehearse) == 0
    assert gpu.main(rehearse) == 0
    assert toy_stages == ["a", "b", "c", "b"]
    assert gpu.main([*rehearse, "--stage", "c", "--stage", "a"]) == 0
    assert toy_stages == ["a", "b", "c", "b", "c", "a"]
    assert stages_of(path)["a"]["number"] == 0.33333


def test_no_stage_is_begun_when_the_time_is_over(toy_stages, capsys):
    assert gpu.main(["--rehearse", "--commit", "abc", "--minutes", "0"]) == 1
    assert toy_stages == []
    assert capsys.readouterr().err == "Not done: a, b, c.\n"


@pytest.mark.parametrize(
    ("error", "words"), [(InputError("Say it."), "not done: Say it.\n"), (KeyError("x"), "Traceback")]
)
def test_a_stage_that_fails_is_said_and_passed_over(error, words, build, toy_stages, capsys, monkeypatch):
    def fail(plan):
        raise error

    monkeypatch.setitem(gpu.STAGES, "a", fail)
    assert gpu.main(["--rehearse", "--commit", "abc"]) == 1
    assert words in capsys.readouterr().err
    assert list(stages_of(build / "rehearsal" / "gpu.json")) == ["c"]


# --- Stopped in the middle --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "whole"), [("tuned", 0), ("tuned", 1), ("large count", 0)])
def test_training_that_is_interrupted_is_no_measurement(name, whole, build, monkeypatch):
    """So many runs of the stage are whole, then comes the user's Ctrl-C, which training swallows."""
    interrupted = iter([False] * whole + [True] + [False] * 9)
    monkeypatch.setattr(
        gpu,
        "fit",
        lambda *recipe, **how: dataclasses.replace(fit(*recipe, **how), interrupted=next(interrupted)),
    )
    stages = {name: gpu.STAGES[name], "next": lambda plan: pytest.fail("the next stage was begun")}
    monkeypatch.setattr(gpu, "STAGES", stages)
    with pytest.raises(KeyboardInterrupt):
        gpu.main(["--rehearse", "--commit", "abc"])
    assert not (build / "rehearsal" / "gpu.json").exists()


@pytest.fixture
def count(build, recipe):
    """Count a network's errors as a stage does; the certificate so far is in some-count.json."""
    checkpoint = build / "model.pt"
    save_checkpoint({"model": build_model(recipe).state_dict()}, checkpoint)

    def counted(length=6, deadline=math.inf, **options):  # of length 6 there are six blocks of 6,561 inputs
        plan = gpu.Plan(torch.device("cpu"), build / "gpu.json", build, 1, 1, deadline)
        return gpu.counted(plan, checkpoint, SubstringTask(length), "some-count", **options)

    return counted


def test_a_long_count_stops_at_the_deadline_and_goes_on(count):
    for counted in ("6,561", "13,122"):
        with pytest.raises(gpu.NotDoneError, match=f"^{counted} of 39,366 inputs are counted; call again"):
            count(deadline=0)
    certificate = count()
    assert (certificate["inputs"], certificate["complete"]) == (39_366, True)
    assert certificate["errors"] == sum(certificate["errors_by_pair"].values()) > 0
    assert certificate["inputs a second"] == pytest.approx(39_366 / certificate["seconds"])
    assert "failures" not in certificate


def test_an_interrupted_count_is_saved_and_ends_the_program(count, build, monkeypatch):
    def count_two_blocks(*arguments, on_block, **options):
        def on_block_or_stop(certificate, n_inputs):
            on_block(certificate, n_inputs)
            if certificate.inputs == 2 * 9**4:
                raise KeyboardInterrupt

        return count_errors(*arguments, on_block=on_block_or_stop, **options)

    with monkeypatch.context() as patch:
        patch.setattr(verification, "count_errors", count_two_blocks)
        with pytest.raises(KeyboardInterrupt):
            count()
    assert load_certificate(build / "some-count.json").inputs == 2 * 9**4
    assert count()["complete"]


def test_a_count_that_is_done_just_at_the_deadline_is_done(count):
    assert count(length=7, one_block=True, deadline=0)["inputs"] == 9**5


def test_a_long_count_is_saved_now_and_then(count, monkeypatch):
    saved = []
    monkeypatch.setattr(verification, "save_certificate", lambda certificate, path: saved.append(certificate.inputs))
    count()
    assert saved == [39_366]
    monkeypatch.setattr(verification, "SECONDS_BETWEEN_SAVES", -1)
    count()
    assert saved[1:] == [*range(6_561, 39_367, 6_561), 39_366]
    saved.clear()
    calls = itertools.count()  # a second passes from one call to the next; a block makes one, and another if it saves
    told = SimpleNamespace(monotonic=lambda: next(calls), perf_counter=time.perf_counter)
    monkeypatch.setattr(verification, "time", told)
    monkeypatch.setattr(verification, "SECONDS_BETWEEN_SAVES", 2)
    count()
    assert saved == [3 * 6_561, 6 * 6_561, 39_366]


def test_the_large_network_is_trained_once(build, monkeypatch):
    plan = gpu.Plan(torch.device("cpu"), build / "gpu.json", build, 1, 1, math.inf, rehearsed=True)
    first = gpu.large_count(plan)
    assert first["recipe"] == dataclasses.asdict(plan.sized(gpu.TUNED_AND_LONGER))
    monkeypatch.setattr(gpu, "fit", lambda *_, **__: pytest.fail("it was trained again"))
    again = gpu.large_count(plan)
    assert again["training seconds"] == first["training seconds"] > 0
    assert again["certificate"]["sha256"] == first["certificate"]["sha256"]


def test_a_claim_that_fails_on_this_device_is_recorded_beside_those_that_hold(build, monkeypatch):
    cells = ["device = 'cpu'", "assert device == 'cuda', 'no GPU'", "print('✓ it goes on')"]
    stored = {"cells": [{"cell_type": "code", "source": [source]} for source in cells]}
    (build / "notebooks").mkdir()
    (build / "notebooks" / "04_cuda_training.ipynb").write_text(json.dumps(stored), encoding="utf-8")
    monkeypatch.setattr(gpu, "ROOT", build)
    plan = gpu.Plan(torch.device("cpu"), build / "gpu.json", build, 1, 1, math.inf)
    found = gpu.notebook(plan)
    assert (found["claims that fail"], found["claims that hold"]) == (["In [2]: no GPU"], 1)


def test_an_interrupt_before_the_first_block_leaves_nothing(count, build, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(verification, "count_errors", interrupted)
    with pytest.raises(KeyboardInterrupt):
        count()
    assert not (build / "some-count.json").exists()


SWALLOWS = """
import os, signal
device = "cpu"
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    pass
"""


@pytest.mark.parametrize("then", ["", "assert False"])
def test_an_interrupt_that_a_notebook_s_cell_swallows_is_one(then, build, monkeypatch):
    cell = {"cell_type": "code", "source": [SWALLOWS + then]}
    (build / "notebooks").mkdir()
    (build / "notebooks" / "04_cuda_training.ipynb").write_text(json.dumps({"cells": [cell]}), encoding="utf-8")
    monkeypatch.setattr(gpu, "ROOT", build)
    plan = gpu.Plan(torch.device("cpu"), build / "gpu.json", build, 1, 1, math.inf)
    with pytest.raises(KeyboardInterrupt):
        gpu.notebook(plan)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_products_are_in_tf32_inside_and_as_they_were_afterwards():
    with gpu.tf32():
        assert torch.get_float32_matmul_precision() == "high"
    assert torch.get_float32_matmul_precision() == "highest"


# --- What is measured -------------------------------------------------------------------------------------------------


def test_the_floor_counts_the_cells_that_wait_for_each_other(build, monkeypatch):
    monkeypatch.setattr(gpu, "rows_of_cells", lambda *_: {"slow": 0.3, "quick": 0.1})
    monkeypatch.setattr(gpu, "seconds", lambda row, device: row)
    monkeypatch.setattr(gpu, "climb", lambda *_, **__: [{"seconds": 0.088}])
    plan = gpu.Plan(torch.device("cpu"), build, build, 1, 1, math.inf)
    found = gpu.floor(plan)
    assert found["dependent cells"] == 44  # ten tokens and two more layers, eight and two more, there and back
    assert found["seconds a cell"] == pytest.approx({"slow": 0.003, "quick": 0.001})
    assert found["seconds at the floor"] == pytest.approx(0.044)
    assert found["times the floor"] == pytest.approx(2)


def test_each_cell_of_the_chain_waits_for_the_one_before(monkeypatch):
    products = []
    real = torch.addmm

    def watch(bias, hidden, weight):
        products.append(hidden)
        return real(bias, hidden, weight)

    monkeypatch.setattr(torch, "addmm", watch)
    rows = gpu.rows_of_cells(torch.device("cpu"), 8, 3)
    last = rows["written out"]()
    assert len(products) == gpu.CHAIN
    assert last.shape == products[0].shape == (3, 8)
    assert not torch.equal(products[0], products[1])
    outputs, _ = rows["nn.GRU"]()
    assert outputs.shape == (3, gpu.CHAIN, 8)
    assert not outputs.requires_grad


def test_in_earnest_the_recipes_are_those_of_the_package(build):
    plan = gpu.Plan(torch.device("cuda"), build, build, 10, 3, math.inf)
    assert plan.captured
    assert [plan.sized(recipe) for recipe in (TUNED, FASTEST, ORIGINAL)] == [TUNED, FASTEST, ORIGINAL]
    assert count_parameters(build_model(gpu.TUNED_AND_LONGER)) == 2_177_034
    assert gpu.TUNED_AND_LONGER.examples > 100 * TUNED.examples


RUNGS_MEASURED = [
    {"name": "loop", "batch_size": 32, "seconds": 0.1, "examples_per_second": 320.0},
    {"name": "captured step", "batch_size": 512, "seconds": 0.002, "examples_per_second": 256_000.0},
]
STAGE = {"hardware": "GPU X", "versions": {"torch": "9.9"}, "date": "2030-01-01", "rungs": RUNGS_MEASURED}


def cell_with(words):
    """The source of notebook 04's cell with these words."""
    stored = json.loads((ROOT / "notebooks" / "04_cuda_training.ipynb").read_text(encoding="utf-8"))
    (source,) = [cell for cell in ("".join(cell["source"]) for cell in stored["cells"]) if words in cell]
    return source


@pytest.mark.parametrize(("device", "waits"), [("cuda", 2), ("cpu", 0)])
def test_the_notebook_s_clock_waits_for_a_gpu(device, waits, monkeypatch):
    waited = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: waited.append(True))
    clock, _ = cell_with("def clock():").split("\n\n", 1)
    space = {"device": torch.device(device), "torch": torch, "time": time}
    exec(clock, space)
    assert space["clock"]() <= space["clock"]()
    assert len(waited) == waits


@pytest.fixture
def ladder_of_the_notebook(build, monkeypatch, capsys):
    """Run notebook 04's cell on a device; returns what is printed and the titles of its figures."""
    source = cell_with("climb(device)")

    def run(device, record=None):
        if record:
            (build / "gpu.json").write_text(json.dumps(record), encoding="utf-8")
        figures = []
        space = {
            "device": torch.device(device),
            "torch": torch,
            "plots": plots,
            "climb": lambda device: RUNGS_MEASURED,
            "record_path": gpu.record_path,
            "load_record": lambda name: json.loads(gpu.record_path(f"{name}.json").read_text(encoding="utf-8")),
            "show": lambda figure, alt, measured: figures.append(figure.axes[0].get_title("left")),
        }
        exec(source, space)
        return capsys.readouterr().out, figures

    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "GPU Y")
    return run


TABLE = (
    "loop                  100.00 ms a step           320 examples a second,   1.0 times the loop\n"
    "captured step           2.00 ms a step       256,000 examples a second, 800.0 times the loop\n"
)


def test_the_notebook_measures_the_ladder_where_there_is_a_gpu(ladder_of_the_notebook):
    printed, figures = ladder_of_the_notebook("cuda", {"stages": {"ladder": STAGE}})
    assert figures == ["The same network on a GPU (measured here, GPU Y)"]
    assert printed == TABLE


def test_without_a_gpu_the_notebook_shows_the_record_and_says_what_it_was_made_on(ladder_of_the_notebook):
    printed, figures = ladder_of_the_notebook("cpu", {"stages": {"ladder": STAGE}})
    assert figures == ["The same network on a GPU (recorded: GPU X, torch 9.9, 2030-01-01)"]
    assert printed == TABLE


@pytest.mark.parametrize("record", [None, {"stages": {}}])
def test_without_a_record_either_the_notebook_says_that_nothing_was_measured(record, ladder_of_the_notebook):
    printed, figures = ladder_of_the_notebook("cpu", record)
    assert printed == "Not measured on a GPU yet: run this notebook where there is one, or `make gpu`.\n"
    assert figures == []


def test_what_has_not_run_on_a_gpu_is_on_the_list():
    text = (ROOT / "benchmarks" / "RECORDS.md").read_text(encoding="utf-8")
    (listed,) = re.findall(r"\*\*Not run on a GPU yet\*\*.*?\n\n(.*?)(?:\n\n|\Z)", text, flags=re.S) or [""]
    record = record_path("gpu.json")
    done = stages_of(record) if record.exists() else {}
    assert re.findall(r"^- `([^`]+)`:", listed, flags=re.M) == [name for name in gpu.STAGES if name not in done]
