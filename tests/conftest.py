"""What several test files need: a tiny network whose outputs vary, examples for it, and tiny recipes."""

import dataclasses
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
import torch
from oracle import SIX
from torch import Tensor

from course_utils import (
    FASTEST,
    ORIGINAL,
    TUNED,
    Certificate,
    Decoder,
    Encoder,
    InputError,
    Recipe,
    Seq2Seq,
    SubstringTask,
    count_errors,
    fit,
)
from course_utils.recipes import SMALL

TINY = {"emb_dim": 6, "hidden_dim": 8, "n_layers": 2, "batch_size": 8, "steps_per_epoch": 3, "epochs": 3, "length": 6}
TINY_GUIDED = dataclasses.replace(TUNED, name="tiny guided", **TINY)
TINY_TUNED = dataclasses.replace(TINY_GUIDED, name="tiny tuned", guided=False)
TINY_FASTEST = dataclasses.replace(FASTEST, name="tiny fastest", **TINY)
TINY_ORIGINAL = dataclasses.replace(ORIGINAL, name="tiny original", **TINY)


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_interrupts() -> None:
    """Also where the tests were started in the background, and have inherited that it is ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def model() -> Seq2Seq:
    """An untrained network in float64 and eval mode, with weights so large that it does not always say the same."""
    shape = (10, 6, 8, 2, 0.0)
    model = Seq2Seq(Encoder(*shape), Decoder(*shape)).double().eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(-2, 2, generator=generator)
    return model


@pytest.fixture
def examples() -> tuple[Tensor, Tensor]:
    """Twenty examples: source (20, 10) and target (20, 8)."""
    return SubstringTask().sample(20, torch.Generator().manual_seed(0))


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    """Six examples of length 6: source (6, 6) and target (6, 4)."""
    return SubstringTask(6).sample(6, torch.Generator().manual_seed(0))


@pytest.fixture
def recipe() -> Recipe:
    """The tuned recipe's kind of training, in a tenth of a second; without its guide, so that the coins may vary."""
    return TINY_TUNED


@pytest.fixture(scope="session")
def half_trained() -> Seq2Seq:
    """A small network for length 6 that gets some of every pair wrong."""
    recipe = dataclasses.replace(SMALL, hidden_dim=24, epochs=2, learning_rate=2e-2, steps_per_epoch=150)
    return fit(recipe).model.eval()


@pytest.fixture(scope="session")
def whole(half_trained: Seq2Seq) -> Certificate:
    """Its count."""
    return count_errors(half_trained, SIX, sha256="a" * 64)


@pytest.fixture(params=[TINY_ORIGINAL, TINY_TUNED, TINY_GUIDED, TINY_FASTEST], ids=lambda recipe: recipe.name)
def each_recipe(request: pytest.FixtureRequest) -> Recipe:
    """All kinds of training: with dropout, coins and a constant rate; without them; with a guide; in pairs."""
    return request.param


@pytest.fixture
def refused() -> Callable[[str], AbstractContextManager[None]]:
    """`with refused("words"): ...` holds that the input is refused, in one line that contains the words."""

    @contextmanager
    def check(words: str) -> Iterator[None]:
        with pytest.raises(InputError, match=words) as caught:
            yield
        message = str(caught.value)
        assert message.endswith(".")
        assert "\n" not in message

    return check


@pytest.fixture
def takes_less_than() -> Callable[[float, Callable[[], object]], bool]:
    """Whether work takes less than so many seconds of this thread's time on a processor, in one of three tries.

    Waiting for a processor that other programs keep busy does not count; they can only slow a try.
    """
    if sys.gettrace() is not None:
        pytest.skip("What is traced, to see which lines are executed, takes longer.")

    def in_one_try(seconds: float, work: Callable[[], object]) -> bool:
        began = time.thread_time()
        work()
        return time.thread_time() - began < seconds

    return lambda seconds, work: any(in_one_try(seconds, work) for _ in range(3))
