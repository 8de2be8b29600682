"""Several processes at one job, as torchrun starts them: `torchrun --nproc-per-node 2 -m course_utils train …`.

Training is data-parallel. Each process holds the whole network and takes its share of the rows of every batch that one
process would have drawn; PyTorch's DistributedDataParallel (Li et al., 2020) gives each of them the mean of all their
gradients, which is the batch's. Weights, data and coins come from the one seed, so the losses are those of one process
but for rounding, which training amplifies: to 1e-5 in the first hundred steps. Only what dropout drops is each
process's own: a recipe with dropout gives other numbers.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from .errors import InputError
from .model import seed_dropout
from .training import ALONE, Process, Run, find_device

SET_BY_TORCHRUN = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
LONGEST_WAIT = timedelta(days=30)  # of one process for the others; when one of them fails, torchrun ends all
# A replica keeps gloo's threads alive beyond the group. They clear the last messages away, for which they need Python's
# lock: one that asks for it while Python ends aborts its process, in one run of ten to twenty.
SECONDS_TO_CLEAR = 0.1
SEEDS_APART = 3_000_003  # the seeds of two processes' dropout, one process behind the other


def rank() -> int:
    """This process's number, counted from 0."""
    return int(os.environ["RANK"]) if _under_torchrun() else 0


def n_processes() -> int:
    """How many processes `torchrun` started; 1 without it."""
    return int(os.environ["WORLD_SIZE"]) if _under_torchrun() else 1


def _under_torchrun() -> bool:
    # One of these alone says nothing: clusters and containers leave a WORLD_SIZE behind.
    return all(name in os.environ for name in SET_BY_TORCHRUN)


def device_of_process(name: str) -> torch.device:
    """What `find_device` finds, and under torchrun a GPU for each process of a machine."""
    device = find_device(name)
    if device.type == "cpu" or not _under_torchrun():
        return device
    wanted, there = int(os.environ["LOCAL_WORLD_SIZE"]), torch.cuda.device_count()
    if wanted > there:
        raise InputError(
            f"Each process needs a GPU of its own, and this machine has {there} for {wanted} processes: "
            f"start {there} (--nproc-per-node {there}), or use --device cpu."
        )
    return torch.device("cuda", int(os.environ["LOCAL_RANK"]))


def says_it_first(words: str) -> bool:
    """Whether no other process has said these words, so that what is true of all of them is said once."""
    if n_processes() == 1:
        return True
    torchruns = distributed.TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)
    return torchruns.add(words, 1) == 1


@contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """Inside, torchrun's processes can send each other tensors of the device and of the CPU. They can join once."""
    if device.type == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=LONGEST_WAIT)
    yield
    time.sleep(SECONDS_TO_CLEAR)
    distributed.destroy_process_group()  # not after an error, when others may be waiting for this process


def gather(value: object) -> list:
    """The values of all processes in the first of them; in each other its own alone."""
    if n_processes() == 1:
        return [value]
    values = [None] * n_processes() if rank() == 0 else None
    with joined(torch.device("cpu")):
        distributed.gather_object(value, values)
    return values or [value]


@contextmanager
def process_of_torchrun(device: torch.device) -> Iterator[Process]:
    """This process's part in a run, for `fit`: alone, unless torchrun has started several."""
    if n_processes() == 1:
        yield ALONE
    else:
        with joined(device):
            yield TorchrunProcess()


class TorchrunProcess(Process):
    """The part of one among several processes. It is made inside `joined`."""

    def __init__(self) -> None:
        self.rank = distributed.get_rank()
        self.n_processes = distributed.get_world_size()
        self.is_first = self.rank == 0

    def replicate(self, learner: nn.Module) -> nn.Module:
        return DistributedDataParallel(learner)

    def share(self, batch: Tensor) -> Tensor:
        return batch[self.rank :: self.n_processes]

    def mean(self, losses: Tensor) -> Tensor:
        distributed.all_reduce(losses)
        return losses / self.n_processes

    def from_first(self, history: list[dict]) -> list[dict]:
        message = [history]
        distributed.broadcast_object_list(message, device=torch.device("cpu"))
        return message[0]

    def on_start(self, run: Run) -> None:
        if run.recipe.batch_size % self.n_processes:
            raise InputError(
                f"{self.n_processes} processes cannot share batches of {run.recipe.batch_size} evenly: "
                "start a number of processes that divides the batch (--nproc-per-node)."
            )
        steps = torch.tensor([run.step, -run.step])
        distributed.all_reduce(steps, distributed.ReduceOp.MAX)
        if steps.sum():  # the most and the fewest
            raise InputError(
                "The processes would go on from different steps: not all of them see the folder's last.pt. Give all of "
                "them the same folder (--out)."
            )
        self.interrupted = False
        self.handler_before = signal.signal(signal.SIGINT, self._remember_interrupt)
        self._draw_own_dropout(run)

    def on_step(self, run: Run) -> None:
        # All stop after the same step: one that left in the middle of it would keep the others waiting.
        interrupted = torch.tensor(int(self.interrupted))
        distributed.all_reduce(interrupted, distributed.ReduceOp.MAX)
        if interrupted:
            raise KeyboardInterrupt

    def on_epoch(self, run: Run) -> None:
        self._draw_own_dropout(run)

    def on_end(self, run: Run) -> None:
        signal.signal(signal.SIGINT, self.handler_before)

    def _remember_interrupt(self, *_: object) -> None:
        self.interrupted = True

    def _draw_own_dropout(self, run: Run) -> None:
        """Else the same places would be dropped in all shares. Anew each epoch, as a resumed run does on a CPU."""
        if not self.is_first:  # the first's are the run's, and saved with it
            seed_dropout(run.device, run.seed + self.rank * SEEDS_APART + len(run.history))
