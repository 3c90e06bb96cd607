"""How far an engine is from wanted logits, on pictures that are drawn anywhere. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from services.errors import InternalError, InvalidArgument
from services.segment.engines.engine import Engine, Floats
from services.segment.engines.gates import Gate
from services.segment.engines.instructions import decisive_instructions
from services.segment.manifest import ModelParity, ModelPreprocessing
from services.segment.probes.scenes import KINDS, draw_scene


@dataclass(frozen=True)
class Probe:
    """Pictures (N, 3, H, W) of one size, and the logits that are wanted of them (N, h, w, C)."""

    pixels: Floats
    logits: Floats


def probe_inputs(
    preprocessing: ModelPreprocessing, pictures: Sequence[Path] = (), *, any_size: bool = True
) -> list[Floats]:
    """Return inputs (N, 3, H, W): a drawn scene of each kind, the given pictures, an odd batch.

    Drawn scenes have what noise lacks: edges, and areas of one class. The batch has two pictures
    of another, uneven size, for graphs that take `any_size`: their free dimensions are tried too.
    Raises InvalidArgument naming a file that is not a picture.
    """
    height, width = preprocessing.height, preprocessing.width
    drawn = [draw_scene(seed, height, width, kind)[0] for seed, kind in enumerate(KINDS)]
    given = [_picture(path, height, width) for path in pictures]
    batches = [[picture] for picture in (*drawn, *given)]
    if any_size:
        batches.append([draw_scene(seed, 101, 164)[0] for seed in (7, 8)])
    return [_normalised(batch, preprocessing) for batch in batches]


def _picture(path: Path, height: int, width: int) -> NDArray[np.uint8]:
    try:
        with Image.open(path) as image:
            resized = image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
    except (OSError, Image.DecompressionBombError) as error:
        raise InvalidArgument("probe", f"{path} is not a picture: {error}") from error
    return np.asarray(resized)


def _normalised(pictures: list[NDArray[np.uint8]], preprocessing: ModelPreprocessing) -> Floats:
    mean = np.array(preprocessing.mean, np.float32)
    std = np.array(preprocessing.std, np.float32)
    values = (np.stack(pictures).astype(np.float32) / 255 - mean) / std
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2), np.float32)


def engine_probes(engine: Engine, inputs: Sequence[Floats]) -> list[Probe]:
    """Return the probes of an engine that others are compared with."""
    return [
        Probe(pixels, np.stack([output.logits for output in engine.run(list(pixels))]))
        for pixels in inputs
    ]


def measure_parity(engine: Engine, probes: Sequence[Probe], gate: Gate) -> ModelParity:
    """Compare what `engine` makes of the graph with what is wanted; say if it passes.

    Raises InternalError if the graph's shapes are others than wanted, or if its labels are not the
    arg max of its logits.
    """
    difference, largest, agreed, labels, pictures = 0.0, 0.0, 0, 0, 0
    for probe in probes:
        for output, source in zip(engine.run(list(probe.pixels)), probe.logits, strict=True):
            if output.logits.shape != source.shape:
                raise InternalError(
                    f"the source model gives logits {source.shape}, the graph {output.logits.shape}"
                )
            if not _is_arg_max(output.logits, output.labels):
                raise InternalError("the graph's labels are not the arg max of its logits")
            difference = max(difference, float(np.abs(output.logits - source).max(initial=0)))
            largest = max(largest, float(np.abs(source).max(initial=0)))
            agreed += int((output.labels == source.argmax(-1)).sum())
            labels += output.labels.size
            pictures += 1
    agreement = agreed / labels
    return ModelParity(
        engine.name,
        engine.precision,
        difference,
        agreement,
        pictures,
        passed=gate.passes(difference, largest, agreement),
        instruction_set=decisive_instructions(engine.name, engine.precision),
    )


def _is_arg_max(logits: Floats, winners: NDArray[np.integer]) -> bool:
    won = np.take_along_axis(logits, winners[..., None].astype(np.int64), -1)[..., 0]
    return bool((won == logits.max(-1)).all())
