"""Recipes: how each network of the course is trained, as plain data. `training` follows them."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from .errors import InputError
from .model import INITIAL_RANGE

LARGEST_LENGTH_WEIGHT = 20  # by which hardly a pair but the longest is left
NETWORKS = ("gru", "pairs")
COUNTS = (  # what a recipe has at least one of
    "batch_size", "steps_per_epoch", "epochs", "validation_examples", "validation_batch_size", "emb_dim", "hidden_dim",
    "n_layers",
)  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: a fixed budget and everything that spends it."""

    name: str
    batch_size: int
    steps_per_epoch: int
    epochs: int
    dropout: float
    teacher_forcing_ratio: float
    learning_rate: float  # Adam's; the peak of the schedule
    one_cycle: bool  # warm up to the peak, then anneal to nothing (Smith & Topin, 2017); False keeps it constant
    validation_examples: int  # drawn fresh after each epoch; their loss picks the best checkpoint
    validation_batch_size: int
    emb_dim: int = 128
    hidden_dim: int = 256
    n_layers: int = 3
    gradient_clip: float = 1.0  # the largest gradient norm let through
    initial_range: float | None = INITIAL_RANGE  # of the network's starting weights; None keeps PyTorch's own
    warm_up: float = 0.3  # the share of a one-cycle run in which the rate rises
    betas: tuple[float, float] = (0.9, 0.999)  # Adam's
    weight_decay: float = 0.0  # AdamW's (Loshchilov & Hutter, 2019)
    length_weight: float = 0.0  # trains on a pair more often by its length to this power; scores keep the sampler
    length: int = 10  # of the source
    network: str = "gru"  # or pairs: see `networks.parts_of`
    guided: bool = False  # whether a guide teaches the encoder, too: see `guide`

    def __post_init__(self) -> None:
        for name in COUNTS:
            count = getattr(self, name)
            if type(count) is not int or count < 1:  # True would count as 1
                raise InputError(f"A recipe's {name} is a whole number, at least 1, not {count}.")
        if not 0 < self.learning_rate < math.inf:
            raise InputError(f"A recipe's learning_rate is finite and above 0, not {self.learning_rate}.")
        if not self.gradient_clip > 0:
            raise InputError(f"A recipe's gradient_clip is above 0, not {self.gradient_clip}.")
        if self.initial_range is not None and not 0 < self.initial_range < math.inf:
            raise InputError(f"A recipe's initial_range is above 0, or None, not {self.initial_range}.")
        if not 0 <= self.length_weight <= LARGEST_LENGTH_WEIGHT:
            raise InputError(
                f"A recipe's length_weight is from 0 to {LARGEST_LENGTH_WEIGHT}, not {self.length_weight}."
            )
        if not 0 <= self.weight_decay < math.inf:
            raise InputError(f"A recipe's weight_decay is finite and at least 0, not {self.weight_decay}.")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise InputError(f"A recipe's betas are two numbers, at least 0 and below 1, not {self.betas}.")
        for name, share in (("dropout", self.dropout), ("warm_up", self.warm_up)):
            if not 0 <= share < 1:
                raise InputError(f"A recipe's {name} is a share, at least 0 and below 1, not {share}.")
        if not 0 <= self.teacher_forcing_ratio <= 1:
            raise InputError(f"A teacher forcing ratio is a chance, from 0 to 1, not {self.teacher_forcing_ratio}.")
        if self.network not in NETWORKS:
            raise InputError(f"A recipe's network is {' or '.join(NETWORKS)}, not {self.network}.")
        if self.network == "pairs" and (self.length % 2 or self.teacher_forcing_ratio != 1):
            raise InputError(
                "A network in pairs takes an even length and a teacher forcing ratio of 1, "
                f"not {self.length} and {self.teacher_forcing_ratio}."
            )
        if self.guided and (self.network, self.teacher_forcing_ratio) != ("gru", 1):
            raise InputError(
                "A recipe with a guide takes the network gru and a teacher forcing ratio of 1, "
                f"not {self.network} and {self.teacher_forcing_ratio}."
            )

    @property
    def steps(self) -> int:
        """All optimizer steps of a whole run."""
        return self.epochs * self.steps_per_epoch

    @property
    def examples(self) -> int:
        """All training examples of a whole run: each one drawn counts."""
        return self.steps * self.batch_size


ORIGINAL = Recipe(
    name="original",
    batch_size=32,
    steps_per_epoch=128,
    epochs=16,
    dropout=0.5,
    teacher_forcing_ratio=0.5,
    learning_rate=1e-3,
    one_cycle=False,
    validation_examples=8,
    validation_batch_size=1,
)
# What recipes begin with, where they do not say otherwise.
_FORCED = Recipe(
    name="forced",
    batch_size=64,
    steps_per_epoch=64,
    epochs=10,
    dropout=0.0,
    teacher_forcing_ratio=1.0,
    learning_rate=3e-3,
    one_cycle=True,
    validation_examples=256,
    validation_batch_size=256,
)
# High rates held in check by weight decay, and long substrings, where most mistakes are, drawn more often.
TUNED = dataclasses.replace(
    _FORCED,
    name="tuned",
    batch_size=48,
    steps_per_epoch=48,
    epochs=5,
    learning_rate=8e-3,
    gradient_clip=10.0,
    initial_range=None,
    warm_up=0.2,
    betas=(0.7, 0.95),
    weight_decay=0.9,
    length_weight=2.0,
    guided=True,
)
# The same for a small network that takes few steps.
FASTEST = dataclasses.replace(
    TUNED,
    name="fastest",
    batch_size=72,
    steps_per_epoch=42,
    learning_rate=8e-2,
    emb_dim=16,
    hidden_dim=96,
    n_layers=1,
    warm_up=0.15,
    betas=(0.6, 0.85),
    weight_decay=0.25,
    length_weight=3.0,
    network="pairs",
    guided=False,
)
# The same kind of network on sources of six numbers, trained in seconds: for looking inside, not for the command line.
SMALL = dataclasses.replace(
    _FORCED,
    name="small",
    steps_per_epoch=100,
    epochs=8,
    learning_rate=1e-2,
    emb_dim=16,
    hidden_dim=64,
    n_layers=1,
    length=6,
)
# A very small network, and patience: 10,250 parameters. `records/` holds its weights, and the count of its errors.
EXACT = dataclasses.replace(
    _FORCED,
    name="exact",
    batch_size=256,
    steps_per_epoch=1000,
    epochs=40,
    learning_rate=1e-2,
    emb_dim=16,
    hidden_dim=32,
    n_layers=1,
    initial_range=None,
    warm_up=0.1,
    betas=(0.9, 0.98),
    weight_decay=0.01,
    length_weight=1.0,
)
# The same network on sources of eight numbers, whose inputs any laptop counts.
EXACT_8 = dataclasses.replace(EXACT, name="exact-8", epochs=12, length=8)
# Less than half as many parameters, 4,250, and five times as many steps. When the failures that are left are fed back,
# it makes no error, either. This one, too, is for looking at, not for the command line.
SMALLEST = dataclasses.replace(EXACT, name="smallest", epochs=200, emb_dim=10, hidden_dim=20, length_weight=3.0)
RECIPES = {recipe.name: recipe for recipe in (ORIGINAL, TUNED, FASTEST, EXACT, EXACT_8)}


def find_recipe(name: str) -> Recipe:
    """The recipe of this name. Raises InputError where there is none."""
    if name not in RECIPES:
        raise InputError(f"There is no recipe {name!r}; the recipes are {', '.join(RECIPES)}.")
    return RECIPES[name]
