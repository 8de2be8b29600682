"""Results measured elsewhere and shown in the notebooks, as data: each file says how and on what it was made.

The `.pt` files, such as `exact-length10.pt`, are trained networks; the JSON of the same name is the certificate.
"""

import json
from importlib.resources import files
from pathlib import Path

from ..errors import InputError


def load_record(name: str) -> dict:
    """The record of that name, for example `load_record("recipes")`. InputError where there is none."""
    if not record_path(f"{name}.json").is_file():
        there = sorted(path.stem for path in record_path("").glob("*.json"))
        raise InputError(f"There is no record {name!r}: name one of {', '.join(there)}.")
    return json.loads(record_path(f"{name}.json").read_text(encoding="utf-8"))


def record_path(name: str) -> Path:
    """Where a file of the records lies, for example `load_model(record_path("exact-length8.pt"))`."""
    return Path(str(files(__name__) / name))
