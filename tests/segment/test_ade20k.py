"""ADE20K's classes: names by id as published models state them, colours all distinct."""

import json
from pathlib import Path

import pytest

from services.segment.ade20k import ADE20K_CLASSES, palette
from services.segment.probes import labels


def test_there_are_150_distinct_names() -> None:
    assert len(ADE20K_CLASSES) == len(set(ADE20K_CLASSES)) == 150
    assert all(name == name.strip().lower() for name in ADE20K_CLASSES)


def test_colors_are_distinct_and_those_of_nature() -> None:
    colors = palette(ADE20K_CLASSES)
    assert len(set(colors)) == 150
    assert all(0 <= color <= 0xFFFFFF for color in colors)
    red, green, blue = (
        colors[ADE20K_CLASSES.index("grass")] >> shift & 255 for shift in (16, 8, 0)
    )
    assert green > red
    assert green > blue


def test_a_palette_of_any_size_is_distinct() -> None:
    names = tuple(f"class {index}" for index in range(1000))
    assert len(set(palette(names))) == 1000
    assert len(set(palette(("sky",) * 5))) == 5


def test_scenes_are_labelled_under_these_ids() -> None:
    named = {name: value for name, value in vars(labels).items() if isinstance(value, int)}
    assert len(named) == len(labels.DRAWN) == 14
    assert all(ADE20K_CLASSES[value] == name.lower() for name, value in named.items())


@pytest.mark.data
def test_the_names_of_a_published_model(data_dir: Path) -> None:
    config = json.loads((data_dir / "segformer" / "b0-ade" / "config.json").read_text())
    named = {int(index): name.strip() for index, name in config["id2label"].items()}
    assert named == dict(enumerate(ADE20K_CLASSES))
