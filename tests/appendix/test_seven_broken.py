"""Each probe finds the illness that it is for, and finds none in the healthy model."""

import ast

import pytest
import torch

from .session import cells

DEFINITIONS = (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
FOUND = {  # whether the future moves the past, an order is noticed, two answers agree
    "Setup": (False, True, True),
    "Patient1": (True, True, True),
    "Patient2": (False, True, True),
    "Patient3": (False, True, True),
    "Patient4": (True, True, True),
    "Patient5": (False, True, True),
    "Patient6": (False, False, True),
    "Patient7": (False, True, False),
    "Patient8": (True, True, True),
}


@pytest.fixture(scope="module")
def page():
    """The world of the notebook and all that it defines, without any training."""
    space, whole = {"__name__": "__main__"}, True
    for cell in cells("seven_broken_gpts"):
        tree = ast.parse(cell.source)
        whole = whole and "def learn(" not in cell.source
        kept = tree.body if whole else [n for n in tree.body if type(n) in DEFINITIONS]
        exec(compile(ast.Module(kept, []), "seven_broken_gpts", "exec"), space)
    return space


@pytest.fixture(params=FOUND)
def patient(request, page):
    """A patient as it comes into the world: its name, its setup, its model."""
    page["set_seed"](0)
    setup = page[request.param]()
    return request.param, setup, setup.model(dropout=setup.dropout)


def test_probes_find_what_they_are_for(page, patient):
    """Prevents a probe that only finds what training has made worse, or finds all."""
    name, setup, model = patient
    sees, orders = page["future"](model) > 0, page["permuted"](model) > 1e-4
    agree = len({setup.measure(model.train()) for _ in range(2)}) == 1
    assert (sees, orders, agree) == FOUND[name]
    assert page["unreached"](model.eval()) == ([] if orders else ["wpe.weight"])
    leaks = name in ("Patient4", "Patient8")  # the first sees one word ahead, no more
    assert (page["short_and_long"](model) > 1e-4) == (leaks or name == "Patient1")


def test_reach_draws_who_hears_whom(page):
    """Prevents a picture that is transposed, or that shows a look that is not there."""
    drawn = {n: page["reach"](page[n]().model()) for n in ("Setup", "Patient1")}
    assert torch.equal(drawn["Setup"], torch.ones(16, 16).tril())
    assert torch.equal(drawn["Patient1"], torch.ones(16, 16).tril(1))


def test_rulers_differ_where_they_should(page):
    """Prevents a third patient whose ruler measures as the healthy one does."""
    page["set_seed"](0)
    model = page["Model"]().eval()
    same = page["Setup"]().measure(model)
    assert page["Patient1"]().measure(model) == same
    assert page["Patient2"]().measure(model) < same - 0.3  # it says the last word again
    assert abs(page["Patient3"]().measure(model) - same) > 0.05
