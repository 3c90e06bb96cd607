"""Prints the page of settings from their classes.

    python docs/settings_table.py > docs/settings.md

A test compares the two.
"""

from __future__ import annotations

from pathlib import Path

from services.corpus.settings import CorpusSettings
from services.ranker.settings import RankerSettings
from services.rpc.settings import ServerSettings
from services.segment.settings import SegmentSettings

_SERVICES: dict[str, type[ServerSettings]] = {
    "segment": SegmentSettings,
    "corpus": CorpusSettings,
    "ranker": RankerSettings,
}
_ROOT = Path(__file__).resolve().parents[1]
_HEAD = """# Settings

Every setting is an environment variable that the service reads once, when it starts. On an invalid
value the service stops with a message that names the variable (exit status 2). Lists and objects
are written as JSON.

`python docs/settings_table.py > docs/settings.md` writes this page.
"""


def page() -> str:
    """The whole page."""
    parts = [_HEAD, "## Every service\n", _table(ServerSettings, list(ServerSettings.model_fields))]
    for name, kind in _SERVICES.items():
        own = [field for field in kind.model_fields if field not in ServerSettings.model_fields]
        ports = [field for field in ServerSettings.model_fields if field.endswith("port")]
        parts += [f"## {name}\n", _table(kind, ports + own)]
    return "\n".join(parts)


def _table(kind: type[ServerSettings], fields: list[str]) -> str:
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for field in fields:
        variable = kind.variable(field)
        if kind is ServerSettings:
            variable = variable.replace("ASSAY_", "ASSAY_SERVICE_", 1)
        description = (kind.model_fields[field].description or "").replace("|", "\\|")
        rows.append(f"| `{variable}` | {_default(kind, field)} | {description} |")
    return "\n".join(rows) + "\n"


def _default(kind: type[ServerSettings], field: str) -> str:
    value = kind.model_fields[field].get_default(call_default_factory=True)
    if value in (None, "", {}, frozenset()):
        return "none"
    if isinstance(value, tuple):
        return ", ".join(_shown(item) for item in value)
    return _shown(value)


def _shown(value: object) -> str:
    if isinstance(value, Path) and value.is_relative_to(_ROOT):
        return f"`{value.relative_to(_ROOT)}`"
    return f"`{value}`"


if __name__ == "__main__":
    print(page(), end="")
