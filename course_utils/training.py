"""Training: a step, an epoch, a whole run; its history and its checkpoints. It knows nothing of notebooks.

A run's numbers come from its seed alone: the weights, a guide's, the data, the coins, dropout and the validation
examples each draw from a generator made from it. (So all but the last begin with the same random numbers, and use them
for different things.)
Stopped and resumed on a CPU, a run gives the same numbers as one that went through.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from .data import VALIDATION_SEED, batches, held_out
from .errors import InputError, TrainingDivergedError
from .evaluation import evaluate, exact_match, perplexity, predict, token_loss
from .files import load_checkpoint, save_checkpoint, writable_folder
from .model import Seq2Seq, count_parameters, seed_dropout
from .networks import build_model, learner_of
from .recipes import Recipe
from .speed import CapturedStep
from .task import SubstringTask

HELD_OUT_EXAMPLES = 10_000  # what a run is measured on, and what `until` looks at

KEPT = ("step", "history", "step_losses", "best_state", "best_epoch")  # beside the weights, after each whole epoch


def find_device(name: str = "auto") -> torch.device:
    """`auto` is the first GPU where there is one, else the CPU. InputError where cuda is asked for and absent."""
    if name not in ("auto", "cpu", "cuda"):
        raise InputError(f"There is no device {name!r}; the devices are auto, cpu and cuda.")
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("This PyTorch finds no CUDA GPU here: use --device cpu, or auto.")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def train_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    source: Tensor,
    target: Tensor,
    teacher_forcing_ratio: float = 1.0,
    gradient_clip: float = 1.0,
    coin_generator: torch.Generator | None = None,
    coins: Tensor | None = None,
) -> Tensor:
    """One step of gradient descent on source (B, S) and target (B, T). Returns the loss, still on its device.

    The coins are flipped with the generator, or given: see `Seq2Seq.forward`. With a guide beside the model, going back
    from the loss goes back from the guide's, too: see `Guided`.
    """
    model.train()
    logits = model(source, target, teacher_forcing_ratio, coins=coins, generator=coin_generator)
    loss = token_loss(logits, target)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), gradient_clip)
    optimizer.step()
    return loss.detach()


@dataclass
class Validation:
    """A look at a model: source (N, S), output and target (N, T), losses (N,), all on the CPU."""

    source: Tensor
    output: Tensor
    target: Tensor
    losses: Tensor

    @property
    def loss(self) -> float:
        """The mean over all examples, in nats a token."""
        return self.losses.mean().item()  # all targets have T tokens, so this is the mean over tokens too


def validate(model: Seq2Seq, source: Tensor, target: Tensor, batch_size: int) -> Validation:
    """Free-running outputs for source (N, S) and target (N, T), and each example's loss, in nats a token."""
    logits = predict(model, source, target, batch_size=batch_size)
    log_probabilities = logits.double().log_softmax(-1)
    losses = -log_probabilities.gather(-1, target[..., None]).squeeze(-1).mean(dim=1)
    return Validation(source.cpu(), logits.argmax(-1).cpu(), target.cpu(), losses.cpu())


class Callback:
    """What may happen beside training. Override what is needed; the run is there to be read."""

    def on_start(self, run: Run) -> None:
        """Before the first step; where a run goes on from a checkpoint, before its next."""

    def on_step(self, run: Run) -> None:
        """After each step of the optimizer."""

    def on_epoch(self, run: Run) -> None:
        """After each epoch, when it is validated and saved."""

    def on_end(self, run: Run) -> None:
        """When the run is over, whether it came to its end, was interrupted or failed; the last one first."""


class Process(Callback):
    """This process's part in a run. Alone it does everything; `parallel` has the part of one among several."""

    is_first = True  # the one process that validates and saves
    n_processes = 1

    def replicate(self, learner: nn.Module) -> nn.Module:
        """What steps are taken with: the learner, or a wrapper that gives all processes' copies the same gradients."""
        return learner

    def share(self, batch: Tensor) -> Tensor:
        """This process's rows of a batch (B, …)."""
        return batch

    def mean(self, losses: Tensor) -> Tensor:
        """The losses of whole batches, from those of this process's shares."""
        return losses

    def from_first(self, history: list[dict]) -> list[dict]:
        """The history of the first process."""
        return history


ALONE = Process()


class ProgressBar(Callback):
    """A tqdm bar over the steps, in a terminal or a notebook."""

    FORMAT = "{desc} {n_fmt}/{total_fmt} |{bar}| {remaining} left, {rate_fmt}{postfix}"  # fits in 80 columns

    def on_start(self, run: Run) -> None:
        from tqdm.auto import tqdm  # in a notebook this loads all of ipywidgets, so only when it is wanted

        recipe = run.recipe
        self.bar = tqdm(total=recipe.steps, initial=run.step, desc=recipe.name, unit="step", bar_format=self.FORMAT)

    def on_step(self, run: Run) -> None:
        self.bar.update()

    def on_epoch(self, run: Run) -> None:
        last = run.history[-1]
        self.bar.set_postfix_str(f"loss {last['loss']:.3f}, validation {last['validation_loss']:.3f}")

    def on_end(self, run: Run) -> None:
        self.bar.close()


class PrintExamples(Callback):
    """After each epoch, what the original experiment prints: its validation examples and the losses."""

    def __init__(self, write: Callable[[str], None] = print) -> None:
        self.write = write

    def on_epoch(self, run: Run) -> None:
        look = run.validation
        for source, output, target, loss in zip(look.source, look.output, look.target, look.losses, strict=True):
            for name, tokens in (("input ", source), ("output", output), ("target", target)):
                self.write(f"{name}  {' '.join(map(str, tokens.tolist()))}")
            self.write(f"loss    {loss:.4f}\n")
        last = run.history[-1]
        minutes, seconds = divmod(round(last["seconds"]), 60)
        self.write(
            f"epoch {last['epoch']} of {run.recipe.epochs}, {minutes} min {seconds} s: "
            f"training loss {last['loss']:.3f}, perplexity {last['perplexity']:.3f}; "
            f"validation loss {last['validation_loss']:.3f}, perplexity {last['validation_perplexity']:.3f}\n"
        )


@dataclass
class Run:
    """A training run, while it goes on and after it: the model, its best weights so far, and what happened.

    `history` is plain data, a dict for each epoch: epoch, examples, seconds (that epoch's training alone), loss and
    perplexity (over its training tokens), validation_loss, validation_perplexity, validation_exact_match, and
    held_out_exact_match where the run was to stop at one.
    """

    recipe: Recipe
    seed: int
    device: torch.device
    model: Seq2Seq
    learner: nn.Module  # what steps are taken with: see `learner_of`
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    generators: dict[str, torch.Generator]
    train_step: Callable[..., Tensor]  # the one above, as it is or captured
    step: int = 0
    history: list[dict] = field(default_factory=list)
    step_losses: list[float] = field(default_factory=list)
    best_state: dict[str, Tensor] | None = None
    best_epoch: int = 0
    validation: Validation | None = None
    interrupted: bool = False

    @property
    def examples(self) -> int:
        """Those trained on so far."""
        return self.step * self.recipe.batch_size

    @property
    def seconds(self) -> float:
        """Training alone: no validation, no evaluation, no saving."""
        return sum(epoch["seconds"] for epoch in self.history)

    def best_model(self) -> Seq2Seq:
        """A copy of the network with the weights whose validation loss was lowest."""
        model = build_model(self.recipe, self.seed, self.device)
        model.load_state_dict(self.best_state)
        return model


def fit(
    recipe: Recipe,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    callbacks: Iterable[Callback] = (),
    until: float | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    captured: bool = False,
    process: Process = ALONE,
) -> Run:
    """Train a network by a recipe.

    until: stop after the first epoch with at least this exact match on 10,000 held-out examples.
    out: a folder for last.pt and best.pt, written after each epoch. resume: go on from its last.pt, where there is one.
    captured: on a GPU, replay the training step as a CUDA graph: the same losses, sooner (see `CapturedStep`).
    process: this process's part, where several train one network together (see `parallel`).
    An interrupt ends the run early, and takes it back to its last whole epoch: `run.interrupted` is then True. In the
    first epoch there is none, and the weights of the moment are kept.
    Raises TrainingDivergedError when the loss is not finite.
    """
    if not -(2**63) <= seed < 2**63:
        raise InputError(f"A seed must fit into 64 bits, but is {seed}.")
    if until is not None and not 0 < until <= 1:
        raise InputError(f"until is a share of examples, above 0 and at most 1, not {until}.")
    if captured and process.n_processes > 1:
        raise InputError("Several processes cannot capture their steps: train without --captured, or without torchrun.")
    folder = _folder_of_run(out, resume)
    run = _start(recipe, seed, find_device(device) if isinstance(device, str) else device, captured)
    callbacks = [process, *callbacks]
    # Dropout draws from PyTorch's global generators; forking leaves the caller's untouched.
    with torch.random.fork_rng(devices=[run.device] if run.device.type == "cuda" else []):
        seed_dropout(run.device, seed)
        whole = _restore(run, folder / "last.pt") if resume and (folder / "last.pt").exists() else None
        if not process.is_first:
            folder = None  # the first saves what all of them have
        if whole is not None and folder is not None and not (folder / "best.pt").exists():
            _save_best(run, folder)  # someone brought last.pt here alone
        with ExitStack() as ends:  # who has started ends, whatever happens to the others
            for callback in callbacks:
                callback.on_start(run)
                ends.callback(callback.on_end, run)
            try:
                replica = process.replicate(run.learner)
                while len(run.history) < recipe.epochs and not _reached(run, until):
                    row = _train_epoch(run, replica, process, callbacks)
                    if process.is_first:
                        _validate_epoch(run, row, until)
                        _keep(run, row)
                    run.history = process.from_first(run.history)
                    state = _state_of(run)
                    if folder is not None:
                        _save_run(run, state, folder)
                    whole = state  # only now: what an interrupt goes back to is what was saved
                    for callback in callbacks:
                        callback.on_epoch(run)
            except torch.OutOfMemoryError as error:  # only a GPU raises it; what was saved is whole
                raise InputError(_too_little_memory(recipe.batch_size)) from error
            except KeyboardInterrupt:
                _go_back(run, whole, folder)
    return run


def _too_little_memory(batch_size: int) -> str:
    smaller = f"take a recipe with smaller ones, dataclasses.replace(recipe, batch_size={batch_size // 2}), "
    return (
        f"The GPU has too little memory for batches of {batch_size}: {smaller if batch_size > 1 else ''}"
        "train on the CPU (--device cpu), or end other programs that use it (nvidia-smi lists them)."
    )


def summary(run: Run) -> dict:
    """What a run came to, as plain data: its budget, its time, and the exact match of its last and best weights.

    Exact match is measured on 10,000 held-out examples, the same for every run. `until` looks at them too: what it
    stopped was chosen by them, so that its exact match is a little higher than on examples that had no say in it.
    """
    test = held_out(SubstringTask(run.recipe.length), HELD_OUT_EXAMPLES, run.device)
    return {
        "recipe": run.recipe.name,
        "seed": run.seed,
        "device": str(run.device),
        "parameters": count_parameters(run.model),
        "examples": run.examples,
        "seconds": round(run.seconds, 3),
        "exact_match": evaluate(run.model, *test).exact_match,
        "best_exact_match": evaluate(run.best_model(), *test).exact_match,
        "best_epoch": run.best_epoch,
        "interrupted": run.interrupted,
        "torch": torch.__version__,
        "history": run.history,
    }


def _folder_of_run(out: str | Path | None, resume: bool) -> Path | None:
    if out is None:
        if resume:
            raise InputError("To resume a run, say which folder it was saved in.")
        return None
    folder = writable_folder(out)
    if not resume and (folder / "last.pt").exists():
        raise InputError(
            f"{folder} holds a run already: go on with it (--resume, resume=True), or choose another folder."
        )
    return folder


def _start(recipe: Recipe, seed: int, device: torch.device, captured: bool) -> Run:
    step = CapturedStep(train_step, device) if captured else train_step
    model = build_model(recipe, seed, device)
    learner = learner_of(model, recipe, seed)
    optimizer = optimizer_of(learner, recipe, device, captured)
    scheduler = _schedule_of(optimizer, recipe)
    generators = {
        "data": torch.Generator(device).manual_seed(seed),
        "coins": torch.Generator().manual_seed(seed),
        "validation": torch.Generator().manual_seed(VALIDATION_SEED + seed),
    }
    return Run(recipe, seed, device, model, learner, optimizer, scheduler, generators, step)


def optimizer_of(
    learner: nn.Module, recipe: Recipe, device: torch.device, captured: bool = False
) -> torch.optim.Optimizer:
    """The recipe's optimizer, for a learner on this device; `captured`: for steps that a GPU replays."""
    return torch.optim.AdamW(
        learner.parameters(),
        # A captured step reads its rate where the scheduler writes it, in a tensor that stays in its place.
        lr=torch.tensor(recipe.learning_rate, device=device) if captured else recipe.learning_rate,
        betas=tuple(map(float, recipe.betas)),  # AdamW refuses a whole 0 beside a fraction
        weight_decay=recipe.weight_decay,
        fused=True,  # few calls, the same sums up to rounding
        capturable=captured,
    )


def _schedule_of(optimizer: torch.optim.Optimizer, recipe: Recipe) -> torch.optim.lr_scheduler.LRScheduler:
    if not recipe.one_cycle:
        return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
    rises_once = recipe.warm_up * recipe.steps == 1  # by which PyTorch's schedule divides zero by zero
    return torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        recipe.learning_rate,
        total_steps=recipe.steps,
        pct_start=recipe.warm_up + (1e-6 if rises_once else 0.0),
        cycle_momentum=False,
    )


def _train_epoch(run: Run, replica: nn.Module, process: Process, callbacks: list[Callback]) -> dict:
    recipe = run.recipe
    losses = []
    started = time.perf_counter()
    task, generator = SubstringTask(recipe.length), run.generators["data"]
    for source, target in batches(task, recipe.batch_size, recipe.steps_per_epoch, generator, recipe.length_weight):
        loss = run.train_step(
            replica,
            run.optimizer,
            process.share(source),
            process.share(target),
            recipe.teacher_forcing_ratio,
            recipe.gradient_clip,
            run.generators["coins"],
        )
        run.scheduler.step()
        losses.append(loss)  # it stays on the device: reading it here would make a GPU wait for every step
        run.step += 1
        for callback in callbacks:
            callback.on_step(run)
    losses = process.mean(torch.stack(losses)).tolist()
    seconds = time.perf_counter() - started
    epoch = len(run.history) + 1
    for step, loss in enumerate(losses, start=1):
        if not math.isfinite(loss):
            raise TrainingDivergedError(
                f"The loss is {loss} at step {step} of epoch {epoch}: "
                "lower the learning rate or the gradient clip, and start again."
            )
    run.step_losses += losses
    loss = sum(losses) / len(losses)  # every batch has the same number of tokens
    return {
        "epoch": epoch,
        "examples": run.examples,
        "seconds": seconds,
        "loss": loss,
        "perplexity": perplexity(loss),
    }


def _validate_epoch(run: Run, row: dict, until: float | None) -> None:
    """Write into an epoch's row what validation finds."""
    recipe = run.recipe
    task = SubstringTask(recipe.length)
    source, target = task.sample(recipe.validation_examples, run.generators["validation"])
    run.validation = validate(run.model, source.to(run.device), target.to(run.device), recipe.validation_batch_size)
    if not math.isfinite(run.validation.loss):
        raise TrainingDivergedError(
            f"The validation loss is {run.validation.loss} after epoch {row['epoch']}: "
            "lower the learning rate or the gradient clip, and start again."
        )
    row["validation_loss"] = run.validation.loss
    row["validation_perplexity"] = perplexity(run.validation.loss)
    row["validation_exact_match"] = exact_match(run.validation.output, run.validation.target)
    if until is not None:
        row["held_out_exact_match"] = evaluate(run.model, *held_out(task, HELD_OUT_EXAMPLES, run.device)).exact_match


def _keep(run: Run, row: dict) -> None:
    """Take an epoch into the history, and its weights where none were better."""
    run.history.append(row)  # whole rows only: an interrupt may come at any time
    if row["validation_loss"] <= min(epoch["validation_loss"] for epoch in run.history):
        run.best_state = _copy_state(run.model)
        run.best_epoch = row["epoch"]


def _reached(run: Run, until: float | None) -> bool:
    return until is not None and bool(run.history) and run.history[-1].get("held_out_exact_match", 0) >= until


def _copy_state(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}


def _state_of(run: Run) -> dict:
    """What a run has after a whole epoch, copied: later epochs do not change it."""
    lists = {"history": list(run.history), "step_losses": list(run.step_losses)}
    tensors = {"model": _copy_state(run.model), "guide": _copy_state(_guide_of(run))}
    return {name: getattr(run, name) for name in KEPT} | lists | tensors


def _guide_of(run: Run) -> nn.Module:
    """Without a guide a module that holds nothing, so that there is nothing to save."""
    return run.learner.guide if run.recipe.guided else nn.Module()


def _go_back(run: Run, whole: dict | None, folder: Path | None) -> None:
    """After an interrupt: to the last whole epoch. In the first one, the weights of the moment are all there is."""
    run.interrupted = True
    if whole is not None:
        _take(run, whole)
        return
    run.history, run.step_losses, run.best_state, run.best_epoch = [], [], _copy_state(run.model), 0
    if folder is not None:
        _save_best(run, folder)


def _take(run: Run, whole: dict) -> None:
    run.model.load_state_dict(whole["model"])
    _guide_of(run).load_state_dict(whole["guide"])
    for name in KEPT:
        setattr(run, name, whole[name])


def _save_best(run: Run, folder: Path) -> None:
    recipe = dataclasses.asdict(run.recipe)
    save_checkpoint({"model": run.best_state, "recipe": recipe, "seed": run.seed}, folder / "best.pt")


def _save_run(run: Run, state: dict, folder: Path) -> None:
    state = {
        **state,
        "recipe": dataclasses.asdict(run.recipe),
        "seed": run.seed,
        "optimizer": run.optimizer.state_dict(),
        "scheduler": run.scheduler.state_dict(),
        "generators": {name: generator.get_state() for name, generator in run.generators.items()},
        "dropout_generator": _dropout_state(run.device),
    }
    # The best one first: interrupted between the two, the run resumes from the epoch before and writes it again.
    if run.best_epoch == len(run.history):
        _save_best(run, folder)
    save_checkpoint(state, folder / "last.pt")


def _restore(run: Run, path: Path) -> dict:
    """Go on where the run of this file stopped: returns what it had then."""
    state = load_checkpoint(path)
    if "generators" not in state:
        raise InputError(f"{path} holds a model but no run to go on with: train without --resume.")
    saved = {**(state.get("recipe") or {}), "seed": state.get("seed")}
    for name, value in {**dataclasses.asdict(run.recipe), "seed": run.seed}.items():
        if saved.get(name) != value:
            raise InputError(
                f"{path} is a run with {name} {saved.get(name)}, not {value}: resume it with the same, "
                "or choose another folder."
            )
    try:
        whole = {name: state[name] for name in ("model", "guide", *KEPT)}
        _take(run, whole)
        _restore_optimizer(run.optimizer, state["optimizer"])
        run.scheduler.load_state_dict(state["scheduler"])
        _check_whole(run)
    except torch.OutOfMemoryError:
        raise  # the file is not to blame
    except (KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} was changed or damaged: it does not hold all that a run needs to go on, so choose another folder."
        ) from error
    try:
        for name, generator in run.generators.items():
            generator.set_state(state["generators"][name])
        if run.device.type == "cuda":
            torch.cuda.set_rng_state(state["dropout_generator"], run.device)  # uncovered: only a GPU runs it
        else:
            torch.set_rng_state(state["dropout_generator"])
    except (KeyError, RuntimeError, TypeError) as error:
        message = f"{path} cannot be resumed on {run.device}: it was saved on another kind of device."
        raise InputError(message) from error
    return _state_of(run)


def _check_whole(run: Run) -> None:
    """Raise an error of some kind where what was read would fail later, or belongs to several moments of a run."""
    build_model(run.recipe).load_state_dict(run.best_state)
    numbers = [*run.step_losses, *(value for row in run.history for value in row.values())]
    counts = {run.step, run.scheduler.last_epoch, len(run.step_losses), len(run.history) * run.recipe.steps_per_epoch}
    if (
        len(counts) > 1
        or not all(isinstance(number, int | float) for number in numbers)
        or not all(row.keys() >= {"epoch", "seconds", "validation_loss"} for row in run.history)
        or run.best_epoch not in range(1, len(run.history) + 1)
    ):
        raise ValueError("Not a whole run.")


def _restore_optimizer(optimizer: torch.optim.Optimizer, state: dict) -> None:
    """Only what it remembers comes from the state: a run may be captured where an earlier part of it was not."""
    rate, capturable = optimizer.param_groups[0]["lr"], optimizer.defaults["capturable"]
    optimizer.load_state_dict(state)
    (group,) = optimizer.param_groups
    saved = float(group["lr"])
    group["lr"] = rate.fill_(saved) if capturable else saved
    group["capturable"] = capturable
    for parameter, remembered in optimizer.state.items():  # PyTorch looks at no shape, and a wrong one ends the process
        wanted = {"step": (), "exp_avg": parameter.shape, "exp_avg_sq": parameter.shape}
        if {name: tensor.shape for name, tensor in remembered.items()} != wanted:
            raise ValueError("Not what an optimizer remembers of these weights.")


def _dropout_state(device: torch.device) -> Tensor:
    """What dropout draws from next. On a CPU a run that takes it up again drops what it would have dropped.

    On a GPU not: PyTorch lets the first GRU after that draw a new seed, for what cuDNN drops between its layers. It
    comes from this same generator, and so moves all that PyTorch's own dropout draws later.
    """
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()
