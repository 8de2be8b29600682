"""A guide: the network's logits are its own, the losses add up, and nothing of it is left in what was trained."""

import dataclasses

import pytest
import torch
from conftest import TINY_GUIDED
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from course_utils import (
    Callback,
    Recipe,
    Run,
    Seq2Seq,
    SubstringTask,
    batches,
    build_model,
    count_parameters,
    fit,
    load_checkpoint,
    load_model,
    shift_right,
    summary,
    token_loss,
)
from course_utils.guide import Guide, Guided

STEPS = 4


@pytest.fixture
def guided(model: Seq2Seq) -> Guided:
    torch.manual_seed(0)
    return Guided(model, Guide(2, 8, 8, 10, STEPS).double())


def losses_of(model: Seq2Seq, read: nn.Linear, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The decoder's loss and the guide's, written out: all layers of the state, one behind the other, are read."""
    hidden = model.encoder(source)
    logits, _ = model.decoder(shift_right(target), hidden)
    read_off = read(torch.cat(list(hidden), dim=1)).view(*target.shape, 10)
    return token_loss(logits, target), token_loss(read_off, target)


def gradients(module: nn.Module) -> list[Tensor]:
    found = [parameter.grad.clone() for parameter in module.parameters()]
    module.zero_grad()
    return found


def test_the_logits_are_those_of_the_network(guided, examples):
    assert torch.equal(guided(*examples), guided.model(*examples, 1.0))


def test_the_losses_add_up_and_the_guides_counts_less_with_each_step(guided, examples):
    for factor in (1.0, 0.75, 0.5, 0.25, 0.0, 0.0):
        loss = token_loss(guided(*examples), examples[1])
        loss.backward()
        found = gradients(guided)
        plain, of_the_guide = losses_of(guided.model, guided.guide.read, *examples)
        assert loss.item() == pytest.approx(plain.item())  # what is reported is the network's alone
        (plain + factor * of_the_guide).backward()
        for one, other in zip(found, gradients(guided), strict=True):
            torch.testing.assert_close(one, other)


def test_only_training_takes_steps(guided, examples):
    guided.eval()
    guided(*examples)
    assert guided.guide.factor == 1


@pytest.mark.parametrize("how", [{"teacher_forcing_ratio": 0.5}, {"coins": [True] * 8}], ids=str)
def test_coins_are_refused(how, guided, examples, refused):
    with refused("flips no coins"):
        guided(*examples, **how)


@pytest.mark.parametrize("change", [{"teacher_forcing_ratio": 0.5}, {"network": "pairs"}], ids=str)
def test_a_recipe_that_no_guide_fits_is_refused(change, refused):
    with refused(f"with a guide .*not .*{next(iter(change.values()))}"):
        dataclasses.replace(TINY_GUIDED, **change)


def losses_of_a_run(recipe: Recipe, seed: int) -> list[float]:
    """The same run as a plain loop."""
    model = build_model(recipe, seed)
    torch.manual_seed(seed)
    digits = SubstringTask(recipe.length).n_digits
    read = nn.Linear(recipe.n_layers * recipe.hidden_dim, digits * 10)
    parameters = [*model.parameters(), *read.parameters()]
    optimizer = torch.optim.AdamW(
        parameters, lr=recipe.learning_rate, betas=recipe.betas, weight_decay=recipe.weight_decay
    )
    data = batches(
        SubstringTask(recipe.length),
        recipe.batch_size,
        recipe.steps,
        torch.Generator().manual_seed(seed),
        recipe.length_weight,
    )
    losses = []
    for step, batch in enumerate(data):
        plain, of_the_guide = losses_of(model, read, *batch)
        optimizer.zero_grad()
        (plain + (1 - step / recipe.steps) * of_the_guide).backward()
        clip_grad_norm_(parameters, recipe.gradient_clip)
        optimizer.step()
        losses.append(plain.item())
    return losses


def test_a_run_equals_a_plain_loop():
    recipe = dataclasses.replace(TINY_GUIDED, steps_per_epoch=50, epochs=2, one_cycle=False, gradient_clip=0.5)
    with torch.random.fork_rng():
        expected = losses_of_a_run(recipe, seed=3)
    assert fit(recipe, seed=3).step_losses == pytest.approx(expected, rel=0, abs=1e-5)


def test_an_interrupt_takes_the_guide_back_too_and_resuming_takes_it_on(tmp_path):
    class InterruptAt(Callback):
        def on_step(self, run: Run) -> None:
            if run.step == 5:
                raise KeyboardInterrupt

    recipe = dataclasses.replace(TINY_GUIDED, one_cycle=False)
    unbroken = fit(recipe)
    stopped = fit(recipe, out=tmp_path, callbacks=[InterruptAt()])
    assert stopped.learner.guide.factor.item() == pytest.approx(1 - 3 / 9)
    resumed = fit(recipe, out=tmp_path, resume=True)
    assert resumed.learner.guide.factor.item() == pytest.approx(0, abs=1e-6)
    for one, other in zip(unbroken.learner.parameters(), resumed.learner.parameters(), strict=True):
        assert torch.equal(one, other)


def test_what_was_trained_is_the_network_alone(tmp_path):
    run = fit(TINY_GUIDED, out=tmp_path)
    plain = build_model(TINY_GUIDED)
    assert summary(run)["parameters"] == count_parameters(plain)
    for name in ("best.pt", "last.pt"):
        assert load_checkpoint(tmp_path / name)["model"].keys() == plain.state_dict().keys()
        assert count_parameters(load_model(tmp_path / name)) == count_parameters(plain)
