"""The language of a text, by the model that comes with py3langid: for builds and audits alike.

The first thousand bytes or so decide. What has no language (`zxx`: code, tables) is a language of
the model's, too.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from functools import cache
from typing import Any

from services.errors import Unsupported

NAME = "py3langid"
READ_BYTES = 1_000


def require_library() -> None:
    """Raise Unsupported where py3langid is not installed."""
    if importlib.util.find_spec(NAME) is None:
        raise Unsupported(
            "languages are detected with py3langid, which is not installed: pip install "
            "'assay-services[build]', or 'assay-services[corpus-audit]' for audits alone"
        )


def algorithm() -> str:
    """Name the model, by the version that it comes with. Raises Unsupported."""
    require_library()
    return f"{NAME} {importlib.metadata.version(NAME)}"


def language_of(text: str | bytes) -> str:
    """Name the language of a text, by ISO 639 code. Raises Unsupported."""
    if isinstance(text, str):
        text = text[:READ_BYTES].encode("utf-8", "surrogatepass")
    language: str = _identifier().classify(text[:READ_BYTES])[0]
    return language


def known() -> frozenset[str]:
    """The codes of all languages that the model tells apart. Raises Unsupported."""
    return frozenset(_identifier().nb_classes)


@cache
def _identifier() -> Any:
    require_library()
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # noqa: PLC0415  # an extra

    return LanguageIdentifier.from_model_file(MODEL_FILE)
