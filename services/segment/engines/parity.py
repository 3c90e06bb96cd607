"""How far an engine's logits are from the expected ones on packaged pictures, and the limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from services.errors import InternalError, InvalidArgument
from services.segment.engines.engine import Engine, Floats
from services.segment.engines.instructions import decisive_instructions
from services.segment.manifest import ModelParity, ModelPreprocessing, Precision, WeightsKind


@dataclass(frozen=True)
class Gate:
    """Limits for passing.

    `max_difference` of a logit is in units of the source's largest logit, or of 1 if that is
    smaller; `min_agreement` is the least share of labels that agree.
    """

    max_difference: float
    min_agreement: float

    def passes(self, difference: float, largest: float, agreement: float) -> bool:
        """Return whether a graph with those figures may be served."""
        allowed = self.max_difference * max(1.0, largest)
        return difference <= allowed and agreement >= self.min_agreement


# Rounding leaves 1e-6; a misplaced weight leaves far more than a thousandth.
_EXACT = Gate(1e-3, 0.9999)
# Eight bits of mantissa over a few dozen layers leave about 1 %.
_NARROW = Gate(0.02, 0.995)
# Random weights give near ties between logits: the largest says nothing about the graph.
_NARROW_RANDOM = Gate(0.02, 0.0)


def gate(precision: Precision, weights: WeightsKind) -> Gate:
    """Return the limits for a graph with such weights, computed in that number type."""
    if precision == "fp32":
        return _EXACT
    return _NARROW_RANDOM if weights == "random" else _NARROW


PROBES_DIRECTORY = Path(__file__).with_name("probes")
_KINDS = ("coast", "street", "countryside")
SIDES = (256, 512)
"""Sides in pixels of the packaged pictures of each kind: those of most models."""
UNEVEN = ("uneven-1.png", "uneven-2.png")
"""Pictures of 101 x 164 pixels."""


@dataclass(frozen=True)
class Probe:
    """Pictures (N, 3, H, W) of one size, and their expected logits (N, h, w, C)."""

    pixels: Floats
    logits: Floats


def probe_inputs(
    preprocessing: ModelPreprocessing, pictures: Sequence[Path] = (), *, any_size: bool = True
) -> list[Floats]:
    """Return inputs (N, 3, H, W): three packaged scenes, the given pictures, an uneven batch.

    The scenes have features that noise lacks: edges, and areas of one class. The batch has two
    pictures of another, uneven size, for graphs that accept `any_size`, to test their free
    dimensions. Raises InvalidArgument naming a file that is not a picture.
    """
    height, width = preprocessing.height, preprocessing.width
    packaged = min((side for side in SIDES if side >= max(height, width)), default=max(SIDES))
    scenes = [PROBES_DIRECTORY / f"{kind}-{packaged}.png" for kind in _KINDS]
    batches = [[_picture(path, height, width)] for path in (*scenes, *pictures)]
    if any_size:
        batches.append([_picture(PROBES_DIRECTORY / name) for name in UNEVEN])
    return [_normalised(batch, preprocessing) for batch in batches]


def _picture(path: Path, height: int = 0, width: int = 0) -> NDArray[np.uint8]:
    """Return a picture's pixels, resized if a different size is given."""
    try:
        with Image.open(path) as image:
            size = (width, height) if height else image.size
            return np.asarray(image.convert("RGB").resize(size, Image.Resampling.BILINEAR))
    except (OSError, Image.DecompressionBombError) as error:
        raise InvalidArgument("probe", f"{path} is not a picture: {error}") from error


def _normalised(pictures: list[NDArray[np.uint8]], preprocessing: ModelPreprocessing) -> Floats:
    mean = np.array(preprocessing.mean, np.float32)
    std = np.array(preprocessing.std, np.float32)
    values = (np.stack(pictures).astype(np.float32) / 255 - mean) / std
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2), np.float32)


def engine_probes(engine: Engine, inputs: Sequence[Floats]) -> list[Probe]:
    """Return the probes of a reference engine, for comparing other engines with it."""
    return [
        Probe(pixels, np.stack([output.logits for output in engine.run(list(pixels))]))
        for pixels in inputs
    ]


def measure_parity(engine: Engine, probes: Sequence[Probe], gate: Gate) -> ModelParity:
    """Compare the results of `engine` on the graph with the expected ones; say whether it passes.

    Raises InternalError if the graph's shapes differ from the expected ones, or if its labels are
    not the arg max of its logits.
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
        engine=engine.name,
        precision=engine.precision,
        max_abs_difference=difference,
        label_agreement=agreement,
        probes=pictures,
        passed=gate.passes(difference, largest, agreement),
        instruction_set=decisive_instructions(engine.name, engine.precision),
    )


def _is_arg_max(logits: Floats, winners: NDArray[np.integer]) -> bool:
    won = np.take_along_axis(logits, winners[..., None].astype(np.int64), -1)[..., 0]
    return bool((won == logits.max(-1)).all())
