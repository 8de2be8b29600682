"""What test_parallel.py runs under torchrun: several short runs, of which each process keeps what it saw.

    torchrun --nproc-per-node 2 tests/two_processes.py FOLDER

FOLDER then holds process0.pt and process1.pt, and what was saved on the way.
"""

import dataclasses
import io
import os
import signal
import sys
from contextlib import nullcontext, redirect_stderr, redirect_stdout
from pathlib import Path

import torch
from conftest import TINY_GUIDED, TINY_ORIGINAL, TINY_TUNED
from torch import Tensor, nn
from torch.optim import Optimizer

from course_utils import (
    RECIPES,
    Callback,
    InputError,
    Process,
    Recipe,
    Run,
    fit,
    process_of_torchrun,
    train_step,
    training,
)
from course_utils import __main__ as command_line

CPU = torch.device("cpu")
FORCED = dataclasses.replace(TINY_GUIDED, steps_per_epoch=40)
COINS = dataclasses.replace(
    TINY_ORIGINAL, length=4, steps_per_epoch=40, dropout=0.0, learning_rate=0.03, length_weight=1.0
)
UNTIL = 0.1  # reached in the second of three epochs
DROPOUT = dataclasses.replace(TINY_ORIGINAL, steps_per_epoch=4)
PRINTED = dataclasses.replace(COINS, epochs=1)  # eight validation examples, which the command line prints
UNEVEN = dataclasses.replace(TINY_TUNED, batch_size=9)


class DropoutStates(Callback):
    """Keep where the random numbers of dropout stand before each step."""

    def __init__(self) -> None:
        self.seen = []

    def keep(self, run: Run) -> None:
        self.seen.append(torch.get_rng_state())

    on_start = on_step = on_epoch = keep


class InterruptAt(Callback):
    """Press Ctrl-C, but for this process alone, in that step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step(self, run: Run) -> None:
        if run.step == self.step:
            os.kill(os.getpid(), signal.SIGINT)


def sources_of(recipe: Recipe, process: Process) -> list[Tensor]:
    """What this process is given to read, step by step."""
    sources = []

    def step(model: nn.Module, optimizer: Optimizer, source: Tensor, *arguments: object) -> Tensor:
        sources.append(source)
        return train_step(model, optimizer, source, *arguments)

    training.train_step = step
    fit(recipe, process=process)
    training.train_step = train_step
    return sources


def facts(run: Run) -> dict:
    names = ("step", "step_losses", "history", "best_epoch", "interrupted")
    return {**{name: getattr(run, name) for name in names}, "state": run.model.state_dict()}


def refusal(recipe: Recipe, process: Process, **how: object) -> str:
    try:
        fit(recipe, process=process, **how)
    except InputError as error:
        return str(error)


def by_command_line(process: Process, folder: Path) -> dict:
    """What the command line that trains with one process does in each of two."""
    RECIPES["tiny"] = PRINTED
    command_line.process_of_torchrun = lambda device: nullcontext(process)  # processes can join only once
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        command = f"train --recipe tiny --seed 3 --device cpu --out {folder / 'command'} --json"
        status = command_line.main(command.split())
    return {"status": status, "out": out.getvalue(), "err": err.getvalue()}


def main(folder: Path) -> None:
    with process_of_torchrun(CPU) as process:
        rank = process.rank
        states = DropoutStates()
        together = folder / "together"
        stop = [InterruptAt(step=6)] if rank == 1 else []
        seen = {
            "forced": facts(fit(FORCED, seed=3, process=process, out=folder / f"own{rank}")),
            "coins": facts(fit(COINS, seed=3, process=process, until=UNTIL)),
            "dropout": facts(fit(DROPOUT, process=process, callbacks=[states])),
            "dropout states": states.seen,
            "stopped": facts(fit(DROPOUT, process=process, callbacks=stop, out=together)),
            "resumed": facts(fit(DROPOUT, process=process, out=together, resume=True)),
            "sources": sources_of(TINY_TUNED, process),
            "refusal": refusal(UNEVEN, process),
            # Only the first process saved its part.
            "apart": refusal(FORCED, process, seed=3, out=folder / f"own{rank}", resume=True),
            "Ctrl-C is Python's again": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
            "command line": by_command_line(process, folder),
        }
    torch.save(seen, folder / f"process{rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
