"""The command line: what goes to standard output, what to standard error, and how bad input is refused."""

import dataclasses
import json
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from course_utils import (
    ORIGINAL,
    RECIPES,
    TUNED,
    Certificate,
    InputError,
    Scores,
    Seq2Seq,
    SubstringTask,
    build_model,
    count_errors,
    evaluate,
    fit,
    held_out,
    load_certificate,
    load_model,
    save_certificate,
    save_checkpoint,
    sha256_of,
    train_step,
    training,
    verification,
)
from course_utils import __main__ as command_line

# With two digits to copy, even this network gets some right.
TINY = {"emb_dim": 6, "hidden_dim": 8, "n_layers": 2, "batch_size": 8, "steps_per_epoch": 3, "epochs": 3, "length": 4}
SOURCE = "3 2 1 8 5 6 9 1 4 5"
IMPOSSIBLE_SOURCE = "7 3 1 8 5 6 9 1 4 5"


@pytest.fixture(autouse=True)
def tiny_recipes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two recipes that train in no time, in a folder of their own."""
    monkeypatch.setitem(RECIPES, "tiny", dataclasses.replace(TUNED, name="tiny", **TINY))
    monkeypatch.setitem(RECIPES, "tiny-original", dataclasses.replace(ORIGINAL, name="tiny-original", **TINY))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """An untrained network, saved."""
    path = tmp_path / "model.pt"
    save_checkpoint({"model": build_model(dataclasses.replace(TUNED, **TINY)).state_dict()}, path)
    return path


@pytest.fixture
def run(capsys: pytest.CaptureFixture) -> Callable[[str], SimpleNamespace]:
    """Run a command line: its exit status, and what it wrote to standard output and standard error."""

    def run_command(command: str) -> SimpleNamespace:
        try:
            status = command_line.main(command.split())
        except SystemExit as stop:  # how argparse ends
            status = stop.code
        written = capsys.readouterr()
        return SimpleNamespace(status=status, out=written.out, err=written.err)

    return run_command


# --- Train ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_train_reports_one_json_object(run):
    done = run("train --recipe tiny --seed 3 --device cpu --out here --json")
    assert done.status == 0
    assert done.out.count("\n") == 1
    result = json.loads(done.out)
    assert (result["recipe"], result["seed"], result["device"], result["examples"]) == ("tiny", 3, "cpu", 72)
    assert result["parameters"] == sum(p.numel() for p in load_model("here/last.pt").parameters())
    assert result["seconds"] > 0
    assert result["checkpoint"] == str(Path("here/last.pt"))
    assert result["best_checkpoint"] == str(Path("here/best.pt"))
    examples = held_out(SubstringTask(4), 10_000)
    assert result["exact_match"] == evaluate(load_model(result["checkpoint"]), *examples).exact_match
    assert result["best_exact_match"] == evaluate(load_model(result["best_checkpoint"]), *examples).exact_match


def test_train_shows_its_progress_on_standard_error(run):
    assert "9/9" in run("train --recipe tiny").err


def test_train_reports_both_checkpoints_in_words(run):
    words = run("train --recipe tiny --seed 3").out.splitlines()
    result = json.loads(run("train --recipe tiny --seed 3 --out again --json").out)
    assert words[0].startswith("72 examples in ")
    assert words[0].endswith(f" s on {result['device']}")
    assert words[1:] == [
        f"last:  exact match {result['exact_match']:.4f}  {Path('runs/tiny-seed3/last.pt')}",
        f"best:  exact match {result['best_exact_match']:.4f}  {Path('runs/tiny-seed3/best.pt')}  "
        f"(epoch {result['best_epoch']}, by validation loss)",
    ]


def test_train_saves_in_a_folder_named_after_the_run_unless_told_otherwise(run):
    run("train --recipe tiny --seed 3")
    assert load_model("runs/tiny-seed3/last.pt")
    assert load_model("runs/tiny-seed3/best.pt")


def test_train_uses_the_tuned_recipe_unless_told_otherwise(run, monkeypatch):
    monkeypatch.setitem(RECIPES, "tuned", RECIPES["tiny"])
    monkeypatch.setitem(RECIPES, "original", RECIPES["tiny-original"])
    result = json.loads(run("train --json").out)
    assert (result["recipe"], result["seed"]) == ("tiny", 0)


def test_train_takes_another_number_of_epochs(run):
    result = json.loads(run("train --recipe tiny --epochs 2 --json").out)
    assert [row["epoch"] for row in result["history"]] == [1, 2]


def test_train_stops_at_an_exact_match(run, monkeypatch):
    monkeypatch.setattr(training, "evaluate", lambda *_: SimpleNamespace(exact_match=0.995))
    result = json.loads(run("train --recipe tiny --until 0.99 --json").out)
    assert [row["held_out_exact_match"] for row in result["history"]] == [0.995]


def test_train_prints_the_eight_validation_examples_of_the_original_to_standard_error(run):
    done = run("train --recipe tiny-original --epochs 2 --json")
    assert done.err.count("input   ") == done.err.count("target  ") == 8 * 2
    assert "epoch 2 of 2" in done.err
    assert json.loads(done.out)["recipe"] == "tiny-original"


def test_train_does_not_print_hundreds_of_examples(run):
    assert "input" not in run("train --recipe tiny").err


def interrupt_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Press Ctrl-C in that step."""
    steps = iter(range(1, 100))

    def step_or_stop(*arguments: object) -> torch.Tensor:
        if next(steps) == step:
            raise KeyboardInterrupt
        return train_step(*arguments)

    monkeypatch.setattr(training, "train_step", step_or_stop)


@pytest.mark.slow
def test_train_resumes_to_the_same_result(run, monkeypatch):
    whole = json.loads(run("train --recipe tiny-original --out whole --json").out)
    with monkeypatch.context() as patch:
        interrupt_at(5, patch)
        stopped = run("train --recipe tiny-original --out stopped --json")
    assert stopped.status == 130
    assert json.loads(stopped.out)["interrupted"] is True
    resumed = json.loads(run("train --recipe tiny-original --out stopped --resume --json").out)
    assert [row["loss"] for row in resumed["history"]] == [row["loss"] for row in whole["history"]]
    assert resumed["exact_match"] == whole["exact_match"]


def test_train_interrupted_in_its_first_epoch_names_a_checkpoint_that_is_there(run, monkeypatch):
    interrupt_at(2, monkeypatch)
    done = run("train --recipe tiny --json")
    assert done.status == 130
    assert load_model(json.loads(done.out)["checkpoint"])


def test_train_interrupted_in_its_first_epoch_claims_no_time(run, monkeypatch):
    interrupt_at(2, monkeypatch)
    assert " examples in less than an epoch on cpu\n" in run("train --recipe tiny").out


def test_train_that_diverges_ends_with_a_sentence_and_its_own_status(run, monkeypatch):
    monkeypatch.setitem(RECIPES, "wild", dataclasses.replace(RECIPES["tiny"], learning_rate=1e300))
    done = run("train --recipe wild --json")
    assert done.status == 1
    assert done.out == ""
    assert done.err.splitlines()[-1].startswith("course_utils: The loss is nan at step 2 of epoch 1")


# --- Evaluate ---------------------------------------------------------------------------------------------------------


def test_evaluate_reports_one_json_object(run, checkpoint):
    done = run(f"evaluate {checkpoint} --examples 50 --json")
    scores = evaluate(load_model(checkpoint), *held_out(SubstringTask(), 50))
    assert (done.status, done.err) == (0, "")
    assert json.loads(done.out) == {
        "loss": scores.loss,
        "perplexity": scores.perplexity,
        "token_accuracy": scores.token_accuracy,
        "exact_match": scores.exact_match,
        "examples": 50,
    }


def test_evaluate_reports_a_line_for_each_score(run, checkpoint):
    done = run(f"evaluate {checkpoint}")
    lines = dict(line.split() for line in done.out.splitlines())
    assert list(lines) == ["loss", "perplexity", "token_accuracy", "exact_match", "examples"]
    assert lines["examples"] == "10000"
    assert float(lines["loss"]) == pytest.approx(math.log(10), abs=0.1)


def test_evaluate_prints_seven_digits_of_a_score_and_all_of_a_count(run, checkpoint, monkeypatch):
    scores = Scores(12_345_678, 1.23456789, 3.43689012, 0.123456789, 1.0, [], {})
    monkeypatch.setattr(command_line, "evaluate", lambda *_: scores)
    assert run(f"evaluate {checkpoint}").out.splitlines() == [
        "loss           1.234568",
        "perplexity     3.43689",
        "token_accuracy 0.1234568",
        "exact_match    1",
        "examples       12345678",
    ]


def test_json_has_null_for_what_is_no_finite_number(run, checkpoint, monkeypatch):
    monkeypatch.setattr(command_line, "evaluate", lambda *_: Scores(5, math.nan, math.inf, 0.5, 0.0, [], {}))
    result = json.loads(run(f"evaluate {checkpoint} --json").out, parse_constant=pytest.fail)
    assert (result["loss"], result["perplexity"], result["token_accuracy"]) == (None, None, 0.5)
    history = [{"epoch": 1, "loss": 800.0, "perplexity": math.inf}]
    monkeypatch.setattr(
        command_line, "summary", lambda run: {"exact_match": 0.0, "best_exact_match": 0.0, "history": history}
    )
    result = json.loads(run("train --recipe tiny --json").out, parse_constant=pytest.fail)
    assert result["history"] == [{"epoch": 1, "loss": 800.0, "perplexity": None}]


# --- Decode -----------------------------------------------------------------------------------------------------------


def written_by(model: Seq2Seq, source: str) -> list[int]:
    tokens = [int(token) for token in source.split()]
    return model.generate(torch.tensor([tokens]), len(tokens) - 2)[0].tolist()


def test_decode_prints_what_the_network_writes(run, checkpoint):
    done = run(f"decode {checkpoint} {SOURCE}")
    expected = written_by(load_model(checkpoint), SOURCE)
    assert (done.status, done.out, done.err) == (0, " ".join(map(str, expected)) + "\n", "")


def test_decode_and_evaluate_keep_to_the_task_that_a_checkpoint_was_trained_for(run, tmp_path):
    run(f"train --recipe tiny --epochs 1 --out {tmp_path}")
    assert len(run(f"decode {tmp_path}/last.pt 0 2 7 8").out.split()) == 2
    assert "A source has 4 numbers" in run(f"decode {tmp_path}/last.pt {SOURCE}").err
    assert run(f"evaluate {tmp_path}/last.pt --examples 10").status == 0


def test_decode_reports_one_json_object(run, checkpoint):
    done = run(f"decode {checkpoint} {SOURCE} --json")
    assert json.loads(done.out) == {
        "source": [int(token) for token in SOURCE.split()],
        "output": written_by(load_model(checkpoint), SOURCE),
    }


# --- Verify -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained_on_six(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("six")
    fit(dataclasses.replace(TUNED, **{**TINY, "name": "tiny-six", "length": 6, "epochs": 1}), out=folder)
    return folder


@pytest.fixture
def six(trained_on_six: Path) -> str:
    """A trained network for sources of six numbers: six blocks of inputs. A test may change its copy."""
    shutil.copytree(trained_on_six, "six")
    return "six/last.pt"


def without_time(result: dict) -> dict:
    return {name: value for name, value in result.items() if name not in ("seconds", "pieces", "certificate")}


def test_verify_reports_one_json_object_and_writes_the_certificate(run, six):
    done = run(f"verify {six} --json")
    result = json.loads(done.out)
    expected = count_errors(load_model(six), SubstringTask(6), sha256=sha256_of(six))
    assert done.status == 0
    assert done.out.count("\n") == 1
    assert without_time(result) == without_time(json.loads(json.dumps(expected.as_dict())))
    assert result["errors"] > 0
    path = Path(result.pop("certificate"))
    assert path == Path(f"runs/last-{sha256_of(six)[:8]}-1of1.json")
    assert load_certificate(path, six).as_dict() == result


def test_verify_shows_its_progress_on_standard_error(run, six):
    err = run(f"verify {six}").err
    assert "39.4k/39.4k" in err
    assert "input/s" in err


def test_verify_says_the_count_in_words(run, six):
    lines = run(f"verify {six} --out whole.json").out.splitlines()
    whole = load_certificate("whole.json")
    assert lines[0].startswith(f"{whole.errors:,} errors among 39,366 inputs, counted in ")
    assert lines[1:] == [
        f"worst margin   {whole.worst_margin:.6g}, at {' '.join(map(str, whole.worst_input))}",
        f"error rate     {whole.rate_uniform:.4g} of all inputs",
        f"               {whole.rate_under_sampler:.4g} under the sampler",
        "certificate    whole.json",
    ]
    lines = run(f"verify {six} --shard 2/3 --out part.json").out.splitlines()
    assert lines[2:] == ["not counted    26,244 inputs of the task", "certificate    part.json"]


def test_verify_says_no_margin_where_nothing_was_counted(run, six):
    nothing = Certificate(6, sha256_of(six), parameters=1, tolerance=0.1, arithmetic={"x": 0.001})
    save_certificate(nothing, "nothing.json")
    assert run(f"verify {six} --merge nothing.json --out sum.json").out.splitlines() == [
        "0 errors among 0 inputs, counted in 0.0 s",
        "not counted    39,366 inputs of the task",
        "certificate    sum.json",
    ]


@pytest.mark.parametrize(
    ("margin", "words"),
    [(1.0, "exact          yes"), (0.9, "exact          no: the worst margin is too small to tell")],
)
def test_verify_says_whether_a_count_without_errors_proves_the_network_exact(margin, words, run, six, monkeypatch):
    def no_errors(*arguments: object, **options: object) -> Certificate:
        found = count_errors(*arguments, **options)
        return dataclasses.replace(found, errors_by_pair={}, failures=[], worst_margin=margin, arithmetic={"x": 0.01})

    monkeypatch.setattr(verification, "count_errors", no_errors)
    assert run(f"verify {six}").out.splitlines()[2] == words


@pytest.mark.slow
def test_verify_merges_shards_to_the_whole(run, six):
    whole = json.loads(run(f"verify {six} --json").out)
    parts = [json.loads(run(f"verify {six} --shard {number}/3 --json").out) for number in (3, 1, 2)]
    files = [part["certificate"] for part in parts]
    assert files == [str(Path(f"runs/last-{whole['sha256'][:8]}-{number}of3.json")) for number in (3, 1, 2)]
    assert [part["inputs"] for part in parts] == [13_122] * 3
    merged = json.loads(run(f"verify {six} --merge {' '.join(files)} --out sum.json --json").out)
    assert without_time(merged) == without_time(whole)
    assert load_certificate("sum.json").complete


def test_verify_names_its_certificate_after_the_weights_and_the_length_asked_for(run, monkeypatch):
    monkeypatch.setattr(verification, "count_errors", lambda *_, sha256, **__: count_of_nothing(sha256))
    monkeypatch.setattr(command_line, "still_to_count", lambda *_: [])
    names = []
    for seed in (1, 2):
        run(f"train --recipe tiny --epochs 1 --seed {seed} --out t{seed}")
        names += [
            json.loads(run(f"verify t{seed}/last.pt {more} --json").out)["certificate"]
            for more in ("", "--length 4", "--shard 2/3")
        ]
    first, second = (sha256_of(f"t{seed}/last.pt")[:8] for seed in (1, 2))
    endings = ("1of1", "length4-1of1", "2of3")
    assert names == [str(Path(f"runs/last-{each}-{ending}.json")) for each in (first, second) for ending in endings]
    assert first != second


def count_of_nothing(sha256: str) -> Certificate:
    return Certificate(4, sha256, 1, 0.1, {"x": 0.001}, worst_margin=1.0, worst_input=[0, 2, 1, 1])


def test_verify_refuses_a_checkpoint_that_changes_while_it_is_read(run, six, checkpoint, monkeypatch):
    def load_and_write(path: str, device: torch.device) -> Seq2Seq:
        model = load_model(path, device)
        Path(path).write_bytes(checkpoint.read_bytes())
        return model

    monkeypatch.setattr(command_line, "load_model", load_and_write)
    done = run(f"verify {six} --out one.json")
    assert (done.status, done.out) == (2, "")
    assert done.err == f"course_utils: {six} was changed while it was read: verify it when its training is over.\n"
    assert not Path("one.json").exists()


def interrupt_after(
    blocks: int, monkeypatch: pytest.MonkeyPatch, error: BaseException | type[BaseException] = KeyboardInterrupt
) -> None:
    """Press Ctrl-C after that many blocks, or let something else happen."""
    left = iter(range(blocks, 0, -1))

    def count_or_stop(*arguments: object, on_block: Callable, **options: object) -> Certificate:
        if blocks == 0:
            raise error

        def on_block_or_stop(certificate: Certificate, n_inputs: int) -> None:
            on_block(certificate, n_inputs)
            if next(left) == 1:
                raise error

        return count_errors(*arguments, on_block=on_block_or_stop, **options)

    monkeypatch.setattr(verification, "count_errors", count_or_stop)


def test_verify_interrupted_keeps_what_it_has_and_resumes(run, six, monkeypatch):
    whole = json.loads(run(f"verify {six} --json").out)
    with monkeypatch.context() as patch:
        interrupt_after(4, patch)
        stopped = run(f"verify {six} --out count.json --json")
    assert (stopped.status, stopped.out) == (130, "")
    assert stopped.err.splitlines()[-1] == (
        "course_utils: interrupted; what was counted is in count.json, and --resume goes on."
    )
    assert load_certificate("count.json").inputs == 4 * 9**4
    resumed = run(f"verify {six} --out count.json --resume --json")
    assert "67%" in resumed.err  # it begins with what was counted
    assert without_time(json.loads(resumed.out)) == without_time(whole)
    assert load_certificate("count.json").complete


def test_verify_interrupted_before_the_first_block_writes_nothing(run, six, monkeypatch):
    interrupt_after(0, monkeypatch)
    stopped = run(f"verify {six} --out count.json")
    assert (stopped.status, stopped.out) == (130, "")
    assert stopped.err.splitlines()[-1] == "course_utils: interrupted."
    assert not Path("count.json").exists()


def test_verify_interrupted_when_it_saves_the_whole_count_keeps_it(run, six, monkeypatch):
    saves = iter([KeyboardInterrupt])

    def save_or_stop(*arguments: object) -> None:
        for error in saves:
            raise error
        save_certificate(*arguments)

    monkeypatch.setattr(verification, "save_certificate", save_or_stop)
    stopped = run(f"verify {six} --out count.json")
    assert stopped.status == 130
    assert stopped.err.endswith("what was counted is in count.json, and --resume goes on.\n")
    assert load_certificate("count.json").complete


def test_verify_keeps_what_it_has_whatever_ends_it(run, six, monkeypatch):
    interrupt_after(2, monkeypatch, OSError("the driver is gone"))
    with pytest.raises(OSError, match="the driver is gone"):
        run(f"verify {six} --out count.json")
    assert load_certificate("count.json").inputs == 2 * 9**4
    interrupt_after(1, monkeypatch, torch.OutOfMemoryError("CUDA out of memory."))
    assert run(f"verify {six} --out count.json --resume").status == 2
    assert load_certificate("count.json").inputs == 3 * 9**4


def test_verify_interrupted_again_at_once_keeps_what_it_had(run, six, monkeypatch):
    run(f"verify {six} --shard 1/2 --out count.json")
    before = load_certificate("count.json")
    interrupt_after(0, monkeypatch)
    stopped = run(f"verify {six} --out count.json --resume")
    assert stopped.status == 130
    assert stopped.err.endswith("what was counted is in count.json, and --resume goes on.\n")
    assert load_certificate("count.json") == before


def test_verify_resumes_from_nothing_and_from_a_whole_count(run, six):
    whole, again = (json.loads(run(f"verify {six} --resume --json --out one.json").out) for _ in range(2))
    assert whole["complete"]
    assert again["pieces"] == whole["pieces"]  # nothing was counted again


@pytest.mark.parametrize(
    ("how", "n_processes", "there", "what_to_do"),
    [
        ("", 1, "one.json", "go on with it (--resume), or name another file (--out)"),
        ("", 2, "one.json", "go on with it (--resume), or name another file (--out)"),
        ("", 2, "one-process2of2.json", "go on with it (--resume), or name another file (--out)"),
        ("--merge part.json", 1, "one.json", "name another file (--out)"),
    ],
)
def test_verify_overwrites_no_count(how, n_processes, there, what_to_do, run, six, monkeypatch):
    """Seen by the last of so many processes."""
    run(f"verify {six} --shard 1/2 --out part.json")
    Path(there).write_text("hours of counting")
    monkeypatch.setattr(command_line, "n_processes", lambda: n_processes)
    monkeypatch.setattr(command_line, "rank", lambda: n_processes - 1)
    monkeypatch.setattr(verification, "count_errors", lambda *_, **__: pytest.fail("it counts"))
    done = run(f"verify {six} --out one.json {how}")
    assert (done.status, done.out) == (2, "")
    assert done.err == f"course_utils: A count for one.json is there already: {what_to_do}.\n"
    assert Path(there).read_text() == "hours of counting"


def test_verify_does_not_mind_that_another_process_is_ahead(run, six, monkeypatch):
    """The second of two, when the first has already saved what it counted."""
    monkeypatch.setattr(command_line, "n_processes", lambda: 2)
    monkeypatch.setattr(command_line, "rank", lambda: 1)
    monkeypatch.setattr(command_line, "gather", lambda certificate: [certificate])
    Path("one-process1of2.json").touch()
    assert run(f"verify {six} --out one.json").status == 0
    assert load_certificate("one-process2of2.json", six).inputs == 3 * 9**4


@pytest.mark.parametrize(
    ("n_processes", "there", "how"),
    [
        (2, ["one.json"], "--resume"),
        (2, ["one-process3of3.json", "one-process1of3.json"], "--resume"),
        (1, ["one-process1of2.json"], "--resume"),
        (1, ["one-process1of2.json"], ""),
    ],
)
def test_verify_does_not_go_on_with_another_number_of_processes(n_processes, there, how, run, six, monkeypatch):
    for name in there:
        Path(name).touch()
    monkeypatch.setattr(command_line, "n_processes", lambda: n_processes)
    monkeypatch.setattr(verification, "count_errors", lambda *_, **__: pytest.fail("it counts"))
    done = run(f"verify {six} --out one.json {how}")
    assert (done.status, done.out) == (2, "")
    assert done.err == (
        f"course_utils: {min(there)} is the count of another number of processes than {n_processes}: "
        "resume with as many as before, or name another file (--out).\n"
    )


def test_verify_resumes_with_the_number_of_processes_that_it_had(run, six, monkeypatch):
    """The second of two: it interrupts itself, and goes on, beside what three and one have left."""
    monkeypatch.setattr(command_line, "n_processes", lambda: 2)
    monkeypatch.setattr(command_line, "rank", lambda: 1)
    with monkeypatch.context() as patch:
        interrupt_after(1, patch)
        assert run(f"verify {six} --out one.json").status == 130
    file = Path("one-process2of2.json")
    assert load_certificate(file, six).inputs == 9**4
    for name in ("one.json", "one-process2of3.json"):
        Path(name).touch()
    monkeypatch.setattr(command_line, "gather", lambda certificate: [certificate])
    assert run(f"verify {six} --out one.json --resume").status == 0
    (half,) = load_certificate(file, six).pieces
    assert (half.start, half.stop) == (3 * 9**4, 6 * 9**4)


def test_verify_saves_now_and_then(run, six, monkeypatch):
    saved = []
    clock = iter(range(0, 1000, 11))  # a block every 11 s, a save when 20 have passed
    told = SimpleNamespace(monotonic=lambda: next(clock), perf_counter=time.perf_counter)
    monkeypatch.setattr(verification, "time", told)
    for module in (verification, command_line):
        monkeypatch.setattr(module, "save_certificate", lambda certificate, path: saved.append(certificate.inputs))
    run(f"verify {six}")
    assert saved == [n * 9**4 for n in (2, 4, 6, 6, 6)][: len(saved)]
    assert len(saved) >= 4


def test_verify_takes_the_length_the_checkpoint_was_trained_for_or_the_one_named(run, checkpoint, tmp_path):
    run(f"train --recipe tiny --epochs 1 --out {tmp_path}")
    assert json.loads(run(f"verify {tmp_path}/last.pt --json").out)["length"] == 4
    assert json.loads(run(f"verify {tmp_path}/last.pt --length 4 --json").out)["length"] == 4
    assert json.loads(run(f"verify {checkpoint} --length 5 --json").out)["length"] == 5
    part = json.loads(run(f"verify {checkpoint} --shard 19683/19683 --json").out)
    assert (part["length"], part["inputs"], part["errors_by_pair"]) == (10, 9**5, {"5 3": part["errors"]})


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As many as torchrun gives each process: on some processors more threads add up in another order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_verify_under_torchrun_merges_what_its_processes_counted(run, six):
    whole = json.loads(run(f"verify {six} --json").out)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"),
            *("-m", "course_utils", "verify", six, "--device", "cpu", "--out", "both.json", "--json"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("{")]
    assert without_time(json.loads(line)) == without_time(whole)
    assert load_certificate("both.json", six).complete
    parts = [load_certificate(f"both-process{number}of2.json", six) for number in (1, 2)]
    assert [part.inputs for part in parts] == [3 * 9**4, 3 * 9**4]


# --- Bad input --------------------------------------------------------------------------------------------------------

TOO_LONG = "a" * 300 + ".json"
BAD_COMMANDS = {
    "": "required",
    "dance": "invalid choice",
    "train --tempo 120": "unrecognized arguments",
    "train --recipe nonsense": "no recipe 'nonsense'",
    "train --recipe tiny --device gpu": "no device 'gpu'",
    "train --recipe tiny --device cuda": "no CUDA GPU",
    "train --recipe tiny --captured": "Only a GPU replays a captured step",
    "train --recipe tiny --seed one": "invalid int value",
    "train --recipe tiny --seed 99999999999999999999": "seed",
    "train --recipe tiny --until 99": "until is a share",
    "train --recipe tiny --until 0": "until is a share",
    "train --recipe tiny --epochs 0": "at least 1",
    "train --recipe tiny --epochs -1": "at least 1",
    "train --recipe tiny-original --epochs 0": "at least 1",
    "train --recipe tiny --out model.pt/below": "cannot be written to",
    "train --recipe tiny-original --out other": "other holds a run already",
    "train --recipe tiny --out other --resume": "other/last.pt is a run with name tiny-original, not tiny",
    "train --recipe tiny --out truncated --resume": "cannot be read as a checkpoint",
    "verify": "required",
    "verify nothing.pt": "nothing.pt cannot be read (No such file or directory)",
    "verify other": "other cannot be read (Is a directory)",
    f"verify {TOO_LONG}": "cannot be read (File name too long)",
    "verify truncated/last.pt": "cannot be read as a checkpoint",
    "verify model.pt --length 12": "from 4 to 11",
    "verify model.pt --length ten": "invalid int value",
    "verify other/last.pt --length 10": "other/last.pt was trained for length 4, not 10",
    "verify model.pt --shard 1": "A shard is written i/n",
    "verify model.pt --shard 1/": "A shard is written i/n",
    "verify model.pt --shard=-1/4": "A shard is written i/n",
    f"verify model.pt --shard 1/{'9' * 5000}": f"A shard is written i/n, for example 1/4, not 1/{'9' * 38}.",
    "verify model.pt --shard 5/4": "no shard 5/4",
    "verify model.pt --shard 0/4": "no shard 0/4",
    "verify model.pt --shard 1/19684": "at most 19,683 for length 10",
    "verify model.pt --device tpu": "no device 'tpu'",
    "verify model.pt --merge nothing.json": "nothing.json cannot be read (No such file or directory)",
    f"verify model.pt --merge {TOO_LONG}": "cannot be read (File name too long)",
    "verify model.pt --merge letter.txt": "letter.txt is no certificate of this course",
    "verify model.pt --merge other.json": "other.json is about other weights than those of model.pt",
    "verify other/last.pt --merge other.json --length 4": "counts nothing: leave out --length.",
    "verify other/last.pt --merge other.json --shard 1/2": "counts nothing: leave out --shard.",
    "verify other/last.pt --merge other.json --resume --device cpu": "counts nothing: leave out --resume, --device.",
    "verify model.pt --length 4 --resume --out other.json": "other.json is about other weights",
    "verify other/last.pt --merge other.json other.json": "counted twice",
    "verify other/last.pt --out letter.txt/one.json": "The folder letter.txt cannot be written to",
    "verify other/last.pt --out other": "other is a folder: name a file (--out).",
    "verify other/last.pt --out other --resume": "other is a folder: name a file (--out).",
    "verify other/last.pt --out other.json": "A count for other.json is there already: go on with it (--resume), or",
    f"verify other/last.pt --out {TOO_LONG}": "cannot be used (File name too long): name another file (--out).",
    f"verify other/last.pt --out {TOO_LONG} --resume": "cannot be used (File name too long)",
    "evaluate": "required",
    "evaluate nothing.pt": "no checkpoint at nothing.pt",
    "evaluate truncated/last.pt": "cannot be read as a checkpoint",
    "evaluate letter.txt": "cannot be read as a checkpoint",
    "evaluate model.pt --examples 0": "from 1 to 1,000,000",
    "evaluate model.pt --examples -5": "from 1 to 1,000,000",
    "evaluate model.pt --examples 1000001": "`verify` counts more",
    "evaluate model.pt --examples many": "invalid int value",
    "evaluate model.pt --device tpu": "no device 'tpu'",
    "decode model.pt": "required",
    f"decode nothing.pt {SOURCE}": "no checkpoint at nothing.pt",
    f"decode letter.txt {SOURCE}": "cannot be read as a checkpoint",
    "decode model.pt 5 4 1 8 5 6 9 1 4 5": "start 5 with length 4 is impossible",
    "decode model.pt 6 2 1 8 5 6 9 1 4 5": "start 6 with length 2 is impossible",
    "decode model.pt -1 2 1 8 5 6 9 1 4 5": "start -1 with length 2 is impossible",
    "decode model.pt 3 2 1 8 0 6 9 1 4 5": "x2 is 0",
    "decode model.pt 3 2 1 8 5 6 9 1 4 10": "x7 is 10",
    "decode model.pt 3 2 1 8 5 6 9 1 4 x": "invalid int value: 'x'",
    "decode model.pt 3 9223372036854775807 1 8 5 6 9 1 4 5": "impossible",
    "decode model.pt 3 99999999999999999999 1 8 5 6 9 1 4 5": "whole numbers",
    "decode model.pt 3 2 1": "A source has",
    "decode model.pt 3 2 1 8 5 6 9 1 4 5 1 1": "A source has",
}


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a run is saved, and a whole count of its errors."""
    folder = tmp_path_factory.mktemp("other")
    run = fit(dataclasses.replace(ORIGINAL, **{**TINY, "name": "tiny-original"}), out=folder / "other")
    counted = count_errors(run.model, SubstringTask(4), sha256=sha256_of(folder / "other" / "last.pt"))
    save_certificate(counted, folder / "other.json")
    return folder


@pytest.mark.parametrize("command", BAD_COMMANDS, ids=lambda command: command[:80] or "nothing")
def test_bad_input_gets_one_clear_line_and_status_2(command, run, checkpoint, other, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    Path("letter.txt").write_text("Dear network,\n" * 10)
    Path("truncated").mkdir()
    Path("truncated/last.pt").write_bytes(checkpoint.read_bytes()[:5000])
    shutil.copytree(other, ".", dirs_exist_ok=True)
    done = run(command)
    assert done.status == 2
    assert done.out == ""
    (line,) = done.err.splitlines()
    assert line.startswith("course_utils: ")
    assert BAD_COMMANDS[command] in line


@pytest.mark.parametrize(
    "command", ["train --recipe tiny", "evaluate model.pt", f"decode model.pt {SOURCE}", "verify model.pt"]
)
def test_every_verb_works_on_the_device_asked_for(command, run, checkpoint, monkeypatch):
    def name_the_device(*arguments: object, **options: object) -> None:
        raise InputError(f"On {options.get('device', arguments[-1])}.")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(command_line, "fit", name_the_device)
    monkeypatch.setattr(command_line, "load_model", name_the_device)
    assert run(f"{command} --device cuda").err == "course_utils: On cuda.\n"
    assert run(f"{command} --device cpu").err == "course_utils: On cpu.\n"
    if command.startswith(("train", "verify")):
        monkeypatch.setattr(command_line, "device_of_process", lambda name: torch.device(name, 3))
        assert run(f"{command} --device cuda").err == "course_utils: On cuda:3.\n"


@pytest.mark.parametrize("verb", ["train", "evaluate", "decode", "verify"])
def test_the_help_of_a_verb_explains_what_it_takes(verb, run):
    explained = "".join(run(f"{verb} --help").out.split())  # lines may break at any blank and hyphen
    parser = next(action for action in command_line._parser()._actions if action.choices).choices[verb]
    for action in parser._actions:
        assert action.help, action.dest
        assert "".join(action.help.split()) in explained


def test_help_names_the_verbs(run):
    done = run("--help")
    assert done.status == 0
    for verb in ("train", "evaluate", "decode", "verify"):
        assert f"  {verb}  " in done.out


# --- For real ---------------------------------------------------------------------------------------------------------


def python(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "course_utils", *arguments], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.slow
def test_python_m_course_utils_decodes(checkpoint):
    done = python("decode", str(checkpoint), *SOURCE.split())
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == [str(token) for token in written_by(load_model(checkpoint), SOURCE)]


@pytest.mark.slow
def test_python_m_course_utils_refuses_bad_input_with_one_line_and_status_2(checkpoint):
    done = python("decode", str(checkpoint), *IMPOSSIBLE_SOURCE.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("course_utils: start 7 with length 3 is impossible")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("part", ["_parser", "load_model", "evaluate"])
def test_an_interrupt_outside_training_is_said_in_a_line(part, run, checkpoint, monkeypatch):
    def interrupted(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(command_line, part, interrupted)
    stopped = run(f"evaluate {checkpoint}")
    assert (stopped.status, stopped.out, stopped.err) == (130, "", "course_utils: interrupted.\n")


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory. Tried"), RuntimeError("CUDA error: out of memory\nCompile")]
)
@pytest.mark.parametrize(
    ("command", "part"),
    [
        ("train --recipe tiny", "fit"),
        ("evaluate model.pt", "load_model"),
        ("evaluate model.pt", "evaluate"),
        (f"decode model.pt {SOURCE}", "load_model"),
        ("verify model.pt --length 4", "count_into"),
    ],
)
def test_a_gpu_with_too_little_memory_is_said_in_a_line(command, part, error, run, checkpoint, monkeypatch):
    def fail(*_arguments: object, **_options: object) -> None:
        raise error

    monkeypatch.setattr(command_line, part, fail)
    done = run(command)
    assert (done.status, done.out) == (2, "")
    assert done.err.splitlines()[-1] == (
        "course_utils: The GPU has too little memory: use --device cpu, or end other programs that use it "
        "(nvidia-smi lists them)."
    )


def test_another_error_is_not_taken_for_want_of_memory(run, checkpoint, monkeypatch):
    def fail(*_arguments: object) -> None:
        raise RuntimeError("a mistake of the package's own")

    monkeypatch.setattr(command_line, "evaluate", fail)
    with pytest.raises(RuntimeError, match="own"):
        run(f"evaluate {checkpoint}")


@pytest.mark.slow
def test_a_pipe_that_nobody_reads_ends_it_without_a_word(checkpoint, monkeypatch):
    """As in `… | true`, where the other program is over before there is a result."""
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "course_utils", "evaluate", checkpoint, "--examples", "10"],
        stdout=write,
        stderr=subprocess.PIPE,
        check=False,
        timeout=60,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_an_interrupt_while_pytorch_is_loaded_ends_it_without_a_word():
    Path("torch.py").write_text("raise KeyboardInterrupt")  # here, where `python -m` looks first
    done = python("--help")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
