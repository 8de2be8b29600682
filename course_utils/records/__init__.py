"""Results measured elsewhere and shown in the notebooks, as data: each file says how and on what it was made."""

import json
from importlib.resources import files


def load_record(name: str) -> dict:
    """The record of that name, for example `load_record("recipes")`."""
    return json.loads((files(__name__) / f"{name}.json").read_text(encoding="utf-8"))
