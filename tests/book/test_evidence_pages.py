"""What pages 22 and 23 write out is right: their functions, taken from their visible cells, against plain formulas."""

import ast
import re

import pytest
import torch
import torch.nn.functional as F

from hkt_lite.book.notebook import code_cells, read
from hkt_lite.config import PROJECT
from tests.helpers import PARTS

INHERITED, COSTS = "22_what_is_inherited", "23_what_it_costs"


def page(name):
    return read(PROJECT / "notebooks" / f"{name}.ipynb")


def functions(name, *cells, **known):
    """What the definitions of a page's visible cells define."""
    found = {"torch": torch, "F": F, "nn": torch.nn, **known}
    for _, cell in code_cells(page(name)):
        if cell.id not in cells:
            continue
        assert "hide-input" not in cell.metadata.get("tags", [])
        made = [node for node in ast.parse(cell.source).body if isinstance(node, ast.FunctionDef)]
        exec(compile(ast.Module(made, []), cell.id, "exec"), found)
    return found


def features(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


# -- 22 --------------------------------------------------------------------------------------------


def plain_cka(X, Y):
    """||Y'X||^2 / (||X'X|| ||Y'Y||) of centred columns, number by number."""
    X, Y = (feature.flatten(1).numpy() for feature in (X, Y))
    X, Y = (feature - [column.mean() for column in feature.T] for feature in (X, Y))

    def squared(A, B):
        return sum(sum(a * b for a, b in zip(u, v)) ** 2 for u in A.T for v in B.T)

    return squared(X, Y) / (squared(X, X) * squared(Y, Y)) ** 0.5


@pytest.fixture(scope="module")
def cka():
    return functions(INHERITED, "inherit-cka")["cka"]


def test_cka_is_the_plain_formula_for_vectors_and_maps(cka):
    X, Y = features(0, 12, 5) + 3, features(1, 12, 2, 2, 2)
    for pair in ((X, Y), (X, X[:, :2] ** 2), (Y, Y)):
        assert abs(cka(*pair) - plain_cka(*pair)) < 1e-12


def test_cka_sees_neither_rotation_scale_nor_shift_but_a_stretch(cka):
    X = features(2, 20, 6)
    turn = torch.linalg.qr(features(3, 6, 6))[0]
    assert abs(cka(X, 1e-6 * X @ turn + 5) - 1) < 1e-9
    assert cka(X, X * torch.tensor([9.0, 1, 1, 1, 1, 1])) < 0.9


def test_neighbours_are_the_nearest_and_the_overlap_counts_sets():
    found = functions(INHERITED, "inherit-neighbours")
    queries, memory = features(4, 5, 3), features(5, 30, 3)
    rows = found["nearest"](queries, memory, k=4)
    for query, row in zip(queries, rows):
        by_hand = sorted(range(30), key=lambda i: ((query - memory[i]) ** 2).sum().item())
        assert row.tolist() == by_hand[:4]
    a, b = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]]), torch.tensor([[4, 3, 9, 0], [1, 2, 3, 4]])
    assert found["overlap"](a, b) == (2 / 4 + 0) / 2 and found["overlap"](a, a.flip(1)) == 1


def test_lengths_fall_where_the_share_is_and_the_share_is_the_packages():
    from hkt_lite.methods import attention

    share = functions(INHERITED, "inherit-share")["share"]
    c, p = features(6, 7, 64) / 8, features(7, 7, 64) / 8
    for kind in ("gate", "forward_gate"):
        torch.testing.assert_close(share(c, p, kind, 0.3), attention.share(c, p, kind, 0.3))
    assert not torch.equal(share(c, p, "gate", 0.3), share(c, p, "forward_gate", 0.3))


# -- 23 --------------------------------------------------------------------------------------------


def test_the_step_as_released_has_the_gradients_of_the_reference():
    from hkt_lite.benchmarks.cifar10.network import resnet
    from hkt_lite.methods import attention
    from tests.reference import released

    as_released = functions(COSTS, "costs-released", attention=attention)["as_released"]
    torch.manual_seed(0)
    parent, y = resnet("resnet14").double().eval(), torch.arange(6)
    x = features(8, 6, 3, 32, 32) / 100  # a short p, so that the gate is open
    grads = []
    for step in (as_released, None):
        torch.manual_seed(1)
        child = resnet("resnet8").double().train()
        parent.zero_grad()
        batch = type("Batch", (), {"x": x, "y": y})
        terms = step(child, parent, batch) if step else released.step(child, parent, x, y)
        sum(terms.values()).backward()
        grads.append([w.grad.clone() for net in (child, parent) for w in net.parameters()])
    for ours, theirs in zip(*grads, strict=True):
        torch.testing.assert_close(ours, theirs)
    through_parent = grads[0][-len(list(parent.parameters()))]  # of its first convolution
    assert through_parent.abs().max() > 1e-6


def test_the_price_of_a_run_is_its_steps_and_one_filling_of_the_cache():
    price = functions(COSTS, "costs-price")["price"]
    one = type("One", (), {"train_size": 10, "epochs": 6, "views": 2})
    expected = {"plain": 60 * 3, "cached": 60 * 3 + 20 * 5, "live": 60 * 8, "as released": 60 * 36}
    assert {way: price(way, one, 5, 1) for way in expected} == expected
    fresh = type("Fresh", (), {"train_size": 10, "epochs": 6, "views": 0})
    assert price("cached", fresh, 5, 1) == price("live", fresh, 5, 1)


# -- both ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [INHERITED, COSTS])
def test_page_has_its_parts_and_every_exercise_its_solution(name):
    text = "\n".join(cell.source for cell in page(name).cells if cell.cell_type == "markdown")
    for part in PARTS:
        assert part in text
    exercises = re.findall(r":label: (ex-\S+)", text)
    assert len(exercises) >= 3
    for label in exercises:
        assert f"```{{solution}} {label}\n:class: dropdown" in text
    labels = set(re.findall(r":label: (eq:\S+)", text))
    assert set(re.findall(r"\{eq\}`([^`]+)`", text)) <= labels


@pytest.mark.parametrize("name", [INHERITED, COSTS])
def test_figures_have_their_numbers_beside_them_and_prose_has_no_results(name):
    for _, cell in code_cells(page(name)):
        for call in re.findall(r"show\.figure\((.*)\)", cell.source):
            assert call.count(",") >= 2, cell.id  # figure, text, table
    text = "\n".join(cell.source for cell in page(name).cells if cell.cell_type == "markdown")
    opening = text.split("## Check yourself")[0]
    assert not re.search(r"\d\.\d+ ?(%|points|seconds)", opening)
