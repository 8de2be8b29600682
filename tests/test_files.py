"""Checkpoint files: whole or not there, and refused with a sentence where they are something else."""

import dataclasses
import errno
import io
import pickle
import zipfile
from pathlib import Path

import pytest
import torch

from course_utils import TUNED, InputError, build_model, load_checkpoint, load_model, save_checkpoint


@pytest.mark.parametrize("foreign", ["tuned", {}, {"length": "ten"}], ids=repr)
def test_a_recipe_of_another_program_is_refused(foreign, recipe, tmp_path, refused):
    save_checkpoint({"model": build_model(recipe).state_dict(), "recipe": foreign}, tmp_path / "model.pt")
    with refused("does not say for which length"):
        load_checkpoint(tmp_path / "model.pt")


@pytest.mark.parametrize("error", [OSError("no space left"), RuntimeError("broken"), KeyboardInterrupt()], ids=repr)
def test_a_write_that_fails_leaves_the_old_checkpoint(error, tmp_path, monkeypatch):
    def write_a_little_and_fail(state: dict, path: Path) -> None:
        Path(path).write_bytes(b"half")
        raise error

    path = tmp_path / "model.pt"
    save_checkpoint({"model": {"weight": torch.ones(2)}}, path)
    before = path.read_bytes()
    monkeypatch.setattr(torch, "save", write_a_little_and_fail)
    with pytest.raises(KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else InputError):
        save_checkpoint({"model": {"weight": torch.zeros(2)}}, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_checkpoint_that_cannot_be_written_is_refused(tmp_path, refused):
    with refused("could not be written"):
        save_checkpoint({"model": {}}, tmp_path / "no such folder" / "model.pt")


def test_a_missing_checkpoint_is_refused(tmp_path, refused):
    for path in (tmp_path / "nothing.pt", tmp_path):
        with refused("There is no checkpoint at"):
            load_model(path)


def test_a_checkpoint_whose_name_is_too_long_is_refused(tmp_path, refused):
    with refused(r"cannot be read \(File name too long\)"):
        load_checkpoint(tmp_path / ("a" * 300))


@pytest.mark.parametrize("closed", ["is_file", "open"], ids=["its folder is closed", "it is closed itself"])
def test_a_checkpoint_that_may_not_be_read_is_refused(closed, tmp_path, monkeypatch, refused):
    def permission_denied(*_: object) -> None:  # also to the root user, whom no permissions stop
        raise PermissionError(errno.EACCES, "Permission denied")

    path = tmp_path / "model.pt"
    save_checkpoint({"model": {"weight": torch.ones(2)}}, path)
    monkeypatch.setattr(Path, closed, permission_denied)
    with refused(r"model.pt cannot be read \(Permission denied\)"):
        load_checkpoint(path)


def bytes_of(state: object, **options) -> bytes:
    file = io.BytesIO()
    torch.save(state, file, **options)
    return file.getvalue()


def zip_of_text() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("letter.txt", "hello")
    return file.getvalue()


WEIGHTS = build_model(dataclasses.replace(TUNED, emb_dim=6, hidden_dim=8)).state_dict()

CHECKPOINT = bytes_of({"model": WEIGHTS})

OLD_CHECKPOINT = bytes_of({"model": WEIGHTS}, _use_new_zipfile_serialization=False)  # as before PyTorch 1.6

FOREIGN_FILES = {
    "empty": b"",
    "text": b"hello world\n" * 20,
    "json": b'{"model": 1}',
    "zip": zip_of_text(),
    "pickle": pickle.dumps({"model": list(WEIGHTS)}),
    "pickle of a function": pickle.dumps(print),
    "two stray bytes": b"0.",
    "cut in half": CHECKPOINT[: len(CHECKPOINT) // 2],
    "without its end": CHECKPOINT[:-1],
    "old and cut in half": OLD_CHECKPOINT[: len(OLD_CHECKPOINT) // 2],
    "old and cut in its header": OLD_CHECKPOINT[:97],
    "tensor": bytes_of(torch.zeros(3)),
    "list": bytes_of([1, 2]),
    "no dictionary under model": bytes_of({"model": 3}),
}


@pytest.mark.parametrize("content", FOREIGN_FILES.values(), ids=FOREIGN_FILES.keys())
def test_a_file_that_is_no_checkpoint_is_refused(content, tmp_path, refused):
    path = tmp_path / "foreign.pt"
    path.write_bytes(content)
    with refused("cannot be read as a checkpoint|holds no model|holds another kind of model"):
        load_model(path)


def test_a_checkpoint_cannot_run_code(tmp_path, refused):
    class Intruder:
        def __reduce__(self) -> tuple:
            return (tmp_path.joinpath("ran").touch, ())

    torch.save({"model": Intruder()}, tmp_path / "model.pt")
    with refused("cannot be read as a checkpoint"):
        load_model(tmp_path / "model.pt")
    assert not (tmp_path / "ran").exists()
