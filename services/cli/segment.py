"""`assay segment`: label every pixel of an image."""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.segment.v1 import images_pb2, models_pb2, segment_pb2, segment_pb2_grpc
from rich.table import Table

from services.cli.arguments import add_json, output_file, segment_model
from services.cli.connection import Connection
from services.cli.console import OUT, print_json
from services.cli.exits import Exit

if TYPE_CHECKING:
    from PIL import Image

TIMEOUT_SECONDS = 120.0
_OVERLAY_OPACITY = 0.55


def add_parser(commands: Any) -> None:
    """Adds the command to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "segment",
        help="label every pixel of an image",
        description=(
            "Labels every pixel of IMAGE and prints the classes found with their share. The labels "
            "are those of Hugging Face's processor, model and post-processing."
        ),
        epilog="example: assay segment photo.jpg --model out/b0 -o labels.png --overlay seen.png",
    )
    parser.add_argument("image", metavar="IMAGE", help="a JPEG, PNG, WebP, BMP, GIF or TIFF file")
    parser.add_argument(
        "--model",
        metavar="DIR|NAME",
        help="a folder that `assay export` wrote, or a registered name; the reference model "
        "without it",
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="greyscale PNG whose pixel values are class ids"
    )
    parser.add_argument("--overlay", metavar="FILE", help="the picture with its classes coloured")
    add_json(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> Exit:
    """Segments one image."""
    encoded = Path(arguments.image).read_bytes()
    output = output_file("-o", arguments.output) if arguments.output else None
    overlay = output_file("--overlay", arguments.overlay) if arguments.overlay else None
    inventory, model = segment_model(arguments.model)
    async with Connection(inventory) as connection:
        stub = segment_pb2_grpc.SegmentServiceStub(await connection.channel("segment"))
        reply: segment_pb2.SegmentImageResponse = await stub.SegmentImage(
            segment_pb2.SegmentImageRequest(
                model=model,
                image=images_pb2.Image(encoded=encoded),
                output_size=images_pb2.OUTPUT_SIZE_ORIGINAL,
                encoding=images_pb2.LABEL_ENCODING_PNG,
            ),
            timeout=TIMEOUT_SECONDS,
        )
        if overlay:
            described = await stub.GetModel(
                segment_pb2.GetModelRequest(model=reply.model), timeout=TIMEOUT_SECONDS
            )
            write_overlay(encoded, reply.labels.data, described.model, overlay)
    if output:
        output.write_bytes(reply.labels.data)
    if arguments.json:
        print_json(_as_json(reply))
    else:
        _print_table(reply)
    return Exit.DONE


def write_overlay(encoded: bytes, labels: bytes, model: models_pb2.Model, path: Path) -> None:
    """Writes the picture with each class in its colour laid over it."""
    overlay_picture(encoded, labels, model).save(path)


def overlay_picture(encoded: bytes, labels: bytes, model: models_pb2.Model) -> Image.Image:
    """The picture with each class in its colour laid over it."""
    import numpy as np  # noqa: PLC0415 - only this option needs them
    from PIL import Image, ImageOps  # noqa: PLC0415

    picture = ImageOps.exif_transpose(Image.open(io.BytesIO(encoded))).convert("RGB")
    ids = np.asarray(Image.open(io.BytesIO(labels)))
    palette = np.array(
        [[c.color >> 16 & 255, c.color >> 8 & 255, c.color & 255] for c in model.classes], np.uint8
    )
    return Image.blend(picture, Image.fromarray(palette[ids]), _OVERLAY_OPACITY)


def _as_json(reply: segment_pb2.SegmentImageResponse) -> dict[str, Any]:
    timings = {
        name: getattr(reply.timings, name).ToTimedelta().total_seconds()
        for name in ("decode", "queue", "compute", "post")
    }
    return {
        "model": {"name": reply.model.name, "digest": reply.model.digest},
        "height": reply.labels.height,
        "width": reply.labels.width,
        "classes": [
            {"id": c.class_id, "name": c.name, "pixels": c.pixels, "share": c.share}
            for c in reply.classes
        ],
        "seconds": timings,
    }


def _print_table(reply: segment_pb2.SegmentImageResponse) -> None:
    OUT.print(f"{reply.labels.width} x {reply.labels.height} pixels, {reply.model.name}")
    table = Table()
    table.add_column("class")
    table.add_column("id", justify="right")
    table.add_column("share", justify="right")
    for c in reply.classes:
        table.add_row(c.name, str(c.class_id), f"{c.share:.2%}")
    OUT.print(table)
