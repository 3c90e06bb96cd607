"""`assay export`: write a SegFormer as an ONNX model directory that the segment service serves."""

from __future__ import annotations

import argparse
from pathlib import Path

from services.cli.commands.segment.given import add_given, given
from services.cli.exits import Exit
from services.cli.output.console import OUT, note
from services.common.percent import percent
from services.errors import InvalidArgument
from services.segment.export.command import Exported, export


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description = (
        "Writes a model directory (model.onnx and manifest.json). The graph is compared with "
        "the source model first, and a graph that differs is not written. Needs torch and "
        "transformers: make setup-torch."
    )
    parser.epilog = (
        "examples: assay export --checkpoint nvidia/segformer-b0-finetuned-ade-512-512 --out "
        "models/b0 | "
        "assay export --architecture b4 --random-weights 0 --out models/b4-random"
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--checkpoint",
        metavar="DIR|FILE|HUB_ID",
        help="a Hugging Face folder (PyTorch's or TensorFlow's weights), a file of weights "
        "(mmsegmentation's or Lightning's, for example), or an id on the hub",
    )
    source.add_argument(
        "--architecture",
        choices=["b0", "b1", "b2", "b3", "b4", "b5"],
        help="SegFormer architecture, for a model with random weights",
    )
    parser.add_argument(
        "--random-weights",
        type=int,
        metavar="SEED",
        help="with --architecture: seed of the random weights; the model's shapes, size and "
        "speed are real, its labels are meaningless",
    )
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="new or empty folder to write to"
    )
    parser.add_argument("--name", help="name of the model; default: taken from the checkpoint")
    parser.add_argument(
        "--version",
        default="1",
        help="version of the model; a request that names no version gets the latest (10 is later "
        "than 9); default: 1",
    )
    parser.add_argument(
        "--precision",
        choices=["fp32", "fp16", "bf16"],
        default="fp32",
        help="number format of matrix products; fp16 and bf16 are for GPUs, since OpenVINO "
        "already computes an fp32 graph in bf16 on processors that support it; default: fp32",
    )
    add_given(
        parser,
        size="input size of the model, width first; default: from the checkpoint's preprocessor",
        preprocessor="preprocessor_config.json to use instead of the checkpoint's",
    )
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> Exit:
    """Exports one model."""
    if arguments.architecture and arguments.random_weights is None:
        raise InvalidArgument("--architecture", "needs --random-weights SEED beside it")
    if arguments.checkpoint and arguments.random_weights is not None:
        raise InvalidArgument("--random-weights", "goes with --architecture, not --checkpoint")
    exported = export(
        Path(arguments.out),
        checkpoint=arguments.checkpoint,
        architecture=arguments.architecture,
        random_weights=arguments.random_weights,
        name=arguments.name,
        precision=arguments.precision,
        version=arguments.version,
        given=given(arguments),
        progress=note,
    )
    print_exported(exported)
    return Exit.DONE


def print_exported(exported: Exported) -> None:
    """Say what was written, and how far each engine is from its source."""
    manifest = exported.manifest
    OUT.print(
        f"{manifest.name}: {manifest.architecture}, {len(manifest.classes)} classes, "
        f"{exported.model_bytes / 1e6:.1f} MB in {exported.seconds:.0f} s -> {exported.directory}",
        markup=False,
        soft_wrap=True,
    )
    for parity in manifest.parities:
        way = f"{parity.engine} in {parity.precision}"
        if parity.instruction_set:
            way += f" with {parity.instruction_set}"
        OUT.print(
            f"{way} against its source: logits within "
            f"{parity.max_abs_difference:.2g}, labels agree on "
            f"{percent(parity.label_agreement, 4)} of pixels ({parity.probes} pictures)"
            f"{'' if parity.passed else '; not close enough to be served'}",
            soft_wrap=True,
        )
