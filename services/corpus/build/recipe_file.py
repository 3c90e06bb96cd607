"""Reads a recipe: YAML, with `${NAME}` for what differs from machine to machine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from services.common.strict_documents import validate
from services.common.yaml_text import parse_yaml
from services.corpus.build.recipe import STEPS, Recipe
from services.errors import InvalidArgument, Violation

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_UNKNOWN_STEP = re.compile(r"(.*\bsteps\[\d+\])\.([^.\[\]]+)")
_MAX_BYTES = 1 << 20


def read_recipe(file: Path) -> Recipe:
    """Read a recipe, with variables as they are written.

    Raises InvalidArgument with all that is wrong, each with its path in the recipe, and OSError.
    """
    if file.stat().st_size > _MAX_BYTES:
        raise InvalidArgument(file.name, f"is larger than {_MAX_BYTES:,} bytes: no recipe")
    try:
        value = parse_yaml(file.read_bytes())
    except ValueError as error:
        raise InvalidArgument(file.name, f"is not YAML ({error})") from error
    if not isinstance(value, dict):
        raise InvalidArgument(file.name, "is not a recipe: a recipe is a mapping with `sources`")
    return recipe_of(value)


def recipe_of(value: Mapping[str, Any]) -> Recipe:
    """Check a recipe that is parsed already. Raises InvalidArgument with all that is wrong."""
    content = dict(value)
    if isinstance(content.get("steps"), list):
        content["steps"] = [_spelled_out(step) for step in content["steps"]]
    try:
        return validate(Recipe, content)
    except InvalidArgument as error:
        told = [_explained(violation) for violation in error.violations]
        raise InvalidArgument(*told[0], *told[1:]) from error


def expanded(text: str, variables: Mapping[str, str], where: str) -> str:
    """Return a path with the values of its variables. Raises InvalidArgument for an unknown one."""

    def value(match: re.Match[str]) -> str:
        try:
            return variables[match[1]]
        except KeyError:
            problem = (
                f"uses ${{{match[1]}}}, which has no value; give --set {match[1]}=VALUE or set it "
                "in the environment"
            )
            raise InvalidArgument(where, problem) from None

    return _VARIABLE.sub(value, text)


def _spelled_out(step: Any) -> Any:
    """`exact_duplicates`, or `exact_duplicates:` with nothing behind it, is a step without more."""
    if isinstance(step, str):
        return {step: {}}
    if isinstance(step, dict):
        return {name: {} if options is None else options for name, options in step.items()}
    return step


def _explained(violation: Violation) -> Violation:
    path, problem = violation
    match = _UNKNOWN_STEP.fullmatch(path)
    if match and problem.startswith("is not a known key"):
        return match[1], f"{match[2]!r} is not a step; steps are {', '.join(STEPS)}"
    return path, problem


def of_a_recipe(problem: str) -> str:
    """Spell what flags and settings are in a recipe."""
    for flag, entry in (
        (r"--skip-bad-lines of index and stream", "`skip_bad_lines: true` of its source"),
        (r"--long (\d+) \(in settings: window_log\)", r"`long: \1` of its source"),
        (r"--text-key \(in settings: text_key\)", "`text_key` of its source"),
        (r"--every-file \(in settings: every_file\)", "`every_file: true` of its source"),
        (r"--text-key", "`text_key` of its source"),
    ):
        problem = re.sub(flag, entry, problem)
    return problem
