"""Where the sources live: one setting, `hkt_repository` in _config.yml.

Empty, nothing on a page leads there.  With https://github.com/OWNER/NAME every page has its
canonical address, and leads to its source, to the place for mistakes, and a notebook to where it
can be run.
"""

import re

from sphinx.errors import ConfigError

GITHUB = re.compile(r"https://github\.com/([\w.-]+)/([\w.-]+)")
BRANCH = "main"


def configure(app, settings) -> None:
    """Sphinx's event config-inited: the site's address follows from the repository's, unless it is
    given as html.baseurl."""
    if settings.hkt_repository and not settings.html_baseurl:
        settings.html_baseurl = site(settings.hkt_repository)


def site(repository: str) -> str:
    """Where GitHub Pages serve a repository.  Raises ConfigError for another address."""
    owner, name = _parts(repository)
    host = f"{owner.lower()}.github.io"
    return f"https://{host}/" if name.lower() == host else f"https://{host}/{name}/"


def links(repository: str, page: str) -> list[tuple[str, str]]:
    """(what it is, address) of all that a page leads to; a record's page has no source."""
    if not repository or page.startswith("records/"):
        return []
    owner, name = _parts(repository)
    found = [("report a mistake", f"https://github.com/{owner}/{name}/issues/new")]
    if not page.startswith("_generated/"):
        source = f"https://github.com/{owner}/{name}/blob/{BRANCH}/book/{page}.md"
        return [("source of this page", source), *found]
    path = f"notebooks/{page.removeprefix('_generated/')}.ipynb"
    colab = f"https://colab.research.google.com/github/{owner}/{name}/blob/{BRANCH}/{path}"
    return [
        ("source of this page", f"https://github.com/{owner}/{name}/blob/{BRANCH}/{path}"),
        *found,
        ("run on Binder", f"https://mybinder.org/v2/gh/{owner}/{name}/{BRANCH}?labpath={path}"),
        ("run on Colab", colab),
    ]


def _parts(repository: str) -> tuple[str, str]:
    found = GITHUB.fullmatch(repository)
    if not found:
        raise ConfigError(
            f"hkt_repository in _config.yml is {repository!r}; it should be empty or like "
            "https://github.com/OWNER/NAME, without a slash at the end."
        )
    return found[1], found[2].removesuffix(".git")
