"""What happens to people: nothing is lost, and the message says what to do.

| fault | what holds | tested |
| --- | --- | --- |
| the disk is full while a checkpoint is written | the old one stays; a sentence | here |
| a checkpoint is cut anywhere | refused in a sentence, and left alone | here |
| a GPU runs out of memory | a sentence says what to change; checkpoints stay | here |
| no GPU, but one asked for | a sentence | test_training.py, test_command_line.py |
| an unwritable folder | a sentence | test_training.py, test_command_line.py |
| a run is interrupted, in a terminal | the best weights and the history are kept; it goes on | test_training.py |
| the kernel is interrupted in training | the run is usable in the next cell | homes/test_faults.py |
| a cell is run twice | it runs again | homes/test_faults.py |
| bad input in a cell | the reader's own lines and the sentence, not the package's inside | here, homes/test_faults.py |
| cells are run in the wrong order | each says which name is missing, and what to run | homes/test_faults.py |
| two notebooks run at once, from another folder | neither notices the other | homes/test_faults.py |
| two notebooks train at once on two cores | their threads give way | test_tools.py |
"""

import dataclasses
import linecache
import re
import subprocess
import sys

import pytest
import torch

from course_utils import InputError, TrainingDivergedError, fit, load_checkpoint
from course_utils import training as training_module


@pytest.mark.parametrize("kind", [InputError, TrainingDivergedError])
def test_a_notebook_shows_the_lines_of_cells_and_the_sentence(kind, monkeypatch):
    space = {"kind": kind}
    exec("def package(_): raise kind('Give it another.')", space)  # as in the __init__ of a dataclass: no line is known
    cell = "def mine(number):\n    return package(number)\nmine(1)\n"
    name = "a cell, which is in no file"
    monkeypatch.setitem(linecache.cache, name, (len(cell), None, cell.splitlines(keepends=True), name))
    with pytest.raises(kind) as caught:
        exec(compile(cell, name, "exec"), space)
    shown = caught.value._render_traceback_()
    assert shown == ["line 3: mine(1)", "line 2: return package(number)", f"{kind.__name__}: Give it another."]


SAVE_ON_A_FULL_DISK = """
import resource, sys, torch
from course_utils import InputError, save_checkpoint
# No file may grow beyond a kilobyte: what a full disk does to a write, without filling one.
before = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
try:
    save_checkpoint({"model": {"weight": torch.zeros(1000)}}, sys.argv[1])
except InputError as error:
    print(error)
finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
"""


def test_a_full_disk_leaves_the_old_checkpoint_and_says_so(tmp_path):
    path = tmp_path / "last.pt"
    path.write_bytes(b"the old one")
    # In a process of its own: the limit would hold for the file that the test run itself prints to, too.
    said = subprocess.run(
        [sys.executable, "-c", SAVE_ON_A_FULL_DISK, path], capture_output=True, text=True, check=True
    ).stdout
    assert re.fullmatch(".* could not be written .*: free some space or name another folder.*\\.\n", said)
    assert path.read_bytes() == b"the old one"
    assert [file.name for file in tmp_path.iterdir()] == ["last.pt"]


def test_a_checkpoint_cut_anywhere_is_refused_and_left_alone(recipe, tmp_path, refused):
    fit(dataclasses.replace(recipe, epochs=1), out=tmp_path)
    whole = (tmp_path / "last.pt").read_bytes()
    for share in (0, 0.01, 0.5, 0.9, 0.999):
        cut = tmp_path / "cut.pt"
        cut.write_bytes(whole[: int(share * len(whole))])
        with refused("cut.pt cannot be read as a checkpoint"):
            load_checkpoint(cut)
        assert cut.stat().st_size == int(share * len(whole))


def test_batches_of_one_cannot_be_smaller():
    assert "smaller" in training_module._too_little_memory(2)
    assert training_module._too_little_memory(1).startswith(
        "The GPU has too little memory for batches of 1: train on the CPU"
    )


def test_a_gpu_out_of_memory_says_what_to_change_and_loses_nothing(recipe, tmp_path, monkeypatch):
    steps = iter(range(recipe.steps_per_epoch))
    right_step = training_module.train_step

    def too_large_after_an_epoch(*arguments, **options):
        if next(steps, None) is None:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return right_step(*arguments, **options)

    monkeypatch.setattr(training_module, "train_step", too_large_after_an_epoch)
    with pytest.raises(InputError, match=r"batch_size=4\), train on the CPU \(--device cpu\), or end other programs"):
        fit(recipe, out=tmp_path)
    monkeypatch.undo()
    assert fit(recipe, out=tmp_path, resume=True).step_losses == fit(recipe).step_losses
