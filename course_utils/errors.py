"""The two things that end a run with a sentence for the reader instead of a traceback to decipher."""


class InputError(ValueError):
    """Something the caller gave cannot be used. The message says in one sentence what to do instead."""


class TrainingDivergedError(RuntimeError):
    """The training loss is no longer a number. The message says where that happened and what to change."""
