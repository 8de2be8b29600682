"""Counting a model's errors over the whole input space: no sample, no estimate.

An input fails where its margin is negative (`prefix_tree`). Floating-point numbers round differently in different
orders of the same sum. How much is measured first, on a sample; inputs whose margin is less than a hundred times that
are decided anew, in float64 and step by step. What was counted is written down as a certificate (`certificates`).
"""

from __future__ import annotations

import copy
import dataclasses
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import Tensor, nn

from .certificates import (
    FAILURES_KEPT,
    SAFETY,
    Certificate,
    Piece,
    block_digits,
    save_certificate,
    still_to_count,
)
from .data import TEST_SEED
from .errors import InputError
from .evaluation import predict
from .machine import processor
from .model import Seq2Seq, count_parameters, device_of
from .pairs import PairSeq2Seq
from .prefix_tree import PrefixTree, WholeCalls, margins, margins_of_ranges, smallest_margin
from .task import N_DIGIT_VALUES, VOCABULARY_SIZE, SubstringTask

SECONDS_BETWEEN_SAVES = 20  # of a count: its machine may be taken away
SAMPLE_PER_PAIR = 40  # inputs of each pair on which kinds of arithmetic are compared
ONE_AT_A_TIME = 100  # of them are also tried in batches of one


@contextmanager
def _one_precision() -> Iterator[None]:
    """Inside, float32 products are as precise as a piece says: a GPU's all as its matrix products, a CPU's in full.

    Of its own accord cuDNN rounds to TF32, and a CPU's library as far as matrix products may.
    """
    as_products = "tf32" if _products_are_rounded() else "ieee"
    gpu, cpu = torch.backends.cudnn, torch.backends.mkldnn
    inside = {gpu.rnn: as_products, gpu.conv: as_products, cpu.matmul: "ieee", cpu.rnn: "ieee", cpu.conv: "ieee"}
    before = {switch: switch.fp32_precision for switch in inside}
    try:
        for switch, precision in inside.items():
            switch.fp32_precision = precision
        yield
    finally:
        for switch, precision in before.items():
            switch.fp32_precision = precision


def _products_are_rounded() -> bool:
    """Whether PyTorch may round to TF32 what a GPU's float32 matrix products multiply."""
    return torch.backends.cuda.matmul.fp32_precision == "tf32"


@_one_precision()
def count_errors(
    model: nn.Module,
    task: SubstringTask | None = None,
    *,
    shard: tuple[int, int] = (1, 1),
    so_far: Certificate | None = None,
    sha256: str | None = None,
    on_block: Callable[[Certificate, int], None] = lambda certificate, n_inputs: None,
) -> Certificate:
    """Count a model's errors over every input of the task, or over one shard of them: (i, n) is the i-th of n.

    so_far: an earlier certificate of the same checkpoint; what it has counted is not counted again.
    sha256: that of the model's checkpoint, to be written down.
    on_block: called after each block, with the certificate so far and the number of inputs in the block.
    Every certificate that `on_block` gets is whole: after an interrupt, a count goes on from the last one as `so_far`.
    """
    task = task or SubstringTask()
    _check_model(model)
    n_free_digits = block_digits(task)
    block_size = N_DIGIT_VALUES**n_free_digits
    engine = margins_of_ranges(model, task)
    arithmetic = _differences_of_arithmetic(model, task, engine)
    tolerance = SAFETY * max(arithmetic.values())
    nothing = Certificate(task.length, sha256, count_parameters(model), tolerance, arithmetic)
    certificate = nothing if so_far is None else so_far + nothing
    machine, judge = _machine(model), copy.deepcopy(model).double()
    for start, stop in still_to_count(task, shard, certificate.pieces):
        for first in range(start, stop, block_size):
            began = time.perf_counter()
            margin = engine.margins(first, n_free_digits).cpu()
            right, n_recounted = _decide(judge, task, first, margin, tolerance)
            failing, worst = (~right).nonzero()[:FAILURES_KEPT, 0], margin.argmin()
            source = task.inputs(first, first + block_size)
            seconds, today = time.perf_counter() - began, datetime.now(UTC).date().isoformat()
            certificate += dataclasses.replace(
                nothing,
                errors_by_pair={task.pairs[first // task.digit_strings]: int((~right).sum())},
                failures=source[failing].tolist(),
                recounted=n_recounted,
                worst_margin=margin[worst].item(),
                worst_input=source[worst].tolist(),
                pieces=[Piece(first, first + block_size, seconds, **machine, date=today)],
            )
            on_block(certificate, block_size)
    return certificate


def count_into(
    path: str | Path,
    model: nn.Module,
    task: SubstringTask,
    *,
    shard: tuple[int, int],
    so_far: Certificate | None,
    sha256: str,
    on_block: Callable[[Certificate, int], None],
) -> Certificate:
    """As `count_errors`, with the certificate saved at the path now and then, and whatever ends the count."""
    kept, saved_at = so_far, time.monotonic()

    def keep(certificate: Certificate, n_inputs: int) -> None:
        nonlocal kept, saved_at
        kept = certificate
        if time.monotonic() - saved_at > SECONDS_BETWEEN_SAVES:
            save_certificate(kept, path)
            saved_at = time.monotonic()
        on_block(certificate, n_inputs)

    try:
        kept = count_errors(model, task, shard=shard, so_far=so_far, sha256=sha256, on_block=keep)
        save_certificate(kept, path)
    except BaseException:  # an interrupt, too, and one that comes while it is saved
        if kept is not None:
            save_certificate(kept, path)
        raise
    return kept


def _decide(judge: nn.Module, task: SubstringTask, first: int, margin: Tensor, tolerance: float) -> tuple[Tensor, int]:
    """Which inputs of a block are right, (B,), and how many of them were too close to call.

    Those are decided by the float64 model, which writes one token after another; their margins become its, in place.
    """
    right = margin > 0
    (close,) = (~(margin.abs() > tolerance)).nonzero(as_tuple=True)
    if len(close):
        source = task.inputs(first, first + len(margin))[close]
        target = task.solve(source)
        source, target = source.to(device_of(judge)), target.to(device_of(judge))
        output = predict(judge, source, target, teacher_forcing_ratio=0.0).argmax(-1)
        right[close] = (output == target).all(dim=1).cpu()
        margin[close] = margins(judge, source, target).to(margin)
    return right, len(close)


def _differences_of_arithmetic(
    model: nn.Module, task: SubstringTask, engine: PrefixTree | WholeCalls
) -> dict[str, float]:
    """How far the engine's margins lie from those of the same sums in other orders, on some inputs of each pair."""
    generator = torch.Generator().manual_seed(TEST_SEED)
    size = N_DIGIT_VALUES**engine.chunk_digits
    source, counted = [], []
    for first in range(0, task.size, task.digit_strings):
        first += size * int(torch.randint(task.digit_strings // size, (), generator=generator))
        chosen = torch.randperm(size, generator=generator)[:SAMPLE_PER_PAIR]
        source.append(task.inputs(first, first + size)[chosen])
        counted.append(engine.margins(first, engine.chunk_digits).cpu()[chosen])
    source, counted = torch.cat(source), torch.cat(counted)
    target = task.solve(source)
    device = device_of(model)
    here = source.to(device), target.to(device)
    some = slice(None, None, -(-len(source) // ONE_AT_A_TIME))
    written = predict(model, *here, teacher_forcing_ratio=0.0).permute(1, 2, 0).cpu()
    right = (written.argmax(1) == target.T).all(dim=0)  # after an error it reads other tokens, which is no rounding
    found = {
        "whole-sequence calls": margins(model, *here).cpu() - counted,
        "one input at a time": margins(model, here[0][some], here[1][some], batch_size=1).cpu() - counted[some],
        "one step at a time": (smallest_margin(written, target.T) - counted)[right],
        "float64": margins(copy.deepcopy(model).double(), *here).cpu() - counted,
    }
    if device.type != "cpu":
        found["cpu"] = margins(copy.deepcopy(model).cpu(), source, target) - counted  # uncovered: only a GPU runs it
    return {way: difference.abs().max().item() for way, difference in found.items() if len(difference)}


def _check_model(model: nn.Module) -> None:
    for name, parameter in model.named_parameters():
        if not parameter.isfinite().all():
            raise InputError(f"The weights {name} are not all finite numbers, so there is nothing to count.")
    if isinstance(model, Seq2Seq):
        sizes = (model.encoder.embedding.num_embeddings, model.decoder.embedding.num_embeddings)
        sizes += (model.decoder.fc_out.out_features // (2 if isinstance(model, PairSeq2Seq) else 1),)
        if sizes != (VOCABULARY_SIZE,) * 3:
            raise InputError(
                f"The task has {VOCABULARY_SIZE} tokens, but this model reads {sizes[0]} and {sizes[1]} "
                f"and writes {sizes[2]}: it was made for another vocabulary."
            )


def _machine(model: nn.Module) -> dict[str, object]:
    """What a piece says of who counted it."""
    device = device_of(model)
    dtype = next((parameter.dtype for parameter in model.parameters()), torch.float32)
    precision = str(dtype).removeprefix("torch.")
    # GPUs before the Ampere generation have no TF32: allowed or not, they multiply in float32.
    has_tf32 = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
    if has_tf32 and dtype == torch.float32 and _products_are_rounded():
        precision += " with TF32 products"  # uncovered: only a GPU runs it
    return {
        "device": device.type,
        "precision": precision,
        "threads": torch.get_num_threads(),
        "hardware": torch.cuda.get_device_name(device) if device.type == "cuda" else processor(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
