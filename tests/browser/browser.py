"""Chromium for the tests of the rendered book: found, or installed.   python tests/browser/browser.py

Looks on the PATH, where macOS keeps its programs, and for playwright's own; else asks playwright to
download it, else the system's package manager where that may be asked without a password.  Without
one the browser tests are skipped in words; under CI=true that is a failure.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
APPLICATIONS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
PACKAGES = {  # manager -> commands, each of which needs root but brew's
    "apt-get": (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"],
    ),
    "dnf": (["dnf", "install", "-y", "-q", "chromium"],),
    "brew": (["brew", "install", "--cask", "chromium"],),
}
MISSING = (
    "No browser found, and none could be installed ({}); install Chromium or Chrome and run the "
    "tests again."
)


def find() -> str | None:
    """The path of a browser that starts."""
    for path in _candidates():
        if path and Path(path).exists() and _works([path, "--version"], seconds=60):
            return path
    return None


def _candidates() -> Iterator[str | None]:
    yield from map(shutil.which, NAMES)
    yield from APPLICATIONS
    yield _playwrights_own()


def _playwrights_own() -> str | None:
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        return None
    try:
        with sync_playwright() as playwright:
            return playwright.chromium.executable_path
    except Error:
        return None


def install() -> tuple[str | None, str]:
    """(path of the browser, what was tried) after trying each way until one works."""
    tried = []
    for name, commands in _ways():
        tried.append(name)
        print(f"No browser yet: asking {name} for Chromium ...", flush=True)
        if all(_works(command, seconds=600) for command in commands) and (found := find()):
            return found, ", ".join(tried)
    return None, ", ".join(tried)


def _ways() -> Iterator[tuple[str, list[list[str]]]]:
    yield "playwright", [[sys.executable, "-m", "playwright", "install", "chromium"]]
    root = not hasattr(os, "geteuid") or os.geteuid() == 0
    for manager, commands in PACKAGES.items():
        if not shutil.which(manager):
            continue
        if root or manager == "brew":
            yield manager, list(commands)
        elif _works(["sudo", "-n", "true"], seconds=10):
            yield f"sudo {manager}", [["sudo", "-n", *command] for command in commands]


def _works(command: list[str], seconds: float) -> bool:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        ended = subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=seconds,
            env=environment,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return ended.returncode == 0


def required() -> bool:
    return os.environ.get("CI", "").lower() in ("1", "true")


def main() -> int:
    found, tried = find(), ""
    if found is None:
        found, tried = install()
    if found is None:
        print(MISSING.format(tried) + ("" if required() else "  Browser tests are skipped."))
        return int(required())
    print(f"Browser: {found}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
