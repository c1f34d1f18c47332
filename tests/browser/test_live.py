"""The figures that can be moved, each alone on a page: their numbers equal Python's, keys move them."""

from __future__ import annotations

import base64
import io
import json
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from hkt_lite.evidence import figures, style
from hkt_lite.evidence.bundles import BUILDERS
from hkt_lite.methods import attention
from hkt_lite.methods.hkt import HKT
from tests.browser.moving import flaws, press, said
from tests.browser.pages import PHONE, PROJECT
from tests.fabricated import family

pytestmark = pytest.mark.browser
NEAR = 1e-9  # both sides reckon in double precision
DRAWN = torch.Generator().manual_seed(7)
PICTURE = style.png(np.arange(192, dtype=np.uint8).reshape(8, 8, 3))
BEFORE, AFTER = "before training", "after training"


def draw(*shape: int, size: float = 1.0) -> torch.Tensor:
    """Golden vectors: the same in each session, non-negative as after a ReLU, and long or short."""
    return size * torch.rand(*shape, generator=DRAWN, dtype=torch.float64)


SCORES = [4 * (draw(10) - 0.5), 4 * (draw(10) - 0.5)]
OWN, THEIRS, LATER = draw(8, 64, size=0.7), draw(8, 64, size=1.2), draw(8, 64, size=0.1)
PULLS = [torch.randn(3, 64, generator=DRAWN, dtype=torch.float64) for _ in range(3)]
WAY = torch.randn(64, generator=DRAWN, dtype=torch.float64)
LAMS = [0.1, 0.2, 0.6, 1.0]
TERMS = ["L_c", "L_c*", "L_p*"]


def temperature() -> dict:
    image = {"picture": PICTURE, "label": 3}
    first, second = (scores.tolist() for scores in SCORES)
    return {
        "classes": [f"class {k}" for k in range(10)],
        "images": [
            {**image, "parent": first, "child": second},
            {**image, "parent": second, "child": first},
        ],
    }


def gate() -> dict:
    both = [
        {
            "picture": PICTURE,
            "label": "disc",
            "p": p.tolist(),
            "c": {BEFORE: c.tolist(), AFTER: later.tolist()},
        }
        for c, p, later in zip(OWN, THEIRS, LATER)
    ]
    return {"images": both}


def flat(pulls: torch.Tensor) -> dict:
    """As page 05 lays pulls into the plane of the way to the parent and of the first pull."""
    right = F.normalize(WAY, dim=0)
    up = F.normalize(pulls[0] - (pulls[0] @ right) * right, dim=0)
    plane = dict(zip(TERMS, (pulls @ torch.stack([right, up], 1)).tolist()))
    return {"share": 0.1, "pulls": plane, "products": (pulls @ pulls.T).tolist()}


def tug() -> dict:
    situations = {name: [flat(pulls) for pulls in PULLS] for name in ("newborn", "trained")}
    return {"terms": TERMS, "pictures": [PICTURE] * 3, "situations": situations}


def lams(*values: float) -> list:
    """Published runs of plain and of HKT with these λ."""
    runs = family("plain", [74.0, 74.6, 74.2])
    for kind in figures.KINDS:
        for lam in values:
            scores = [75.1 - 9 * lam**2, 75.0 - 9 * lam, 75.2 - 8 * lam]
            runs += family("hkt", scores, options={"kind": kind, "lam": lam})
    return runs


def data_of(block) -> dict:
    """What a block of `show` hands to the browser."""
    return json.loads(re.search(r'application/json">(.*?)</script>', block.html, re.S)[1])


def by_lambda() -> dict:
    return data_of(BUILDERS["shares"](lams(*LAMS)))


FIGURES = {
    "temperature": temperature,
    "gate": gate,
    "tug": tug,
    "lambda": by_lambda,
}
HERO = re.sub(  # its drawings; the stage brings the place of the controls
    r'<div class="hkt-live".*?</div>',
    "",
    (PROJECT / "book" / "hero.html").read_text(encoding="utf-8"),
)


# -- what they compute -------------------------------------------------------------------------------------------------


def test_temperature_softens_as_torch_does(stage):
    page, _ = stage("temperature", temperature())
    child = SCORES[1].clone().requires_grad_()
    for tau in (0.5, 1.0, 4.0, 16.0):
        q = F.softmax(SCORES[0] / tau, 0)
        kl = (q * (q.log() - F.log_softmax(child / tau, 0))).sum()
        pull = torch.autograd.grad(kl, child)[0].norm().item()
        got = page.evaluate(
            """([parent, child, tau]) => { const f = hkt.figures.temperature.compute, q = f.soft(parent, tau);
            return [q, f.entropy(q), f.imitation(parent, child, tau)] }""",
            [SCORES[0].tolist(), SCORES[1].tolist(), tau],
        )
        assert got[0] == pytest.approx(q.tolist(), abs=NEAR)
        assert got[1] == pytest.approx(-(q * q.log2()).sum().item(), abs=NEAR)
        expected = {"kl": kl.item(), "factor": tau**2, "loss": tau**2 * kl.item()}
        expected |= {"pull": pull, "scaled": tau**2 * pull}
        assert got[2] == pytest.approx(expected, abs=NEAR)


@pytest.mark.parametrize("kind", ["gate", "forward_gate", "static"])
def test_gate_mixes_as_the_package_does(stage, kind):
    page, _ = stage("gate", gate())
    for c, lam in ((OWN, 0.6), (LATER, 0.25), (20 * OWN, 1.0)):
        got = page.evaluate(
            """([c, p, kind, lam]) => c.map((one, i) => {
            const f = hkt.figures.gate.compute, at = f.plane(one, p[i]);
            return [f.mix(one, p[i], kind, lam, 64), f.mix([at[0], 0], [at[1], at[2]], kind, lam, 64)] })""",
            [c.tolist(), THEIRS.tolist(), kind, lam],
        )
        m = attention.mix(c, THEIRS, kind, lam)
        rho = attention.share(c, THEIRS, kind, lam)[:, 0]
        for i, (whole, plane) in enumerate(got):
            assert whole["m"] == pytest.approx(m[i].tolist(), abs=NEAR)
            assert whole["share"] == pytest.approx(rho[i].item(), abs=NEAR)
            assert whole["g"] == pytest.approx(attention.gate(c, THEIRS)[i].item(), abs=NEAR)
            for name in ("s", "g", "share"):
                assert plane[name] == pytest.approx(whole[name], abs=NEAR)
            assert np.hypot(*plane["m"]) == pytest.approx(m[i].norm().item(), abs=NEAR)


@pytest.mark.parametrize("dropped", [[], ["L_c"], ["L_p*"], ["L_c", "L_c*"], TERMS])
def test_tug_adds_pulls_as_autograd_does(stage, dropped):
    """The pull of a sum of losses is the sum of their pulls, in all 64 directions."""
    page, _ = stage("tug", tug())
    on = {term: term not in dropped for term in TERMS}
    for pulls in PULLS:
        got = page.evaluate(
            "([image, terms, on]) => hkt.figures.tug.compute.resultant(image, terms, on)",
            [flat(pulls), TERMS, on],
        )
        weights = torch.tensor(list(on.values()), dtype=torch.float64)
        c = torch.zeros(64, dtype=torch.float64, requires_grad=True)
        pull = -torch.autograd.grad(-(weights @ (pulls @ c)), c)[0]
        assert got["length"] == pytest.approx(pull.norm().item(), abs=1e-7)
        if dropped == TERMS:
            assert got["parent"] is None and got["own"] is None
            continue
        cosines = [F.cosine_similarity(pull, v, dim=0).item() for v in (WAY, pulls[0])]
        assert [got["parent"], got["own"]] == pytest.approx(cosines, abs=1e-7)


def test_lambda_shows_the_published_differences(stage):
    data = by_lambda()
    page, _ = stage("lambda", data)
    assert page.evaluate("d => hkt.figures.lambda.compute.values(d.kinds)", data) == LAMS
    drawn = page.locator(".hkt-live tbody tr").all_inner_texts()
    block = BUILDERS["shares"](lams(*LAMS))
    assert len(drawn) == len(block.values) == 8
    for row, steps in zip(data["kinds"]["HKT gate"], LAMS):
        assert row["lam"] == steps and row["seeds"] == 3
    verdicts = {
        name: page.evaluate("row => hkt.figures.lambda.compute.judge(row)", row)
        for name, row in (
            ("better", {"low": 0.1, "high": 2}),
            ("worse", {"low": -2, "high": -0.1}),
            ("open", {"low": -1, "high": 1}),
        )
    }
    assert all(name == verdict for name, verdict in verdicts.items())


def test_hero_fills_the_child_and_then_takes_the_parent_away(stage):
    page, _ = stage("hero", {}, HERO)
    states = page.evaluate(
        "() => Array.from({length: 101}, (_, i) => hkt.figures.hero.compute.state(i / 100))"
    )
    filled, parent = ([state[name] for state in states] for name in ("filled", "parent"))
    assert filled == sorted(filled) and filled[0] == 0 and filled[-1] == 1
    assert parent == sorted(parent, reverse=True) and parent[0] == 1 and parent[-1] == 0
    assert all(state["parent"] == 1 for state in states if state["filled"] < 1)
    assert not states[0]["dots"] and not states[-1]["dots"]
    assert all(0 <= dot < 1 for state in states for dot in state["dots"])


# -- how they are moved ------------------------------------------------------------------------------------------------


def test_keys_move_the_temperature(stage):
    page, _ = stage("temperature", temperature())
    assert "τ = 1.0" in said(page)
    assert "τ = 1.5" in press(page, "temperature τ", "ArrowRight")
    assert "τ = 16.0" in press(page, "temperature τ", "End")
    bits = float(re.search(r"([\d.]+) of at most", said(page))[1])
    assert bits > 3.2  # nearly log2(10): a high temperature knows nothing
    first = said(page)
    page.get_by_role("button", name="image 2").press("Enter")
    assert said(page) != first


def test_keys_move_the_gate(stage):
    page, _ = stage("gate", gate())
    before = said(page)
    page.get_by_role("button", name=AFTER).press("Enter")
    assert said(page) != before
    filled = page.locator(".hkt-filled").inner_text()
    rho = attention.share(LATER, THEIRS)[0].item()
    assert f"{rho:.3g}" in filled and "√64" in filled
    press(page, "λ", "Home")
    assert "gone 0 %" in said(page)
    press(page, "λ", "End")
    page.get_by_role("button", name="static").press("Enter")
    assert "gone 70 %" in said(page)
    page.locator("summary", has_text="Move c and p").press("Enter")
    assert "90°" in press(page, "angle", "Home", *["PageUp"] * 5)
    page.get_by_role("button", name="gate (released)").press("Enter")
    assert "gone 50 %" in said(page)  # at a right angle half of λ = 1


def test_a_tip_can_be_dragged(stage):
    page, _ = stage("gate", gate())
    hold = page.locator(".hkt-hold").first.bounding_box()
    x, y = hold["x"] + hold["width"] / 2, hold["y"] + hold["height"] / 2
    before = page.get_by_label("angle", exact=True).input_value()
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 60, y + 10, steps=3)
    page.mouse.up()
    assert float(page.get_by_label("angle", exact=True).input_value()) > float(before)


def test_boxes_drop_a_pull(stage):
    page, _ = stage("tug", tug())
    assert said(page).count("L_p*") == 1
    assert "L_p*" not in press(page, "L_p*", "Space")
    length = PULLS[1][:2].sum(0).norm().item()
    assert f"pull with {length:.2f} " in said(page)
    assert "No loss pulls" in (press(page, "L_c", "Space") and press(page, "L_c*", "Space"))


def test_keys_move_lambda(stage):
    page, _ = stage("lambda", by_lambda())
    assert said(page).startswith("λ = 0.6.")
    assert press(page, "λ", "ArrowRight").startswith("λ = 1.")
    assert "HKT gate: worse than plain" in said(page)
    assert press(page, "λ", "Home").startswith("λ = 0.1.")


def test_one_lambda_needs_no_slider_and_none_is_a_sentence(stage):
    page, _ = stage("lambda", data_of(BUILDERS["shares"](lams(0.6))))
    assert "the only one" in said(page) and not page.locator(".hkt-live input").count()
    nothing = BUILDERS["shares"](lams())
    assert nothing.text.startswith("No cifar10 λ of HKT with 3 seeds is published yet")
    assert "hkt-live" not in nothing.html


def test_the_hero_is_trained_by_keys_and_is_still_where_motion_is_unwanted(stage):
    page, _ = stage("hero", {}, HERO)
    assert said(page).startswith("Before training")
    assert not page.get_by_role("button", name="Play").count()
    assert press(page, "Train", "PageUp").startswith("Training")
    fill = page.locator(".hkt-wide .hkt-fill")
    half = float(fill.get_attribute("height"))
    assert press(page, "Train", "End").startswith("After training")
    assert float(fill.get_attribute("height")) > half > 0


def test_the_hero_plays_where_motion_is_welcome(stage):
    page, _ = stage("hero", {}, HERO, reduced_motion="no-preference")
    page.get_by_role("button", name="Play").press("Enter")
    page.wait_for_function(
        "() => document.querySelector('.hkt-said').textContent.startsWith('After')"
    )


# -- how they look -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("size", ["wide", "phone"])
def test_figure_is_sound(stage, name, size):
    options = {"viewport": PHONE} if size == "phone" else {}
    page, wrong = stage(name, FIGURES[name](), **options)
    assert not flaws(page, wrong)
    assert not page.locator(".hkt-still").is_visible()


@pytest.mark.parametrize("value", ["Home", "PageUp", "End"])
def test_hero_is_sound(stage, value):
    page, wrong = stage("hero", {}, HERO)
    press(page, "Train", value)
    assert not flaws(page, wrong)


def test_without_scripts_the_still_stays(stage, browser):
    page, _ = stage("tug", tug())
    window = browser.new_context(java_script_enabled=False)
    plain = window.new_page()
    plain.goto(page.url)
    assert plain.locator(".hkt-still").is_visible()
    window.close()


def test_data_of_a_picture_are_the_pixels():
    made = Image.open(io.BytesIO(base64.b64decode(PICTURE.partition(",")[2])))
    assert np.array(made).ravel().tolist() == list(range(192))
    assert style.png(np.array([[0.0, 1.0, 2.0]])) == style.png(np.array([[0, 255, 255]], np.uint8))


def test_usual_kind_of_the_gate_is_the_methods(stage):
    page, _ = stage("gate", gate())
    pressed = page.locator("button[aria-pressed=true]").all_inner_texts()
    assert any(text.startswith(HKT.Options().kind) for text in pressed)
    assert float(page.get_by_label("λ", exact=True).input_value()) == HKT.Options().lam
