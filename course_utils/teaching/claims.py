"""A sentence that is checked where it stands, and help for cells run out of order."""

from __future__ import annotations

import numpy as np
from IPython import get_ipython
from torch import Tensor

from ..errors import InputError
from .comparison import brief


def claim(sentence: str, holds: bool | np.bool_ | np.ndarray | Tensor) -> None:
    """Print the sentence when it holds; raise AssertionError when it does not. The printed line never varies.

    A tensor or array holds one truth value. Raises InputError for anything else: in Python nearly everything is true.
    """
    if not _truth(holds):
        raise AssertionError(f"This does not hold here: {sentence}")
    print(f"✓ {sentence}")


def _truth(holds: object) -> bool:
    value = holds.item() if isinstance(holds, Tensor | np.ndarray) and len(holds.reshape(-1)) == 1 else holds
    if not isinstance(value, bool | np.bool_):
        raise InputError(f"A claim is True or False, but this is {brief(holds)}.")
    return bool(value)


def explain_missing_names() -> None:
    """In a notebook, make a NameError say which name is missing and what to run. Called by the set-up cell."""
    shell = get_ipython()
    if shell is None:
        return

    def explain(shell, kind, error, traceback, tb_offset=None) -> None:
        shell.showtraceback((kind, error, traceback), tb_offset=tb_offset)
        if error.name is not None:  # a name that a function sets too late, or an error somebody raised, has none
            said = "Is it spelt right? If an earlier cell makes it, run the cells above first."
            print(f"`{error.name}` does not exist yet. {said}")

    shell.set_custom_exc((NameError,), explain)
