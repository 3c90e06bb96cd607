"""Arguments that say what runs a language model."""

from __future__ import annotations

import argparse

from assay.corpus.v1 import corpus_pb2


def add_compute(parser: argparse.ArgumentParser) -> None:
    """`--engine` and `--precision`."""
    parser.add_argument(
        "--engine",
        default="",
        metavar="NAME",
        help="openvino-cpu, torch-cpu, torch-cuda or onnxruntime-cpu; without it the fastest on a "
        "CPU that agrees with torch",
    )
    parser.add_argument(
        "--precision",
        choices=("fp32", "bf16", "fp16"),
        default="fp32",
        help="of matrix products; fp32 without it",
    )


def compute(arguments: argparse.Namespace) -> corpus_pb2.Compute:
    """What the command line asks for."""
    return corpus_pb2.Compute(
        engine=arguments.engine,
        precision=corpus_pb2.Precision.Value(f"PRECISION_{arguments.precision.upper()}"),
    )
