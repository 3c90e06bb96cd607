"""Measures a narrow number type on this processor, if a model's record is from another one.

Different instructions round and add bf16 differently: a model that is exact enough with AVX-512 may
fail on AMX. The source model is not available, so the graph in fp32 replaces it: the export
compared the two. Takes seconds for the largest SegFormer, and none if the record is from this
processor.
"""

from __future__ import annotations

import time
from pathlib import Path

import structlog

from services.common.percent import percent
from services.errors import EngineUnavailable
from services.segment.engines.choice import Choice
from services.segment.engines.instructions import decisive_instructions
from services.segment.engines.parity import Gate, engine_probes, gate, measure_parity, probe_inputs
from services.segment.manifest import Manifest, ModelParity

_log = structlog.get_logger(__name__)


def rechecked(
    choice: Choice, directory: Path, manifest: Manifest, *, threads: int
) -> ModelParity | None:
    """Return how far the engine is from its own fp32 here; None if the record already says it.

    The files must be verified, and `choice` available and trusted. Blocks for seconds. Raises
    EngineUnavailable with the figures if the model is not exact enough on this processor.
    """
    here = decisive_instructions(choice.engine, choice.precision)
    record = choice.record(manifest)
    if here is None or record is None or record.instruction_set == here:
        return None
    start = time.monotonic()
    needed = gate(choice.precision, manifest.weights)
    found = _measured(choice, directory, manifest, needed, threads)
    _log.info(
        "measured on this processor",
        model=manifest.name,
        version=manifest.version,
        engine=choice.engine,
        precision=choice.precision,
        instruction_set=here,
        recorded_with=record.instruction_set,
        label_agreement=found.label_agreement,
        max_abs_difference=found.max_abs_difference,
        probes=found.probes,
        passed=found.passed,
        seconds=round(time.monotonic() - start, 1),
    )
    if not found.passed:
        raise _refusal(choice, manifest, found, record, needed)
    return found


def _measured(
    choice: Choice, directory: Path, manifest: Manifest, needed: Gate, threads: int
) -> ModelParity:
    """Compare two engines, with one at a time in memory."""
    # OpenVINO comes with an extra.
    from services.segment.engines.openvino import OpenVinoEngine  # noqa: PLC0415

    inputs = probe_inputs(manifest.preprocessing, any_size=manifest.graph.dynamic_size)
    probes = engine_probes(OpenVinoEngine(directory, manifest, threads=threads), inputs)
    narrow = OpenVinoEngine(directory, manifest, precision=choice.precision, threads=threads)
    return measure_parity(narrow, probes, needed)


def _refusal(
    choice: Choice, manifest: Manifest, found: ModelParity, record: ModelParity, needed: Gate
) -> EngineUnavailable:
    recorded = record.instruction_set or "instructions that it does not name"
    remedy = "use fp32"
    if manifest.graph.precision != "fp32":
        remedy = "export it with --precision fp32 and use that"
    return EngineUnavailable(
        f"{manifest.name} is not served by {choice.engine} in {choice.precision} on this "
        f"processor, whose instruction set is {found.instruction_set}: measured here, "
        f"{percent(found.label_agreement, 3)} of the labels agree with fp32's (at least "
        f"{percent(needed.min_agreement, 1)} required) and logits differ by up to "
        f"{found.max_abs_difference:.3g} ({percent(needed.max_difference)} of the largest "
        "allowed); "
        f"its record is of {recorded}; {remedy} (ASSAY_SEGMENT_PRECISION is {choice.precision})"
    )
