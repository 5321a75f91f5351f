"""The templates' environment, the same for every page: escaped, gated, and strict about what is not there."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from robusteval.report import words
from robusteval.report.formats import drawing, embed, numbers
from robusteval.report.sections import glossary
from robusteval.text import html


def template(name: str) -> Template:
    """A page's template, which knows the page's words, definitions, style and scripts."""
    environment = Environment(
        loader=PackageLoader("robusteval.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=html,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        words=words,
        term=glossary.term,
        every_definition=glossary.DEFINITIONS,
        script_words=embed.script_json(words.SCRIPT),
        spoken=numbers.spoken,
        made_with=embed.made_with(),
        undrawn=drawing.undrawn(),
        policy=embed.content_policy(),
        style=Markup(embed.style()),  # noqa: S704 - a file of ours
        bundle=Markup(embed.vega_bundle()),  # noqa: S704 - checked for what would end its tag
        script=Markup(embed.page_script()),  # noqa: S704 - the same
    )
    return environment.get_template(name)
