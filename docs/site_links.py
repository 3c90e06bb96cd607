"""A hook of mkdocs: links to files of the repository that the site lacks become their paths."""

from __future__ import annotations

import re
from typing import Any

_OUTSIDE = re.compile(r"\[(?P<text>[^\]]+)\]\(\.\./(?P<path>(?!\.\.)[^)#]+)[^)]*\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Called by mkdocs for every page; only those of the top folder can lead out with one `../`."""
    if "/" in page.file.src_uri:
        return markdown
    return _OUTSIDE.sub(_as_path, markdown)


def _as_path(link: re.Match[str]) -> str:
    text, path = link["text"], link["path"]
    return text if path in text else f"{text} (`{path}`)"
