"""A sentence that is checked where it stands, and help for cells run out of order."""

from __future__ import annotations

from IPython import get_ipython


def claim(sentence: str, holds: bool) -> None:
    """Print the sentence when it holds; raise AssertionError when it does not. The printed line never varies."""
    if not bool(holds):
        raise AssertionError(f"This does not hold here: {sentence}")
    print(f"✓ {sentence}")


def explain_missing_names() -> None:
    """In a notebook, make a NameError say which name is missing and what to run. Called by the set-up cell."""
    shell = get_ipython()
    if shell is None:
        return

    def explain(shell, kind, error, traceback, tb_offset=None) -> None:
        shell.showtraceback((kind, error, traceback), tb_offset=tb_offset)
        print(f"`{error.name}` does not exist yet. An earlier cell makes it: run the cells above first.")

    shell.set_custom_exc((NameError,), explain)
