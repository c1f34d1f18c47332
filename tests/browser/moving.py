"""What every figure that can be moved must hold, alone on its page, whatever it shows."""

from __future__ import annotations

from tests.browser.pages import PHONE, WIDE
from tests.browser.test_browser import NARROW, axe

DARK = """() => { document.documentElement.dataset.theme = 'dark';
  document.body.style.background = 'var(--hkt-paper)'; }"""


def flaws(page, wrong: list[str]) -> list[str]:
    """Of a figure on the stage: in both themes, wide and on a phone, by axe and by our own checks."""
    found = list(wrong)
    page.set_viewport_size(WIDE)
    found += page.evaluate("() => hkt.readable()") + axe(page)
    page.keyboard.press("Tab")
    found += page.evaluate("() => hkt.focused()") + page.evaluate("() => hkt.contrast()")
    found += page.evaluate("() => hkt.fitting()")
    page.set_viewport_size(PHONE)
    found += page.evaluate("() => hkt.fitting()") + axe(page, *NARROW)
    tall = page.locator(".hkt-live").bounding_box()["height"]
    found += [f"{tall:.0f} px tall on a phone"] * (tall > PHONE["height"])
    page.evaluate(DARK)
    found += page.evaluate("() => hkt.contrast()") + axe(page, "color-contrast")
    page.set_viewport_size(WIDE)
    page.evaluate("() => { document.documentElement.dataset.theme = 'light'; }")
    return found


def said(page) -> str:
    """What the figure says of itself in words."""
    return page.locator(".hkt-said").inner_text()


def press(page, label: str, *keys: str) -> str:
    """Reach a control by its name, press keys, and hear what the figure says then."""
    control = page.get_by_label(label, exact=True)
    control.focus()
    for key in keys:
        control.press(key)
    return said(page)
