"""Prints the page of the methods that a claim may name, from their definitions.

    python docs/methods_page.py > docs/methods.md

A test compares the two.
"""

from __future__ import annotations

import inspect

from services.ranker.claims.definition import Definition, Kind
from services.ranker.claims.model import ArtifactType
from services.ranker.measuring.methods import known, method_named

_HEAD = """# Methods of claims

A claim in a [manifest](manifests.md) names the `method` that observes it. The method's definition
decides the kind of the value and its unit. The `bound` has to be of that kind:

| value | bound |
|---|---|
| a number | `{equals: {value: 3.8, tolerance: 0.1}, unit: UNIT}` |
| at least, at most, between | `{range: {low: 1, high: 3}, unit: UNIT}`, or one end alone |
| three to five times | `{ratio: {low: 3, high: 5}, unit: "1"}` |
| a text | `{text: "3-8-27-3"}` |
| yes or no | `{boolean: true}` |

`@2` is the method's version. `assay register FILE --check` names every method that does not exist
or does not fit, and the unit that it gives.

`python docs/methods_page.py > docs/methods.md` writes this page.
"""
_TITLES = {
    ArtifactType.SEGMENTATION_MODEL: "Segmentation models",
    ArtifactType.LANGUAGE_MODEL: "Language models",
    ArtifactType.DATASET: "Datasets",
}
_ALL = "Anything"


def page() -> str:
    """The whole page."""
    parts = [_HEAD]
    for kind, title in [*_TITLES.items(), (None, _ALL)]:
        rows = [
            _row(name, definition)
            for name, definition in sorted(known().items())
            if (kind in definition.types if kind else not definition.types)
        ]
        parts += [f"## {title}\n", "| method | value | what it observes |", "|---|---|---|"]
        parts += [*rows, ""]
    return "\n".join(parts).rstrip("\n") + "\n"


def _row(name: str, definition: Definition) -> str:
    text = inspect.getdoc(method_named(name).observe) or ""
    said = " ".join(text.partition("\n\n")[0].split()).replace("|", "\\|")
    return f"| `{name}` | {_value(definition)} | {said}{_needs(definition)} |"


def _value(definition: Definition) -> str:
    if definition.kind is Kind.ANY:
        return "as the source has it"
    if definition.row:
        return f'{definition.kind.value}, such as "{definition.row.example}"'
    if definition.kind is Kind.NUMBER:
        return f"{definition.kind.value}, unit `{definition.unit}`"
    return definition.kind.value


def _needs(definition: Definition) -> str:
    needs = []
    if definition.dataset:
        needs.append("`dataset`")
    if definition.compares:
        needs.append("`comparator: {artifact: ID}`")
    if definition.machine:
        needs.append("`hardware` or `engine`")
    return f" The claim names {' and '.join(needs)}." if needs else ""


if __name__ == "__main__":
    print(page(), end="")
