"""The instructor's guide names commands, exercises and assignments that exist."""

import re
import shlex

import typer.main

from hkt_course import source
from hkt_lite.benchmarks import resolve
from hkt_lite.cli import app
from hkt_lite.cli.runs import values
from hkt_lite.config import PROJECT, Config

GUIDE = (PROJECT / "book" / "course" / "instructor.md").read_text(encoding="utf-8")
STUDENTS = (PROJECT / "book" / "course" / "assignments.md").read_text(encoding="utf-8")


def commands(text: str) -> list[list[str]]:
    """The words of every `hkt …` in a text, without comments."""
    found = re.findall(r"`(hkt [^`]+)`|^(hkt [^#\n]+)", text, re.M)
    return [shlex.split((inline or line).strip())[1:] for inline, line in found]


def given(words: list[str], *flags: str) -> list[str]:
    """The values after any of the flags."""
    return [value for flag, value in zip(words, words[1:]) if flag in flags]


def test_every_command_of_the_guide_is_one():
    root = typer.main.get_command(app)
    found = commands(GUIDE + STUDENTS)
    assert len(found) > 15
    for words in found:
        command = root
        while hasattr(command, "commands"):
            assert words[0] in command.commands, words
            command, words = command.commands[words[0]], words[1:]
        known = {name for option in command.params for name in option.opts}
        assert {word for word in words if word.startswith("-")} <= known, words


def test_every_project_begins_with_a_run_that_can_be_made():
    projects = re.findall(r"^\d+\. .*$", GUIDE.partition("## Ten projects")[2], re.M)
    assert len(projects) == 10 and all(commands(line) for line in projects)
    for words in commands("\n".join(projects)):
        if words[0] in ("run", "trace"):
            scale = (given(words, "--scale") or ["quick"])[0]
            options = values(given(words, "-o", "--option"))
            fields = values(given(words, "-s", "--set"))
            task, method = words[1:3]
            resolve(Config(task=task, method=method, scale=scale, options=options, **fields))


def test_every_exercise_of_the_guide_is_in_the_book():
    notebooks = [
        path.read_text(encoding="utf-8") for path in (PROJECT / "notebooks").glob("*.ipynb")
    ]
    labels = re.findall(r"\{ref\}`(ex-[\w-]+)`", GUIDE)
    assert len(labels) > 20
    for label in labels:
        assert any(f":label: {label}\\n" in text for text in notebooks), label


def test_every_assignment_has_its_line():
    numbers = re.findall(r"^\| (\d) \|", STUDENTS, re.M)
    assert [f"a{number}" for number in numbers] == [name.split("_")[0] for name in source.names()]
