"""The two things that end a run with a sentence for the reader instead of a traceback to decipher."""

from __future__ import annotations

import traceback
from pathlib import Path


class _InOneSentence:
    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the lines of the reader's cells that led here, and the sentence; nothing from inside.

        IPython asks for it: https://ipython.readthedocs.io/en/stable/config/integrating.html
        """
        frames = traceback.extract_tb(self.__traceback__)
        cells = [frame for frame in frames if frame.line and not Path(frame.filename).exists()]  # they are in no file
        return [*(f"line {frame.lineno}: {frame.line}" for frame in cells), f"{type(self).__name__}: {self}"]


class InputError(_InOneSentence, ValueError):
    """Something the caller gave cannot be used. The message says in one sentence what to do instead."""


class TrainingDivergedError(_InOneSentence, RuntimeError):
    """The training loss is no longer a number. The message says where that happened and what to change."""
