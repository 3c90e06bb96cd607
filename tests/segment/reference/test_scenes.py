"""Drawn scenes: repeatable, of any size, every pixel labelled with a class that is drawn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from services.segment.engines.parity import PROBES_DIRECTORY
from services.segment.reference.scenes.draw import KINDS, draw_scene
from services.segment.reference.scenes.labels import DRAWN, ROAD, SAND, SEA, SKY
from services.segment.reference.scenes.probes import draw_probes

# Shares in percent and mean colour of three scenes. Figures and not a digest: the last bit of a
# float may differ between processors, and moves a pixel here and there.
GOLDEN: dict[str, tuple[int, dict[int, float], tuple[float, ...]]] = {
    "coast": (
        0,
        {2: 32.60, 16: 4.05, 26: 34.06, 46: 28.14, 76: 1.16},
        (119.9, 145.2, 152.4),
    ),
    "street": (
        1,
        {1: 35.98, 2: 11.10, 4: 12.43, 6: 26.28, 9: 3.06, 11: 6.49, 12: 0.17, 20: 4.48},
        (100.0, 100.4, 91.7),
    ),
    "countryside": (
        2,
        {1: 11.45, 2: 35.32, 4: 9.07, 6: 13.05, 9: 20.57, 16: 3.41, 20: 5.83, 34: 1.30},
        (114.2, 122.7, 122.7),
    ),
}


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1 << 32), st.integers(8, 90), st.integers(8, 90))
def test_any_scene(seed: int, height: int, width: int) -> None:
    rgb, labels = draw_scene(seed, height, width)
    assert rgb.shape == (height, width, 3)
    assert labels.shape == (height, width)
    assert rgb.dtype == labels.dtype == np.uint8
    assert set(np.unique(labels)) <= set(DRAWN)


def test_the_same_arguments_give_the_same_scene() -> None:
    first, second = draw_scene(5, 60, 80), draw_scene(5, 60, 80)
    assert (first[0] == second[0]).all()
    assert (first[1] == second[1]).all()
    assert (first[0] != draw_scene(6, 60, 80)[0]).any()


@pytest.mark.parametrize("kind", KINDS)
def test_golden(kind: str) -> None:
    seed, shares, mean = GOLDEN[kind]
    rgb, labels = draw_scene(seed, 120, 160, kind)
    found = {int(i): 100 * float((labels == i).mean()) for i in np.unique(labels)}
    assert found == pytest.approx(shares, abs=0.1)
    assert rgb.reshape(-1, 3).mean(0) == pytest.approx(mean, abs=0.2)


@pytest.mark.parametrize(("kind", "classes"), [("coast", {SEA, SAND}), ("street", {ROAD})])
def test_a_kind_shows_what_it_is(kind: str, classes: set[int]) -> None:
    seen = {int(i) for seed in range(3) for i in np.unique(draw_scene(seed, 64, 96, kind)[1])}
    assert classes | {SKY} <= seen


@pytest.mark.slow
def test_every_class_is_drawn_by_some_scene() -> None:
    seen = {int(i) for seed in range(60) for i in np.unique(draw_scene(seed, 96, 128)[1])}
    assert seen == set(DRAWN)


def test_a_scene_that_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="at least 8 x 8"):
        draw_scene(0, 7, 100)
    with pytest.raises(ValueError, match="kind 'moon' is unknown; known: coast"):
        draw_scene(0, 64, 64, "moon")


@pytest.mark.slow
def test_the_packaged_pictures_are_the_drawn_ones() -> None:
    """All but the pixels that the last bit of a float moves, which differs between processors."""
    packaged = {path.name for path in PROBES_DIRECTORY.glob("*.png")}
    for name, drawn in draw_probes():
        packaged.remove(name)
        with Image.open(PROBES_DIRECTORY / name) as picture:
            pixels = np.asarray(picture)
        assert pixels.shape == drawn.shape
        assert (pixels != drawn).any(-1).mean() < 1e-3, name
    assert not packaged
