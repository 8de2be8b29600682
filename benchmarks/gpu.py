"""Everything that has to be measured on a GPU, stage by stage, by one command.

    make gpu                                               # all stages that have no result yet
    python benchmarks/gpu.py --stage ladder --minutes 9    # this one (again); --stage may come several times
    make gpu GPU_ARGS=--rehearse                           # every stage at toy sizes on the CPU, into build/

It writes course_utils/records/gpu.json when a stage is done: its result, the hardware, versions, commit and date. A
stage that fails is said and passed over. After so many minutes no stage is begun, and the long counts stop; call again
and they go on where they were, in build/gpu (some 10 MB: on another machine, take it and the record along). Where the
commit cannot be asked of git, name it: --commit.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import json
import math
import platform
import re
import signal
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import batches
import provenance
import scaling
import torch
from provenance import whole
from torch import Tensor

from course_utils import (
    FASTEST,
    ORIGINAL,
    TUNED,
    Certificate,
    InputError,
    Recipe,
    SubstringTask,
    climb,
    count_into,
    count_parameters,
    fit,
    load_certificate,
    load_checkpoint,
    load_model,
    record_path,
    save_checkpoint,
    seconds,
    sha256_of,
    still_to_count,
    summary,
)
from course_utils.ladder import CAPTURED

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "gpu"
# As scaling.py does on a CPU, and farther: a GPU has room for more.
FARTHER = {"batch_size": 16_384, "hidden_dim": 2_048}
LEVERS = {name: (first, FARTHER.get(name, last), told) for name, (first, last, told) in scaling.LEVERS.items()}
CHAIN = 100  # cells in a row, to measure what one costs
ROUNDS = 7
# The full network, trained until its mistakes are worth counting.
TUNED_AND_LONGER = dataclasses.replace(
    TUNED,
    name="tuned and longer",
    batch_size=512,
    steps_per_epoch=1000,
    epochs=16,
    learning_rate=2e-3,
    betas=(0.9, 0.98),
    gradient_clip=1.0,
    weight_decay=0.01,
    length_weight=1.0,
    guided=False,
)


class NotDoneError(Exception):
    """The time is over, or something is missing. The message says what is left."""


@dataclass(frozen=True)
class Plan:
    """Where and how large everything is: in earnest, or rehearsed."""

    device: torch.device
    record: Path
    folder: Path  # for what is not done yet
    seeds: int
    runs_of_the_original: int
    deadline: float  # on the monotonic clock
    rehearsed: bool = False

    @property
    def captured(self) -> bool:
        """A CPU captures nothing; there the plain step stands in."""
        return self.device.type == "cuda"

    def sized(self, recipe: Recipe) -> Recipe:
        toy = {"emb_dim": 4, "hidden_dim": 8, "n_layers": 2, "batch_size": 4, "steps_per_epoch": 2, "epochs": 2}
        return dataclasses.replace(recipe, **toy, length=4) if self.rehearsed else recipe


@contextlib.contextmanager
def tf32() -> Iterator[None]:
    """Matrix products in TF32, as a GPU's GRU takes them anyway."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextlib.contextmanager
def interrupts_kept() -> Iterator[None]:
    """An interrupt that the code inside swallows, as training does, is raised again at its end."""
    pressed = []

    def note(number: int, frame: object) -> None:
        pressed.append(number)
        signal.default_int_handler(number, frame)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if pressed:
            raise KeyboardInterrupt


# --- The stages -------------------------------------------------------------------------------------------------------


def tests(plan: Plan) -> dict:
    """tests/gpu, in a process of its own."""
    command = [sys.executable, "-m", "pytest", "tests/gpu", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|skipped|error)", done.stdout)}
    if done.returncode or (plan.captured and counts.keys() != {"passed"}):
        raise NotDoneError(f"{counts}:\n{done.stdout[-4000:]}{done.stderr[-1000:]}")
    return counts


START_UP = """
import json, sys, time
times, began = {}, time.perf_counter()
def lap(name):
    global began
    times[name], began = time.perf_counter() - began, time.perf_counter()
import torch
lap("import torch")
from course_utils import TUNED, fit
import dataclasses
lap("import course_utils")
device = torch.device(sys.argv[1])
torch.ones(1, device=device).item()
lap("first number on the device")
short = dataclasses.replace(TUNED, epochs=1, validation_examples=1, steps_per_epoch=1)
fit(short, device=device)
lap("run of one step")
fit(dataclasses.replace(short, steps_per_epoch=5), device=device, captured=device.type == "cuda")
lap("captured run of five steps")
print(json.dumps(times))
"""


def start_up(plan: Plan) -> dict:
    """What a fresh process spends before it trains at full speed, in seconds, one after another."""
    return {"seconds": said_by(START_UP, str(plan.device))}


def said_by(program: str, *arguments: str) -> dict:
    """What a Python process of its own prints, read as JSON."""
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotDoneError(done.stderr[-2000:])
    return json.loads(done.stdout)


def drawing(plan: Plan) -> dict:
    """Examples per second, on the device against one at a time."""
    if plan.rehearsed:
        return batches.rates({"cpu": (64,)}, rounds=1, one_at_a_time=50)
    return batches.rates({"cuda": batches.BATCH_SIZES["cuda"]})


def ladder(plan: Plan) -> dict:
    """From the loop to the captured step, the same network."""
    if plan.rehearsed:
        return {"rungs": climb(plan.device, recipe=plan.sized(TUNED), rounds=1, n_steps=1)}
    return {"rungs": climb(plan.device)}


def floor(plan: Plan) -> dict:
    """A captured step of `tuned`'s network against what its dependent cells alone would take.

    The encoder's layers can work side by side, each a token behind the one below: S + L - 1 cells in a row, then
    T + L - 1 in the decoder, and as many on the way back. A cell is two operations that wait for each other, a matrix
    product with the state and the gates; what it costs is measured on rows of cells alone, and the quickest counts.
    """
    recipe = plan.sized(TUNED)
    task = SubstringTask(recipe.length)
    cells = 2 * (task.length + recipe.n_layers - 1 + task.n_digits + recipe.n_layers - 1)
    with tf32():
        each = {
            name: min(seconds(row, plan.device) for _ in range(ROUNDS)) / CHAIN
            for name, row in rows_of_cells(plan.device, recipe.hidden_dim, recipe.batch_size).items()
        }
    rung = dataclasses.replace(CAPTURED, batch_size=recipe.batch_size, captured=plan.captured)
    (row,) = climb(plan.device, (rung,), recipe, rounds=1 if plan.rehearsed else ROUNDS)
    bound = cells * min(each.values())
    return {
        "dependent cells": cells,
        "seconds a cell": each,
        "seconds at the floor": bound,
        "seconds a step": row["seconds"],
        "times the floor": row["seconds"] / bound,
    }


def rows_of_cells(device: torch.device, hidden_dim: int, batch_size: int) -> dict[str, Callable[[], object]]:
    """A hundred cells, each waiting for the one before: written out, and those of the library's GRU."""
    weight = torch.randn(hidden_dim, 3 * hidden_dim, device=device) / hidden_dim**0.5
    bias = torch.zeros(3 * hidden_dim, device=device)
    start = torch.randn(batch_size, hidden_dim, device=device)
    layer = torch.nn.GRU(hidden_dim, hidden_dim, batch_first=True, device=device)
    tokens = torch.randn(batch_size, CHAIN, hidden_dim, device=device)

    def written_out() -> Tensor:
        hidden = start
        for _ in range(CHAIN):
            hidden = torch.addmm(bias, hidden, weight)[:, :hidden_dim].tanh()
        return hidden

    rows = {"written out": written_out, "nn.GRU": lambda: layer(tokens)}
    return {name: replayed(torch.no_grad()(row), device) for name, row in rows.items()}


def replayed(work: Callable[[], object], device: torch.device) -> Callable[[], object]:
    """On a GPU one graph, so that Python costs nothing; elsewhere the work itself."""
    if device.type != "cuda":
        return work
    side = torch.cuda.Stream(device)
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        work()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=side):
        last = work()
    return lambda: (graph.replay(), last, work)  # these keep the memory that the graph reads and writes


MEMORY = """
import json, sys
import torch
from course_utils import Recipe, fit
device, captured = sys.argv[1:3]
run = fit(Recipe(**json.loads(sys.argv[3])), device=device, captured=captured == "captured" and device == "cuda")
assert not run.interrupted
peaks = {"allocated": torch.cuda.max_memory_allocated, "reserved": torch.cuda.max_memory_reserved}
print(json.dumps({name: peak() / 2**20 for name, peak in peaks.items()}))
"""


def memory(plan: Plan) -> dict:
    """The largest share of the GPU's memory that training the full network takes, in MiB.

    Each time in a process of its own: libraries keep workspaces, of earlier stages as well.
    """
    recipe = json.dumps(dataclasses.asdict(dataclasses.replace(plan.sized(TUNED), epochs=1)))
    return {"MiB": {how: said_by(MEMORY, str(plan.device), how, recipe) for how in ("plain", "captured")}}


def tuned(plan: Plan) -> dict:
    return training_runs(plan, TUNED, plan.seeds)


def fastest(plan: Plan) -> dict:
    return training_runs(plan, FASTEST, plan.seeds)


def original(plan: Plan) -> dict:
    """The original's sixteen epochs, its mathematics unchanged: dropout, and a coin for every step."""
    return training_runs(plan, ORIGINAL, plan.runs_of_the_original)


def training_runs(plan: Plan, recipe: Recipe, seeds: int) -> dict:
    """Captured runs in a process that is warm: an epoch is trained first and thrown away.

    Their seconds are training alone, recording the step included; what that costs shows in the first epoch.
    """
    recipe, runs = plan.sized(recipe), []
    warm_up = dataclasses.replace(recipe, epochs=1)
    warming = seconds(lambda: whole(fit(warm_up, device=plan.device, captured=plan.captured)), plan.device)
    for seed in range(seeds):
        began = time.perf_counter()
        run = whole(fit(recipe, seed=seed, device=plan.device, captured=plan.captured))
        in_all = time.perf_counter() - began
        result = summary(run)
        runs.append(
            {
                "seed": seed,
                "seconds": run.seconds,
                "seconds with validation": in_all,
                "seconds by epoch": [row["seconds"] for row in run.history],
                "exact match": result["exact_match"],
                "best exact match": result["best_exact_match"],
            }
        )
    times, scores = ([run[name] for run in runs] for name in ("seconds", "exact match"))
    return {
        "recipe": dataclasses.asdict(recipe),
        "examples": recipe.examples,
        "parameters": count_parameters(run.model),
        "warm-up seconds": warming,
        "median seconds": statistics.median(times),
        "slowest seconds": max(times),
        "mean exact match": statistics.mean(scores),
        "lowest exact match": min(scores),
        "runs": runs,
    }


def growth(plan: Plan) -> dict:
    """What a step costs as batch, state, layers and sequences grow, and where that stops paying."""
    levers = {"batch_size": (1, 2, "examples in a batch")} if plan.rehearsed else LEVERS
    return scaling.measured(plan.device, levers)


def exact_count(plan: Plan) -> dict:
    """Every input of length 10 with the network that ships with the course."""
    checkpoint = record_path("exact-length10.pt")
    return {"certificate": counted(plan, checkpoint, SubstringTask(), "exact-count", plan.rehearsed)}


def large_count(plan: Plan) -> dict:
    """Every input with a network of 2,177,034 parameters, trained here for longer; matrix products in TF32."""
    recipe, weights = plan.sized(TUNED_AND_LONGER), plan.folder / "tuned-and-longer.pt"
    if not weights.exists():  # small enough to be taken along to the next machine
        run = whole(fit(recipe, device=plan.device, captured=plan.captured))
        state = {"model": run.model.state_dict(), "recipe": dataclasses.asdict(recipe), "seconds": run.seconds}
        save_checkpoint(state, weights)
    with tf32():
        certificate = counted(plan, weights, SubstringTask(recipe.length), "large-count")
    trained = load_checkpoint(weights)
    return {"recipe": trained["recipe"], "training seconds": trained["seconds"], "certificate": certificate}


def counted(plan: Plan, checkpoint: Path, task: SubstringTask, name: str, one_block: bool = False) -> dict:
    """The certificate as plain data, but for its failures. At the deadline NotDoneError; what was counted is saved."""
    path = plan.folder / f"{name}.json"
    so_far = load_certificate(path, checkpoint) if path.exists() else None
    shard = (1, task.size // 9**5) if one_block else (1, 1)

    def stop_at_the_deadline(certificate: Certificate, n_inputs: int) -> None:
        if time.monotonic() > plan.deadline and still_to_count(task, shard, certificate.pieces):
            done = f"{certificate.inputs:,} of {task.size:,} inputs are counted"
            raise NotDoneError(f"{done}; call again and it goes on.")

    certificate = count_into(
        path,
        load_model(checkpoint, plan.device),
        task,
        shard=shard,
        so_far=so_far,
        sha256=sha256_of(checkpoint),
        on_block=stop_at_the_deadline,
    )
    data = certificate.as_dict()
    del data["failures"]
    return data | {"inputs a second": certificate.inputs / certificate.seconds}


def notebook(plan: Plan) -> dict:
    """The code of notebook 04 in one namespace, without Jupyter: which of its claims hold on this device?"""
    stored = json.loads((ROOT / "notebooks" / "04_cuda_training.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in stored["cells"] if cell["cell_type"] == "code"]
    if plan.rehearsed:
        cells = cells[:3]
    space: dict = {"__name__": "__main__"}
    printed, failed = io.StringIO(), []
    began = time.perf_counter()
    for number, source in enumerate(cells, start=1):
        try:
            with contextlib.redirect_stdout(printed), interrupts_kept():
                exec(compile(source, f"In [{number}]", "exec"), space)
        except ImportError as error:
            raise NotDoneError(f"In [{number}] needs what the course needs (pip install -e .): {error}.") from error
        except AssertionError as error:  # another device trains another network, of which the others are still known
            failed.append(f"In [{number}]: {error}")
    return {
        "cells": len(cells),
        "claims that fail": failed,
        "claims that hold": sum(line.startswith("✓") for line in printed.getvalue().splitlines()),
        "device": str(space["device"]),
        "seconds": time.perf_counter() - began,
    }


STAGES = {
    "tests": tests,
    "start-up": start_up,
    "batches": drawing,
    "ladder": ladder,
    "floor": floor,
    "memory": memory,
    "tuned": tuned,
    "fastest": fastest,
    "original": original,
    "notebook": notebook,
    "scaling": growth,
    "exact count": exact_count,
    "large count": large_count,
}


# --- The record -------------------------------------------------------------------------------------------------------


def machine(plan: Plan, commit: str) -> dict:
    """On what a stage was run."""
    versions = {"torch": torch.__version__, "python": platform.python_version()}
    if plan.captured:
        versions |= {"CUDA": torch.version.cuda, "cuDNN": torch.backends.cudnn.version()}
    return {
        "hardware": torch.cuda.get_device_name() if plan.captured else provenance.hardware(),
        "host": provenance.hardware(),
        "versions": versions,
        "commit": commit,
        "date": datetime.now(UTC).date().isoformat(),
    }


def read(plan: Plan) -> dict:
    if plan.record.exists():
        return json.loads(plan.record.read_text(encoding="utf-8"))
    return {"made by": "python benchmarks/gpu.py" + " --rehearse" * plan.rehearsed, "stages": {}}


def run(plan: Plan, stages: list[str], commit: str) -> list[str]:
    """Run the stages and write each one's result; returns those that are not done."""
    left = []
    for name in stages:
        if time.monotonic() > plan.deadline:
            left.append(name)
            continue
        print(f"{name} …", end=" ", file=sys.stderr, flush=True)
        began = time.perf_counter()
        try:
            result = STAGES[name](plan)
        except Exception as error:  # the other stages may well be done
            said = str(error) if isinstance(error, NotDoneError | InputError) else traceback.format_exc()
            print(f"not done: {said}", file=sys.stderr)
            left.append(name)
            continue
        took = time.perf_counter() - began
        record = read(plan)
        record["stages"][name] = {**machine(plan, commit), "took": took, **result}
        provenance.save(rounded(record), plan.record)
        print(f"{took:.1f} s", file=sys.stderr)
    return left


def rounded(value: object) -> object:
    """Five significant digits are more than a timing has."""
    if isinstance(value, float) and math.isfinite(value):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {name: rounded(each) for name, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, list) else value


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stage", action="append", choices=STAGES, help="this one, whether it has a result or not")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no stage after so many")
    parser.add_argument("--rehearse", action="store_true", help="every stage at toy sizes on the CPU, into build/")
    parser.add_argument("--commit", help="the commit that is measured (default: git's)")
    options = parser.parse_args(arguments)
    deadline = time.monotonic() + 60 * options.minutes
    if options.rehearse:
        folder = BUILD / "rehearsal"
        plan = Plan(torch.device("cpu"), folder / "gpu.json", folder, 2, 1, deadline, rehearsed=True)
    elif torch.cuda.is_available():
        plan = Plan(torch.device("cuda"), record_path("gpu.json"), BUILD, 10, 3, deadline)
    else:
        print("There is no CUDA GPU here: run this where there is one, or try it with --rehearse.", file=sys.stderr)
        return 2
    commit = options.commit or provenance.commit()
    if commit == "unknown":
        print("Git does not say which commit this is: name it with --commit.", file=sys.stderr)
        return 2
    plan.folder.mkdir(parents=True, exist_ok=True)
    stages = options.stage or [name for name in STAGES if name not in read(plan)["stages"]]
    left = run(plan, stages, commit)
    if left:
        print(f"Not done: {', '.join(left)}.", file=sys.stderr)
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
