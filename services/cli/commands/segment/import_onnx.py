"""`assay import-onnx`: write a ready ONNX segmenter as a model directory for the service."""

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
        "Turns an ONNX file from any exporter into a folder that `assay segment` and the service "
        "can load. The graph must take float32 (N, 3, H, W) and return logits with a class axis; "
        "the arg max is added. First, the results of every installed engine are compared with "
        "the file. Needs torch and onnx: make setup-torch."
    )
    parser.epilog = "example: assay import-onnx cells.onnx --out models/cells --labels cells.txt"
    parser.add_argument("file", metavar="FILE", help="ONNX file that includes its weights")
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="new or empty folder to write to"
    )
    parser.add_argument("--name", help="name of the model; default: the file's name")
    parser.add_argument("--version", default="1", help="version of the model; default: 1")
    parser.add_argument(
        "--labels",
        metavar="FILE",
        help="class names in order: one per line, a JSON list, or a config.json with id2label; "
        "default: from the ONNX file, or from a config.json beside it",
    )
    parser.add_argument(
        "--input", metavar="NAME", help="name of the input tensor, if the graph has several inputs"
    )
    parser.add_argument(
        "--output", metavar="NAME", help="name of the logits, if the graph has several outputs"
    )
    add_given(
        parser,
        size="input size of the model, width first, if the graph accepts any size",
        preprocessor="preprocessor_config.json with mean, standard deviation and resampling "
        "filter; default: the one beside the file, else ImageNet's values",
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
