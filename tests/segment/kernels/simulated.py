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
from PIL import Image

from services.segment.engines.cuda import CudaEngine
from services.segment.engines.device import Device
from services.segment.engines.device_inputs import DeviceInputs
from services.segment.kernels import resize, upsample
from tests.segment.engines.processor_device import (
    OrdinaryMemory,
    pictures,
    runtime_of,
    use_processor,
)
from tests.segment.images.test_preprocess import picture as drawn
from tests.segment.kernels.test_kernels import PHOTOGRAPH, TINY, of_size
from tests.segment.tiny_model import write

# A simulated thread is one of Python's: blocks as large as on a GPU would start many for nothing.
resize.THREADS = upsample.THREADS = (8, 4)


def label_map(logits: Any, labels: Any, size: tuple[int, int]) -> Any:
    out = np.full(size, np.iinfo(labels.dtype).max, labels.dtype)
    axes = [upsample.positions(*sides) for sides in zip(logits.shape[:2], size, strict=True)]
    lower, weights = (np.concatenate(parts) for parts in zip(*axes, strict=True))
    upsample.launch((logits, labels, lower, weights, out), size)
    return out


def tensor(pixels: Any, size: tuple[int, int]) -> Any:
    device = Device(runtime_of(OrdinaryMemory()), 0)
    inputs = DeviceInputs(device, of_size(*size))
    inputs.usable = True
    made = inputs.make(Image.fromarray(pixels), "pillow")
    assert made is not None
    return device.get(made)


def from_the_engine(folder: Path) -> dict[str, Any]:
    """Return what its engine, with the processor as its device, gives of two pictures.

    Then of one that it prepared beside one that came prepared.
    """
    with pytest.MonkeyPatch.context() as patch:
        use_processor(patch)
        engine = CudaEngine(write(folder, TINY), TINY.manifest(), max_batch_size=2)
        found: dict[str, Any] = {}
        given = pictures(TINY, 2)
        for number, output in enumerate(engine.run(given)):
            made = output.upsampled(21, 18)
            assert made is not None
            found |= {f"engine-{number}": made, f"engine-{number}-logits": output.logits}
        ours = engine.prepared(drawn(PHOTOGRAPH))
        assert ours is not None
        assert engine.prepared(drawn(PHOTOGRAPH), "torchvision") is None
        for number, output in enumerate(engine.run([ours, given[1]])):
            found[f"prepared-{number}"] = output.logits
        return found


def main() -> None:
    path = Path(sys.argv[1])
    found = from_the_engine(path.parent)
    with np.load(path) as cases:
        for name in {name.rpartition("/")[0] for name in cases.files}:
            height, width = map(int, cases[f"{name}/size"])
            if name.startswith("map"):
                found[name] = label_map(cases[f"{name}/0"], cases[f"{name}/1"], (height, width))
            else:
                found[name] = tensor(cases[f"{name}/0"], (height, width))
    np.savez(path.with_suffix(".out.npz"), **found)


if __name__ == "__main__":
    main()
