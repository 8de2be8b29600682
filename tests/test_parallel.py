"""Data-parallel training: two processes give the numbers of one, stop together, and go on together."""

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import TINY_TUNED
from torch import Tensor, distributed
from two_processes import COINS, DROPOUT, FORCED, PRINTED, UNTIL

from course_utils import SubstringTask, device_of_process, fit, load_checkpoint, parallel, summary
from course_utils import __main__ as command_line
from course_utils.data import batches
from course_utils.training import ALONE

RUNS = Path(__file__).with_name("two_processes.py")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two processes have made their runs."""
    folder = tmp_path_factory.mktemp("runs")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    with subprocess.Popen([*launcher, RUNS, folder], stderr=subprocess.PIPE, text=True) as torchrun:
        try:
            _, errors = torchrun.communicate(timeout=240)
        finally:
            torchrun.terminate()  # where it has not ended, so that it ends its processes
    assert torchrun.returncode == 0, errors
    assert "Warning" not in errors, errors
    return folder


@pytest.fixture(scope="module")
def both(folder: Path) -> list[dict]:
    """What each of them saw."""
    return [torch.load(folder / f"process{rank}.pt", weights_only=True) for rank in (0, 1)]


def without_seconds(history: list[dict]) -> list[dict]:
    return [{name: value for name, value in epoch.items() if name != "seconds"} for epoch in history]


def same(state: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return state.keys() == other.keys() and all(torch.equal(state[name], other[name]) for name in state)


# --- Two processes and one --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "recipe", "until"), [("forced", FORCED, None), ("coins", COINS, UNTIL)])
def test_two_processes_give_the_numbers_of_one(name, recipe, until, both):
    one = fit(recipe, seed=3, until=until)
    assert len(one.step_losses) >= 80
    assert len(one.history) == (3 if until is None else 2)  # stopping early is their common decision
    for two in (both[0][name], both[1][name]):
        assert two["step"] == one.step
        assert two["step_losses"] == pytest.approx(one.step_losses, rel=0, abs=1e-5)
        assert [list(row) for row in two["history"]] == [list(row) for row in one.history]
        for mine, theirs in zip(without_seconds(two["history"]), without_seconds(one.history), strict=True):
            assert mine == pytest.approx(theirs, rel=1e-4, abs=1e-3)  # an example in a thousand may tip over
        for weight, expected in zip(two["state"].values(), one.model.state_dict().values(), strict=True):
            torch.testing.assert_close(weight, expected, rtol=0, atol=1e-4)
    assert both[0][name]["best_epoch"] == one.best_epoch


def test_the_processes_share_the_rows_of_the_batches_that_one_would_have_drawn(both):
    generator = torch.Generator().manual_seed(0)
    drawn = batches(SubstringTask(TINY_TUNED.length), 8, TINY_TUNED.steps, generator, TINY_TUNED.length_weight)
    for (source, _), first, second in zip(drawn, both[0]["sources"], both[1]["sources"], strict=True):
        assert torch.equal(first, source[[0, 2, 4, 6]])
        assert torch.equal(second, source[[1, 3, 5, 7]])


def test_both_processes_end_with_the_very_same_weights(both):
    for name in ("forced", "coins", "dropout", "resumed"):
        assert same(both[0][name]["state"], both[1][name]["state"])
        assert both[0][name]["history"] == both[1][name]["history"]


def test_only_the_first_process_saves(folder, both):
    assert sorted(path.name for path in (folder / "own0").iterdir()) == ["best.pt", "last.pt"]
    assert list((folder / "own1").iterdir()) == []
    assert same(load_checkpoint(folder / "own0" / "last.pt")["model"], both[0]["forced"]["state"])


def test_each_process_drops_what_another_keeps(both):
    first, second = (seen["dropout states"] for seen in both)
    assert len(first) == len(second) == 1 + 3 * (4 + 1)
    assert not any(torch.equal(mine, theirs) for mine, theirs in zip(first, second, strict=True))


# --- Interrupted and resumed ------------------------------------------------------------------------------------------


def test_an_interrupt_of_one_process_stops_both_and_they_go_on_to_the_same_numbers(both):
    for seen in both:
        assert seen["stopped"]["interrupted"]
        assert len(seen["stopped"]["history"]) == 1
        assert not seen["resumed"]["interrupted"]
        assert seen["resumed"]["step_losses"] == seen["dropout"]["step_losses"]
        assert without_seconds(seen["resumed"]["history"]) == without_seconds(seen["dropout"]["history"])
        assert same(seen["resumed"]["state"], seen["dropout"]["state"])


def test_dropout_makes_the_numbers_others_than_those_of_one(both):
    assert both[0]["dropout"]["step_losses"] != pytest.approx(fit(DROPOUT).step_losses, rel=0, abs=1e-5)


def test_after_a_run_an_interrupt_is_what_it_was_before(both):
    assert all(seen["Ctrl-C is Python's again"] for seen in both)


# --- What cannot be shared --------------------------------------------------------------------------------------------


def test_batches_that_cannot_be_shared_evenly_are_refused_by_all(both):
    for seen in both:
        assert seen["refusal"] == (
            "2 processes cannot share batches of 9 evenly: "
            "start a number of processes that divides the batch (--nproc-per-node)."
        )


def test_processes_that_would_go_on_from_different_steps_are_refused(both):
    for seen in both:
        assert seen["apart"] == (
            "The processes would go on from different steps: not all of them see the folder's last.pt. "
            "Give all of them the same folder (--out)."
        )


def started_by_torchrun(number: int, n: int, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this process one of n on this machine, with the number, counted from 0."""
    numbers = {"RANK": number, "LOCAL_RANK": number, "WORLD_SIZE": n, "LOCAL_WORLD_SIZE": n, "MASTER_PORT": port}
    for name, value in {**numbers, "MASTER_ADDR": "localhost"}.items():
        monkeypatch.setenv(name, str(value))


@pytest.fixture
def eight_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """This is the fourth of eight that torchrun has started here."""
    started_by_torchrun(3, 8, 29500, monkeypatch)


def with_gpus(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: number > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: number)


def test_each_process_has_a_gpu_of_its_own(eight_processes, monkeypatch):
    with_gpus(8, monkeypatch)
    assert device_of_process("cuda") == device_of_process("auto") == torch.device("cuda", 3)
    assert device_of_process("cpu") == torch.device("cpu")


def test_more_processes_than_gpus_are_refused_but_not_on_the_cpu(eight_processes, monkeypatch, refused):
    with_gpus(7, monkeypatch)
    with refused("this machine has 7 for 8 processes: start 7"):
        device_of_process("cuda")
    assert device_of_process("cpu") == torch.device("cpu")
    with_gpus(0, monkeypatch)
    assert device_of_process("auto") == torch.device("cpu")


def test_without_torchrun_the_device_is_the_one_found(monkeypatch):
    with_gpus(1, monkeypatch)
    assert device_of_process("auto") == torch.device("cuda")


def test_without_torchrun_a_process_is_alone():
    with parallel.process_of_torchrun(torch.device("cpu")) as process:
        assert process is ALONE
    assert parallel.gather("mine") == ["mine"]


@pytest.mark.parametrize(("rank", "gathered"), [(0, ["of 0", "of 1"]), (1, ["of 1"])])
def test_the_first_process_gets_the_values_of_all(rank, gathered, monkeypatch):
    def gather_object(value, values):
        if values is not None:
            values[:] = [f"of {number}" for number in range(len(values))]

    monkeypatch.setattr(parallel, "n_processes", lambda: 2)
    monkeypatch.setattr(parallel, "rank", lambda: rank)
    monkeypatch.setattr(parallel, "joined", nullcontext)
    monkeypatch.setattr(distributed, "gather_object", gather_object)
    assert parallel.gather(f"of {rank}") == gathered


@pytest.mark.parametrize("missing", ["RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"])
def test_what_a_cluster_leaves_in_the_environment_makes_no_processes(missing, eight_processes, monkeypatch, capsys):
    assert (parallel.rank(), parallel.n_processes()) == (3, 8)
    monkeypatch.delenv(missing)
    with_gpus(1, monkeypatch)
    assert (parallel.rank(), parallel.n_processes()) == (0, 1)
    assert device_of_process("cuda") == torch.device("cuda")
    assert command_line.main(["train", "--recipe", "nonsense"]) == 2
    assert "no recipe 'nonsense'" in capsys.readouterr().err


def test_a_process_seeds_its_own_dropout_and_no_gpu_of_another(monkeypatch):
    seeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    monkeypatch.setattr(distributed, "get_rank", lambda: 2)
    monkeypatch.setattr(distributed, "get_world_size", lambda: 4)
    run = SimpleNamespace(seed=7, history=[{}, {}], device=torch.device("cpu"))
    with torch.random.fork_rng(devices=[]):
        parallel.TorchrunProcess().on_epoch(run)
        assert torch.initial_seed() == 7 + 2 * parallel.SEEDS_APART + 2
    assert seeded == []


@pytest.mark.parametrize(("device", "backend"), [("cuda:3", "cpu:gloo,cuda:nccl"), ("cpu", "gloo")])
def test_processes_talk_by_nccl_on_gpus_and_by_gloo_on_cpus(device, backend, monkeypatch):
    calls = []

    def note(name: str) -> Callable[..., None]:
        return lambda *arguments, **options: calls.append((name, *arguments, *options.values()))

    monkeypatch.setattr(torch.cuda, "set_device", note("device"))
    monkeypatch.setattr(distributed, "init_process_group", note("begin"))
    monkeypatch.setattr(distributed, "destroy_process_group", note("end"))
    with parallel.joined(torch.device(device)):
        calls.append("talk")
    begin = [("device", torch.device(device))] if device != "cpu" else []
    assert calls == [*begin, ("begin", backend, timedelta(days=30)), "talk", ("end",)]


# --- The command line -------------------------------------------------------------------------------------------------


def test_the_same_command_line_trains_and_the_first_process_alone_speaks(both, folder):
    first, second = (seen["command line"] for seen in both)
    one = fit(PRINTED, seed=3)
    assert (first["status"], second) == (0, {"status": 0, "out": "", "err": ""})
    assert "40/40" in first["err"]
    assert first["err"].count("input   ") == 8
    result = json.loads(first["out"])
    assert (result["recipe"], result["examples"]) == (PRINTED.name, one.examples)
    assert result["history"][0]["loss"] == pytest.approx(one.history[0]["loss"], abs=1e-5)
    assert result["exact_match"] == pytest.approx(summary(one)["exact_match"], abs=1e-3)
    assert sorted(path.name for path in (folder / "command").iterdir()) == ["best.pt", "last.pt"]


def test_what_is_wrong_for_all_processes_is_said_once(monkeypatch, capsys):
    torchruns = distributed.TCPStore("localhost", 0, is_master=True)
    started_by_torchrun(0, 2, torchruns.port, monkeypatch)
    commands = ["train --recipe nonsense", "train --recipe nonsense", "train --device gpu"]
    assert [command_line.main(command.split()) for command in commands] == [2, 2, 2]
    first, second = capsys.readouterr().err.splitlines()
    assert "no recipe 'nonsense'" in first
    assert "no device 'gpu'" in second
