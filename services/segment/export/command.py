"""Functions behind `assay export`. Imports torch only for an export."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from services.common.missing_library import MissingLibrary
from services.errors import InvalidArgument
from services.segment.export.architectures import architecture as check_architecture
from services.segment.export.given import Given
from services.segment.export.output import check_output
from services.segment.manifest import (
    MODEL_FILE,
    NAME_RULE,
    Manifest,
    Precision,
    is_name,
    manifest_digest,
)

Progress = Callable[[str], None]
NOTHING_GIVEN = Given()


@dataclass(frozen=True)
class Exported:
    """A model directory that was written."""

    directory: Path
    manifest: Manifest
    digest: str
    model_bytes: int
    seconds: float


def export_checkpoint(
    checkpoint: str | Path,
    out: Path,
    *,
    name: str | None = None,
    probes: Sequence[Path] = (),
    precision: Precision = "fp32",
    version: str = "1",
    given: Given = NOTHING_GIVEN,
    progress: Progress = lambda _: None,
) -> Exported:
    """Export a checkpoint directory, a file of weights or a hub name ("owner/model") into `out`.

    `out` is a new directory. `given` overrides the checkpoint's files. `name` is the name to serve
    the model as (default: the last part of the checkpoint's name), and `version` its version.
    `probes` are pictures to check the graph on, in addition to drawn ones. `precision` is the
    number type in which the graph multiplies. `progress` is called with a line for each step.
    Raises InvalidArgument (checkpoint, name or out), NotFound or MissingLibrary (hub, or torch or
    OpenVINO not installed), TooLarge (disk full), InternalError (the graph differs from the model).
    """
    started = time.monotonic()
    check_output(out, 0)
    pipeline = _pipeline()
    source = pipeline.checkpoint_source(checkpoint, name, probes, progress, given)
    return _exported(out, pipeline.export(source, out, progress, precision, version), started)


def export_random(
    architecture: str,
    seed: int,
    out: Path,
    *,
    probes: Sequence[Path] = (),
    precision: Precision = "fp32",
    version: str = "1",
    progress: Progress = lambda _: None,
) -> Exported:
    """Export "b0" .. "b5" with weights drawn from `seed` into the new directory `out`.

    Shapes, size and speed are those of the published model; its labels mean nothing. Raises as
    `export_checkpoint` does.
    """
    started = time.monotonic()
    check_architecture(architecture)
    if not 0 <= seed < 1 << 63:
        raise InvalidArgument("seed", f"{seed} is not in 0..2^63-1")
    check_output(out, 0)
    pipeline = _pipeline()
    source = pipeline.random_source(architecture, seed, probes)
    return _exported(out, pipeline.export(source, out, progress, precision, version), started)


def export(
    out: Path,
    *,
    checkpoint: str | None = None,
    architecture: str | None = None,
    random_weights: int | None = None,
    name: str | None = None,
    probes: Sequence[Path] = (),
    precision: Precision = "fp32",
    version: str = "1",
    given: Given = NOTHING_GIVEN,
    progress: Progress = lambda _: None,
) -> Exported:
    """Export what the command line names: a checkpoint, or an architecture with a seed.

    Raises InvalidArgument for any other combination or a bad version, and what the two functions
    above raise.
    """
    if not is_name(version):
        raise InvalidArgument("version", f"{version!r} is not a version: {NAME_RULE}")
    if checkpoint is not None:
        if architecture is not None or random_weights is not None:
            raise InvalidArgument(
                "checkpoint", "give either a checkpoint, or an architecture with random weights"
            )
        return export_checkpoint(
            checkpoint,
            out,
            name=name,
            probes=probes,
            precision=precision,
            version=version,
            given=given,
            progress=progress,
        )
    if given != NOTHING_GIVEN:
        raise InvalidArgument(
            "checkpoint", "a size, preprocessor, licence or threshold is of a checkpoint"
        )
    if architecture is None or random_weights is None:
        raise InvalidArgument(
            "checkpoint", "give a checkpoint, or an architecture and a seed for random weights"
        )
    if name is not None:
        raise InvalidArgument("name", "random weights are always named for what they are")
    return export_random(
        architecture,
        random_weights,
        out,
        probes=probes,
        precision=precision,
        version=version,
        progress=progress,
    )


def import_graph(
    file: Path,
    out: Path,
    *,
    name: str | None = None,
    version: str = "1",
    given: Given = NOTHING_GIVEN,
    input_name: str | None = None,
    output_name: str | None = None,
    labels: Path | None = None,
    progress: Progress = lambda _: None,
) -> Exported:
    """Write a ready ONNX file as the new directory `out`.

    `labels` is a file with the names of the classes. Raises InvalidArgument naming what the file
    lacks, MissingLibrary if a library is not installed, TooLarge (disk full), InternalError (an
    engine's results differ from the file's).
    """
    if not is_name(version):
        raise InvalidArgument("version", f"{version!r} is not a version: {NAME_RULE}")
    started = time.monotonic()
    _pipeline()
    # onnx comes with the export extra.
    from services.segment.export.onnx_import import import_onnx  # noqa: PLC0415
    from services.segment.export.onnx_source import Names  # noqa: PLC0415

    names = Names(input_name, output_name, labels)
    manifest = import_onnx(
        file, out, name=name, version=version, given=given, names=names, progress=progress
    )
    return _exported(out, manifest, started)


def _pipeline() -> ModuleType:
    try:
        # torch takes seconds to import and comes with its own extra.
        from services.segment.export import pipeline  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingLibrary(
            f"exporting needs {error.name}, which is not installed: "
            "pip install 'assay-services[export]'"
        ) from error
    return pipeline


def _exported(out: Path, manifest: Manifest, started: float) -> Exported:
    size = (out / MODEL_FILE).stat().st_size
    return Exported(out, manifest, manifest_digest(manifest), size, time.monotonic() - started)
