"""Speed on a GPU: a whole training step as one CUDA graph, and a clock that waits for the device.

A training step is hundreds of small pieces of work, each of which Python, or a library that it calls, orders from the
GPU. A CUDA graph is those orders, recorded once: replaying it is a single order. It records where numbers lie, not what
they are. So all that changes from step to step (the batch, the coins, the learning rate) must lie in tensors that stay
in their places, and nothing may look at a number on the way: while the step is recorded there is none.

https://docs.pytorch.org/docs/stable/notes/cuda.html#whole-network-capture
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from .errors import InputError
from .model import flip_coins

WARM_UP_STEPS = 3  # kernels are loaded, the optimizer makes its averages; as many as PyTorch's notes take


class CapturedStep:
    """A training step, recorded once and then replayed: called as `train_step` is, but for coins, with equal losses.

    The first three calls take the step as it is, on a stream of their own. The fourth records it and, as all later ones
    do, replays the recording. So every call must be for the same model and optimizer, and for batches of one size.
    The optimizer has to be `capturable` and fused, with its learning rate in a tensor on the GPU. Dropout draws anew in
    every replay. Raises InputError where there is no GPU to replay on, and for a call unlike the recorded one.
    """

    def __init__(self, train_step: Callable[..., Tensor], device: torch.device | str) -> None:
        if torch.device(device).type != "cuda":
            raise InputError("Only a GPU replays a captured step: train on one (--device cuda), or without --captured.")
        self.train_step = train_step
        self.device = torch.device(device)
        self.stream = torch.cuda.Stream(device)
        self.graph = torch.cuda.CUDAGraph()
        self.n_plain = 0
        self.call: tuple | None = None  # what every call is like
        self.inputs: dict[str, Tensor] = {}  # where the recording looks for the batch and the coins
        self.loss: Tensor | None = None  # where it leaves the loss

    def __call__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        source: Tensor,
        target: Tensor,
        teacher_forcing_ratio: float = 1.0,
        gradient_clip: float = 1.0,
        coin_generator: torch.Generator | None = None,
    ) -> Tensor:
        """As `train_step`: source (B, S) and target (B, T) on the GPU -> loss, a scalar there."""
        inputs = {"source": source, "target": target}
        if teacher_forcing_ratio != 1:
            coins = flip_coins(target.shape[1], teacher_forcing_ratio, coin_generator)
            # From pinned memory, the one kind that can be copied while Python goes on.
            inputs["coins"] = coins.pin_memory().to(source.device, non_blocking=True)

        def step(inputs: dict[str, Tensor]) -> Tensor:
            options = {"teacher_forcing_ratio": teacher_forcing_ratio, "gradient_clip": gradient_clip}
            return self.train_step(model, optimizer, **inputs, **options)

        call = (model, optimizer, source.shape, target.shape, teacher_forcing_ratio, gradient_clip)
        self.call = self.call or call
        if call != self.call:  # from the first on: an optimizer that is new when it is recorded would forget each step
            raise InputError(
                "A captured step repeats one call: keep to the same model, optimizer, batch size, teacher forcing "
                "ratio and gradient clip, or make another CapturedStep."
            )
        if self.n_plain < WARM_UP_STEPS:
            self.n_plain += 1
            return self._plainly(step, inputs)
        if self.loss is None:
            self._record(step, inputs)
        for name, tensor in inputs.items():
            self.inputs[name].copy_(tensor)
        self.graph.replay()
        return self.loss.clone()  # the next replay overwrites it

    def _plainly(self, step: Callable[[dict[str, Tensor]], Tensor], inputs: dict[str, Tensor]) -> Tensor:
        """The step itself, on the stream that will record it."""
        current = torch.cuda.current_stream(self.device)  # by default it is the current GPU's, which may be another
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            loss = step(inputs)
        current.wait_stream(self.stream)
        return loss.clone()

    def _record(self, step: Callable[[dict[str, Tensor]], Tensor], inputs: dict[str, Tensor]) -> None:
        self.inputs = {name: tensor.clone() for name, tensor in inputs.items()}
        with torch.cuda.graph(self.graph, stream=self.stream):
            self.loss = step(self.inputs)


def seconds(work: Callable[[], object], device: torch.device | str) -> float:
    """How long the work takes. A GPU works through a queue: the clock is read when it is empty, before and after."""
    wait = torch.cuda.synchronize if torch.device(device).type == "cuda" else lambda device: None
    wait(device)
    began = time.perf_counter()
    work()
    wait(device)
    return time.perf_counter() - began
