"""The way out of Jupyter Book: writes a conf.py with which plain Sphinx builds the same sources.

python .ci/plain_sphinx.py build/plain
python -m sphinx -W --keep-going -b html -c build/plain book build/plain/html
"""

import sys
from pathlib import Path
from pprint import pformat

import yaml

PROJECT = Path(__file__).resolve().parents[1]
JUPYTER_BOOKS_OWN = ("jupyter_book", "sphinx_comments")


def settings(project: Path = PROJECT) -> dict:
    """What Jupyter Book makes of _config.yml for Sphinx, as far as this book uses it."""
    config, book = yaml.safe_load((project / "_config.yml").read_text("utf-8")), project / "book"
    static, given = book / "_static", config["sphinx"]["config"]
    return {
        **given,
        "project": config["title"],
        "html_title": config["title"],
        "author": config["author"],
        "copyright": config["copyright"],
        "extensions": [one for one in given["extensions"] if one not in JUPYTER_BOOKS_OWN],
        "exclude_patterns": ["_build", "**.failed.ipynb"],
        "external_toc_path": str(book / "_toc.yml"),
        "external_toc_exclude_missing": config["only_build_toc_files"],
        "html_theme": "sphinx_book_theme",
        "html_favicon": str(book / config["html"]["favicon"]),
        "html_static_path": [str(static)],
        "html_css_files": sorted(path.name for path in static.glob("*.css")),
        "html_js_files": sorted(path.name for path in static.glob("*.js")),
        "html_sourcelink_suffix": "",
        "bibtex_bibfiles": [str(book / name) for name in given["bibtex_bibfiles"]],
        "templates_path": [str(book / name) for name in given["templates_path"]],
        "myst_enable_extensions": config["parse"]["myst_enable_extensions"],
        "myst_url_schemes": ["mailto", "http", "https"],
        "nb_execution_mode": config["execute"]["execute_notebooks"],
        "numfig": True,
    }


def conf(project: Path = PROJECT) -> str:
    """The text of conf.py."""
    paths = [str(project), *(str(project / path) for path in _extensions(project))]
    lines = [f"{name} = {pformat(value)}" for name, value in settings(project).items()]
    return "\n".join(["import sys", f"sys.path[:0] = {paths}", *lines, ""])


def _extensions(project: Path) -> list[str]:
    config = yaml.safe_load((project / "_config.yml").read_text("utf-8"))
    return list(config["sphinx"]["local_extensions"].values())


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "conf.py").write_text(conf(), encoding="utf-8")
    print(f"{folder / 'conf.py'} is written.")
