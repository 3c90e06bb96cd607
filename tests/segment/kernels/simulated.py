"""The kernels under numba's simulator, which has to be chosen before numba is loaded.

    NUMBA_ENABLE_CUDASIM=1 python -m tests.segment.kernels.simulated FILE.npz

reads the cases of FILE and writes what the kernels make of them beside it; test_kernels.py compares
that with what the processor makes. A process of its own, for the other tests compile for real.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.segment.engines.cuda import CudaEngine
from services.segment.kernels import resize, upsample
from tests.segment.engines.test_cuda import pictures, use_processor
from tests.segment.tiny_model import Tiny, write

# A simulated thread is one of Python's: blocks as large as on a GPU would start many for nothing.
resize.THREADS = upsample.THREADS = (8, 4)


def label_map(logits: Any, labels: Any, size: tuple[int, int]) -> Any:
    out = np.full(size, np.iinfo(labels.dtype).max, labels.dtype)
    axes = [upsample.positions(*sides) for sides in zip(logits.shape[:2], size, strict=True)]
    lower, weights = (np.concatenate(parts) for parts in zip(*axes, strict=True))
    upsample.launch((logits, labels, lower, weights, out), size)
    return out


def tensor(pixels: Any, table: Any, size: tuple[int, int]) -> Any:
    height, width = size
    own = pixels.shape[0], pixels.shape[1]
    rows, columns = resize.weights(own[0], height), resize.weights(own[1], width)
    out = np.empty((3, height, width), np.float32)
    heights = resize.heights_first(own, size)
    between = (height, own[1]) if heights else (own[0], width)
    first, last = (rows, columns) if heights else (columns, rows)
    half = np.empty((*between, 3), np.uint8)
    resize.launch(pixels, *first, half, between, heights=heights)
    resize.launch_last(half, *last, table, out, size, heights=not heights)
    return out


def from_the_engine(folder: Path) -> dict[str, Any]:
    """Return what its engine, with the processor as its device, gives of two pictures."""
    tiny = Tiny()
    with pytest.MonkeyPatch.context() as patch:
        use_processor(patch)
        engine = CudaEngine(write(folder, tiny), tiny.manifest(), max_batch_size=2)
        found: dict[str, Any] = {}
        for number, output in enumerate(engine.run(pictures(tiny, 2))):
            made = output.upsampled(21, 18)
            assert made is not None
            found |= {f"engine-{number}": made, f"engine-{number}-logits": output.logits}
        return found


def main() -> None:
    path = Path(sys.argv[1])
    found = from_the_engine(path.parent)
    with np.load(path) as cases:
        for name in {name.rpartition("/")[0] for name in cases.files}:
            make = label_map if name.startswith("map") else tensor
            height, width = cases[f"{name}/size"]
            given = cases[f"{name}/0"], cases[f"{name}/1"]
            found[name] = make(*given, (int(height), int(width)))
    np.savez(path.with_suffix(".out.npz"), **found)


if __name__ == "__main__":
    main()
