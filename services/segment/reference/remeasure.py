"""Measures the packaged graph on OpenVINO again: `python -m services.segment.reference.remeasure`.

For a new OpenVINO, without training again. The source model's weights are not kept, so OpenVINO is
compared with ONNX Runtime on the export's own probes. All of ONNX Runtime's labels there equalled
the source's, so a label that agrees with one agrees with the other. The recorded difference is the
measured one plus ONNX Runtime's own, an upper bound of the difference from the source.

Bf16 is measured with this processor's instructions, or those that ONEDNN_MAX_CPU_ISA allows. A
failed record keeps bf16 from being served on any processor.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from services.segment.engines.onnxruntime import OnnxEngine
from services.segment.engines.openvino import OpenVinoEngine, capabilities
from services.segment.engines.parity import engine_probes, gate, measure_parity, probe_inputs
from services.segment.manifest import (
    Manifest,
    ModelParity,
    Precision,
    part_digests,
    read_manifest,
    verify_files,
    write_manifest,
)
from services.segment.reference import MODEL_DIRECTORY
from services.segment.reference.card import CARD_FILE, checked_on

_PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")


def remeasured(directory: Path) -> Manifest:
    """Return the manifest with OpenVINO's present parities, and its parts' digests.

    Raises ValueError unless all of ONNX Runtime's labels equalled the source's.
    """
    manifest = read_manifest(directory)
    verify_files(directory, manifest)
    first = manifest.parity
    if first is None or first.label_agreement < 1:
        raise ValueError("ONNX Runtime's labels cannot replace the source model's")
    threads = len(os.sched_getaffinity(0))
    reference = OnnxEngine(directory, manifest, threads=threads)
    probes = engine_probes(reference, probe_inputs(manifest.preprocessing))
    parities = [first]
    for precision in _PRECISIONS:
        if precision.upper() not in capabilities():
            raise ValueError(f"this processor has no {precision}")
        engine = OpenVinoEngine(directory, manifest, precision=precision, threads=threads)
        found = measure_parity(engine, probes, gate(precision, manifest.weights))
        parities.append(_against_the_source(found, first))
    parts = part_digests(manifest.license, manifest.classes, manifest.preprocessing)
    return manifest.replaced(parities=tuple(parities), digests={**manifest.digests, **parts})


def _against_the_source(found: ModelParity, first: ModelParity) -> ModelParity:
    bound = found.max_abs_difference + first.max_abs_difference
    return found.replaced(max_abs_difference=bound)


def main() -> int:
    """Rewrite the packaged manifest, and the card's list of engines; return an exit status."""
    before = checked_on(read_manifest(MODEL_DIRECTORY))
    manifest = remeasured(MODEL_DIRECTORY)
    write_manifest(MODEL_DIRECTORY, manifest)
    card = MODEL_DIRECTORY / CARD_FILE
    card.write_text(card.read_text().replace(before, checked_on(manifest)))
    for parity in manifest.parities:
        sys.stdout.write(f"{parity}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
