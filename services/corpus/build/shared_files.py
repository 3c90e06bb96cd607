"""Files that a build reads in more than one place. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.common.counts import plural
from services.corpus.build.listing import Unit
from services.corpus.build.recipe import Recipe


def shared_files(recipe: Recipe, units: Sequence[Unit]) -> list[list[dict[str, Any]]]:
    """Return each file that is read more than once: its places, in the order of the sources.

    A place is `source` and `path`. Links lead to the file behind them; copies are other files.
    """
    places: dict[str, dict[tuple[int, str], None]] = {}
    for unit in units:
        for part in unit.parts:
            places.setdefault(part.file, {})[unit.source, part.path] = None
    return [
        [{"source": recipe.sources[number].name, "path": path} for number, path in found]
        for found in places.values()
        if len(found) > 1
    ]


def shared_notice(recipe: Recipe, shared: Sequence[Sequence[dict[str, Any]]]) -> str:
    """Say that files are read more than once, the first of them in each place, and the effect."""
    effect = (
        "the step exact_duplicates keeps one of each document"
        if any(step.kind == "exact_duplicates" for step in recipe.steps)
        else "their documents are taken each time. Leave them out of a source, or add the step "
        "exact_duplicates"
    )
    first = " and ".join(f"{one['path']} of source {one['source']!r}" for one in shared[0])
    return f"{plural(len(shared), 'file')} read more than once, first {first}; {effect}"
