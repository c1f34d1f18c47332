"""What this book adds to Sphinx: mathematics without scripts, a page for each record, the verdicts
as chips, the errata, links to the glossary, numbers of figures, and what a theme leaves undone for
those who listen to, print or share a page.

`_config.yml` loads it under `sphinx: local_extensions`; a plain Sphinx build with this folder on
its path and `extensions = ["hkt_book", ...]` does the same.
"""

from sphinx.application import Sphinx

from hkt_lite import __version__

from . import address, answer, api, dress, errata, figures, formulas, records, terms


def setup(app: Sphinx) -> dict:
    app.add_html_math_renderer("mathml", (formulas.inline, None), (formulas.block, None))
    app.add_directive("verdicts", answer.Verdicts)
    app.add_role("verdict", answer.role)
    app.add_role("finding", answer.role)
    app.add_directive("errata", errata.Errata)
    app.add_role("fig", figures.Mention())
    app.add_node(figures.figure_mention)
    app.add_directive("api", api.Api)
    app.add_config_value("hkt_repository", "", "html")
    app.connect("config-inited", _version)
    app.connect("config-inited", address.configure)
    app.connect("doctree-read", figures.number)
    app.connect("env-purge-doc", figures.forget)
    app.connect("env-merge-info", figures.merge)
    app.connect("env-updated", terms.changed)
    app.connect("env-updated", figures.changed)
    app.connect("doctree-resolved", figures.resolve)
    app.connect("doctree-resolved", terms.link)
    app.connect("html-page-context", dress.page, priority=900)  # after the theme's own
    app.connect("html-collect-pages", records.pages)
    app.connect("build-finished", dress.lighter)
    return {"version": __version__, "parallel_read_safe": True, "parallel_write_safe": True}


def _version(app: Sphinx, settings) -> None:
    settings.version = settings.release = __version__
