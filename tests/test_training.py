"""A step, an epoch, a run, its callbacks and its checkpoints, with networks that train in a tenth of a second."""

import dataclasses
import itertools
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import cpu_graphs
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from tqdm import tqdm

from course_utils import (
    FASTEST,
    ORIGINAL,
    RECIPES,
    Callback,
    CapturedStep,
    PrintExamples,
    ProgressBar,
    Recipe,
    Run,
    SubstringTask,
    TrainingDivergedError,
    build_model,
    evaluate,
    find_device,
    fit,
    held_out,
    load_checkpoint,
    load_model,
    save_checkpoint,
    summary,
    token_loss,
    train_step,
    training,
    validate,
)
from course_utils.data import TEST_SEED, VALIDATION_SEED, batches
from course_utils.training import Validation

State = dict[str, Tensor]


def same(state: State, other: State) -> bool:
    return state.keys() == other.keys() and all(torch.equal(state[name], other[name]) for name in state)


def without_seconds(history: list[dict]) -> list[dict]:
    return [{name: value for name, value in epoch.items() if name != "seconds"} for epoch in history]


class InterruptAt(Callback):
    """Press Ctrl-C after so many steps."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step(self, run: Run) -> None:
        if run.step == self.step:
            raise KeyboardInterrupt


class Remember(Callback):
    """Keep what a look at the run gives, after each epoch."""

    def __init__(self, look: Callable[[Run], object]) -> None:
        self.look = look
        self.seen = []

    def on_epoch(self, run: Run) -> None:
        self.seen.append(self.look(run))


# --- Devices ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "gpu_is_there", "found"),
    [
        ("auto", False, "cpu"),
        ("auto", True, "cuda"),
        ("cpu", True, "cpu"),
        ("cpu", False, "cpu"),
        ("cuda", True, "cuda"),
    ],
)
def test_devices_are_found_by_name(name, gpu_is_there, found, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu_is_there)
    assert find_device(name) == torch.device(found)


def test_the_device_is_auto_unless_named():
    assert find_device() == find_device("auto")


def test_a_gpu_asked_for_and_absent_is_refused(monkeypatch, refused):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with refused("finds no CUDA GPU"):
        find_device("cuda")


def test_an_unknown_device_is_refused(refused):
    with refused("no device 'gpu'; the devices are auto, cpu and cuda"):
        find_device("gpu")


# --- One step ---------------------------------------------------------------------------------------------------------


def step_by_hand(parameters: list[Tensor], loss: Tensor, learning_rate: float, clip: float) -> None:
    """Gradient descent with the gradient's norm cut to `clip`, written out."""
    gradients = torch.autograd.grad(loss, parameters)
    norm = math.sqrt(sum((gradient**2).sum().item() for gradient in gradients))
    with torch.no_grad():
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter -= learning_rate * gradient * min(1, clip / norm)


@pytest.mark.parametrize("clip", [0.01, 1000.0], ids=["clipped", "not clipped"])
@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_two_steps_equal_those_written_out(clip, ratio, recipe):
    source, target = SubstringTask().sample(8, torch.Generator().manual_seed(0))
    model, by_hand = build_model(recipe).double(), build_model(recipe).double()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(2):
        expected_loss = token_loss(by_hand(source, target, ratio), target)
        step_by_hand(list(by_hand.parameters()), expected_loss, 0.5, clip)
        loss = train_step(model, optimizer, source, target, teacher_forcing_ratio=ratio, gradient_clip=clip)
        assert loss.item() == pytest.approx(expected_loss.item())
    for parameter, expected in zip(model.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(parameter, expected, rtol=1e-4, atol=1e-9)


def test_steps_bring_the_loss_down(recipe):
    source, target = SubstringTask().sample(8, torch.Generator().manual_seed(0))
    model = build_model(recipe)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = [train_step(model, optimizer, source, target).item() for _ in range(60)]
    assert losses[-1] < 0.8 * losses[0]


def test_a_step_forces_and_clips_gradients_to_a_norm_of_1_unless_told_otherwise(recipe):
    source, target = SubstringTask().sample(8, torch.Generator().manual_seed(0))
    models = [build_model(recipe), build_model(recipe)]
    for model, options in zip(models, [(), (1.0, 1.0)], strict=True):
        nn.init.normal_(model.decoder.fc_out.weight, std=10, generator=torch.Generator().manual_seed(0))
        train_step(model, torch.optim.SGD(model.parameters(), lr=50.0), source, target, *options)
        norm = torch.cat([parameter.grad.flatten() for parameter in model.parameters()]).norm()
        assert norm.item() == pytest.approx(1, rel=1e-3)  # it was larger
    assert same(models[0].state_dict(), models[1].state_dict())


def test_a_step_is_taken_in_training_mode_and_returns_a_loss_without_gradients(model, examples):
    loss = train_step(model.eval(), torch.optim.SGD(model.parameters(), lr=0.1), *examples)
    assert model.training
    assert not loss.requires_grad


def test_a_step_flips_its_coins_with_the_generator_given(model, examples):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    losses = {
        train_step(model, optimizer, *examples, 0.5, coin_generator=torch.Generator().manual_seed(seed)).item()
        for seed in (0, 0, 1, 1)
    }
    assert len(losses) == 2


# --- Validation -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 3, 20])
def test_validation_runs_free_and_gives_each_example_its_loss(batch_size, model, examples):
    source, target = examples
    at_a_time = []
    model.register_forward_pre_hook(lambda _, given: at_a_time.append(len(given[0])))
    look = validate(model, source, target, batch_size)
    assert at_a_time == [batch_size] * (20 // batch_size) + [20 % batch_size] * (20 % batch_size > 0)
    assert torch.equal(look.source, source)
    assert torch.equal(look.target, target)
    assert torch.equal(look.output, model.generate(source, 8))
    logits = model(source, target, teacher_forcing_ratio=0.0)
    for row in range(20):
        assert look.losses[row].item() == pytest.approx(token_loss(logits[row : row + 1], target[row : row + 1]).item())
    assert look.loss == pytest.approx(token_loss(logits, target).item())


def test_each_epoch_is_validated_on_fresh_examples_of_the_runs_own(recipe):
    remember = Remember(lambda run: run.validation)
    fit(recipe, seed=2, callbacks=[remember])
    task, generator = SubstringTask(recipe.length), torch.Generator().manual_seed(VALIDATION_SEED + 2)
    for look in remember.seen:
        source, target = task.sample(recipe.validation_examples, generator)
        assert torch.equal(look.source, source)
        assert torch.equal(look.target, target)


def test_validation_and_test_examples_have_seeds_of_their_own():
    assert len({0, VALIDATION_SEED, TEST_SEED}) == 3


# --- A run ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_fastest_recipe_gets_there():
    run = fit(FASTEST)
    assert run.examples == 15_120
    assert summary(run)["exact_match"] > 0.985  # at least 99 % on average over seeds; here is one


def test_weight_decay_shrinks_every_weight_at_every_step(recipe):
    """AdamW takes this share of the rate from a weight, whatever its gradient, which moves it by about the rate."""
    recipe = dataclasses.replace(recipe, learning_rate=1e-3, one_cycle=False, epochs=1, weight_decay=100.0)
    start, end = build_model(recipe), fit(recipe).model
    moved = 1e-3 * recipe.steps
    for before, after in zip(start.parameters(), end.parameters(), strict=True):
        torch.testing.assert_close(after, before * 0.9**recipe.steps, rtol=0, atol=moved)
        assert (before - after).abs().max() > 2 * moved  # else this would hold without any decay


def test_history_has_one_row_of_plain_data_for_each_epoch(each_recipe):
    run = fit(each_recipe)
    assert [row["epoch"] for row in run.history] == [1, 2, 3]
    assert [row["examples"] for row in run.history] == [24, 48, 72]
    for row in run.history:
        assert list(row) == [
            "epoch",
            "examples",
            "seconds",
            "loss",
            "perplexity",
            "validation_loss",
            "validation_perplexity",
            "validation_exact_match",
        ]
        assert all(isinstance(value, int | float) for value in row.values())
        assert row["perplexity"] == pytest.approx(math.exp(row["loss"]))
        assert row["validation_perplexity"] == pytest.approx(math.exp(row["validation_loss"]))
        assert row["seconds"] > 0
    assert run.seconds == pytest.approx(sum(row["seconds"] for row in run.history))
    assert (run.step, run.examples) == (9, 72)


def test_history_holds_the_mean_loss_of_the_epoch_and_the_last_look(recipe):
    looks = Remember(lambda run: run.validation)
    run = fit(recipe, callbacks=[looks])
    for number, (row, look) in enumerate(zip(run.history, looks.seen, strict=True)):
        assert row["loss"] == pytest.approx(np.mean(run.step_losses[3 * number : 3 * number + 3]))
        assert row["validation_loss"] == look.loss
        assert row["validation_exact_match"] == (look.output == look.target).all(dim=1).double().mean().item()


def losses_written_out(recipe: Recipe, seed: int) -> list[float]:
    """The same run as a plain loop: weights, data, coins and dropout each have a generator of their own."""
    model = build_model(recipe, seed).train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, betas=recipe.betas, weight_decay=recipe.weight_decay
    )
    if recipe.one_cycle:
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            recipe.learning_rate,
            total_steps=recipe.steps,
            pct_start=recipe.warm_up,
            cycle_momentum=False,
        )
    data, coins = torch.Generator().manual_seed(seed), torch.Generator().manual_seed(seed)
    losses = []
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # for dropout
        task = SubstringTask(recipe.length)
        for source, target in batches(task, recipe.batch_size, recipe.steps, data, recipe.length_weight):
            loss = token_loss(model(source, target, recipe.teacher_forcing_ratio, generator=coins), target)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), recipe.gradient_clip)
            optimizer.step()
            if recipe.one_cycle:
                schedule.step()
            losses.append(loss.item())
    return losses


@pytest.mark.parametrize("one_cycle", [True, False])
@pytest.mark.parametrize("ratio", [0.0, 0.5, 1.0])
def test_a_run_equals_a_plain_loop(one_cycle, ratio, recipe):
    recipe = dataclasses.replace(
        recipe, one_cycle=one_cycle, teacher_forcing_ratio=ratio, learning_rate=0.1, gradient_clip=0.1
    )
    assert fit(recipe, seed=3).step_losses == pytest.approx(losses_written_out(recipe, seed=3), rel=1e-4)


def test_a_run_with_dropout_and_coins_equals_a_plain_loop(recipe):
    recipe = dataclasses.replace(
        recipe, dropout=0.5, teacher_forcing_ratio=0.5, learning_rate=0.1, epochs=1, steps_per_epoch=9
    )
    assert fit(recipe, seed=3).step_losses == pytest.approx(losses_written_out(recipe, seed=3), rel=1e-4)


def test_the_tuned_rate_warms_up_and_anneals_but_the_original_rate_is_constant(each_recipe):
    rates = []
    watch = Callback()
    watch.on_start = watch.on_step = lambda run: rates.append(run.optimizer.param_groups[0]["lr"])
    fit(dataclasses.replace(each_recipe, steps_per_epoch=20), callbacks=[watch])  # the peak is at a whole step
    rates.pop()  # no step is left to use it
    peak = each_recipe.learning_rate
    if each_recipe.one_cycle:
        assert rates[0] == pytest.approx(peak / 25)
        assert max(rates) == pytest.approx(peak)
        assert rates[-1] < peak / 100_000
    else:
        assert rates == [peak] * 60


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(each_recipe):
    first, again, other = (fit(each_recipe, seed=seed) for seed in (1, 1, 2))
    assert without_seconds(first.history) == without_seconds(again.history)
    assert same(first.model.state_dict(), again.model.state_dict())
    assert first.history[0]["loss"] != other.history[0]["loss"]
    assert first.history[0]["validation_loss"] != other.history[0]["validation_loss"]


def test_a_run_neither_reads_nor_changes_the_callers_random_numbers(each_recipe):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        before = torch.get_rng_state()
        first = fit(each_recipe)
        assert torch.equal(torch.get_rng_state(), before)
        torch.manual_seed(2)
        assert fit(each_recipe).step_losses == first.step_losses


def test_callbacks_are_called_in_order(recipe):
    calls = []

    class Log(Callback):
        def on_start(self, run: Run) -> None:
            calls.append("start")

        def on_step(self, run: Run) -> None:
            calls.append(run.step)

        def on_epoch(self, run: Run) -> None:
            calls.append(f"epoch {len(run.history)}")

        def on_end(self, run: Run) -> None:
            calls.append("end")

    fit(recipe, callbacks=(log for log in [Log()]))
    assert calls == ["start", 1, 2, 3, "epoch 1", 4, 5, 6, "epoch 2", 7, 8, 9, "epoch 3", "end"]


def test_the_best_weights_are_those_with_the_lowest_validation_loss(recipe, tmp_path, monkeypatch):
    losses = iter([3.0, 1.0, 2.0])
    no_tokens = torch.zeros(1, 4)
    monkeypatch.setattr(
        training, "validate", lambda *_: Validation(no_tokens, no_tokens, no_tokens, torch.tensor([next(losses)]))
    )
    weights = Remember(lambda run: {name: tensor.clone() for name, tensor in run.model.state_dict().items()})
    run = fit(recipe, callbacks=[weights], out=tmp_path)
    assert run.best_epoch == 2
    assert same(run.best_state, weights.seen[1])
    assert same(run.best_model().state_dict(), weights.seen[1])
    assert same(load_model(tmp_path / "best.pt").state_dict(), weights.seen[1])
    assert same(load_model(tmp_path / "last.pt").state_dict(), weights.seen[2])


def test_until_stops_after_the_first_epoch_that_is_good_enough(recipe, monkeypatch):
    shares = iter([0.5, 0.9, 1.0])

    def look(model: nn.Module, source: Tensor, target: Tensor) -> SimpleNamespace:
        assert torch.equal(source, held_out(SubstringTask(6), 10_000)[0])
        assert torch.equal(target, SubstringTask(6).solve(source))
        return SimpleNamespace(exact_match=next(shares))

    monkeypatch.setattr(training, "evaluate", look)
    run = fit(recipe, until=0.9)
    assert [row["held_out_exact_match"] for row in run.history] == [0.5, 0.9]
    assert run.step == 6


def test_looking_at_held_out_examples_does_not_change_the_run(each_recipe):
    assert fit(each_recipe, until=1.0).step_losses == fit(each_recipe).step_losses


@pytest.mark.parametrize("until", [0, -0.5, 1.01, 99, math.nan])
def test_until_must_be_a_share(until, recipe, refused):
    with refused("until is a share"):
        fit(recipe, until=until)


def test_a_beta_may_be_a_whole_0(recipe):
    whole, fraction = (fit(dataclasses.replace(recipe, betas=(zero, 0.95))) for zero in (0, 0.0))
    assert whole.step_losses == fraction.step_losses


@pytest.mark.parametrize("seed", [2**64, -(2**64)])
def test_a_seed_too_large_for_a_generator_is_refused(seed, recipe, refused):
    with refused("seed"):
        fit(recipe, seed=seed)


@pytest.mark.parametrize("seed", [-(2**63), 2**63 - 1])
def test_the_lowest_and_the_highest_seed_are_seeds(seed, recipe):
    assert fit(dataclasses.replace(recipe, epochs=1), seed=seed).step == recipe.steps_per_epoch


# --- A loss that is not finite ----------------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_stops_the_run_with_a_sentence(each_recipe):
    with pytest.raises(TrainingDivergedError, match="The loss is nan at step 2 of epoch 1") as caught:
        fit(dataclasses.replace(each_recipe, learning_rate=1e300))
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


def test_a_validation_loss_that_is_not_finite_stops_the_run_too(each_recipe):
    """The training loss is taken before a step, so the last step's damage shows in validation alone."""
    recipe = dataclasses.replace(each_recipe, learning_rate=1e300, one_cycle=False, steps_per_epoch=1, epochs=1)
    with pytest.raises(TrainingDivergedError, match="epoch 1"):
        fit(recipe)


def test_a_run_that_diverges_keeps_its_earlier_checkpoints(recipe, tmp_path):
    def spoil(run: Run) -> None:
        nn.init.constant_(run.model.decoder.fc_out.bias, math.nan)

    with pytest.raises(TrainingDivergedError, match="at step 1 of epoch 2"):
        fit(recipe, callbacks=[Remember(spoil)], out=tmp_path)
    for name in ("best.pt", "last.pt"):
        assert all(parameter.isfinite().all() for parameter in load_model(tmp_path / name).parameters())


def test_a_loss_too_large_for_its_perplexity_does_not_stop_the_run(each_recipe):
    # Without decay, which at this rate would multiply the weights beyond all numbers.
    run = fit(dataclasses.replace(each_recipe, learning_rate=1e5, weight_decay=0.0))
    assert len(run.history) == 3
    assert max(row["validation_perplexity"] for row in run.history) == math.inf


# --- Interrupts and resuming ------------------------------------------------------------------------------------------


def test_an_interrupted_run_goes_on_to_the_same_numbers(each_recipe, tmp_path):
    whole = fit(each_recipe, seed=1)
    stopped = fit(each_recipe, seed=1, out=tmp_path, callbacks=[InterruptAt(step=5)])
    assert stopped.interrupted
    assert len(stopped.history) == 1
    resumed = fit(each_recipe, seed=1, out=tmp_path, resume=True)
    assert not resumed.interrupted
    assert same(resumed.model.state_dict(), whole.model.state_dict())
    assert without_seconds(resumed.history) == without_seconds(whole.history)
    assert resumed.step_losses == whole.step_losses
    assert resumed.best_epoch == whole.best_epoch
    assert same(resumed.best_state, whole.best_state)
    assert same(load_model(tmp_path / "last.pt").state_dict(), whole.model.state_dict())
    assert same(load_model(tmp_path / "best.pt").state_dict(), whole.best_state)


def test_several_processes_cannot_capture_their_steps(recipe, refused):
    process = training.Process()
    process.n_processes = 2
    with refused("Several processes"):
        fit(recipe, captured=True, process=process)


def test_an_interrupt_in_the_first_epoch_leaves_a_usable_best_checkpoint(recipe, tmp_path):
    run = fit(recipe, out=tmp_path, callbacks=[InterruptAt(step=2)])
    assert run.interrupted
    assert run.history == []
    assert same(load_model(tmp_path / "best.pt").state_dict(), run.model.state_dict())
    assert same(run.best_model().state_dict(), run.model.state_dict())
    best = load_checkpoint(tmp_path / "best.pt")
    assert (best["recipe"], best["seed"]) == (dataclasses.asdict(recipe), 0)  # it says for which task it was trained


def test_an_interrupt_in_the_first_validation_leaves_no_losses_of_an_epoch_that_is_not_there(recipe, monkeypatch):
    InterruptInside("validate", 1, monkeypatch)
    run = fit(recipe)
    assert (run.interrupted, run.history, run.step_losses) == (True, [], [])


class InterruptInside:
    """Press Ctrl-C in the call of this number, of a function of `training`."""

    def __init__(self, name: str, call: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.function, self.calls_left = getattr(training, name), call
        monkeypatch.setattr(training, name, self)

    def __call__(self, *arguments: object) -> object:
        self.calls_left -= 1
        if self.calls_left == 0:
            raise KeyboardInterrupt
        return self.function(*arguments)


@pytest.mark.parametrize("folder", [True, False], ids=["saved", "not saved"])
@pytest.mark.parametrize("where", ["a step", "validation", "saving best.pt", "saving last.pt"])
def test_an_interrupt_in_the_second_epoch_leaves_the_first_one(where, folder, recipe, tmp_path, monkeypatch):
    after_one = fit(dataclasses.replace(recipe, one_cycle=False, epochs=1))
    callbacks = [InterruptAt(step=5)] if where == "a step" else []
    if where == "validation":
        InterruptInside("validate", 2, monkeypatch)
    elif where.startswith("saving"):  # each epoch writes both, for validation only gets better here
        if not folder:
            pytest.skip("Nothing is saved.")
        InterruptInside("save_checkpoint", 3 if where == "saving best.pt" else 4, monkeypatch)
    run = fit(dataclasses.replace(recipe, one_cycle=False), out=tmp_path if folder else None, callbacks=callbacks)
    assert run.interrupted
    assert without_seconds(run.history) == without_seconds(after_one.history)
    assert (run.step, run.step_losses, run.best_epoch) == (3, after_one.step_losses, 1)
    assert run.examples == run.history[-1]["examples"]
    assert same(run.model.state_dict(), after_one.model.state_dict())
    assert same(run.best_state, after_one.best_state)
    if folder:
        assert same(load_model(tmp_path / "last.pt").state_dict(), run.model.state_dict())


@pytest.mark.parametrize("write", [1, 2])
def test_an_interrupt_while_the_first_epoch_is_saved_reports_no_epoch(write, recipe, tmp_path, monkeypatch):
    InterruptInside("save_checkpoint", write, monkeypatch)
    run = fit(recipe, out=tmp_path)
    assert (run.interrupted, run.history, run.best_epoch) == (True, [], 0)
    assert [path.name for path in tmp_path.iterdir()] == ["best.pt"]
    assert same(load_model(tmp_path / "best.pt").state_dict(), run.model.state_dict())


def test_a_folder_with_a_run_in_it_is_not_begun_anew(recipe, tmp_path, refused):
    fit(recipe, out=tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with refused("holds a run already: go on with it"):
        fit(recipe, out=tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_of_two_epochs_with_the_same_loss_the_later_is_the_best(recipe, monkeypatch):
    no_tokens = torch.zeros(1, 4)
    monkeypatch.setattr(
        training, "validate", lambda *_: Validation(no_tokens, no_tokens, no_tokens, torch.tensor([1.0]))
    )
    assert fit(recipe).best_epoch == recipe.epochs


def test_only_the_generators_that_a_run_uses_are_seeded(recipe, monkeypatch):
    def seed_every_gpu(seed: int) -> None:
        raise AssertionError("All GPUs' generators are seeded, which are the caller's.")

    monkeypatch.setattr(torch.cuda, "manual_seed_all", seed_every_gpu)
    fit(dataclasses.replace(recipe, dropout=0.5)).best_model()


def test_an_interrupt_between_two_checkpoints_loses_neither(recipe, tmp_path, monkeypatch):
    validation_losses = itertools.count(1)  # it only gets worse, so that the first epoch stays the best
    no_tokens = torch.zeros(1, 4)

    def worse_and_worse(*_: object) -> Validation:
        return Validation(no_tokens, no_tokens, no_tokens, torch.tensor([float(next(validation_losses))]))

    writes = itertools.count(1)

    def save_or_stop(state: dict, path: Path) -> None:
        if next(writes) == 2:
            raise KeyboardInterrupt
        save_checkpoint(state, path)

    monkeypatch.setattr(training, "validate", worse_and_worse)
    monkeypatch.setattr(training, "save_checkpoint", save_or_stop)
    assert fit(recipe, out=tmp_path).interrupted
    run = fit(recipe, out=tmp_path, resume=True)
    assert run.best_epoch == 1
    assert same(load_model(tmp_path / "best.pt").state_dict(), run.best_state)


def test_callbacks_end_after_an_interrupt_and_after_an_error(recipe):
    ended = []
    watch = Callback()
    watch.on_end = lambda run: ended.append(run.interrupted)
    fit(recipe, callbacks=[watch, InterruptAt(step=2)])
    with pytest.raises(TrainingDivergedError):
        fit(dataclasses.replace(recipe, learning_rate=1e300), callbacks=[watch])
    assert ended == [True, False]


def test_a_callback_that_cannot_start_or_end_leaves_no_other_open(recipe):
    seen = []

    class Witness(Callback):
        def on_end(self, run):
            seen.append(run.step)

    class Broken(Callback):
        def on_start(self, run):
            raise ValueError("no start")

    class BrokenAtTheEnd(Callback):
        def on_end(self, run):
            raise ValueError("no end")

    for broken, ended in ((Broken(), [0]), (BrokenAtTheEnd(), [0, recipe.steps])):
        with pytest.raises(ValueError, match=r"no (start|end)"):
            fit(recipe, callbacks=[Witness(), broken])
        assert seen == ended


def test_a_finished_run_has_nothing_to_resume(recipe, tmp_path):
    finished = fit(recipe, out=tmp_path)
    resumed = fit(recipe, out=tmp_path, resume=True, callbacks=[InterruptAt(step=10)])
    assert resumed.history == finished.history
    assert same(resumed.model.state_dict(), finished.model.state_dict())
    assert summary(resumed) == summary(finished)


def test_resuming_where_nothing_was_saved_starts_from_the_beginning(recipe, tmp_path):
    assert fit(recipe, out=tmp_path / "new", resume=True).step_losses == fit(recipe).step_losses


def test_resuming_without_a_folder_is_refused(recipe, refused):
    with refused("which folder"):
        fit(recipe, resume=True)


def test_resuming_with_another_seed_or_recipe_is_refused(recipe, tmp_path, refused):
    fit(recipe, seed=1, out=tmp_path)
    with refused("is a run with seed 1, not 2"):
        fit(recipe, seed=2, out=tmp_path, resume=True)
    with refused("is a run with epochs 3, not 4"):
        fit(dataclasses.replace(recipe, epochs=4), seed=1, out=tmp_path, resume=True)


def test_resuming_from_a_model_alone_is_refused(recipe, tmp_path, refused):
    save_checkpoint({"model": build_model(recipe).state_dict()}, tmp_path / "last.pt")
    with refused("holds a model but no run"):
        fit(recipe, out=tmp_path, resume=True)


@pytest.mark.parametrize("missing", ["step", "optimizer", "scheduler", "a weight"])
def test_resuming_from_less_than_a_run_is_refused(missing, recipe, tmp_path, refused):
    fit(recipe, out=tmp_path)
    state = load_checkpoint(tmp_path / "last.pt")
    del (state["model"] if missing == "a weight" else state)[
        "decoder.fc_out.bias" if missing == "a weight" else missing
    ]
    torch.save(state, tmp_path / "last.pt")
    with refused("does not hold all that a run needs"):
        fit(recipe, out=tmp_path, resume=True)


def change_memory(name: str, tensor: Tensor) -> Callable[[dict], None]:
    """Put another tensor into what the optimizer remembers of the first weights."""
    return lambda state: state["optimizer"]["state"][0].update({name: tensor})


DAMAGES = {
    "no best weights": lambda state: state.update(best_state=None),
    "another model's best weights": lambda state: state.update(best_state={"weight": torch.ones(2)}),
    "best epoch that was not": lambda state: state.update(best_epoch=4),
    "history is a text": lambda state: state.update(history="abc"),
    "history is too short": lambda state: state["history"].pop(),
    "history without the loss": lambda state: state["history"][0].pop("validation_loss"),
    "history with words in it": lambda state: state["history"][-1].update(held_out_exact_match="good"),
    "step is a text": lambda state: state.update(step="nine"),
    "step is another": lambda state: state.update(step=6),
    "no losses": lambda state: state.update(step_losses=None),
    "one loss too few": lambda state: state["step_losses"].pop(),
    "losses are a text": lambda state: state.update(step_losses="123456789"),
    "schedule of the first step": lambda state: state.update(scheduler={}),
    "schedule is a text": lambda state: state.update(scheduler="slow"),
    "mean of another shape": lambda state: change_memory("exp_avg", torch.ones(3))(state),
    "square of another shape": lambda state: change_memory("exp_avg_sq", torch.ones(3))(state),
    "many steps": lambda state: change_memory("step", torch.ones(3))(state),
    "memory of another optimizer": lambda state: change_memory("momentum", torch.ones(3))(state),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_resuming_from_a_damaged_run_is_refused(damage, recipe, tmp_path, refused):
    fit(recipe, out=tmp_path)
    state = load_checkpoint(tmp_path / "last.pt")
    damage(state)
    torch.save(state, tmp_path / "last.pt")
    with refused("last.pt was changed or damaged: it does not hold all that a run needs"):
        fit(recipe, out=tmp_path, resume=True)


def test_resuming_from_a_run_of_no_recipe_is_refused(recipe, tmp_path, refused):
    fit(recipe, out=tmp_path)
    torch.save({**load_checkpoint(tmp_path / "last.pt"), "recipe": None}, tmp_path / "last.pt")
    with refused("is a run with name None"):
        fit(recipe, out=tmp_path, resume=True)


def test_a_gpu_that_is_full_does_not_make_a_damaged_run(recipe, tmp_path, monkeypatch):
    def no_room(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    fit(recipe, out=tmp_path)
    monkeypatch.setattr(training, "_restore_optimizer", no_room)
    with pytest.raises(torch.OutOfMemoryError):
        fit(recipe, out=tmp_path, resume=True)


def test_a_run_whose_last_checkpoint_was_brought_alone_has_its_best_one_again(recipe, tmp_path):
    for there, here in ((tmp_path / "finished", None), (tmp_path / "stopped", InterruptAt(step=5))):
        fit(recipe, seed=1, out=there, callbacks=[here] if here else [])
        best = load_checkpoint(there / "best.pt")
        (there / "best.pt").unlink()
        stop = InterruptAt(step=4)  # a run that goes on, before it has another best
        fit(recipe, seed=1, out=there, resume=True, callbacks=[stop])
        again = load_checkpoint(there / "best.pt")
        assert same(again["model"], best["model"])
        assert (again["recipe"], again["seed"]) == (best["recipe"], best["seed"])


def test_of_several_processes_only_the_first_writes_a_best_checkpoint_that_is_missing(recipe, tmp_path):
    fit(recipe, out=tmp_path)
    (tmp_path / "best.pt").unlink()
    second = training.Process()
    second.is_first = False
    fit(recipe, out=tmp_path, resume=True, process=second)
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]


def test_resuming_on_another_kind_of_device_is_refused(recipe, tmp_path, refused):
    fit(recipe, out=tmp_path)
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    state["generators"]["data"] = torch.zeros(16, dtype=torch.uint8)  # what a GPU's generator has for a state
    state["dropout_generator"] = torch.zeros(16, dtype=torch.uint8)
    torch.save(state, tmp_path / "last.pt")
    with refused("cannot be resumed"):
        fit(recipe, out=tmp_path, resume=True)


def test_resuming_from_a_truncated_checkpoint_is_refused_and_leaves_it_alone(recipe, tmp_path, refused):
    fit(recipe, out=tmp_path)
    last = tmp_path / "last.pt"
    half = last.read_bytes()[: last.stat().st_size // 2]
    last.write_bytes(half)
    with refused("cannot be read as a checkpoint"):
        fit(recipe, out=tmp_path, resume=True)
    assert last.read_bytes() == half


def test_a_folder_is_made_when_missing_and_holds_nothing_but_checkpoints(recipe, tmp_path):
    fit(recipe, out=tmp_path / "runs" / "new")
    assert sorted(path.name for path in (tmp_path / "runs" / "new").iterdir()) == ["best.pt", "last.pt"]


def test_a_folder_that_cannot_be_written_is_refused_before_training(recipe, tmp_path, refused):
    (tmp_path / "file").touch()
    with refused("cannot be written to"):
        fit(recipe, out=tmp_path / "file" / "below", callbacks=[InterruptAt(step=1)])


# --- Captured ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def graphs_on_the_cpu(monkeypatch):
    """Let a CPU capture steps, as `cpu_graphs` plays it; `tests/gpu` captures in earnest."""
    cpu_graphs.play(monkeypatch)
    monkeypatch.setattr(training, "CapturedStep", lambda step, device: CapturedStep(step, torch.device("cuda")))


@pytest.mark.usefixtures("graphs_on_the_cpu")
def test_a_captured_run_has_the_losses_of_a_plain_one(each_recipe):
    recipe = dataclasses.replace(each_recipe, steps_per_epoch=5)
    captured, plain = fit(recipe, captured=True), fit(recipe)
    assert isinstance(captured.train_step, CapturedStep)
    assert captured.step_losses == pytest.approx(plain.step_losses, abs=1e-6)
    assert captured.best_epoch == plain.best_epoch


@pytest.mark.slow
@pytest.mark.usefixtures("graphs_on_the_cpu")
@pytest.mark.parametrize("ways", list(itertools.product([True, False], repeat=2)), ids=str)
def test_a_run_may_be_resumed_captured_or_not(ways, each_recipe, tmp_path):
    recipe = dataclasses.replace(each_recipe, steps_per_epoch=5)
    first, then = ways
    fit(recipe, out=tmp_path, callbacks=[InterruptAt(step=8)], captured=first)
    resumed = fit(recipe, out=tmp_path, resume=True, captured=then)
    assert resumed.step_losses == pytest.approx(fit(recipe).step_losses, abs=1e-6)
    (group,) = resumed.optimizer.param_groups
    assert (isinstance(group["lr"], Tensor), group["capturable"]) == (then, then)


def test_without_a_gpu_no_run_is_captured(recipe, refused):
    with refused("Only a GPU replays a captured step"):
        fit(recipe, captured=True)


# --- Checkpoints ------------------------------------------------------------------------------------------------------


def test_a_checkpoint_is_the_model_and_what_made_it(recipe, tmp_path):
    run = fit(recipe, seed=1, out=tmp_path)
    best = load_checkpoint(tmp_path / "best.pt")
    assert (best["recipe"], best["seed"]) == (dataclasses.asdict(recipe), 1)
    assert load_checkpoint(tmp_path / "last.pt")["history"] == run.history


# --- What a run reports -----------------------------------------------------------------------------------------------


def test_the_summary_measures_the_last_and_the_best_weights(recipe):
    run = fit(dataclasses.replace(recipe, length=4, learning_rate=0.03, steps_per_epoch=40), seed=1)
    run.best_state = build_model(recipe, seed=9).state_dict()  # make the two differ by much
    result = summary(run)
    assert list(result) == [
        "recipe",
        "seed",
        "device",
        "parameters",
        "examples",
        "seconds",
        "exact_match",
        "best_exact_match",
        "best_epoch",
        "interrupted",
        "torch",
        "history",
    ]
    test = held_out(SubstringTask(4), 10_000)
    assert (result["recipe"], result["seed"], result["device"]) == ("tiny tuned", 1, "cpu")
    assert result["parameters"] == sum(parameter.numel() for parameter in run.model.parameters())
    assert result["examples"] == 3 * 40 * 8
    assert result["seconds"] == round(run.seconds, 3)
    assert result["exact_match"] == evaluate(run.model, *test).exact_match > 2 * result["best_exact_match"]
    assert result["best_exact_match"] == evaluate(run.best_model(), *test).exact_match
    assert result["best_epoch"] == run.best_epoch
    assert result["interrupted"] is False
    assert result["history"] == run.history


def test_examples_are_printed_as_the_original_experiment_prints_them():
    lines = []
    source = torch.tensor([[0, 2, 5, 6], [0, 2, 7, 8]])
    output, target = torch.tensor([[5, 6], [7, 7]]), torch.tensor([[5, 6], [7, 8]])
    look = Validation(source, output, target, torch.tensor([0.25, 1.0]))
    row = {
        "epoch": 2,
        "seconds": 67.2,
        "loss": 1.5,
        "perplexity": 4.4817,
        "validation_loss": 0.625,
        "validation_perplexity": 1.8682,
    }
    run = SimpleNamespace(validation=look, history=[{}, row], recipe=ORIGINAL)
    PrintExamples(lines.append).on_epoch(run)
    assert "\n".join(lines).splitlines() == [
        "input   0 2 5 6",
        "output  5 6",
        "target  5 6",
        "loss    0.2500",
        "",
        "input   0 2 7 8",
        "output  7 7",
        "target  7 8",
        "loss    1.0000",
        "",
        "epoch 2 of 16, 1 min 7 s: training loss 1.500, perplexity 4.482; validation loss 0.625, perplexity 1.868",
    ]


def test_examples_go_to_standard_output_unless_told_otherwise(recipe, capsys):
    fit(dataclasses.replace(recipe, validation_examples=2), callbacks=[PrintExamples()])
    assert capsys.readouterr().out.count("input") == 2 * 3


@pytest.mark.parametrize("rate", [0.31, 16.2, 1234.5])
@pytest.mark.parametrize("recipe", RECIPES.values(), ids=list(RECIPES))
def test_the_progress_bar_fits_in_80_columns(recipe, rate):
    losses = "loss 2.310, validation 2.308"
    told = {"unit": "step", "rate": rate, "bar_format": ProgressBar.FORMAT, "postfix": losses}
    line = tqdm.format_meter(recipe.steps // 2, recipe.steps, 60, ncols=79, prefix=recipe.name, **told)
    assert line.startswith(f"{recipe.name} {recipe.steps // 2}/{recipe.steps} |")
    assert line.endswith(f", {losses}")


def test_the_progress_bar_counts_steps_and_shows_losses(recipe, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")  # however quick these few steps are
    run = fit(recipe, callbacks=[ProgressBar()])
    shown = capsys.readouterr().err
    assert "tiny tuned" in shown
    assert "9/9" in shown
    last = run.history[-1]
    assert f"loss {last['loss']:.3f}, validation {last['validation_loss']:.3f}" in shown


def test_the_progress_bar_of_a_resumed_run_starts_where_it_stopped(recipe, tmp_path, capsys):
    fit(recipe, out=tmp_path, callbacks=[InterruptAt(step=5)])
    fit(recipe, out=tmp_path, resume=True, callbacks=[ProgressBar()])
    shown = capsys.readouterr().err
    assert "3/9" in shown
    assert "9/9" in shown


@pytest.mark.parametrize(("steps", "warm_up"), [(5, 0.2), (10, 0.1), (1, 0.2)])
def test_a_rate_may_rise_during_a_single_step(steps, warm_up, recipe):
    """PyTorch's schedule fails there by a division of zero by zero."""
    run = fit(dataclasses.replace(recipe, epochs=1, steps_per_epoch=steps, warm_up=warm_up))
    assert (run.step, run.interrupted) == (steps, False)
