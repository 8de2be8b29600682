"""Examples on their way to the model: one at a time, by a DataLoader, in batches."""

import random

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader

from course_utils import SubstringTask, SyntheticDataset, batches, generate_example, held_out
from course_utils.data import VALIDATION_SEED


def rows(loader: SyntheticDataset | DataLoader) -> list[tuple[list[int], list[int]]]:
    return [(source.tolist(), target.tolist()) for source, target in loader]


def test_a_dataset_has_as_many_examples_as_its_length_says():
    dataset = SyntheticDataset(7)
    assert len(dataset) == 7
    assert len(list(dataset)) == 7


def test_a_dataset_is_the_stream_of_its_seed():
    rng = random.Random(5)
    assert rows(SyntheticDataset(7, seed=5, length=8)) == [generate_example(rng, 8) for _ in range(7)]


def test_a_dataset_gives_the_same_examples_each_time_it_is_read():
    dataset = SyntheticDataset(7, seed=5)
    assert rows(dataset) == rows(dataset)


def test_a_dataset_has_seed_0_unless_told_otherwise():
    assert rows(SyntheticDataset(7)) == rows(SyntheticDataset(7, seed=0))


def test_datasets_of_two_seeds_differ():
    assert rows(SyntheticDataset(7, seed=5)) != rows(SyntheticDataset(7, seed=6))


def test_an_example_is_a_pair_of_int64_tensors():
    source, target = next(iter(SyntheticDataset(1)))
    assert (source.dtype, target.dtype) == (torch.int64, torch.int64)
    assert (source.shape, target.shape) == ((10,), (8,))


def test_a_data_loader_makes_batches_of_it():
    loaded = list(DataLoader(SyntheticDataset(10), batch_size=4))
    assert [len(source) for source, _ in loaded] == [4, 4, 2]
    for source, target in loaded:
        assert torch.equal(SubstringTask().solve(source), target)


# From Python 3.12 on, a process with threads (PyTorch's) warns when it forks a worker; so does PyTorch on one core.
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_two_workers_give_each_example_exactly_once():
    dataset = SyntheticDataset(11, seed=5)
    assert sorted(rows(DataLoader(dataset, batch_size=None, num_workers=2))) == sorted(rows(dataset))


def test_a_negative_size_is_refused(refused):
    with refused("must not be negative"):
        SyntheticDataset(-1)


def test_an_impossible_length_is_refused_at_once(refused):
    with refused("from 4 to 11"):
        SyntheticDataset(5, length=3)


def test_batches_are_fresh_draws_from_one_generator():
    task = SubstringTask(6)
    generator = torch.Generator().manual_seed(2)
    expected = [task.sample(5, generator) for _ in range(3)]
    drawn = list(batches(task, batch_size=5, n_batches=3, generator=torch.Generator().manual_seed(2)))
    assert len(drawn) == 3
    for (source, target), (expected_source, expected_target) in zip(drawn, expected, strict=True):
        assert torch.equal(source, expected_source)
        assert torch.equal(target, expected_target)


def test_weighted_batches_bring_long_substrings_more_often():
    task = SubstringTask(8)
    ((source, target),) = batches(task, 100_000, 1, torch.Generator().manual_seed(3), length_weight=2.0)
    assert torch.equal(target, task.solve(source))
    weights = {pair: task.pair_probability(*pair) * pair[1] ** 2 for pair in task.pairs}
    for pair, weight in weights.items():
        expected = weight / sum(weights.values())
        share = (source[:, :2] == torch.tensor(pair)).all(dim=1).double().mean().item()
        assert share == pytest.approx(expected, abs=5 * (expected / 100_000) ** 0.5)


class NothingIsLookedAt(TorchDispatchMode):
    """Fails where a number is read, for which a GPU would have to be waited for."""

    def __torch_dispatch__(self, operation, types, arguments=(), options=None):
        if operation in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default):
            raise AssertionError("A number was looked at while batches were drawn.")
        return operation(*arguments, **(options or {}))


@pytest.mark.parametrize("length_weight", [0.0, 2.0])
def test_drawing_never_waits_for_a_gpu(length_weight):
    drawn = batches(SubstringTask(), 8, 3, torch.Generator().manual_seed(0), length_weight)
    with NothingIsLookedAt():
        assert len(list(drawn)) == 3


def test_held_out_examples_are_these():
    """Every score of the course is measured on them: if they change, every recorded score is out of date."""
    source, target = held_out(SubstringTask(), 10_000)
    assert source[0].tolist() == [3, 3, 8, 7, 8, 6, 1, 3, 3, 5]
    assert source[1].tolist() == [0, 4, 4, 3, 2, 8, 1, 7, 1, 3]
    assert source.sum().item() == 462_603
    assert torch.equal(target, SubstringTask().solve(source))


def test_held_out_examples_neither_read_nor_change_the_global_generator():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        before = torch.get_rng_state()
        first = held_out(SubstringTask(), 20)[0]
        assert torch.equal(torch.get_rng_state(), before)
        torch.manual_seed(2)
        assert torch.equal(held_out(SubstringTask(), 20)[0], first)


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 4, VALIDATION_SEED, VALIDATION_SEED + 1])
def test_held_out_examples_are_not_those_of_training_or_validation(seed):
    task = SubstringTask()
    drawn = task.sample(1000, torch.Generator().manual_seed(seed))[0].tolist()
    test = held_out(task, 1000)[0].tolist()
    assert not any(source in drawn for source in test)


def test_more_held_out_examples_do_not_begin_with_the_fewer_ones():
    few, more = (held_out(SubstringTask(), n)[0] for n in (1000, 2000))
    assert not (few == more[:1000]).all(dim=1).any()


def test_held_out_examples_go_to_the_device_asked_for():
    source, target = held_out(SubstringTask(), 3, device="meta")
    assert (source.device.type, target.device.type) == ("meta", "meta")


def test_a_negative_number_of_held_out_examples_is_refused(refused):
    with refused("must not be negative"):
        held_out(SubstringTask(), -1)
