"""What a student's own look says of a notebook before it is handed in."""

import pytest

from hkt_course import rehearsal
from tests.course import zoo, zoo_a1, zoo_a4
from tests.course.hand_ins import make


@pytest.mark.parametrize("name", ["a1_attention", "a4_peer"])
def test_of_the_reference_all_is_right(name, judges, warm):
    seen = rehearsal.rehearse(make(judges(name).source, zoo.REFERENCE), warm)
    assert seen["errors"] == [] and set(seen["results"].values()) == {""}, seen


def test_autograd_is_named_before_the_tests_refuse_it(judges, warm):
    (hand_in,) = [one for one in zoo_a1.ZOO if one.name == "gradients by autograd"]
    seen = rehearsal.rehearse(make(judges("a1_attention").source, hand_in), warm)
    assert seen["errors"] == []
    said = {check: text for check, text in seen["results"].items() if text}
    assert list(said) == ["without autograd"] and "the tests refuse" in said["without autograd"]


@pytest.mark.parametrize(
    "name, check, said",
    [
        ("a comment above %%writefile", "the file is written", "must be the first line"),
        (
            "the class is derived from the package's own Method",
            "its imports are relative",
            "write `from .method import Method`",
        ),
    ],
)
def test_what_keeps_the_file_from_being_found_is_named(name, check, said, judges, warm):
    (hand_in,) = [one for one in zoo_a4.ZOO if one.name == name]
    seen = rehearsal.rehearse(make(judges("a4_peer").source, hand_in), warm)
    assert said in seen["results"][check]
