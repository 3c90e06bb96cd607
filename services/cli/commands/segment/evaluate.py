"""`assay evaluate`: how well a model's labels agree with masks."""

from __future__ import annotations

import argparse
import asyncio
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import grpc
from assay_rpc.channel import connect
from assay_rpc.common.v1 import common_pb2
from assay_rpc.connection import Connection as RpcConnection
from assay_rpc.segment.v1 import images_pb2, segment_pb2, segment_pb2_grpc

from services.cli.arguments import add_format, count
from services.cli.commands.segment.inference import add_inference, inference
from services.cli.connections.connection import Connection
from services.cli.connections.inventory import existing_folder
from services.cli.exits import Exit
from services.cli.find_pictures import SUFFIXES
from services.cli.models import segment_model
from services.cli.output.console import OUT, print_json, warn
from services.cli.output.grid import Column, Grid, Kind, show
from services.cli.output.messages import plain
from services.cli.output.progress import working
from services.common.counts import plural
from services.common.percent import percent
from services.errors import AssayError, InternalError, InvalidArgument

Pair = tuple[Path, Path]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description = (
        "Compares a model's labels with masks, and prints mIoU, mAcc and aAcc as mmsegmentation "
        "defines them. The mask of IMAGES/NAME.jpg is MASKS/NAME.png: a greyscale or palette "
        "image of the same size whose stored values are class ids."
    )
    parser.epilog = "example: assay evaluate images annotations --zero-is-none --model out/b0"
    parser.add_argument("images", metavar="IMAGES", help="folder of images")
    parser.add_argument("masks", metavar="MASKS", help="folder of their masks")
    parser.add_argument(
        "--model",
        metavar="DIR|NAME",
        help="a folder that `assay export` wrote, or a registered name; default: a running "
        "service's only model, else the demonstration model",
    )
    parser.add_argument(
        "--zero-is-none",
        action="store_true",
        help="the masks store class id + 1, and 0 for no class, as ADE20K's do; default: they "
        "store class ids",
    )
    parser.add_argument(
        "--ignore",
        type=count,
        metavar="VALUE",
        help="mask value of pixels to ignore; default: 255, or 65535 in 16-bit masks",
    )
    parser.add_argument(
        "--worst",
        type=count,
        default=5,
        metavar="N",
        help="list the N images with the lowest mean IoU; default: 5",
    )
    add_inference(parser)
    add_format(parser)
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
    each: list[segment_pb2.PairResult] = []
    names = [picture.name for picture, _ in pairs]
    async with Connection(inventory) as connection:
        to = await connection.to("segment")
        try:
            reply = await _evaluated(to, _messages(arguments, model, pairs), pairs, each)
        except (AssayError, grpc.RpcError, OSError):
            if each:
                _show_unfinished(worst_first(names, each), len(pairs), as_json=arguments.json)
            raise
    advice = shift_advice(reply, zero_is_none=arguments.zero_is_none)
    if advice:
        warn(advice)
    pictures = worst_first(names, each)
    if arguments.json:
        print_json(plain(reply) | {"pictures": pictures, "advice": advice})
    else:
        _print_table(reply)
        if len(pairs) > 1:
            _print_worst(pictures[: arguments.worst])
    return Exit.DONE


async def _evaluated(
    to: RpcConnection,
    messages: Iterator[segment_pb2.EvaluateSegmentationRequest],
    pairs: Sequence[Pair],
    each: list[segment_pb2.PairResult],
) -> segment_pb2.EvaluationResult:
    """Follow an evaluation on stderr; return its result. The pairs' results go to `each`.

    Raises InvalidArgument with the file of a picture or mask that the service refuses.
    """
    # Not grpc.aio: if the server ends a call while the client still sends, it says "Internal error
    # from Core" instead of the server's reason.
    with connect(to) as channel, working(f"evaluating {plural(len(pairs), 'picture')}") as status:
        call = segment_pb2_grpc.SegmentServiceStub(channel).EvaluateSegmentation(messages)
        try:
            while (update := await asyncio.to_thread(next, call, None)) is not None:
                if update.HasField("result"):
                    return update.result
                if update.HasField("pair"):
                    each.append(update.pair)
                status.update(f"evaluated {len(each)} of {len(pairs)} pictures")
        except grpc.RpcError as error:
            if isinstance(error, grpc.Call) and (wrong := with_file(error.details() or "", pairs)):
                raise wrong from error
            raise
        finally:
            call.cancel()
    raise InternalError("the evaluation ended without a result; see the segment service's log")


# By how much, and by what factor, agreement must rise with shifted masks to suggest a shift.
_FAR, _TIMES = 0.1, 2.0


def shift_advice(reply: segment_pb2.EvaluationResult, *, zero_is_none: bool) -> str | None:
    """Say what to try if the masks' values seem to be one class off; else None."""
    here = reply.pixel_accuracy
    shifted, how = reply.pixel_accuracy_one_lower, "lower"
    remedy = "0 seems to be no class, as in ADE20K's masks: try --zero-is-none"
    if zero_is_none:
        shifted, how = reply.pixel_accuracy_one_higher, "higher"
        remedy = "their values seem to be class ids: try it without --zero-is-none"
    elif reply.pixel_accuracy_one_higher > shifted:
        shifted, how = reply.pixel_accuracy_one_higher, "higher"
        remedy = "the model may have a background class 0 that they leave out"
    if shifted < here + _FAR or shifted < _TIMES * here:
        return None
    return (
        f"{percent(here, 1)} of the labels agree, and {percent(shifted, 1)} would if every value "
        f"of the masks were one {how}: {remedy}"
    )


def worst_first(
    names: Sequence[str], each: Sequence[segment_pb2.PairResult]
) -> list[dict[str, Any]]:
    """The figures of every picture, by mean IoU; pictures without counted pixels come last."""
    pictures = [
        {
            "picture": names[pair.index],
            "mean_iou": pair.mean_iou if pair.HasField("mean_iou") else None,
            "pixel_accuracy": pair.pixel_accuracy if pair.HasField("pixel_accuracy") else None,
            "pixels": pair.pixels,
            "ignored_pixels": pair.ignored_pixels,
        }
        for pair in each
    ]
    return sorted(
        pictures, key=lambda one: math.inf if one["mean_iou"] is None else one["mean_iou"]
    )


def find_pairs(images: Path, masks: Path) -> list[Pair]:
    """Every picture of `images`, by name, with its mask. Raises FileNotFoundError, InvalidArgument.

    A picture without a mask is an error, as in mmsegmentation: evaluating fewer pictures than
    intended misleads. The error names all of them before any is labelled. Masks without a picture
    are ignored, so one folder of masks serves several splits.
    """
    pictures = sorted(path for path in images.iterdir() if path.suffix.lower() in SUFFIXES)
    if not pictures:
        raise InvalidArgument("IMAGES", f"no picture in {images}")
    pairs = [(picture, masks / f"{picture.stem}.png") for picture in pictures]
    for (before, _), (after, _) in zip([(Path(), Path()), *pairs], pairs, strict=False):
        if before.stem == after.stem:
            raise InvalidArgument("IMAGES", f"{before.name} and {after.name} have one mask")
    bare = [picture.name for picture, mask in pairs if not mask.is_file()]
    if bare:
        more = f" and {len(bare) - _NAMED:,} more" if len(bare) > _NAMED else ""
        raise FileNotFoundError(
            f"no mask in {masks} for {len(bare):,} of {plural(len(pairs), 'image')}: "
            f"{', '.join(bare[:_NAMED])}{more}; each needs a mask NAME.png. Add the masks, or give "
            "a folder with only the images that have one"
        )
    return pairs


_NAMED = 5
_OF_PAIR = re.compile(r"pairs\[(?P<index>\d+)\]\.(?P<part>image|mask)[\w.]*: ")


def with_file(message: str, pairs: Sequence[Pair]) -> InvalidArgument | None:
    """The error for a service's message about a pair, with its file; None for other messages."""
    found = _OF_PAIR.match(message)
    if found is None:
        return None
    picture, mask = pairs[int(found["index"])]
    file = picture if found["part"] == "image" else mask
    return InvalidArgument(str(file), message[found.end() :])


def _messages(
    arguments: argparse.Namespace, model: common_pb2.ModelRef, pairs: Sequence[Pair]
) -> Iterator[segment_pb2.EvaluateSegmentationRequest]:
    zero_is_none = segment_pb2.MASK_VALUES_ZERO_IS_NONE
    yield segment_pb2.EvaluateSegmentationRequest(
        settings=segment_pb2.EvaluationSettings(
            model=model,
            mask_values=zero_is_none
            if arguments.zero_is_none
            else segment_pb2.MASK_VALUES_CLASS_IDS,
            ignore=arguments.ignore,
            pair_results=True,
            inference=inference(arguments),
            threshold=arguments.threshold,
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
            f"{name} {percent(getattr(reply, field), 2)}"
            if reply.HasField(field)
            else f"{name} unknown"
            for name, field in _FIGURES.items()
        ),
        markup=False,
    )
    OUT.print(
        f"{plural(reply.pairs, 'picture')}, {plural(reply.pixels, 'pixel')}, "
        f"{reply.ignored_pixels:,} left out",
        markup=False,
    )
    table = Grid(
        "",
        [
            Column("class", Kind.NAME),
            Column("id", spare=1),
            *map(Column, ("IoU", "accuracy", "pixels")),
        ],
    )
    for item in reply.classes:
        if item.mask_pixels or item.predicted_pixels:
            accuracy = f"{percent(item.accuracy, 2)}" if item.HasField("accuracy") else ""
            shown = f"{percent(item.iou, 2)}", accuracy, f"{item.mask_pixels:,}"
            table.add(item.name, str(item.class_id), *shown)
    show(table)


def _show_unfinished(pictures: Sequence[Mapping[str, Any]], total: int, *, as_json: bool) -> None:
    """The figures of the pictures that were evaluated before an error ended the evaluation."""
    warn(f"not finished: {len(pictures):,} of {plural(total, 'picture')} evaluated")
    if as_json:
        print_json({"pictures": list(pictures)})
    else:
        _print_worst(pictures)


def _print_worst(pictures: Sequence[Mapping[str, Any]]) -> None:
    if not pictures:
        return
    table = Grid("lowest mean IoU", [Column("picture", Kind.NAME), Column("mIoU"), Column("aAcc")])
    for one in pictures:
        shown = (one["mean_iou"], one["pixel_accuracy"])
        table.add(one["picture"], *("unknown" if x is None else f"{percent(x, 2)}" for x in shown))
    show(table)
