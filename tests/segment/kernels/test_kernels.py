"""CUDA kernels, under numba's simulator, against what the processor makes of the same."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from services.segment.images.preprocess import Preprocessor
from services.segment.images.upsample import upsample_argmax
from services.segment.kernels import resize
from services.segment.manifest import ModelPreprocessing
from tests.segment.images.test_preprocess import HOW, picture
from tests.segment.images.test_upsample import brute_force
from tests.segment.tiny_model import Tiny

ROOT = Path(__file__).parents[3]
# The engine that is simulated, and a picture that it prepares.
TINY = Tiny(height=32, width=40)
PHOTOGRAPH = 45, 61
# Heights and widths of the logits, then of the map: up, down, one, no neighbour, uneven.
MAPS = [
    ((4, 4), (16, 16)), ((5, 4), (11, 17)), ((4, 5), (13, 6)), ((8, 6), (5, 3)), ((1, 1), (6, 9)),
    ((1, 5), (4, 20)), ((6, 1), (18, 2)), ((4, 3), (4, 3)), ((3, 3), (1, 1)), ((2, 3), (1, 33)),
    ((2, 2), (33, 1)), ((9, 7), (20, 31)),
]  # fmt: skip
PICTURES = [
    ((64, 48), (32, 32)), ((33, 17), (32, 32)), ((9, 5), (16, 24)), ((32, 32), (32, 32)),
    ((1, 1), (8, 8)), ((2, 40), (7, 3)), ((30, 52), (24, 24)), ((60, 44), (24, 24)),
    ((50, 32), (25, 32)), ((31, 57), (30, 1)),
]  # fmt: skip


def logits_of(number: int, shape: tuple[int, int]) -> Any:
    """Regions of one class with noise in them, as real logits have; classes in one or two bytes."""
    rng = np.random.default_rng(number)
    classes = (1, 2, 7, 19, 300)[number % 5]
    logits = rng.normal(size=(*shape, classes)).astype(np.float32)
    favoured = rng.integers(0, classes, ((shape[0] + 2) // 3, (shape[1] + 2) // 3))
    favoured = favoured.repeat(3, 0).repeat(3, 1)[: shape[0], : shape[1]]
    np.put_along_axis(logits, favoured[..., None], np.float32(2.5), axis=2)
    return logits


def labels_of(logits: Any) -> Any:
    return logits.argmax(2).astype(np.uint8 if logits.shape[2] <= 256 else np.uint16)


def odd_logits() -> dict[str, tuple[Any, tuple[int, int]]]:
    """Small integers, which tie in float32 as they do in truth, and values that are not finite."""
    rng = np.random.default_rng(3)
    found = {
        f"map-tie{number}": (rng.integers(0, 3, (4, 5, 5)).astype(np.float32), (16, 20))
        for number in range(3)
    }
    for value in (np.nan, np.inf, -np.inf):
        logits = rng.normal(size=(4, 4, 3)).astype(np.float32)
        logits[1, 2] = value
        found[f"map-{value}"] = logits, (9, 9)
    found["map-none"] = np.full((3, 3, 4), np.nan, np.float32), (7, 7)
    return found


def of_size(height: int, width: int) -> ModelPreprocessing:
    """Also of sizes that no model has."""
    return HOW.model_copy(update={"height": height, "width": width})


@pytest.fixture(scope="session")
def simulated(made_once: Callable[..., Path]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The cases, and what the simulated kernels make of each."""
    cases: dict[str, Any] = {}

    def add(name: str, size: tuple[int, int], *given: Any) -> None:
        cases.update({f"{name}/{number}": one for number, one in enumerate(given)})
        cases[f"{name}/size"] = np.array(size)

    for number, (shape, size) in enumerate(MAPS):
        logits = logits_of(number, shape)
        add(f"map-{number}", size, logits, labels_of(logits))
    for name, (logits, size) in odd_logits().items():
        add(name, size, logits, labels_of(logits))
    for number, (shape, size) in enumerate(PICTURES):
        add(f"picture-{number}", size, np.asarray(picture(shape)))

    def write(folder: Path) -> None:
        folder.mkdir()
        np.savez(folder / "cases.npz", **cases)
        subprocess.run(
            [sys.executable, "-m", "tests.segment.kernels.simulated", folder / "cases.npz"],
            check=True, cwd=ROOT, env=os.environ | {"NUMBA_ENABLE_CUDASIM": "1"},
        )  # fmt: skip

    with np.load(made_once("simulated-kernels", write) / "cases.out.npz") as found:
        return cases, dict(found)


@pytest.mark.process
@pytest.mark.parametrize("number", range(len(MAPS)))
def test_label_maps_are_those_of_the_processor(simulated: Any, number: int) -> None:
    cases, found = simulated
    logits, labels = cases[f"map-{number}/0"], cases[f"map-{number}/1"]
    size = MAPS[number][1]
    wanted = upsample_argmax(logits, labels, *size)
    assert found[f"map-{number}"].dtype == wanted.dtype
    ordered = np.sort(brute_force(logits, *size), axis=2)
    # Elsewhere two classes are as good as equal, and either may round to more.
    clear = np.ones(size, bool)
    if logits.shape[2] > 1:
        clear = ordered[..., -1] - ordered[..., -2] > 1e-5
    assert clear.mean() > 0.99
    assert np.array_equal(found[f"map-{number}"][clear], wanted[clear])


@pytest.mark.process
@pytest.mark.parametrize("name", odd_logits())
def test_ties_and_values_that_are_not_finite(simulated: Any, name: str) -> None:
    cases, found = simulated
    wanted = upsample_argmax(cases[f"{name}/0"], cases[f"{name}/1"], *found[name].shape)
    assert np.array_equal(found[name], wanted)


@pytest.mark.process
@pytest.mark.parametrize("number", range(2))
def test_the_engine_makes_the_map_of_each_picture(simulated: Any, number: int) -> None:
    _, found = simulated
    logits = found[f"engine-{number}-logits"]
    wanted = upsample_argmax(logits, labels_of(logits), 21, 18)
    assert np.array_equal(found[f"engine-{number}"], wanted)
    assert not np.array_equal(found["engine-0"], found["engine-1"])


@pytest.mark.process
@pytest.mark.parametrize("number", range(len(PICTURES)))
def test_a_picture_is_resized_as_pillow_does_it(simulated: Any, number: int) -> None:
    _, found = simulated
    shape, (height, width) = PICTURES[number]
    wanted = Preprocessor(of_size(height, width))(picture(shape))
    assert np.array_equal(found[f"picture-{number}"], wanted)


@pytest.mark.process
def test_a_batch_of_pictures_that_are_on_the_device_and_are_not(simulated: Any) -> None:
    _, found = simulated
    pixels = Preprocessor(TINY.manifest().preprocessing)(picture(PHOTOGRAPH))
    np.testing.assert_allclose(found["prepared-0"], TINY.logits(pixels), atol=1e-5)
    assert np.array_equal(found["prepared-1"], found["engine-1-logits"])


@pytest.mark.parametrize(
    ("size", "wanted"), [(683, 512), (5, 512), (512, 512), (4032, 512), (37, 1), (1, 3), (8191, 97)]
)
def test_weights_are_pillows(size: int, wanted: int) -> None:
    """Columns of one bright row: their bytes are the weights' sums, whatever the size."""
    rng = np.random.default_rng(size)
    row = rng.integers(0, 256, (1, size), np.uint8)
    first, taps = resize.weights(size, wanted)
    places = np.minimum(first[:, None] + np.arange(taps.shape[1]), size - 1)
    totals = (taps.astype(np.int64) * row[0][places]).sum(axis=1) + (1 << (resize.BITS - 1))
    expected = Image.fromarray(row).resize((wanted, 1), Image.Resampling.BILINEAR)
    assert np.array_equal(np.clip(totals >> resize.BITS, 0, 255), np.asarray(expected)[0])


def test_the_table_is_the_preprocessors() -> None:
    preprocessor = Preprocessor(HOW)
    given = picture((HOW.width, HOW.height))
    pixels = np.asarray(given)
    made = np.stack([preprocessor.table[channel][pixels[..., channel]] for channel in range(3)])
    assert np.array_equal(made, preprocessor(given))
