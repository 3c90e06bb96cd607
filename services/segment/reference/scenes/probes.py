"""Draws the packaged pictures that engines are compared on: `python -m ...reference.scenes.probes`.

They were drawn once: serving draws nothing, and every processor compares engines on the same
pixels.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from services.segment.engines.parity import PROBES_DIRECTORY, SIDES, UNEVEN
from services.segment.reference.scenes.draw import KINDS, draw_scene

_UNEVEN_SEEDS = (7, 8)


def draw_probes() -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Yield the name and the (height, width, 3) RGB pixels of each packaged picture."""
    for side in SIDES:
        for seed, kind in enumerate(KINDS):
            yield f"{kind}-{side}.png", draw_scene(seed, side, side, kind)[0]
    for name, seed in zip(UNEVEN, _UNEVEN_SEEDS, strict=True):
        yield name, draw_scene(seed, 101, 164)[0]


def main(directory: Path = PROBES_DIRECTORY) -> int:
    """Write the pictures, without loss; return an exit status."""
    for name, pixels in draw_probes():
        Image.fromarray(pixels).save(directory / name, "PNG", optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
