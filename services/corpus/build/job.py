"""What is built: the recipe, its units, and what else decides the bytes that come out."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

from services.corpus.build.listing import Part, Unit, list_units, refuse_within_sources
from services.corpus.build.recipe import Recipe, Step
from services.corpus.build.recipe_file import read_recipe
from services.corpus.build.shared_files import shared_files, shared_notice
from services.corpus.build.steps.chain import identity_of
from services.corpus.build.steps.plugins import look_beside
from services.corpus.build.unit_files import UnitFiles
from services.corpus.build.workspace import FOLDER, read_json, write_json
from services.corpus.minhash import algorithm
from services.errors import PreconditionFailed, SourceChanged

FORMAT = "assay-build/2"
CARD = "card.json"


@dataclass(frozen=True)
class Pass:
    """Steps that run without a break: those on single documents, then one that compares them."""

    local: tuple[int, ...]
    comparing: int | None


@dataclass(frozen=True)
class Job:
    """A build, the same in every process: it can be pickled."""

    recipe: Recipe
    folder: Path
    out: Path
    variables: Mapping[str, str]
    units: tuple[Unit, ...]

    @property
    def work(self) -> Path:
        """The folder of its work."""
        return self.out / FOLDER

    @cached_property
    def passes(self) -> tuple[Pass, ...]:
        """The recipe's steps, cut behind each one that compares documents."""
        return passes_of(self.recipe.steps)

    def unit_files(self, stage: str, unit: int) -> UnitFiles:
        """Name the files of a unit after a stage."""
        return UnitFiles(self.work / stage, unit)

    def steps(self, numbers: Sequence[int]) -> list[tuple[int, Step]]:
        """Return steps with their numbers."""
        return [(number, self.recipe.steps[number]) for number in numbers]


def passes_of(steps: Sequence[Step]) -> tuple[Pass, ...]:
    """Cut steps behind each one that compares documents."""
    passes: list[Pass] = []
    local: list[int] = []
    for number, step in enumerate(steps):
        if step.compares_documents:
            passes.append(Pass(tuple(local), number))
            local = []
        else:
            local.append(number)
    return (*passes, Pass(tuple(local), None))


def open_job(
    recipe_file: Path,
    out: Path,
    values: Mapping[str, str],
    tell: Callable[[str], None] = lambda _: None,
) -> Job:
    """Read a recipe, find its sources, and see whether `out` is empty or of the same build.

    Paths in the recipe start at its folder; `values` and the environment are its variables. `tell`
    is called with what is left out and what is read more than once. Call it with the folder locked.

    Raises InvalidArgument for what is wrong in the recipe, NotFound and LayoutError for its
    sources, PreconditionFailed where `out` holds another build, and SourceChanged where it has
    begun with other sources.
    """
    recipe = read_recipe(recipe_file)
    folder = recipe_file.resolve().parent
    look_beside(folder)
    variables = {**os.environ, **values}
    made_by = _identity(recipe, variables, folder)
    begun = out / FOLDER / "job.json"
    known = read_json(begun) if begun.exists() else None
    if known is not None:
        _require_same(known, made_by, out)
        if (out / CARD).exists():
            return Job(recipe, folder, out, variables, _units_of(known["units"]))
    elif any(path.name != FOLDER for path in out.iterdir()):
        raise PreconditionFailed(
            f"--out: {out} holds something that is not a build; name an empty directory"
        )
    units = list_units(recipe, variables, folder, tell)
    if shared := shared_files(recipe, units):
        tell(shared_notice(recipe, shared))
    if known is None:
        write_json(begun, {**made_by, "units": [asdict(unit) for unit in units]})
    else:
        _require_sources(_units_of(known["units"]), units, recipe)
    return Job(recipe, folder, out, variables, units)


def require_place(recipe_file: Path, out: Path, values: Mapping[str, str]) -> None:
    """Refuse an `out` that a source of the recipe would read, before anything is written there.

    Raises InvalidArgument.
    """
    recipe, folder = read_recipe(recipe_file), recipe_file.resolve().parent
    refuse_within_sources(recipe, {**os.environ, **values}, folder, out)


def read_facts(job: Job, stage: str) -> list[dict[str, Any]]:
    """Read what all units have after a stage."""
    return [job.unit_files(stage, number).facts() for number in range(len(job.units))]


def is_done(job: Job) -> bool:
    """Whether the build is complete."""
    return (job.out / CARD).exists()


def _identity(recipe: Recipe, variables: Mapping[str, str], folder: Path) -> dict[str, Any]:
    made_by: dict[str, Any] = {}
    for number, step in enumerate(recipe.steps):
        made_by |= identity_of(number, step, variables, folder)
    libraries = {"zstandard": metadata.version("zstandard")}
    if any(step.kind == "near_duplicates" for step in recipe.steps):
        libraries["signatures"] = algorithm()
    return {
        "format": FORMAT,
        "recipe": recipe_digest(recipe),
        "functions and test sets": made_by,
        "libraries": libraries,
    }


def recipe_digest(recipe: Recipe) -> str:
    """Digest what a recipe says, whatever its spelling."""
    content = json.dumps(recipe.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
    return f"sha256:{hashlib.sha256(content.encode('utf-8', 'surrogatepass')).hexdigest()}"


def _require_same(known: Mapping[str, Any], now: Mapping[str, Any], out: Path) -> None:
    differs = [name for name in now if known.get(name) != now[name]]
    if differs:
        raise PreconditionFailed(
            f"--out: {out} holds a build that differs in its {', '.join(differs)}; name another "
            "directory, or remove this one"
        )


def _require_sources(known: Sequence[Unit], now: Sequence[Unit], recipe: Recipe) -> None:
    before, after = _parts(known), _parts(now)
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) == after.get(key):
            continue
        state = "is new" if key not in before else "is gone" if key not in after else "has changed"
        raise SourceChanged(
            f"source {recipe.sources[key[0]].name!r}: {key[1]} {state} since the build began; put "
            "it back as it was, or build into another directory"
        )
    if tuple(known) != tuple(now):
        raise SourceChanged("the sources have changed since the build began")


def _parts(units: Sequence[Unit]) -> dict[tuple[int, str, int], Part]:
    return {(unit.source, part.path, part.first): part for unit in units for part in unit.parts}


def _units_of(values: Sequence[Mapping[str, Any]]) -> tuple[Unit, ...]:
    return tuple(
        Unit(value["source"], tuple(Part(**part) for part in value["parts"])) for value in values
    )
