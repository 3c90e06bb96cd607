"""Facts about a model that its files lack: options of `assay export` and `assay import-onnx`."""

from __future__ import annotations

import argparse
from pathlib import Path

from services.cli.arguments import pixel_size
from services.cli.commands.segment.inference import add_resampler
from services.segment.export.given import DEFAULT_THRESHOLD, Given


def add_given(parser: argparse.ArgumentParser, *, size: str, preprocessor: str) -> None:
    """Add the options; `size` and `preprocessor` are help texts, which differ by command."""
    parser.add_argument("--size", type=pixel_size, metavar="WxH", help=size)
    parser.add_argument("--preprocessor", metavar="FILE", help=preprocessor)
    parser.add_argument(
        "--license",
        metavar="ID",
        help="licence of the weights, if their files state none: an SPDX id such as MIT, or "
        "LicenseRef-NAME",
    )
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="P",
        help="for a model with one class: lowest probability at which a pixel gets the class; "
        f"default: {DEFAULT_THRESHOLD}",
    )
    add_resampler(parser, "library whose arithmetic resizes images; default: pillow")


def given(arguments: argparse.Namespace) -> Given:
    """Return the options' values."""
    return Given(
        size=None if arguments.size is None else arguments.size[::-1],
        preprocessor=None if arguments.preprocessor is None else Path(arguments.preprocessor),
        license=arguments.license,
        threshold=arguments.threshold,
        resampler=arguments.resampler or "pillow",
    )
