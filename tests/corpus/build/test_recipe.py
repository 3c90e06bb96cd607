"""Recipes: all that is wrong is told at once, with its path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from services.corpus.build.recipe_file import expanded, read_recipe, recipe_of
from services.errors import InvalidArgument
from tests.corpus.build.recipes import parsed, values


def problems(**changes: Any) -> dict[str, str]:
    with pytest.raises(InvalidArgument) as error:
        recipe_of(values(**changes))
    return dict(error.value.violations)


SOURCE = {"name": "one", "path": "x", "license": "MIT"}


def test_an_unknown_step_is_told_with_those_that_there_are() -> None:
    told = problems(steps=["exact_duplicates", {"deduplicate": {"hard": True}}])
    assert told["steps[1]"].startswith(
        "'deduplicate' is not a step; steps are exact_duplicates, near_"
    )


@pytest.mark.parametrize(
    ("weight", "problem"),
    [
        ("heavy", 'must be a number, not "heavy"'),
        (True, "must be a number, not true"),
        (float("nan"), "must be a finite number, not NaN"),
        (-1, "must be greater than 0, not -1"),
        (0, "must be greater than 0, not 0"),
        ([2], "must be a number, not [2]"),
    ],
)
def test_a_weight_that_is_no_number_is_told(weight: object, problem: str) -> None:
    source = {"name": "one", "path": "x", "license": "MIT", "weight": weight}
    assert problems(sources=[source]) == {"sources[0].weight": problem}


def test_all_that_is_wrong_is_told_at_once() -> None:
    told = problems(
        name="",
        sources=[
            {"name": "one", "path": "x", "license": "MIT", "epochs": "two"},
            {"name": "two", "path": 3, "colour": "red"},
        ],
        steps=[{"near_duplicates": {"threshold": 1.5}}, {"exact": {}}, 7],
        output={"splits": {"val": 0.6, "test": 0.5}},
    )
    assert set(told) == {
        "name",
        "sources[0].epochs",
        "sources[1].path",
        "sources[1].license",
        "sources[1].colour",
        "steps[0].near_duplicates.threshold",
        "steps[1]",
        "steps[2]",
        "output.splits.val",
    }


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"steps": [{"exact_duplicates": {}, "mask": {}}]}, "steps[0].step"),
        ({"steps": [{"mask": {"email": False, "ip": False}}]}, "steps[0].mask.email"),
        ({"output": {"total_bytes": 5}}, "output.total_bytes"),
        ({"sources": []}, "sources"),
        ({"sources": [SOURCE | {"path": "https://example.org/a.jsonl"}]}, "sources[0].path"),
        ({"sources": [SOURCE | {"path": "a\0b"}]}, "sources[0].path"),
        ({"sources": [SOURCE | {"files": "/etc/*"}]}, "sources[0].files"),
        ({"sources": [SOURCE | {"files": "a/../../*"}]}, "sources[0].files"),
        (
            {"steps": [{"contamination": {"against": ["a", "b\0"]}}]},
            "steps[0].contamination.against[1]",
        ),
    ],
)
def test_what_makes_no_sense_is_told(changes: dict[str, Any], path: str) -> None:
    assert path in problems(**changes)


def test_weights_are_for_all_sources_or_none_and_not_beside_epochs() -> None:
    one, two = values()["sources"]
    assert "sources[1].weight" in problems(sources=[one | {"weight": 1}, two])
    assert "sources[0].weight" in problems(sources=[one | {"weight": 1, "epochs": 2}])
    assert "sources[1].name" in problems(sources=[one, two | {"name": "one"}])


def test_a_split_that_there_is_not_is_told() -> None:
    one, two = values()["sources"]
    told = problems(sources=[one, two | {"splits": ["train", "dev"]}])
    assert told == {"sources[1].splits": "has 'dev', which is none of train, val, test"}


def test_steps_may_be_spelled_short() -> None:
    recipe = parsed(steps=["exact_duplicates", {"near_duplicates": None}])
    assert [step.kind for step in recipe.steps] == ["exact_duplicates", "near_duplicates"]


def test_a_file_that_is_no_recipe_is_told(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    for content, problem in (
        (b"a: [1", "is not YAML"),
        (b"a: &b 1\nc: *b", "no aliases"),
        (b"- a", "a recipe is a mapping"),
        (b"name: x\nname: y", "twice"),
    ):
        file.write_bytes(content)
        with pytest.raises(InvalidArgument, match=problem):
            read_recipe(file)


def test_a_variable_without_a_value_is_told() -> None:
    assert expanded("${A}/x-${B}", {"A": "/a", "B": "b"}, "path") == "/a/x-b"
    with pytest.raises(InvalidArgument, match=r"uses \$\{C\}.*--set C=VALUE"):
        expanded("${C}", {}, "sources[0].path")
