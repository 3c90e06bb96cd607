"""`assay import-onnx`: write a ready ONNX segmenter as a model directory that is served."""

from __future__ import annotations

import argparse
from pathlib import Path

from services.cli.commands.segment.export import print_exported
from services.cli.commands.segment.given import add_given, given
from services.cli.exits import Exit
from services.cli.output.console import note
from services.segment.export.command import import_graph


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description = (
        "Writes an ONNX file, from any exporter, as a folder that `assay segment` and the service "
        "take. The graph takes float32 (N, 3, H, W) and gives logits with an axis of classes; its "
        "arg max is added. Every installed engine is compared with the file first. Needs torch and "
        "onnx: make setup-torch."
    )
    parser.epilog = "example: assay import-onnx cells.onnx --out models/cells --labels cells.txt"
    parser.add_argument("file", metavar="FILE", help="an ONNX file with its weights in it")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write; new or empty")
    parser.add_argument("--name", help="name to register; default: the file's")
    parser.add_argument("--version", default="1", help="version of that name; default: 1")
    parser.add_argument(
        "--labels",
        metavar="FILE",
        help="names of the classes, in order: a line each, a JSON list, or a config.json with "
        "id2label; default: what the file or a config.json beside it says",
    )
    parser.add_argument("--input", metavar="NAME", help="the input, where the graph has several")
    parser.add_argument("--output", metavar="NAME", help="the logits, where it has several outputs")
    add_given(
        parser,
        size="the model's input, width first, where the graph takes any",
        preprocessor="a preprocessor_config.json with mean, deviation and filter; default: the one "
        "beside the file, else ImageNet's",
    )
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> Exit:
    """Imports one file."""
    labels = arguments.labels
    imported = import_graph(
        Path(arguments.file),
        Path(arguments.out),
        name=arguments.name,
        version=arguments.version,
        given=given(arguments),
        input_name=arguments.input,
        output_name=arguments.output,
        labels=None if labels is None else Path(labels),
        progress=note,
    )
    print_exported(imported)
    return Exit.DONE
