"""What only a GPU can show. `make gpu` runs these tests before it measures; without a GPU they are skipped."""

import dataclasses
import json

import pytest
import torch

from course_utils import (
    FASTEST,
    ORIGINAL,
    SMALL,
    TUNED,
    Callback,
    CapturedStep,
    SubstringTask,
    build_model,
    count_errors,
    find_device,
    fit,
    learner_of,
    summary,
    train_step,
    training,
)
from course_utils import __main__ as command_line
from course_utils.data import batches

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU (`make gpu` runs it there)")
CUDA = torch.device("cuda")
GIB = 2**30
HUNDRED_STEPS = dataclasses.replace(TUNED, steps_per_epoch=50, epochs=2)
LARGE_BATCHES = dataclasses.replace(TUNED, name="large batches", batch_size=512)  # as the ladder's last rung takes them


@pytest.fixture
def tf32():
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    yield
    torch.set_float32_matmul_precision(before)


@pytest.fixture
def same_arithmetic():
    """Every product in float32, summed in the same order each time: small differences grow with the steps."""
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False, deterministic=True):
        yield


def test_the_gpu_is_found():
    assert find_device("auto") == find_device("cuda") == CUDA


# --- Examples ---------------------------------------------------------------------------------------------------------


def test_examples_drawn_on_the_gpu_stay_there_and_are_those_of_the_task():
    task, n = SubstringTask(), 1_000_000
    source, target = task.sample(n, torch.Generator(CUDA).manual_seed(0))
    assert source.device.type == target.device.type == "cuda"
    assert torch.equal(task.solve(source.cpu()), target.cpu())
    pairs = [(start, length) for start, length in source[:, :2].tolist()]
    for pair in task.pairs:
        expected = task.pair_probability(*pair)
        assert pairs.count(pair) / n == pytest.approx(expected, abs=5 * (expected / n) ** 0.5)
    assert source[:, 2:].double().mean().item() == pytest.approx(5, abs=0.01)


def test_weighted_batches_are_drawn_on_the_gpu_too():
    task = SubstringTask(4)
    source, target = next(batches(task, 100_000, 1, torch.Generator(CUDA).manual_seed(0), length_weight=2.0))
    assert source.device.type == target.device.type == "cuda"
    assert torch.equal(task.solve(source.cpu()), target.cpu())


# --- Steps ------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("same_arithmetic")
@pytest.mark.parametrize(("ratio", "guided"), [(0.0, False), (0.5, False), (1.0, False), (1.0, True)])
def test_a_captured_run_has_the_losses_of_a_plain_one(ratio, guided, monkeypatch):
    recipe = dataclasses.replace(HUNDRED_STEPS, teacher_forcing_ratio=ratio, guided=guided)
    captured = fit(recipe, device=CUDA, captured=True)
    # Plain steps with the same optimizer, whose rate is a tensor: of another kind it would be rounded in another way.
    monkeypatch.setattr(training, "CapturedStep", lambda step, device: step)
    plain = fit(recipe, device=CUDA, captured=True)
    assert len(plain.step_losses) == 100
    assert captured.step_losses == pytest.approx(plain.step_losses, rel=0, abs=1e-5)


def test_dropout_draws_anew_in_every_replay():
    model = build_model(ORIGINAL, device=CUDA)
    rate = torch.zeros((), device=CUDA)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, fused=True, capturable=True)
    batch = SubstringTask().sample(32, torch.Generator(CUDA).manual_seed(0))
    step = CapturedStep(train_step, CUDA)
    losses = [step(model, optimizer, *batch).item() for _ in range(20)]
    assert len(set(losses[3:])) > 10  # the weights stand still; two draws may come to the same loss


@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
@pytest.mark.parametrize("recipe", [TUNED, FASTEST, ORIGINAL, LARGE_BATCHES], ids=lambda recipe: recipe.name)
def test_nothing_in_a_step_waits_for_the_gpu(recipe):
    """Nor in drawing its batch. Only the plain step with coins of its own does: it copies them."""
    learner = learner_of(build_model(recipe, device=CUDA), recipe)
    rate = torch.tensor(recipe.learning_rate, device=CUDA)
    optimizer = torch.optim.AdamW(learner.parameters(), lr=rate, fused=True, capturable=True)
    coins = torch.Generator()
    captured = CapturedStep(train_step, CUDA)
    steps = [captured] if recipe is ORIGINAL else [captured, train_step]
    generator = torch.Generator(CUDA).manual_seed(0)
    drawn = batches(SubstringTask(), recipe.batch_size, 100, generator, recipe.length_weight)

    def take(step):
        step(learner, optimizer, *next(drawn), recipe.teacher_forcing_ratio, recipe.gradient_clip, coins)

    for step in steps:
        for _ in range(5):
            take(step)
        torch.cuda.set_sync_debug_mode("error")
        try:
            for _ in range(5):
                take(step)
        finally:
            torch.cuda.set_sync_debug_mode("default")


# --- Runs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("captured", [False, True])
def test_the_tuned_recipe_reaches_99_percent(captured):
    assert summary(fit(TUNED, device=CUDA, captured=captured))["exact_match"] >= 0.99


@pytest.mark.usefixtures("same_arithmetic")
@pytest.mark.parametrize("captured", [False, True])
def test_a_run_goes_on_where_it_was_stopped(captured, tmp_path):
    stop = Callback()

    def on_step(run):
        if run.step == 70:
            raise KeyboardInterrupt

    stop.on_step = on_step
    fit(HUNDRED_STEPS, device=CUDA, captured=captured, out=tmp_path, callbacks=[stop])
    resumed = fit(HUNDRED_STEPS, device=CUDA, captured=captured, out=tmp_path, resume=True)
    whole = fit(HUNDRED_STEPS, device=CUDA, captured=captured)
    assert resumed.step_losses == pytest.approx(whole.step_losses, rel=0, abs=1e-5)


def test_the_command_line_captures(capsys, tmp_path):
    command = f"train --recipe fastest --epochs 1 --device cuda --captured --out {tmp_path / 'run'} --json"
    assert command_line.main(command.split()) == 0
    assert json.loads(capsys.readouterr().out)["device"] == "cuda"


@pytest.mark.parametrize("captured", [False, True])
def test_the_full_network_trains_in_less_than_a_gib(captured):
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_reserved()
    fit(dataclasses.replace(TUNED, epochs=1), device=CUDA, captured=captured)
    assert torch.cuda.max_memory_reserved() - before < GIB


def test_too_little_memory_is_said_in_a_sentence_that_says_what_to_change(refused):
    with refused(f"too little memory for batches of {2**26}: .*batch_size={2**25}"):  # the embedding alone: 320 GiB
        fit(dataclasses.replace(TUNED, batch_size=2**26), device=CUDA)


# --- Counting ---------------------------------------------------------------------------------------------------------


def test_a_gpu_counts_what_the_cpu_counts():
    recipe = dataclasses.replace(SMALL, epochs=2)  # it still makes mistakes
    model, task = fit(recipe).model, SubstringTask(6)
    here = count_errors(model, task)
    there = count_errors(model.to(CUDA), task)
    assert there.complete
    assert there.errors_by_pair == here.errors_by_pair
    assert there.errors > 0
    assert there.worst_margin == pytest.approx(here.worst_margin, abs=1e-4)
    assert there.arithmetic["cpu"] < 1e-3
    (piece,) = there.pieces
    assert (piece.device, piece.precision) == ("cuda", "float32")
    assert piece.hardware == torch.cuda.get_device_name()


@pytest.mark.usefixtures("tf32")
def test_tf32_is_named_in_the_certificate_where_the_gpu_has_it():
    model = build_model(dataclasses.replace(SMALL, length=4), device=CUDA)
    (piece,) = count_errors(model, SubstringTask(4)).pieces
    has_it = torch.cuda.get_device_capability() >= (8, 0)
    assert piece.precision == "float32" + " with TF32 products" * has_it
