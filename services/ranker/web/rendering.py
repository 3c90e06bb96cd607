"""Templates, with their style, their script, and the policy that a browser is to hold them to.

Every text that a template shows is escaped, and cleaned of characters that turn the line around.
A page that is served links its style and script; one that stands alone holds both, allowed by
their digests, and loads nothing from anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from services.common.counts import plural
from services.common.safe_text import shown
from services.ranker.web.links import Links
from services.ranker.words import words

_FOLDER: Final = Path(__file__).parent
STATIC: Final = _FOLDER / "static"
STYLE, SCRIPT = "page.css", "page.js"

_UNIT: Final = re.compile(r"(?<=\d) (?=± |(?:%|m?s|[kMG]i?B|points?)(?!\w))")
"""The blank between a number and its unit."""

SERVED_POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy of a served page."""


class _Exact(str):
    """A text whose blanks stay as they are, such as content with a digest."""


def render(template: str, links: Links, *, alone: bool, **context: Any) -> str:
    """Return a page as HTML; equal contexts give equal pages.

    `alone`: it is a file that is opened from a disk.
    """
    return (
        _environment()
        .get_template(template)
        .render(
            links=links,
            alone=alone,
            policy=_alone_policy() if alone else "",
            style=asset(STYLE) if alone else STYLE,
            script=asset(SCRIPT) if alone else SCRIPT,
            product=f"Assay {metadata.version('assay-services')}",
            asset_version=_version(),
            **context,
        )
    )


def fragment(template: str, links: Links, **context: Any) -> str:
    """Return a part of a page."""
    return _environment().get_template(template).render(links=links, alone=False, **context)


@cache
def asset(name: str) -> Markup:
    """The text of a static file, to be put into a page as it is."""
    return Markup((STATIC / name).read_text("utf-8"))  # noqa: S704  (it is this project's own)


@cache
def _alone_policy() -> str:
    return (
        f"default-src 'none'; style-src {_source(STYLE)}; script-src {_source(SCRIPT)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _source(name: str) -> str:
    """A CSP source that allows exactly that text inline."""
    digest = hashlib.sha256(asset(name).encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


@cache
def _version() -> str:
    """Changes with the static files, so that a browser's cache can keep them."""
    return hashlib.sha256((asset(STYLE) + asset(SCRIPT)).encode()).hexdigest()[:12]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_clean,
    )
    environment.filters["words"] = words
    environment.filters["headed"] = lambda text: text[:1].upper() + text[1:]
    environment.filters["exact"] = _Exact
    environment.filters["plural"] = lambda count, one, several="": plural(count, one, several)
    return environment


def _clean(value: Any) -> Any:
    """What an expression of a template gives, without characters that turn the line around.

    A line never ends between a number and its unit.
    """
    if value is None or isinstance(value, Markup):
        return "" if value is None else value
    if isinstance(value, _Exact):
        return shown(value)
    return _UNIT.sub("\N{NO-BREAK SPACE}", shown(value)) if isinstance(value, str) else value
