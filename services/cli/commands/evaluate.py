"""`assay evaluate`: how well a model's labels agree with masks."""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from assay_rpc.common.v1 import common_pb2
from assay_rpc.segment.v1 import images_pb2, segment_pb2, segment_pb2_grpc
from rich.table import Table

from services.cli.arguments import add_json, count, segment_model
from services.cli.connection import Connection
from services.cli.exits import Exit
from services.cli.inventory import existing_folder
from services.cli.output.console import ERR, OUT, print_json
from services.cli.output.messages import plain
from services.errors import InternalError, InvalidArgument

_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
Pair = tuple[Path, Path]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description = (
        "Compares a model's labels with masks, as mmsegmentation defines mIoU, mAcc and aAcc. "
        "The mask of IMAGES/NAME.jpg is MASKS/NAME.png: greyscale or palette, of the image's "
        "size, its stored values being class ids."
    )
    parser.epilog = "example: assay evaluate images annotations --zero-is-none --model out/b0"
    parser.add_argument("images", metavar="IMAGES", help="a folder of pictures")
    parser.add_argument("masks", metavar="MASKS", help="the folder of their masks")
    parser.add_argument(
        "--model",
        metavar="DIR|NAME",
        help="a folder that `assay export` wrote, or a registered name; without it the only "
        "one of a running service, or else the demonstration model",
    )
    parser.add_argument(
        "--zero-is-none",
        action="store_true",
        help="0 is no class and others are a class id plus one, as in ADE20K's masks",
    )
    parser.add_argument(
        "--ignore",
        type=count,
        metavar="VALUE",
        help="the value of pixels that are left out; without it 255 and, in 16 bits, 65535",
    )
    add_json(parser)
    parser.set_defaults(run=run)


_FIGURES: Mapping[str, Literal["mean_iou", "mean_accuracy", "pixel_accuracy"]] = {
    "mIoU": "mean_iou",
    "mAcc": "mean_accuracy",
    "aAcc": "pixel_accuracy",
}


async def run(arguments: argparse.Namespace) -> Exit:
    """Evaluates one model."""
    pairs = find_pairs(
        existing_folder("IMAGES", arguments.images), existing_folder("MASKS", arguments.masks)
    )
    inventory, model = segment_model(arguments.model)
    async with Connection(inventory) as connection:
        stub = segment_pb2_grpc.SegmentServiceStub(await connection.channel("segment"))
        reply = await _evaluated(stub, _messages(arguments, model, pairs), len(pairs))
    if arguments.json:
        print_json(plain(reply))
    else:
        _print_table(reply)
    return Exit.DONE


async def _evaluated(
    stub: segment_pb2_grpc.SegmentServiceAsyncStub,
    messages: AsyncIterator[segment_pb2.EvaluateSegmentationRequest],
    pairs: int,
) -> segment_pb2.EvaluationResult:
    """Follow an evaluation on stderr; return its result."""
    with ERR.status("evaluating") as status:
        async for update in stub.EvaluateSegmentation(messages):
            if update.HasField("result"):
                return update.result
            status.update(f"evaluated {update.progress.done} of {pairs} pictures")
    raise InternalError("the evaluation ended without a result; see the segment service's log")


def find_pairs(images: Path, masks: Path) -> list[Pair]:
    """Every picture of `images`, by name, with its mask. Raises FileNotFoundError, InvalidArgument.

    A picture without a mask is an error: an evaluation of less than was meant misleads.
    """
    pictures = sorted(path for path in images.iterdir() if path.suffix.lower() in _SUFFIXES)
    if not pictures:
        raise InvalidArgument("IMAGES", f"no picture in {images}")
    pairs = [(picture, masks / f"{picture.stem}.png") for picture in pictures]
    for (before, _), (after, mask) in zip([(Path(), Path()), *pairs], pairs, strict=False):
        if before.stem == after.stem:
            raise InvalidArgument("IMAGES", f"{before.name} and {after.name} have one mask")
        if not mask.is_file():
            raise FileNotFoundError(f"{after.name} has no mask: {mask} is not there")
    return pairs


async def _messages(
    arguments: argparse.Namespace, model: common_pb2.ModelRef, pairs: Sequence[Pair]
) -> AsyncIterator[segment_pb2.EvaluateSegmentationRequest]:
    zero_is_none = segment_pb2.MASK_VALUES_ZERO_IS_NONE
    yield segment_pb2.EvaluateSegmentationRequest(
        settings=segment_pb2.EvaluationSettings(
            model=model,
            mask_values=zero_is_none
            if arguments.zero_is_none
            else segment_pb2.MASK_VALUES_CLASS_IDS,
            ignore=arguments.ignore,
        )
    )
    for picture, mask in pairs:
        yield segment_pb2.EvaluateSegmentationRequest(
            pair=segment_pb2.EvaluationPair(
                image=images_pb2.Image(encoded=picture.read_bytes()), encoded=mask.read_bytes()
            )
        )


def _print_table(reply: segment_pb2.EvaluationResult) -> None:
    OUT.print(
        f"{reply.model.name}: "
        + ", ".join(
            f"{name} {getattr(reply, field):.2%}" if reply.HasField(field) else f"{name} unknown"
            for name, field in _FIGURES.items()
        ),
        markup=False,
    )
    OUT.print(
        f"{reply.pairs} pictures, {reply.pixels:,} pixels, {reply.ignored_pixels:,} left out",
        markup=False,
    )
    table = Table()
    table.add_column("class")
    for name in ("id", "IoU", "accuracy", "pixels"):
        table.add_column(name, justify="right")
    for item in reply.classes:
        if item.mask_pixels or item.predicted_pixels:
            accuracy = f"{item.accuracy:.2%}" if item.HasField("accuracy") else ""
            shown = f"{item.iou:.2%}", accuracy, f"{item.mask_pixels:,}"
            table.add_row(item.name, str(item.class_id), *shown)
    OUT.print(table)
