"""The reference model's card: its purpose, how it was made, and its measurements."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from services.common.percent import percent
from services.segment.ade20k import ADE20K_CLASSES
from services.segment.manifest import MODEL_FILE, Manifest, ModelParity, read_manifest
from services.segment.reference.evaluate import (
    HELD_OUT_SCENES,
    HELD_OUT_SEED,
    HELD_OUT_SIZE,
    Accuracy,
)
from services.segment.reference.scenes.labels import DRAWN

CARD_FILE = "MODEL_CARD.md"


@dataclass(frozen=True)
class Training:
    """How long and on what to train."""

    seed: int = 0
    scenes: int = 1500
    steps: int = 1500
    batch: int = 8
    peak_rate: float = 2e-3


def checked_on(manifest: Manifest) -> str:
    """Return the card's list of the engines that were compared with the source model."""
    if not manifest.parities:
        raise ValueError("a card needs the export's parities")
    rows = [
        f"  * {one.engine}, {one.precision}{_instructions(one)}: logits differ by up to "
        f"{one.max_abs_difference:.1e}, {percent(one.label_agreement, 2)} of labels agree."
        for one in manifest.parities
        if one.passed
    ]
    title = (
        "* **Export**, compared with the torch model; in bf16 another instruction set gives other\n"
        "  figures, which the service measures when it opens the model:"
    )
    return "\n".join([title, *rows])


def _instructions(parity: ModelParity) -> str:
    return f" with {parity.instruction_set}" if parity.instruction_set else ""


def model_card(directory: Path, how: Training, result: Accuracy, minutes: float) -> str:
    """Return the card of the model in `directory` as Markdown."""
    manifest = read_manifest(directory)
    facts, preprocessing = manifest.facts, manifest.preprocessing
    if facts is None:
        raise ValueError("a card needs the export's facts")
    size = (directory / MODEL_FILE).stat().st_size
    depths = "-".join(str(stage.depth) for stage in facts.stages)
    widths = "-".join(str(stage.width) for stage in facts.stages)
    rows = "\n".join(
        f"| {index} | {ADE20K_CLASSES[index]} | {iou:.3f} |" for index, iou in result.iou.items()
    )
    height, width = HELD_OUT_SIZE
    return f"""# {manifest.name}

A stand-in, so that the service runs, is tested and can be shown on a machine that has no real
weights. It knows drawn scenes, not photographs: don't use it to label anything else, and don't
take any figure of it for a figure of a published SegFormer.

* **Architecture**: SegFormer, {facts.parameters:,} parameters, depths {depths}, widths {widths},
  decode head {facts.decoder_width} wide, input {preprocessing.height} x {preprocessing.width};
  {size:,} bytes as ONNX, fp32.
* **Classes**: ADE20K's 150 ids, of which {len(DRAWN)} are drawn; the others never win.
* **Training data**: {how.scenes:,} scenes drawn by `services/segment/reference/scenes`, from
  seed 0 up. No photograph, and no weight of another model, took part.
* **Training**: from random weights, seed {how.seed}, {how.steps:,} steps of {how.batch}
  pictures, AdamW, peak learning rate {how.peak_rate:g}; {minutes:.0f} minutes on one core of a
  busy machine. Repeat it with `python -m services.segment.reference.train --out DIR`.
{checked_on(manifest)}
* **{MODEL_FILE}**: `{manifest.digests[MODEL_FILE]}`
* **Licence**: Apache-2.0.

## Accuracy on scenes that it never saw

{HELD_OUT_SCENES} scenes of {width} x {height} (from seed {HELD_OUT_SEED:,}), labels at the
picture's own size: **mean IoU {result.mean_iou:.4f}** over the classes that are drawn,
{percent(result.pixel_accuracy, 2)} of the pixels right.

| id | class | IoU |
|---|---|---|
{rows}
"""
