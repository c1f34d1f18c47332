"""A browser is found or installed; without one the tests say so, and under CI they fail."""

import os
import sys
from pathlib import Path

import pytest

from tests.browser import browser

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="shell scripts stand in for tools")


@pytest.fixture
def tools(tmp_path, monkeypatch) -> Path:
    """The only folder on the PATH; no browser anywhere, and playwright cannot download one."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(browser, "APPLICATIONS", ())
    monkeypatch.setattr(browser, "_playwrights_own", lambda: None)
    monkeypatch.setattr(browser.sys, "executable", str(script(folder, "python", "exit 1")))
    monkeypatch.setattr(os, "geteuid", lambda: 0, raising=False)
    return folder


def script(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def installer(tools: Path, what: Path) -> str:
    """Shell text that puts a working browser at `what` when it is told to install."""
    making = f'printf "#!/bin/sh\\nexit 0\\n" > {what}; /bin/chmod 755 {what}'
    return f'for word in "$@"; do if [ "$word" = install ]; then {making}; fi; done'


def test_one_that_is_there_and_starts_is_taken(tools, capsys):
    script(tools, "chromium", "exit 127")  # its libraries are missing
    right = script(tools, "google-chrome", "exit 0")
    assert browser.find() == str(right)
    assert browser.main() == 0 and str(right) in capsys.readouterr().out


def test_playwrights_own_is_downloaded_before_the_system_is_asked(tools, monkeypatch):
    script(tools, "apt-get", "exit 1")
    own = tools / "own"
    script(tools, "python", installer(tools, own))
    monkeypatch.setattr(browser, "_playwrights_own", lambda: str(own))
    assert browser.install() == (str(own), "playwright")


def test_the_package_manager_is_asked_as_root_or_by_sudo_without_password(tools, monkeypatch):
    script(tools, "apt-get", installer(tools, tools / "chromium"))
    assert browser.install() == (str(tools / "chromium"), "playwright, apt-get")
    (tools / "chromium").unlink()
    monkeypatch.setattr(os, "geteuid", lambda: 1000, raising=False)
    assert browser.install() == (None, "playwright")
    script(tools, "sudo", 'shift; if [ "$1" = true ]; then exit 0; fi; exec "$@"')
    assert browser.install() == (str(tools / "chromium"), "playwright, sudo apt-get")


def test_without_any_it_is_said_and_under_ci_it_fails(tools, capsys, monkeypatch):
    script(tools, "dnf", "exit 1")
    assert browser.main() == 0
    said = capsys.readouterr().out
    assert "none could be installed (playwright, dnf); install Chromium" in said
    assert "Browser tests are skipped." in said
    monkeypatch.setenv("CI", "true")
    assert browser.main() == 1 and "skipped" not in capsys.readouterr().out
