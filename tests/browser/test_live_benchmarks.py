"""The width of Transfer, the replay of a training, the swipe over a slice, flow over updates, and the way down from a claim: each
alone on a page, its numbers beside Python's, by keyboard, in both themes and on a phone."""

from __future__ import annotations

import base64
import itertools
import json
import re

import numpy as np
import pytest
import torch

from hkt_lite.benchmarks.flow import synthetic as moving
from hkt_lite.benchmarks.flow.colour import colours, longest_of
from hkt_lite.benchmarks.lits.synthetic import phantom
from hkt_lite.evidence import figures, show, stats, style
from tests.browser.pages import PHONE, WIDE
from tests.browser.test_browser import axe

pytestmark = pytest.mark.browser
LIVE = re.compile(r'data-live="\w+"><script type="application/json">(.*?)</script>', re.DOTALL)


def of_page(call: str, **args) -> tuple[dict, str]:
    """The data that a recomputable output hands to its script, and all of its HTML."""
    html = show.render(call, args)["text/html"]
    return json.loads(LIVE.search(html)[1]), html


# -- what each figure is given -----------------------------------------------------------------------------------------


def width() -> tuple[dict, str | None]:
    random = np.random.default_rng(0)
    basis = np.linalg.qr(random.normal(size=(8, 8)))[0]
    rising = np.linspace(20, 90, 8).tolist()
    p = random.random((2, 8)).round(4)
    images = [
        {"name": name, "picture": style.png(random.random((4, 4, 3))), "p": one.tolist()}
        for name, one in zip("ab", p)
    ]
    doors = {"turned": (1000 * basis).round().astype(int).tolist(), "first k channels": None}
    return {
        "classes": ["a", "b", "c"],
        "mean": p.mean(0).round(4).tolist(),
        "doors": doors,
        "accuracy": {name: {"learns": rising, "frozen": rising[::-1]} for name in doors},
        "whole": [91.0, 92.0],
        "images": images,
        "head": {"weight": random.normal(size=(3, 8)).round(4).tolist(), "bias": [0.1, 0.2, -0.3]},
    }, None


def replay() -> tuple[dict, str | None]:
    return of_page("replay", source="real", scale="cpu")[0], None


def follow() -> tuple[dict, str | None]:
    data, html = of_page("claims", only=["C2"], follow=True)
    return data, re.search(r'<ol class="hkt-still">.*?</ol>', html, re.DOTALL)[0]


def packed(labels: np.ndarray) -> list[int]:
    starts = np.flatnonzero(np.diff(labels.ravel(), prepend=-1))
    counts = np.diff(starts, append=labels.size)
    return np.stack([labels.ravel()[starts], counts], 1).ravel().tolist()


def answers() -> dict[str, np.ndarray]:
    hu, labels, _ = phantom("val", 0, size=32)
    truth = labels[(labels == 2).sum((1, 2)).argmax()].astype(int)
    shifted = {"parent": np.roll(truth, 1, 0), "plain": np.roll(truth, 4, 1), "HKT gate": truth * 0}
    return {"truth": truth, **shifted}


def swipe() -> tuple[dict, str | None]:
    found = answers()
    picture = style.png(np.random.default_rng(0).random(found["truth"].shape))
    runs = {name: packed(labels) for name, labels in found.items()}
    one = {"name": "volume", "picture": picture, "answers": runs}
    size, regions = list(found["truth"].shape), {"liver": 1, "lesion": 2}
    return {"size": size, "regions": regions, "slices": [one, {**one, "name": "another"}]}, None


def flows() -> tuple[torch.Tensor, float]:
    """(updates and at last the truth, unit): (4, 2, 8, 12), in whole units."""
    scene = moving.scene(0, "test", 3, size=(128, 192), max_motion=20.0)
    truth = scene.flow[:, 8::16, 8::16]
    every = torch.stack([truth * part for part in (0.3, 0.8, 1.1, 1.0)])
    unit = every.abs().max().item() / 127
    return (every / unit).round() * unit, unit


def frames() -> tuple[dict, str | None]:
    every, unit = flows()
    texts = [
        base64.b64encode((one / unit).round().char().numpy().tobytes()).decode() for one in every
    ]
    noise = np.random.default_rng(0).random((2, 16, 24, 3))
    return {
        "size": list(every.shape[2:]),
        "unit": unit,
        "longest": longest_of(every[-1]),
        "frames": [style.jpeg(one) for one in noise],
        "flows": texts[:-1],
        "truth": texts[-1],
        "epe": (every[:-1] - every[-1]).norm(dim=1).mean((1, 2)).tolist(),
        "zero": every[-1].norm(dim=0).mean().item(),
        "heat": [[0, 0, 4], [140, 41, 129], [252, 253, 191]],
    }, None


FIGURES = {one.__name__: one for one in (width, replay, follow, swipe, frames)}


def shown(stage, name: str, **context):
    data, still = FIGURES[name]()
    page, wrong = stage(name, data, *([still] if still else []), **context)
    assert not wrong
    return page, data


def computed(page, name: str, function: str, *given):
    return page.evaluate(
        "([name, f, given]) => hkt.figures[name].compute[f](...given)", [name, function, given]
    )


# -- for everybody -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_without_findings_in_both_themes_and_fits_a_phone(stage, name):
    page, _ = shown(stage, name)
    toggle = "all => all.forEach(one => { one.open = !one.open })"
    page.locator(".hkt-live details").evaluate_all(toggle)
    assert axe(page) == [] and page.evaluate("() => hkt.fitting()") == []
    page.evaluate(
        "() => { document.documentElement.dataset.theme = 'dark';"
        "document.body.style = 'background: var(--hkt-paper); color: var(--hkt-ink)' }"
    )
    assert axe(page, "color-contrast") == []
    page.locator(".hkt-live details").evaluate_all(toggle)
    page.set_viewport_size(PHONE)
    box = page.locator(".hkt-live").bounding_box()
    assert box["width"] <= PHONE["width"] and box["height"] <= PHONE["height"], box
    assert page.evaluate("() => hkt.fitting()") == []


@pytest.mark.parametrize("name", FIGURES)
def test_keys_move_a_figure_and_it_says_what_it_shows(stage, name):
    page, _ = shown(stage, name)
    said = page.locator(".hkt-said")
    slider = page.locator(".hkt-live input[type=range]")
    if slider.count():
        slider.press("End")
    for control in page.locator(".hkt-live :is(input, button:not([aria-pressed=true]))").all()[:4]:
        before = page.locator(".hkt-live").inner_text()
        control.press("Home" if control.get_attribute("type") == "range" else "Enter")
        assert page.locator(".hkt-live").inner_text() != before
    assert len(said.inner_text()) > 20 and said.get_attribute("role") == "status"
    assert not page.locator(".hkt-still").first.is_visible()


def test_the_data_of_the_published_figures_are_small():
    html = show.render("claims", {"follow": True})["text/html"]
    assert all(len(text) < 60_000 for text in [*LIVE.findall(html), json.dumps(replay()[0])])


# -- the same numbers as in Python -------------------------------------------------------------------------------------


def test_width_transfers_as_the_page_does(stage):
    page, data = shown(stage, "width")
    mean, p = np.array(data["mean"]), np.array(data["images"][0]["p"])
    weight, bias = (np.array(data["head"][name]) for name in ("weight", "bias"))
    for rows, k in itertools.product(data["doors"].values(), (1, 3, 8)):
        basis = np.eye(8) if rows is None else np.array(rows) / 1000
        back = (p - mean) @ basis[:, :k] @ basis[:, :k].T + mean
        got = computed(page, "width", "through", p.tolist(), data["mean"], rows, k)
        np.testing.assert_allclose(got, back, atol=1e-12)
        powers = np.exp(weight @ back + bias)
        got = computed(page, "width", "probabilities", data["head"], back.tolist())
        np.testing.assert_allclose(got, powers / powers.sum(), atol=1e-12)
        lost = np.linalg.norm(p - back) / np.linalg.norm(p - mean)
        got = computed(page, "width", "lost", p.tolist(), data["mean"], back.tolist())
        np.testing.assert_allclose(got, lost, atol=1e-12)


def test_the_lamp_is_lit_where_python_says_that_the_parent_answers(stage):
    page, data = shown(stage, "replay")
    assert data["lead"] == figures.LEAD
    told = set()
    for run in data["runs"].values():
        for own, mixed, expected in zip(run["L_c"], run["L_c*"], run["answers"]):
            got = computed(page, "replay", "answers", own, mixed, data["lead"])
            assert got == expected == figures.parent_answers(own, mixed)
            told.add(got)
    assert told == {True, False}
    chance = torch.tensor([0.1, 0.5]).log().neg().mean().item()
    got = computed(page, "replay", "probability", chance)
    assert got == pytest.approx((0.1 * 0.5) ** 0.5, abs=1e-7)
    for epoch in (1, 2):
        page.locator("input[type=range]").fill(str(epoch))
        lit = next(iter(data["runs"].values()))["answers"][epoch - 1]
        assert page.locator(".hkt-lamp").get_attribute("data-lit") == ("yes" if lit else "no")


def test_following_a_number_computes_its_interval_again(stage):
    page, data = shown(stage, "follow")
    way = data["sign"]
    d = stats.paired([way * x for x in data["of"]], [way * x for x in data["to"]])
    got = computed(page, "follow", "paired", data)
    for field in ("n", "mean", "sd", "low", "high"):
        assert got[field] == pytest.approx(getattr(d, field), rel=1e-5)
    seen = ""
    for _ in data["steps"]:
        seen += page.locator(".hkt-step").inner_text()
        page.get_by_role("button", name="Next").focus()
        page.keyboard.press("Enter")
    titles = "all => all.map(one => one.title)"
    used = set(page.locator(".hkt-still code[title]").evaluate_all(titles))
    assert len(used) == 2 * len(data["seeds"])
    for name in used:
        assert f"data/results/run-{name}.json" in seen and f"hkt reproduce {name}" in seen
    assert "Committed" in seen


def test_swipe_reads_label_maps_and_counts_dice_as_numpy(stage):
    page, data = shown(stage, "swipe")
    found, runs = answers(), data["slices"][0]["answers"]
    for name, labels in found.items():
        assert computed(page, "swipe", "decode", runs[name]) == labels.ravel().tolist()
        for low in (1, 2):
            a, b = labels >= low, found["truth"] >= low
            dice = 2 * (a & b).sum() / (a.sum() + b.sum())
            given = labels.ravel().tolist(), found["truth"].ravel().tolist(), low
            assert computed(page, "swipe", "dice", *given) == pytest.approx(dice, abs=1e-12)
    assert computed(page, "swipe", "dice", [0, 0], [0, 0], 1) is None
    path = computed(page, "swipe", "outline", [0, 0, 0, 0, 1, 0, 0, 0, 0], [3, 3], 1)
    assert sorted(path.split("M")[1:]) == ["1 1h1", "1 1v1", "1 2h1", "2 1v1"]


def test_flow_has_the_colours_of_the_page(stage):
    page, data = shown(stage, "frames")
    every, unit = flows()
    for text, flow in zip([*data["flows"], data["truth"]], every):
        got = computed(page, "frames", "decode", text, unit)
        np.testing.assert_allclose(np.array(got).reshape(flow.shape), flow, atol=1e-5)
        seen = page.evaluate(
            """([flow, longest]) => { const c = hkt.figures.frames.compute, wheel = c.wheel();
            return flow[0].map((u, k) => c.colour(u, flow[1][k], longest, wheel)) }""",
            [flow.flatten(1).tolist(), data["longest"]],
        )
        wanted = colours(flow, data["longest"]).flatten(0, 1).int()
        assert (torch.tensor(seen) - wanted).abs().max() <= 1
    got = computed(page, "frames", "errors", *(one.flatten(1).tolist() for one in every[[0, -1]]))
    wanted = (every[0] - every[-1]).norm(dim=0).flatten()
    np.testing.assert_allclose(got, wanted, atol=1e-5)
    assert computed(page, "frames", "heat", 0.25, data["heat"]) == [70, 21, 67]


def test_frames_blink_only_when_asked_and_never_for_those_who_want_no_motion(stage):
    page, data = shown(stage, "frames", reduced_motion="no-preference", viewport=WIDE)
    blink = page.get_by_role("button", name="Blink")
    assert blink.get_attribute("aria-pressed") == "false"
    picture = page.locator(".hkt-pictures img")
    blink.press("Enter")
    page.wait_for_function("() => document.querySelector('.hkt-pictures img').alt[0] === 'S'")
    blink.press("Enter")
    assert blink.get_attribute("aria-pressed") == "false"
    assert picture.get_attribute("src") in data["frames"]
    calm, _ = shown(stage, "frames", reduced_motion="reduce")
    assert calm.get_by_role("button", name="Blink").count() == 0
    assert calm.get_by_role("button", name="Other frame").count() == 1
