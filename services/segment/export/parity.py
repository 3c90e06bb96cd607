"""Decides whether an exported graph is the source model: logits and labels on probe pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import SegformerForSemanticSegmentation

from services.errors import InternalError, InvalidArgument
from services.segment.manifest import ModelGraph, ModelParity, ModelPreprocessing
from services.segment.reference.scenes import KINDS, draw_scene

# In units of the source's largest logit, or of 1 where that is smaller: fp32 leaves about 1e-6.
MAX_DIFFERENCE = 1e-3
MIN_AGREEMENT = 0.999
Floats = NDArray[np.float32]


def probe_inputs(preprocessing: ModelPreprocessing, pictures: Sequence[Path] = ()) -> list[Floats]:
    """Return inputs (N, 3, H, W): a drawn scene of each kind, the given pictures, an odd batch.

    Drawn scenes have what noise lacks: edges, and areas of one class. The batch has two pictures
    of another, uneven size: the graph's free dimensions are tried too. Raises InvalidArgument
    naming a file that is not a picture.
    """
    height, width = preprocessing.height, preprocessing.width
    drawn = [draw_scene(seed, height, width, kind)[0] for seed, kind in enumerate(KINDS)]
    given = [_picture(path, height, width) for path in pictures]
    uneven = [draw_scene(seed, 101, 164)[0] for seed in (7, 8)]
    singles = [_normalised([picture], preprocessing) for picture in (*drawn, *given)]
    return [*singles, _normalised(uneven, preprocessing)]


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


def source_logits(model: SegformerForSemanticSegmentation, pixels: Floats) -> Floats:
    """Return the unmodified model's logits as (N, h, w, C).

    Raises InvalidArgument if any is not a finite number: no export can agree with that.
    """
    with torch.inference_mode():
        logits: Floats = model(torch.from_numpy(pixels)).logits.permute(0, 2, 3, 1).numpy()
    if not np.isfinite(logits).all():
        raise InvalidArgument("checkpoint", "its logits are not all finite numbers")
    return logits


def measure_parity(
    model: SegformerForSemanticSegmentation,
    path: Path,
    graph: ModelGraph,
    probes: Sequence[Floats],
) -> ModelParity:
    """Compare the graph at `path` with the unmodified model on `probes`; return passing figures.

    Raises InternalError with the figures if a logit differs by more than MAX_DIFFERENCE of the
    largest, if fewer than MIN_AGREEMENT of the labels agree, or if the graph's labels are not the
    arg max of its logits.
    """
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    difference, largest, agreed, labels, pictures = 0.0, 1.0, 0, 0, 0
    for pixels in probes:
        source = source_logits(model, pixels)
        logits, winners = session.run([graph.logits, graph.labels], {graph.input: pixels})
        if logits.shape != source.shape:
            raise InternalError(
                f"the source model gives logits {source.shape}, the graph {logits.shape}: nothing "
                "was written"
            )
        if winners.dtype != graph.labels_type or not _is_arg_max(logits, winners):
            raise InternalError("the graph's labels are not the arg max of its logits")
        difference = max(difference, float(np.abs(logits - source).max(initial=0)))
        largest = max(largest, float(np.abs(source).max(initial=0)))
        agreed += int((winners == source.argmax(-1)).sum())
        labels += winners.size
        pictures += len(pixels)
    agreement = agreed / labels
    if not difference <= MAX_DIFFERENCE * largest or agreement < MIN_AGREEMENT:
        raise InternalError(
            f"the exported graph is not the source model: logits differ by up to {difference:.3g} "
            f"({MAX_DIFFERENCE * largest:.3g} allowed), {agreement:.4%} of labels agree "
            f"({MIN_AGREEMENT:.1%} needed); nothing was written"
        )
    return ModelParity(difference, agreement, "fp32", pictures)


def _is_arg_max(logits: Floats, winners: NDArray[np.integer]) -> bool:
    won = np.take_along_axis(logits, winners[..., None].astype(np.int64), -1)[..., 0]
    return bool((won == logits.max(-1)).all())
