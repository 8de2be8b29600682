"""The command line: `python -m course_utils train|evaluate|decode`. Each verb is a few lines over the package."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path

from tqdm.auto import tqdm

from .data import held_out
from .errors import InputError, TrainingDivergedError
from .evaluation import evaluate
from .task import SubstringTask
from .training import (
    HELD_OUT_EXAMPLES,
    PrintExamples,
    ProgressBar,
    find_device,
    find_recipe,
    fit,
    load_checkpoint,
    load_model,
    summary,
)

FEW_ENOUGH_TO_PRINT = 8  # validation examples
INTERRUPTED = 130  # what a shell reports for Ctrl-C


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        return options.verb(options)
    except InputError as error:
        print(f"course_utils: {error}", file=sys.stderr)
        return 2
    except TrainingDivergedError as error:
        print(f"course_utils: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # outside training, where an interrupt keeps what there is
        print("course_utils: interrupted.", file=sys.stderr)
        return INTERRUPTED


def _train(options: argparse.Namespace) -> int:
    recipe = find_recipe(options.recipe)
    if options.epochs is not None:
        recipe = dataclasses.replace(recipe, epochs=options.epochs)
    device = find_device(options.device)
    out = Path(options.out or f"runs/{recipe.name}-seed{options.seed}")
    callbacks = [ProgressBar()]
    if recipe.validation_examples <= FEW_ENOUGH_TO_PRINT:
        callbacks.append(PrintExamples(lambda line: tqdm.write(line, file=sys.stderr)))
    run = fit(
        recipe,
        seed=options.seed,
        device=device,
        callbacks=callbacks,
        until=options.until,
        out=out,
        resume=options.resume,
    )
    last = out / ("last.pt" if run.history else "best.pt")  # interrupted in the first epoch, there is only one
    result = {**summary(run), "checkpoint": str(last), "best_checkpoint": str(out / "best.pt")}
    _report(
        options,
        result,
        f"{run.examples:,} examples in {run.seconds:.1f} s on {device}\n"
        f"last:  exact match {result['exact_match']:.4f}  {result['checkpoint']}\n"
        f"best:  exact match {result['best_exact_match']:.4f}  {result['best_checkpoint']}  "
        f"(epoch {run.best_epoch}, by validation loss)",
    )
    return INTERRUPTED if run.interrupted else 0


def _evaluate(options: argparse.Namespace) -> int:
    if options.examples < 1:
        raise InputError(f"--examples must be at least 1, not {options.examples}.")
    device = find_device(options.device)
    model = load_model(options.checkpoint, device)
    scores = evaluate(model, *held_out(_task_of(options.checkpoint), options.examples, device))
    names = ("loss", "perplexity", "token_accuracy", "exact_match", "examples")
    result = {name: getattr(scores, name) for name in names}
    _report(options, result, "\n".join(f"{name:<15}{value:.7g}" for name, value in result.items()))
    return 0


def _decode(options: argparse.Namespace) -> int:
    device = find_device(options.device)
    model, task = load_model(options.checkpoint, device), _task_of(options.checkpoint)
    source = task.validate([options.source])
    output = model.generate(source.to(device), task.n_digits)[0].tolist()
    _report(options, {"source": options.source, "output": output}, " ".join(map(str, output)))
    return 0


def _task_of(checkpoint: str) -> SubstringTask:
    """The task a checkpoint was trained for; a bare state_dict does not say, and is taken to be the full one's."""
    recipe = load_checkpoint(checkpoint).get("recipe")
    return SubstringTask(recipe["length"]) if recipe else SubstringTask()


def _report(options: argparse.Namespace, result: dict, text: str) -> None:
    print(json.dumps(result) if options.json else text)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:
        # One line, no usage block: argparse exits with status 2 as every other bad input does.
        self.exit(2, f"course_utils: {message} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m course_utils", description="Train, evaluate and try the course's network.")
    verbs = parser.add_subparsers(required=True, metavar="train|evaluate|decode", parser_class=_Parser)

    train = verbs.add_parser("train", help="train a network by a recipe and save it")
    train.add_argument("--recipe", default="tuned", help="original, tuned or fastest (default: tuned)")
    train.add_argument("--epochs", type=int, help="another number of epochs than the recipe's")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--until", type=float, metavar="SHARE", help="stop at this exact match on held-out examples")
    train.add_argument("--out", metavar="DIR", help="where checkpoints go (default: runs/RECIPE-seedN)")
    train.add_argument("--resume", action="store_true", help="go on from DIR's last checkpoint")
    train.set_defaults(verb=_train)

    score = verbs.add_parser("evaluate", help="score a checkpoint on held-out examples")
    score.add_argument("checkpoint")
    score.add_argument("--examples", type=int, default=HELD_OUT_EXAMPLES)
    score.set_defaults(verb=_evaluate)

    decode = verbs.add_parser("decode", help="what a checkpoint writes for one source")
    decode.add_argument("checkpoint")
    decode.add_argument("source", type=int, nargs="+", help="start, length and the digits")
    decode.set_defaults(verb=_decode)

    for verb in (train, score, decode):
        verb.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
        verb.add_argument("--json", action="store_true", help="one JSON object on stdout")
    return parser


if __name__ == "__main__":
    sys.exit(main())
