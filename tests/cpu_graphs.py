"""CUDA graphs played on a CPU, so that what holds of a captured step can be tested without a GPU.

As on a GPU, recording computes nothing that lasts, a replay repeats the recorded operations on the same memory, and
looking at a number while recording is an error. What only a GPU has, streams and their order, is written to a log.
"""

from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map


class Graph(TorchDispatchMode):
    """Records every operation, with the tensors it reads and writes."""

    def __init__(self):
        super().__init__()
        self.operations = []
        self.overwritten = []

    def __torch_dispatch__(self, operation, types, arguments=(), options=None):
        options = options or {}
        if operation is torch.ops.aten._local_scalar_dense.default:
            raise AssertionError("A number was looked at while the step was recorded.")
        read = in_place((arguments, options))
        if operation._schema.is_mutable:
            self.overwritten += [(each, each.clone()) for each in tensors(read)]
        result = operation(*arguments, **options)
        if torch.Tag.inplace_view not in operation.tags:  # those move no number
            self.operations.append((operation, *read, in_place(result)))
        return result

    def replay(self):
        for operation, arguments, options, result in self.operations:
            again = operation(*arguments, **options)
            for old, new in zip(tensors(result), tensors(again), strict=True):
                if old.data_ptr() != new.data_ptr():
                    old.copy_(new)

    def put_back(self):
        """Recording on a GPU computes nothing: undo what it did here."""
        with torch.no_grad():
            for tensor, before in reversed(self.overwritten):
                tensor.copy_(before)


def in_place(tree):
    """The same memory, seen as it is now: a tensor's shape may be changed later."""
    return tree_map(lambda leaf: leaf.detach() if isinstance(leaf, torch.Tensor) else leaf, tree)


def tensors(tree):
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def play(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Put these graphs in the place of CUDA's, and return the log of what streams did."""
    log = []

    def stream(name):
        return SimpleNamespace(name=name, wait_stream=lambda other: log.append(f"{name} waits for {other.name}"))

    @contextmanager
    def record(graph, stream):
        log.append(f"recording on {stream.name}")
        random_numbers = torch.get_rng_state()
        with graph:
            yield
        graph.put_back()
        torch.set_rng_state(random_numbers)

    def on(stream):
        log.append(f"on {stream.name}")
        return nullcontext()

    current = stream("current")
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: current)
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: stream(f"side of {device}"))
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", record)
    monkeypatch.setattr(torch.cuda, "stream", on)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    return log
