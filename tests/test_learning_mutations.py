"""The changes that `make mutants` makes in machine-learning code: each kind is made, and made in the right place."""

import ast
import inspect

import pytest
from learning_mutations import mutations

from course_utils import model


@pytest.mark.parametrize(
    ("kind", "source", "changed"),
    [
        ("another axis", "logits.argmax(-1)", "logits.argmax(0)"),
        ("another axis", "(output == target).all(dim=1)", "(output == target).all(dim=0)"),
        ("another axis", "torch.cat([a, b], dim=0)", "torch.cat([a, b], dim=1)"),
        ("another axis", "inputs.chunk(3, -1)", "inputs.chunk(3, 0)"),
        ("another mode", "with torch.no_grad():\n    f()", "with torch.enable_grad():\n    f()"),
        ("another mode", "model.eval()", "model.train()"),
        ("a shifted slice", "tokens[:, :-1]", "tokens[:, 1:]"),
        ("a shifted slice", "tokens[:, 1:]", "tokens[:, :-1]"),
        ("the other end of a slice", "rows[:10]", "rows[10:]"),
        ("the other end of a slice", "rows[k:]", "rows[:k]"),
        ("swapped arguments", "f(a, b, c=1)", "f(b, a, c=1)"),
        ("swapped arguments", "f(a, b, c)", "f(a, c, b)"),
        ("swapped results", "def f():\n    return logits, hidden", "def f():\n    return hidden, logits"),
        ("an argument left out", "f(a, key=1)", "f(a)"),
        ("a call left out", "optimizer.zero_grad()\nloss.backward()", "pass\nloss.backward()"),
        ("a method left out", "hidden.detach() + 1", "hidden + 1"),
        ("another axis", "'é', logits.argmax(1)", "'é', logits.argmax(0)"),
    ],
)
def test_each_kind_of_change_is_made(kind, source, changed):
    assert (kind, changed) in [(kind, new) for kind, _, new in mutations(source)]


@pytest.mark.parametrize("source", ["f(a, a)", "f(*a, b)", "x.argmax(axis)", "flags.all(True)", "rows[2:5]", "f(**o)"])
def test_what_would_change_nothing_or_cannot_be_changed_is_left_alone(source):
    assert list(mutations(f"y = {source}")) == []


def test_every_change_of_a_longer_program_is_a_program():
    source = inspect.getsource(model)
    for _, line, new in mutations(source):
        ast.parse(new)
        assert new != source
        assert 1 <= line <= source.count("\n")
