"""Files: folders that can be written to, files written whole or not at all, and checkpoints.

Whatever is wrong with a file is an InputError that says what to do.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from .errors import InputError


def writable_folder(out: str | Path) -> Path:
    """The folder, made where it is missing; InputError where nothing can be written into it."""
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink(missing_ok=True)  # another process may have tried the same
    except OSError as error:
        raise InputError(f"The folder {folder} cannot be written to ({error.strerror}): name another.") from error
    return folder


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A file to write into that takes the path's place at the end; an error or interrupt leaves the old one there."""
    partial = path.with_name(path.name + ".partial")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def save_checkpoint(state: dict, path: str | Path) -> None:
    """Write a checkpoint whole or not at all: an interrupted write leaves the old file as it was."""
    try:
        with written_whole(Path(path)) as partial:
            torch.save(state, partial)
    except (OSError, RuntimeError) as error:
        raise InputError(f"{path} could not be written ({error}): free some space or name another folder.") from error


def _readable_file(path: str | Path) -> Path:
    """The file; InputError where there is none, or none that can be opened."""
    path = Path(path)
    try:
        if path.is_file():
            path.open("rb").close()  # here, since of a file that is cut short PyTorch raises an OSError, too
            return path
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from error
    raise InputError(f"There is no checkpoint at {path}.")


def load_checkpoint(path: str | Path) -> dict:
    """Read a checkpoint on the CPU, `{"model": state_dict, …}`; a bare state_dict is taken as the model's.

    Raises InputError for a file that is missing, damaged, or something else.
    """
    path = _readable_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about other programs' pickles, which are refused below
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # on damaged files the unpickler fails in any way there is
        raise InputError(
            f"{path} cannot be read as a checkpoint: it is cut short, damaged, or made by another program."
        ) from error
    if isinstance(state, dict) and "model" not in state:
        state = {"model": state}
    if not isinstance(state, dict) or not isinstance(state["model"], dict):
        raise InputError(f"{path} holds no model: a checkpoint is a state_dict, or a dict with one under 'model'.")
    recipe = state.get("recipe")
    if recipe is not None and not (isinstance(recipe, dict) and isinstance(recipe.get("length"), int)):
        raise InputError(
            f"{path} does not say for which length its model was trained: its recipe is another program's."
        )
    return state
