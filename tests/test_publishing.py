"""What publishes the book: workflows, metadata and other people's machines tell one story with the project's own files."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import hkt_lite
from hkt_lite.config import PROJECT

WORKFLOWS = sorted((PROJECT / ".github" / "workflows").glob("*.yml"))
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MAKEFILE = (PROJECT / "Makefile").read_text(encoding="utf-8")
CITATION = yaml.safe_load((PROJECT / "CITATION.cff").read_text(encoding="utf-8"))
ZENODO = json.loads((PROJECT / ".zenodo.json").read_text(encoding="utf-8"))
CONTAINER = json.loads((PROJECT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))
CPU_WHEELS = "https://download.pytorch.org/whl/cpu"


def script(name: str):
    spec = importlib.util.spec_from_file_location(name, PROJECT / ".ci" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def workflow(name: str) -> dict:
    found = yaml.safe_load((PROJECT / ".github/workflows" / name).read_text(encoding="utf-8"))
    return found | {"on": found[True]}  # YAML 1.1 reads the key `on` as true


ALL = {path.name: workflow(path.name) for path in WORKFLOWS}
JOBS = [
    pytest.param(name, job, id=f"{name}: {key}")
    for name, made in ALL.items()
    for key, job in made["jobs"].items()
]
STEPS = [step for made in ALL.values() for job in made["jobs"].values() for step in job["steps"]]
COMMANDS = [line for step in STEPS for line in step.get("run", "").splitlines() if line.strip()]


def python_version() -> str:
    """The one that constraints.txt was made with."""
    first = (PROJECT / "constraints.txt").read_text(encoding="utf-8").splitlines()[0]
    return re.search(r"Python (3\.\d+)", first)[1]


# -- workflows -------------------------------------------------------------------------------------


def test_there_are_workflows_for_tests_book_preview_and_the_week():
    assert set(ALL) == {"tests.yml", "book.yml", "preview.yml", "weekly.yml"}
    assert "schedule" in ALL["weekly.yml"]["on"] and "pull_request" in ALL["tests.yml"]["on"]


@pytest.mark.parametrize("name", ALL)
def test_no_workflow_hands_secrets_to_a_pull_requests_code(name):
    assert "pull_request_target" not in ALL[name]["on"]
    text = (PROJECT / ".github/workflows" / name).read_text(encoding="utf-8")
    assert "pull_request_target" not in text and "secrets." not in text
    if "workflow_run" in ALL[name]["on"]:
        assert "checkout" not in text.partition("jobs:")[2], f"{name} may write and runs code"


@pytest.mark.parametrize("name", ALL)
def test_a_workflow_may_read_and_no_more_unless_a_job_says_so(name):
    assert ALL[name]["permissions"] in ({}, {"contents": "read"})


@pytest.mark.parametrize("name, job", JOBS)
def test_a_job_has_a_limit_and_writes_only_to_publish(name, job):
    assert job["timeout-minutes"] <= 120
    writes = {key for key, value in job.get("permissions", {}).items() if value == "write"}
    if name in ("tests.yml", "weekly.yml"):
        assert not writes
    elif writes and name == "book.yml":
        assert job["if"] == "startsWith(github.ref, 'refs/tags/v')"


def test_actions_are_github_s_own_and_pinned_to_a_commit_one_for_each():
    pins: dict[str, set[str]] = {}
    for made in WORKFLOWS:
        for line in made.read_text(encoding="utf-8").splitlines():
            if "uses:" in line:
                found = re.search(r"uses: (actions/[\w-]+)@([0-9a-f]{40}) # v\d+\.\d+\.\d+$", line)
                assert found, f"{made.name}: {line.strip()}"
                pins.setdefault(found[1], set()).add(found[2])
    assert pins and all(len(commits) == 1 for commits in pins.values()), pins


def test_what_others_named_reaches_a_shell_as_a_variable_only():
    assert not [line for line in COMMANDS if "${{" in line]


def test_a_checkout_leaves_no_credentials_to_the_code():
    found = [step for step in STEPS if step.get("uses", "").startswith("actions/checkout")]
    assert found and all(step["with"]["persist-credentials"] is False for step in found)


def test_every_command_of_a_workflow_exists():
    for line in COMMANDS:
        words = line.split()
        if words[0] == "make":
            assert all(re.search(rf"^{re.escape(one)}:", MAKEFILE, re.M) for one in words[1:]), line
        elif words[0].startswith(".ci/"):
            assert (PROJECT / words[0]).stat().st_mode & 0o100, f"{words[0]} cannot be executed"
        elif words[:2] == ["python", "-m"]:
            assert words[2] in ("pip", "pytest", "sphinx"), line
        elif words[0] == "python":
            assert (PROJECT / words[1]).is_file(), line
        for path in re.findall(r"(?<!\S)(tests/\w+|\.ci/[\w.]+|constraints\.txt)", line):
            assert (PROJECT / path).exists(), line
        for extras in re.findall(r"-e \"?\.\[([\w,]+)\]", line):
            assert set(extras.split(",")) <= set(PYPROJECT["optional-dependencies"]), line


def test_what_one_job_leaves_the_other_finds():
    for made in ALL.values():
        left = {
            s["with"]["name"]
            for j in made["jobs"].values()
            for s in j["steps"]
            if _does(s, "upload-artifact")
        }
        for job in made["jobs"].values():
            for step in job["steps"]:
                if _does(step, "download-artifact"):
                    assert step["with"]["name"] in left and job["needs"] in made["jobs"]


def _does(step: dict, action: str) -> bool:
    return step.get("uses", "").startswith(f"actions/{action}@")


def test_the_preview_follows_the_book():
    (named,) = ALL["preview.yml"]["on"]["workflow_run"]["workflows"]
    assert named == ALL["book.yml"]["name"] and "pull_request" in ALL["book.yml"]["on"]


# -- Python and torch ------------------------------------------------------------------------------


def test_every_machine_has_the_python_of_the_constraints():
    version = python_version()
    for path in WORKFLOWS:
        for key, job in ALL[path.name]["jobs"].items():
            for step in job["steps"]:
                if _does(step, "setup-python") and key != "exit":  # which is about newer versions
                    assert step["with"]["python-version"] == version, f"{path.name}: {key}"
    conda = yaml.safe_load((PROJECT / "environment.yml").read_text(encoding="utf-8"))
    assert f"python={version}" in conda["dependencies"]
    assert (PROJECT / "binder/runtime.txt").read_text().strip() == f"python-{version}"
    assert f":{version}-" in CONTAINER["image"]


def test_every_machine_without_a_gpu_takes_the_small_torch():
    for name in ("tests.yml", "book.yml", "weekly.yml"):
        assert ALL[name]["env"] == {"TORCH_INDEX": CPU_WHEELS}
    assert CONTAINER["containerEnv"] == {"TORCH_INDEX": CPU_WHEELS}
    assert f"--extra-index-url {CPU_WHEELS}\n" in (PROJECT / "binder/requirements.txt").read_text()
    assert CPU_WHEELS in (PROJECT / "README.md").read_text(encoding="utf-8")


def test_binder_installs_the_package_under_the_constraints_and_repeats_nothing():
    text = (PROJECT / "binder/requirements.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    _, constraint, package = lines
    assert (
        constraint == "-c ../constraints.txt" and (PROJECT / "binder/../constraints.txt").is_file()
    )
    extras = re.fullmatch(r"-e \.\[([\w,]+)\]", package)[1].split(",")
    assert {"book", "lits"} == set(extras) <= set(PYPROJECT["optional-dependencies"])


def test_the_container_makes_what_the_makefile_can():
    words = CONTAINER["postCreateCommand"].split()
    assert words[0] == "make"
    assert all(re.search(rf"^{re.escape(target)}:", MAKEFILE, re.M) for target in words[1:])
    assert str(re.search(r"PORT \?= (\d+)", MAKEFILE)[1]) in map(str, CONTAINER["forwardPorts"])


# -- the way out -----------------------------------------------------------------------------------


def test_plain_sphinx_gets_all_that_jupyter_book_gets():
    out = script("plain_sphinx")
    config = yaml.safe_load((PROJECT / "_config.yml").read_text(encoding="utf-8"))
    namespace: dict = {}
    exec(compile(out.conf(), "conf.py", "exec"), namespace)
    given = config["sphinx"]["config"]
    own = {"extensions", "templates_path", "bibtex_bibfiles"}
    assert {key: namespace[key] for key in given if key not in own} == {
        key: value for key, value in given.items() if key not in own
    }
    assert set(given["extensions"]) - set(namespace["extensions"]) == {
        "jupyter_book",
        "sphinx_comments",
    }
    for path in (
        *namespace["html_static_path"],
        *namespace["templates_path"],
        *namespace["bibtex_bibfiles"],
        namespace["external_toc_path"],
    ):
        assert Path(path).exists()
    assert "hkt.css" in namespace["html_css_files"] and "book.js" in namespace["html_js_files"]


def test_plain_sphinx_is_told_every_extension_by_name():
    text = (PROJECT / ".ci/plain_sphinx.txt").read_text(encoding="utf-8")
    named = {canonicalize_name(line) for line in text.splitlines() if not line.startswith("#")}
    ours = {
        canonicalize_name(Requirement(line).name)
        for line in PYPROJECT["optional-dependencies"]["book"]
    }
    assert "jupyter-book" not in named
    wanted = set(script("plain_sphinx").settings()["extensions"]) - {"hkt_book"}
    assert {canonicalize_name(one) for one in wanted} <= named
    assert {"latex2mathml", "myst-nb"} <= named & ours


# -- metadata --------------------------------------------------------------------------------------


def test_citation_and_zenodo_say_the_same():
    assert CITATION["title"] == ZENODO["title"]
    assert CITATION["version"] == ZENODO["version"] == hkt_lite.__version__
    assert [one["name"] for one in CITATION["authors"]] == [
        one["name"] for one in ZENODO["creators"]
    ]
    assert CITATION["type"] == ZENODO["upload_type"]
    assert ZENODO["license"] == PYPROJECT["license"] == CITATION["license"][0]
    (paper,) = CITATION["references"]
    identifiers = {one["identifier"] for one in ZENODO["related_identifiers"]}
    assert {one["value"] for one in paper["identifiers"]} <= identifiers
    assert paper["title"].split(":")[1].strip() in ZENODO["description"]


# -- one address -----------------------------------------------------------------------------------

FILES = ("_config.yml", "README.md", "CITATION.cff", ".zenodo.json", "pyproject.toml")


def test_every_file_has_todays_address():
    for path, text in script("address").texts().items():
        assert path.read_text(encoding="utf-8") == text, "run `python .ci/address.py`"


def test_an_address_comes_everywhere_and_goes_again(tmp_path):
    for name in FILES:
        shutil.copy(PROJECT / name, tmp_path / name)
    address, config = script("address"), tmp_path / "_config.yml"
    empty = config.read_text(encoding="utf-8")
    assert empty.count('    hkt_repository: ""\n') == 1
    repository, site = "https://github.com/Someone/hkt", "https://someone.github.io/hkt/"
    config.write_text(empty.replace('hkt_repository: ""', f'hkt_repository: "{repository}"'))
    for _ in range(2):  # doing it twice does it once
        for path, text in address.texts(tmp_path).items():
            path.write_text(text, encoding="utf-8")
    cited = yaml.safe_load((tmp_path / "CITATION.cff").read_text(encoding="utf-8"))
    assert (cited["repository-code"], cited["url"]) == (repository, site)
    urls = tomllib.loads((tmp_path / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "urls"
    ]
    assert urls == {"Repository": repository, "Book": site}
    related = json.loads((tmp_path / ".zenodo.json").read_text())["related_identifiers"]
    assert [one["identifier"] for one in related].count(repository) == 1
    shown = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert shown.count("badge.svg") == 2 and f"]({site})" in shown
    for name in re.findall(r"workflows/([\w.]+)/badge", shown):
        assert name in ALL
    config.write_text(empty, encoding="utf-8")
    for path, text in address.texts(tmp_path).items():
        assert text == (PROJECT / path.name).read_text(encoding="utf-8")
