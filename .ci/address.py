"""Tells the files that cannot read _config.yml where the sources live.   python .ci/address.py

README.md gets badges and a link to the book, CITATION.cff, .zenodo.json and pyproject.toml the
addresses; with an empty `hkt_repository` all of it goes away again.
"""

import json
import re
import sys
from pathlib import Path

import yaml

PROJECT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- address: `python .ci/address.py` -->\n", "<!-- end of address -->\n"


def texts(project: Path = PROJECT) -> dict[Path, str]:
    """Each file's text as it should be."""
    repository, site = addresses(project)
    changes = {
        "README.md": _readme,
        "CITATION.cff": _citation,
        ".zenodo.json": _zenodo,
        "pyproject.toml": _pyproject,
    }
    return {
        project / name: change((project / name).read_text("utf-8"), repository, site)
        for name, change in changes.items()
    }


def addresses(project: Path = PROJECT) -> tuple[str, str]:
    """Of the repository and of the book; both empty where none is set."""
    sys.path.insert(0, str(project / "book" / "_extension"))
    from hkt_book import address

    config = yaml.safe_load((project / "_config.yml").read_text("utf-8"))
    repository = config["sphinx"]["config"]["hkt_repository"]
    given = config["html"].get("baseurl")
    return repository, given or (address.site(repository) if repository else "")


def _readme(text: str, repository: str, site: str) -> str:
    badges = [
        f"[![{name}]({repository}/actions/workflows/{name}.yml/badge.svg)]({repository}/actions/workflows/{name}.yml)"
        for name in ("tests", "book")
    ]
    binder = repository.replace("https://github.com/", "https://mybinder.org/v2/gh/")
    badges.append(
        f"[![Binder](https://mybinder.org/badge_logo.svg)]({binder}/main?labpath=notebooks)"
    )
    shown = f"**[Read the book]({site})**\n\n{' '.join(badges)}\n" if repository else ""
    return re.sub(f"{BEGIN}.*?{END}", lambda _: BEGIN + shown + END, text, flags=re.DOTALL)


def _citation(text: str, repository: str, site: str) -> str:
    text = re.sub(r"^(repository-code|url): .*\n", "", text, flags=re.MULTILINE)
    lines = f'repository-code: "{repository}"\nurl: "{site}"\n' if repository else ""
    return text.replace("authors:\n", f"{lines}authors:\n", 1)


def _zenodo(text: str, repository: str, site: str) -> str:
    facts = json.loads(text)
    facts["related_identifiers"] = [
        one for one in facts["related_identifiers"] if one["scheme"] != "url"
    ]
    if repository:
        ours = {"identifier": repository, "relation": "isSupplementTo", "scheme": "url"}
        facts["related_identifiers"].append(ours)
    return json.dumps(facts, indent=2, ensure_ascii=False) + "\n"


def _pyproject(text: str, repository: str, site: str) -> str:
    text = re.sub(r"^\[project\.urls\]\n(?:\w+ = .*\n)*\n", "", text, flags=re.MULTILINE)
    block = (
        f'[project.urls]\nRepository = "{repository}"\nBook = "{site}"\n\n' if repository else ""
    )
    mark = "[project.optional-dependencies]\n"
    return text.replace(mark, block + mark, 1)


if __name__ == "__main__":
    for path, text in texts().items():
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(PROJECT))
