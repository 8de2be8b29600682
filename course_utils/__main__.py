"""The command line: `python -m course_utils train|evaluate|decode|verify`. Each verb is thin over the package."""

from __future__ import annotations

import argparse
import dataclasses
import glob
import json
import math
import os
import re
import sys
from pathlib import Path

try:
    from tqdm.auto import tqdm

    from .certificates import Certificate, load_certificate, merge, save_certificate, sha256_of, still_to_count
    from .data import held_out
    from .errors import InputError, TrainingDivergedError
    from .evaluation import evaluate
    from .files import load_checkpoint, writable_folder
    from .networks import load_model
    from .parallel import device_of_process, gather, n_processes, process_of_torchrun, rank, says_it_first
    from .recipes import RECIPES, find_recipe
    from .task import SubstringTask
    from .training import (
        HELD_OUT_EXAMPLES,
        PrintExamples,
        ProgressBar,
        find_device,
        fit,
        summary,
    )
    from .verification import count_into
except KeyboardInterrupt:  # PyTorch takes seconds to load
    sys.exit(130)

MOST_EXAMPLES = 1_000_000  # whose outputs, all kept, take a gigabyte
FEW_ENOUGH_TO_PRINT = 8  # validation examples
INTERRUPTED, CLOSED_PIPE = 130, 141  # what a shell reports for Ctrl-C and for a pipe that nobody reads
HOW_TO_COUNT = {"length": None, "shard": "1/1", "resume": False, "device": "auto"}  # unless verify is told otherwise


def main(arguments: list[str] | None = None) -> int:
    """The exit status: 0, 1 where training diverged, 2 for input that cannot be used or too small a GPU, 130 after
    Ctrl-C, and 141 where nobody reads what is written."""
    try:
        options = _parser().parse_args(arguments)
        return options.verb(options)
    except InputError as error:
        return _stop(str(error), 2)
    except TrainingDivergedError as error:
        return _stop(str(error), 1)
    except KeyboardInterrupt:  # outside training, where an interrupt keeps what there is
        return _stop("interrupted.", INTERRUPTED)
    except BrokenPipeError:  # as in `… | head`; Python would write to the pipe again at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED_PIPE
    except RuntimeError as error:
        if "out of memory" not in str(error):  # what a GPU's errors say, whether OutOfMemoryError or plain ones
            raise
        advice = "use --device cpu, or end other programs that use it (nvidia-smi lists them)"
        return _stop(f"The GPU has too little memory: {advice}.", 2)


def _stop(why: str, status: int) -> int:
    if says_it_first(why):
        print(f"course_utils: {why}", file=sys.stderr)
    return status


def _train(options: argparse.Namespace) -> int:
    recipe = find_recipe(options.recipe)
    if options.epochs is not None:
        recipe = dataclasses.replace(recipe, epochs=options.epochs)
    device = device_of_process(options.device)
    out = Path(options.out or f"runs/{recipe.name}-seed{options.seed}")
    callbacks = [ProgressBar()]
    if recipe.validation_examples <= FEW_ENOUGH_TO_PRINT:
        callbacks.append(PrintExamples(lambda line: tqdm.write(line, file=sys.stderr)))
    with process_of_torchrun(device) as process:
        run = fit(
            recipe,
            seed=options.seed,
            device=device,
            callbacks=callbacks if process.is_first else [],
            until=options.until,
            out=out,
            resume=options.resume,
            captured=options.captured,
            process=process,
        )
    if not process.is_first:
        return 0
    last = out / ("last.pt" if run.history else "best.pt")  # interrupted in the first epoch, there is only one
    took = f"{run.seconds:.1f} s" if run.history else "less than an epoch"
    result = {**summary(run), "checkpoint": str(last), "best_checkpoint": str(out / "best.pt")}
    _report(
        options,
        result,
        f"{run.examples:,} examples in {took} on {device}\n"
        f"last:  exact match {result['exact_match']:.4f}  {result['checkpoint']}\n"
        f"best:  exact match {result['best_exact_match']:.4f}  {result['best_checkpoint']}  "
        f"(epoch {run.best_epoch}, by validation loss)",
    )
    return INTERRUPTED if run.interrupted else 0


def _evaluate(options: argparse.Namespace) -> int:
    if not 1 <= options.examples <= MOST_EXAMPLES:
        raise InputError(f"--examples goes from 1 to {MOST_EXAMPLES:,} (`verify` counts more), not {options.examples}.")
    device = find_device(options.device)
    model = load_model(options.checkpoint, device)
    scores = evaluate(model, *held_out(_task_of(options.checkpoint), options.examples, device))
    names = ("loss", "perplexity", "token_accuracy", "exact_match", "examples")
    result = {name: getattr(scores, name) for name in names}
    lines = [f"{name:<15}{value if isinstance(value, int) else f'{value:.7g}'}" for name, value in result.items()]
    _report(options, result, "\n".join(lines))
    return 0


def _decode(options: argparse.Namespace) -> int:
    device = find_device(options.device)
    model, task = load_model(options.checkpoint, device), _task_of(options.checkpoint)
    source = task.validate([options.source])
    output = model.generate(source.to(device), task.n_digits)[0].tolist()
    _report(options, {"source": options.source, "output": output}, " ".join(map(str, output)))
    return 0


def _verify(options: argparse.Namespace) -> int:
    sha256 = sha256_of(options.checkpoint)
    task = _task_of(options.checkpoint, options.length)
    out = Path(options.out or _name_of_certificate(options, sha256))
    writable_folder(out.parent)  # known before an hour of counting
    _refuse_to_overwrite(out, options)
    if options.merge:
        _refuse_how_to_count(options)
        certificate = merge([load_certificate(path, options.checkpoint) for path in options.merge])
    else:
        certificate = _count(options, task, sha256, out)
        if certificate is None:
            return INTERRUPTED
    if rank() == 0:
        save_certificate(certificate, out)
        _report(options, {**certificate.as_dict(), "certificate": str(out)}, _in_words(certificate, out))
    return 0


def _name_of_certificate(options: argparse.Namespace, sha256: str) -> str:
    """One for each checkpoint, length and shard: most checkpoints are called last.pt."""
    number, n_shards = _shard(options.shard)
    length = "" if options.length is None else f"-length{options.length}"
    return f"runs/{Path(options.checkpoint).stem}-{sha256[:8]}{length}-{number}of{n_shards}.json"


def _refuse_to_overwrite(out: Path, options: argparse.Namespace) -> None:
    """What took hours to count would be lost by a command typed twice."""
    try:
        # Of the processes' files only this one's own: another may have begun to write its own already.
        is_folder, is_there = out.is_dir(), out.exists() or _file_of_process(out, rank() + 1).exists()
    except OSError as error:
        raise InputError(f"{out} cannot be used ({error.strerror}): name another file (--out).") from error
    if is_folder:
        raise InputError(f"{out} is a folder: name a file (--out).")
    if is_there and not options.resume:
        go_on = "" if options.merge else "go on with it (--resume), or "
        raise InputError(f"A count for {out} is there already: {go_on}name another file (--out).")


def _refuse_how_to_count(options: argparse.Namespace) -> None:
    given = [f"--{name}" for name, unless_told in HOW_TO_COUNT.items() if getattr(options, name) != unless_told]
    if given:
        raise InputError(f"--merge adds up what was counted and counts nothing: leave out {', '.join(given)}.")


def _count(options: argparse.Namespace, task: SubstringTask, sha256: str, out: Path) -> Certificate | None:
    """Count the shard asked for, or this process's part of it under torchrun; None when interrupted.

    Each process keeps a file of its own, and the first gets the sum.
    Raises InputError where the checkpoint is no longer the one with this SHA-256, and KeyboardInterrupt where nothing
    was counted before the interrupt.
    """
    number, n_shards = _shard(options.shard)
    shard = (number - 1) * n_processes() + rank() + 1, n_shards * n_processes()
    _refuse_other_processes(out)
    out = _file_of_process(out, rank() + 1)
    so_far = load_certificate(out, options.checkpoint) if out.exists() else None
    left = _inputs_in(still_to_count(task, shard, so_far.pieces if so_far else []))
    in_all = _inputs_in(still_to_count(task, shard, []))
    model = load_model(options.checkpoint, device_of_process(options.device))
    if sha256_of(options.checkpoint) != sha256:
        raise InputError(f"{options.checkpoint} was changed while it was read: verify it when its training is over.")
    try:
        with tqdm(total=in_all, initial=in_all - left, unit="input", unit_scale=True, disable=rank() > 0) as bar:
            certificate = count_into(
                out,
                model,
                task,
                shard=shard,
                so_far=so_far,
                sha256=sha256,
                on_block=lambda _, n_inputs: bar.update(n_inputs),
            )
    except KeyboardInterrupt:
        if not out.exists():
            raise
        print(f"course_utils: interrupted; what was counted is in {out}, and --resume goes on.", file=sys.stderr)
        return None
    return merge(gather(certificate))


def _file_of_process(out: Path, number: int) -> Path:
    """Where that one of the processes, counted from 1, keeps its count; one alone has the certificate's own file."""
    return out if n_processes() == 1 else out.with_name(f"{out.stem}-process{number}of{n_processes()}.json")


def _refuse_other_processes(out: Path) -> None:
    """Another number of processes would find none of what was counted, and silently count it again."""
    own = {_file_of_process(out, number) for number in range(1, n_processes() + 1)}
    there = {path for path in (out, *out.parent.glob(f"{glob.escape(out.stem)}-process*of*.json")) if path.exists()}
    if there and not there & own:
        raise InputError(
            f"{min(there)} is the count of another number of processes than {n_processes()}: resume with as many as "
            "before, or name another file (--out)."
        )


def _inputs_in(ranges: list[tuple[int, int]]) -> int:
    return sum(stop - start for start, stop in ranges)


def _shard(text: str) -> tuple[int, int]:
    written = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if written is None:
        raise InputError(f"A shard is written i/n, for example 1/4, not {text[:40]}.")
    return int(written[1]), int(written[2])


def _in_words(certificate: Certificate, out: Path) -> str:
    """The certificate in a few lines; what is not known yet is not said."""
    lines = [
        f"{certificate.errors:,} errors among {certificate.inputs:,} inputs, counted in {certificate.seconds:.1f} s",
    ]
    if certificate.inputs:
        lines.append(f"worst margin   {certificate.worst_margin:.6g}, at {' '.join(map(str, certificate.worst_input))}")
    if not certificate.complete:
        lines.append(f"not counted    {certificate.task.size - certificate.inputs:,} inputs of the task")
    elif certificate.errors:
        lines.append(f"error rate     {certificate.rate_uniform:.4g} of all inputs")
        lines.append(f"               {certificate.rate_under_sampler:.4g} under the sampler")
    else:
        lines.append(f"exact          {'yes' if certificate.exact else 'no: the worst margin is too small to tell'}")
    return "\n".join([*lines, f"certificate    {out}"])


def _task_of(checkpoint: str, length: int | None = None) -> SubstringTask:
    """The task a checkpoint was trained for; a bare state_dict does not say, and gets the length asked for, or 10."""
    recipe = load_checkpoint(checkpoint).get("recipe")
    if recipe is None:
        return SubstringTask() if length is None else SubstringTask(length)
    if length not in (None, recipe["length"]):
        raise InputError(f"{checkpoint} was trained for length {recipe['length']}, not {length}.")
    return SubstringTask(recipe["length"])


def _report(options: argparse.Namespace, result: dict, text: str) -> None:
    print(json.dumps(_null_unless_finite(result), allow_nan=False) if options.json else text, flush=True)


def _null_unless_finite(value: object) -> object:
    """Plain data as JSON has it: no NaN, no infinity."""
    if isinstance(value, dict):
        return {name: _null_unless_finite(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_null_unless_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:
        # One line, no usage block: argparse exits with status 2 as every other bad input does.
        self.exit(2, f"course_utils: {message} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m course_utils", description="Train, evaluate, try and verify the course's network.")
    verbs = parser.add_subparsers(required=True, metavar="train|evaluate|decode|verify", parser_class=_Parser)

    train = verbs.add_parser("train", help="train a network by a recipe and save it")
    train.add_argument("--recipe", default="tuned", help=f"{', '.join(RECIPES)} (default: tuned)")
    train.add_argument("--epochs", type=int, help="another number of epochs than the recipe's")
    train.add_argument("--seed", type=int, default=0, help="of all random numbers in the run (default: 0)")
    train.add_argument("--until", type=float, metavar="SHARE", help="stop at this exact match on held-out examples")
    train.add_argument("--out", metavar="DIR", help="where checkpoints go (default: runs/RECIPE-seedN)")
    train.add_argument("--resume", action="store_true", help="go on from DIR's last checkpoint")
    train.add_argument("--captured", action="store_true", help="on a GPU, replay each step as a CUDA graph")
    train.set_defaults(verb=_train)

    score = verbs.add_parser("evaluate", help="score a checkpoint on held-out examples")
    score.add_argument("checkpoint", help="the file of a trained network")
    score.add_argument(
        "--examples", type=int, default=HELD_OUT_EXAMPLES, help=f"how many (default: {HELD_OUT_EXAMPLES:,})"
    )
    score.set_defaults(verb=_evaluate)

    decode = verbs.add_parser("decode", help="what a checkpoint writes for one source")
    decode.add_argument("checkpoint", help="the file of a trained network")
    decode.add_argument("source", type=int, nargs="+", help="start, length and the digits")
    decode.set_defaults(verb=_decode)

    verify = verbs.add_parser("verify", help="count a checkpoint's errors over every input there is")
    verify.add_argument("checkpoint", help="the file of a trained network")
    verify.add_argument("--length", type=int, help="of the source (default: the one it was trained for, or 10)")
    verify.add_argument("--shard", default="1/1", metavar="i/n", help="only the i-th of n equal parts (default: 1/1)")
    verify.add_argument("--resume", action="store_true", help="go on from FILE, where an earlier count was saved")
    verify.add_argument(
        "--out",
        metavar="FILE",
        help="the certificate (default: runs/NAME-HASH-iofn.json, or NAME-HASH-lengthL-iofn.json where --length is "
        "given; HASH is the first 8 digits of the checkpoint's SHA-256)",
    )
    verify.add_argument("--merge", nargs="+", metavar="FILE", help="add up the certificates of shards; count nothing")
    verify.set_defaults(verb=_verify)

    for verb in (train, score, decode, verify):
        verb.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
        verb.add_argument("--json", action="store_true", help="one JSON object on stdout")
    return parser


if __name__ == "__main__":
    sys.exit(main())
