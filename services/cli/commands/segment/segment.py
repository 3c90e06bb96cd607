"""`assay segment`: label every pixel of an image, or of many."""

from __future__ import annotations

import argparse
import io
import json
import math
import re
import sys
from pathlib import Path
from typing import Any

import grpc
from assay_rpc.segment.v1 import images_pb2, segment_pb2, segment_pb2_grpc

from services.cli.absent import absent
from services.cli.arguments import add_format, output_file, pixel_size
from services.cli.commands.segment.inference import add_inference, inference
from services.cli.connections.connection import Connection
from services.cli.exits import Exit
from services.cli.models import segment_model
from services.cli.output.console import OUT, note_written, print_json, warn
from services.cli.output.grid import Column, Grid, Kind, show
from services.cli.result_files import write_result
from services.common.percent import percent
from services.errors import InvalidArgument

TIMEOUT_SECONDS = 120.0
_PICTURES = {
    ".jpg": images_pb2.PICTURE_FORMAT_JPEG,
    ".jpeg": images_pb2.PICTURE_FORMAT_JPEG,
    ".png": images_pb2.PICTURE_FORMAT_PNG,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description = (
        "Labels every pixel of IMAGE, and prints each class found with its share of the pixels. "
        "The labels equal those of Hugging Face's processor, model and post-processing. With "
        "--out, labels any number of images: writes the class ids of NAME.jpg to DIR/NAME.png "
        "and a summary of all images to DIR/summary.csv. Images that already have results are "
        "skipped."
    )
    parser.epilog = (
        "examples: assay segment photo.jpg --model out/b0 -o labels.png --overlay seen.jpg | "
        "assay segment photos --model out/b0 --out labels --overlay"
    )
    parser.add_argument(
        "images",
        metavar="IMAGE",
        nargs="*",
        help="a JPEG, PNG, WebP, AVIF, BMP, GIF or TIFF file; - reads one from stdin. With "
        "--out, also a folder, a pattern such as 'photos/**/*.jpg', or a URL (https, s3, "
        "gs) of a file or folder",
    )
    parser.add_argument("--out", metavar="DIR", help="folder for the results of many images")
    parser.add_argument(
        "--list",
        metavar="FILE",
        help="with --out: read the paths of images from FILE, one per line or each ended by NUL; "
        "- is stdin",
    )
    parser.add_argument(
        "--share",
        metavar="I/N",
        help="with --out: label only share I (0 to N - 1) of the images, so that N processes can "
        "work on one folder; a later run without --share writes one summary of all",
    )
    parser.add_argument(
        "--jsonl",
        action="store_true",
        help="with --out: print one JSON line per image instead of a table",
    )
    parser.add_argument(
        "--again",
        action="store_true",
        help="with --out: also label images that already have results",
    )
    parser.add_argument(
        "--model",
        metavar="DIR|NAME",
        help="a folder that `assay export` wrote, or a registered name; default: a running "
        "service's only model, else the demonstration model",
    )
    given_as = parser.add_mutually_exclusive_group()
    given_as.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="write the labels as a greyscale PNG whose pixel values are class ids",
    )
    given_as.add_argument(
        "--masks", metavar="FILE", help="write one mask per class to FILE, as JSON in COCO's format"
    )
    parser.add_argument(
        "--overlay",
        metavar="FILE",
        nargs="?",
        const="",
        help="write the image with its classes coloured to FILE, .jpg or .png; with --out, give "
        "no FILE: each overlay is written to DIR/NAME.overlay.jpg",
    )
    parser.add_argument(
        "--opacity",
        type=float,
        metavar="SHARE",
        help="opacity of the class colours in the overlay, above 0 and up to 1; default: 0.55",
    )
    parser.add_argument(
        "--confidence",
        metavar="FILE",
        help="write the labels' probabilities to FILE, a 16-bit greyscale PNG where 65535 is "
        "probability 1",
    )
    parser.add_argument(
        "--size",
        type=pixel_size,
        metavar="WxH",
        help="size of the outputs, width first; default: the image's size",
    )
    parser.add_argument(
        "--class",
        dest="classes",
        action="append",
        default=[],
        metavar="NAME|ID",
        help="label, count and colour only this class; repeatable; default: all",
    )
    add_inference(parser)
    add_format(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> Exit:
    """Segments one image, or many."""
    if arguments.out is not None:
        return await _run_many(arguments)
    for flag in ("list", "jsonl", "again", "share"):
        if getattr(arguments, flag):
            raise InvalidArgument(f"--{flag}", "goes with --out DIR")
    encoded = _read_one(arguments.images)
    if arguments.overlay == "":
        raise InvalidArgument("--overlay", "name the FILE to write")
    files = {
        option: output_file(flag, getattr(arguments, option))
        for option, flag in (
            ("output", "-o"),
            ("masks", "--masks"),
            ("overlay", "--overlay"),
            ("confidence", "--confidence"),
        )
        if getattr(arguments, option)
    }
    request = _request(arguments, encoded)
    inventory, model = segment_model(arguments.model)
    request.model.CopyFrom(model)
    async with Connection(inventory) as connection:
        stub = segment_pb2_grpc.SegmentServiceStub(await connection.channel("segment"))
        if arguments.classes:
            described = await stub.GetModel(
                segment_pb2.GetModelRequest(model=request.model), timeout=TIMEOUT_SECONDS
            )
            request.classes.extend(_class_ids(described, arguments.classes))
        try:
            reply: segment_pb2.SegmentImageResponse = await stub.SegmentImage(
                request, timeout=TIMEOUT_SECONDS
            )
        except grpc.aio.AioRpcError as error:
            if wrong := _with_file(error, arguments.images[0]):
                raise wrong from error
            raise
    for notice in reply.notices:
        warn(f"{arguments.images[0]}: {notice}")
    _write(reply, files)
    for file in files.values():
        note_written(file)
    if arguments.json:
        print_json(_as_json(reply))
    else:
        _print_table(reply)
    return Exit.DONE


def _with_file(error: grpc.aio.AioRpcError, image: str) -> InvalidArgument | None:
    """The error of a picture that the service refuses, with its file; None of any other error."""
    found = re.match(r"image[\w.]*: ", error.details() or "")
    if found is None or error.code() is not grpc.StatusCode.INVALID_ARGUMENT:
        return None
    file = "standard input" if image == "-" else image
    return InvalidArgument(file, (error.details() or "")[found.end() :])


def _read_one(images: list[str]) -> bytes:
    """The only picture's file. Raises InvalidArgument, OSError."""
    if len(images) != 1:
        raise InvalidArgument("IMAGE", f"{len(images)} of them: give one, or --out DIR for many")
    (image,) = images
    if image == "-":
        return sys.stdin.buffer.read()
    if Path(image).is_dir():
        raise InvalidArgument("IMAGE", f"{image} is a folder: give --out DIR for its pictures")
    if "://" in image:
        raise InvalidArgument("IMAGE", f"{image} is a URL: download it, or give --out DIR")
    if not Path(image).exists():
        raise FileNotFoundError(f"IMAGE: {absent(image)}")
    return Path(image).read_bytes()


async def _run_many(arguments: argparse.Namespace) -> Exit:
    from services.cli.commands.segment.segment_many import segment_many  # noqa: PLC0415  # only this way
    from services.cli.find_pictures import refuse_all_absent  # noqa: PLC0415  # only this way

    for flag, value in (
        ("-o", arguments.output),
        ("--masks", arguments.masks),
        ("--confidence", arguments.confidence),
        ("--opacity", arguments.opacity),
        ("--json", arguments.json),
    ):
        if value:
            raise InvalidArgument(flag, "is for one picture; leave --out out")
    if arguments.overlay:
        raise InvalidArgument(
            "--overlay", f"takes no file with --out: put {arguments.overlay} first"
        )
    if "-" in arguments.images:
        raise InvalidArgument("IMAGE", "- is one picture; a list of paths on stdin is --list -")
    if not arguments.images and arguments.list is None:
        raise InvalidArgument("IMAGE", "give files or folders, or --list FILE")
    refuse_all_absent(arguments.images)  # if only some are absent, the others are labelled
    inventory, model = segment_model(arguments.model)
    async with Connection(inventory) as connection:
        channel = await connection.channel("segment")
        stub = segment_pb2_grpc.SegmentServiceStub(channel)
        described = await stub.GetModel(
            segment_pb2.GetModelRequest(model=model), timeout=TIMEOUT_SECONDS
        )
        classes = _class_ids(described, arguments.classes)
        return await segment_many(arguments, channel, described.model, classes)


def _request(arguments: argparse.Namespace, encoded: bytes) -> segment_pb2.SegmentImageRequest:
    """The options' request, without the model and the classes."""
    encoding = images_pb2.LABEL_ENCODING_NONE
    if arguments.output:
        encoding = images_pb2.LABEL_ENCODING_PNG
    elif arguments.masks:
        encoding = images_pb2.LABEL_ENCODING_COCO_RLE
    request = segment_pb2.SegmentImageRequest(
        image=images_pb2.Image(encoded=encoded),
        output_size=images_pb2.OUTPUT_SIZE_ORIGINAL,
        encoding=encoding,
        top_k=1 if arguments.confidence else 0,
        inference=inference(arguments),
        threshold=arguments.threshold,
    )
    if arguments.size:
        request.output_size = images_pb2.OUTPUT_SIZE_GIVEN
        request.size.width, request.size.height = arguments.size
    if arguments.overlay:
        suffix = Path(arguments.overlay).suffix.lower()
        if suffix not in _PICTURES:
            raise InvalidArgument("--overlay", f"{arguments.overlay} is neither .jpg nor .png")
        request.overlay.format = _PICTURES[suffix]
        if arguments.opacity is not None:
            request.overlay.opacity = arguments.opacity
    elif arguments.opacity is not None:
        raise InvalidArgument("--opacity", "it is the overlay's: give --overlay FILE as well")
    return request


def _class_ids(described: segment_pb2.GetModelResponse, wanted: list[str]) -> list[int]:
    """The ids of classes given by name or id; several classes may share a name."""
    classes = described.model.classes
    found: list[int] = []
    for name in wanted:
        ids = [item.id for item in classes if item.name == name]
        ids = ids or [item.id for item in classes if str(item.id) == name]
        if not ids:
            known = ", ".join(item.name for item in classes[:10])
            more = ", ..." if len(classes) > 10 else ""
            raise InvalidArgument("--class", f"{name} is not a class of the model: {known}{more}")
        found += ids
    return found


def _write(reply: segment_pb2.SegmentImageResponse, files: dict[str, Path]) -> None:
    """Writes the files that the options name."""
    if "output" in files:
        write_result(files["output"], reply.labels.data)
    if "masks" in files:
        write_result(files["masks"], json.dumps(_masks(reply), indent=1) + "\n")
    if "overlay" in files:
        write_result(files["overlay"], reply.overlay.data)
    if "confidence" in files:
        write_result(files["confidence"], _confidence(reply.top_classes))


def _masks(reply: segment_pb2.SegmentImageResponse) -> list[dict[str, Any]]:
    """Each class's mask in the JSON form that pycocotools reads."""
    names = {item.class_id: item.name for item in reply.classes}
    size = [reply.labels.height, reply.labels.width]
    return [
        {
            "category_id": mask.class_id,
            "category": names[mask.class_id],
            "area": mask.area,
            "segmentation": {"size": size, "counts": mask.counts.decode("ascii")},
        }
        for mask in reply.labels.masks
    ]


def _confidence(top: images_pb2.TopClasses) -> bytes:
    """The first plane of probabilities, as a PNG."""
    import numpy as np  # noqa: PLC0415 - only this option needs them
    import zstandard  # noqa: PLC0415
    from PIL import Image  # noqa: PLC0415

    nbytes = 2 * math.prod((top.k, top.height, top.width))
    raw = zstandard.ZstdDecompressor().decompress(top.probabilities, max_output_size=nbytes)
    plane = np.frombuffer(raw, "<u2").reshape(top.k, top.height, top.width)[0]
    file = io.BytesIO()
    Image.fromarray(plane.astype(np.uint16)).save(file, "PNG")
    return file.getvalue()


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
        "notices": list(reply.notices),
    }


def _print_table(reply: segment_pb2.SegmentImageResponse) -> None:
    OUT.print(f"{reply.labels.width} x {reply.labels.height} pixels, {reply.model.name}")
    table = Grid("", [Column("class", Kind.NAME), Column("id"), Column("share")])
    for c in reply.classes:
        table.add(c.name, str(c.class_id), f"{percent(c.share, 2)}")
    show(table)
