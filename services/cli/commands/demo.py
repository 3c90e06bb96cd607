"""`assay demo`: the main job, end to end.

Starts three services, segments one picture, scores a language model, and has the ranker call both
services to measure the claims of a comparison page. With the real data (see `testdata`) it uses
real weights and real documents; otherwise the reference models and a corpus built from Python's own
sources, which decide no claim about the real models.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from assay_rpc.common.v1 import common_pb2
from assay_rpc.corpus.v1 import scoring_pb2, scoring_pb2_grpc, selection_pb2
from assay_rpc.ranker.v1 import compare_pb2, ranker_pb2_grpc, verification_pb2
from assay_rpc.segment.v1 import images_pb2, segment_pb2, segment_pb2_grpc
from rich.text import Text

from services.cli.commands.bpb import score
from services.cli.commands.ranker.claims import verify
from services.cli.connections.connection import Connection
from services.cli.connections.inventory import Inventory, home, licenses_of
from services.cli.exits import Exit
from services.cli.output import comparison, score_output
from services.cli.output.console import OUT, note
from services.cli.result_files import write_result
from services.cli.testdata import data_dir
from services.common.percent import percent
from services.segment.export.command import export_checkpoint, export_random

if TYPE_CHECKING:
    from PIL import Image

LEFT, RIGHT = "segformer-b4-finetuned-ade-512-512", "the-pile"
PAGE = "page"  # the page that compares the two
REAL_MODEL, RANDOM_MODEL = "segformer-b0-finetuned-ade-512-512", "segformer-b4-random"
REAL_LANGUAGE_MODEL = "tinystories-656k"
_SCORED_BYTES = 60_000
# The real language model's tokenizer loses tabs, accents and other scripts; in these subsets some
# documents contain none.
_PLAIN_SUBSETS = ("NIH ExPorter", "PubMed Abstracts", "USPTO Backgrounds")
_PICTURE_SEED = 1
_PICTURE_SIZE = (480, 640)
_TIMEOUT_SECONDS = 300.0
_UPPER_HALF = "▀"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description = (
        "Starts the three services, segments an image, scores a language model, verifies "
        f"the claims about {LEFT} and {RIGHT}, and compares the two. ASSAY_TEST_DATA names "
        "a folder with real weights and documents; default: the reference models."
    )
    parser.set_defaults(run=run)


async def run(_: argparse.Namespace) -> Exit:
    """Runs the demo."""
    began = time.monotonic()
    data = data_dir()
    subsets: Sequence[str] = ()
    if data and not find_spec("torch"):
        note(f"real data found in {data}, but torch is not installed: make setup-torch")
        data = None
    if data:
        note(f"real data found: {data}")
        inventory = _real_inventory(data)
        inventory.keep()
        model, language_model, corpus = REAL_MODEL, REAL_LANGUAGE_MODEL, RIGHT
        subsets = _PLAIN_SUBSETS
    else:
        note(
            "no real data (ASSAY_TEST_DATA can name some): using the small reference models and a "
            "corpus made of Python's own sources and documentation. They show that everything "
            "works, and decide no claim about the real model or dataset."
        )
        inventory = Inventory()
        model, language_model, corpus = "segformer-reference", "byte-reference", "python-reference"
    async with Connection(inventory) as connection:
        await connection.channel("ranker")
        await _segment(connection, model)
        await _score(connection, language_model, corpus, subsets)
        await _compare(connection)
    note(
        f"done in {time.monotonic() - began:.0f} s; evidence and pictures are in {home()}\n"
        f"to decide a claim again: assay claims {RIGHT} --claim {'P4.2' if data else 'P1.3'}"
    )
    return Exit.DONE


def _real_inventory(data: Path) -> Inventory:
    """The real models and documents, exported on the first run."""
    models = home() / "models"
    if not (models / REAL_MODEL).is_dir() or not (models / RANDOM_MODEL).is_dir():
        note("exporting the models to ONNX; this happens once")
        if not (models / REAL_MODEL).is_dir():
            checkpoint = data / "segformer" / "b0-ade"
            export_checkpoint(checkpoint, models / REAL_MODEL, name=REAL_MODEL, progress=note)
        if not (models / RANDOM_MODEL).is_dir():
            export_random("b4", 0, models / RANDOM_MODEL, progress=note)
    folders = [models / REAL_MODEL, models / RANDOM_MODEL]
    return Inventory(
        models=folders,
        corpora={
            RIGHT: {
                "path": str(data / "pile"),
                "kind": "sample",
                "source": "documents of The Pile's test split, 17 of its 22 subsets",
            }
        },
        language_models={REAL_LANGUAGE_MODEL: data / "lm" / REAL_LANGUAGE_MODEL},
        accepted_licenses=licenses_of(folders),
    )


async def _segment(connection: Connection, model: str) -> None:
    from PIL import Image  # noqa: PLC0415 - of the segment extra

    from services.segment.reference.scenes.draw import draw_scene  # noqa: PLC0415

    rgb, _ = draw_scene(_PICTURE_SEED, *_PICTURE_SIZE)
    scene = io.BytesIO()
    Image.fromarray(rgb).save(scene, "PNG")
    stub = segment_pb2_grpc.SegmentServiceStub(await connection.channel("segment"))
    reply = await stub.SegmentImage(
        segment_pb2.SegmentImageRequest(
            model=common_pb2.ModelRef(name=model),
            image=images_pb2.Image(encoded=scene.getvalue()),
            encoding=images_pb2.LABEL_ENCODING_NONE,
            overlay=images_pb2.OverlayOptions(format=images_pb2.PICTURE_FORMAT_PNG),
        ),
        timeout=_TIMEOUT_SECONDS,
    )
    seen = Image.open(io.BytesIO(reply.overlay.data))
    beside = Image.new("RGB", (2 * seen.width, seen.height))
    beside.paste(Image.fromarray(rgb), (0, 0))
    beside.paste(seen, (seen.width, 0))
    path = home() / "demo-segmented.png"
    beside.save(path)
    shares = ", ".join(f"{c.name} {percent(c.share)}" for c in reply.classes[:6])
    if OUT.is_terminal:
        OUT.print(_terminal_picture(beside, min(OUT.width, 100)))
    OUT.print(f"{model} sees {shares}\na synthetic test scene, segmented: {path}\n")


async def _score(connection: Connection, model: str, corpus: str, subsets: Sequence[str]) -> None:
    stub = scoring_pb2_grpc.ScoringServiceStub(await connection.channel("corpus"))
    request = scoring_pb2.ScoreBPBRequest(
        corpus=selection_pb2.CorpusRef(name=corpus),
        selection=selection_pb2.Selection(
            splits=["test"], subsets=subsets, max_bytes=_SCORED_BYTES
        ),
        model=common_pb2.ModelRef(name=model),
    )
    score_output.show_score(await score.follow(stub.ScoreBPB(request, timeout=_TIMEOUT_SECONDS)))


async def _compare(connection: Connection) -> None:
    channel = await connection.channel("ranker")
    for subject in (LEFT, RIGHT, PAGE):
        await verify(channel, subject, [], verification_pb2.EFFORT_QUICK)
    stub = ranker_pb2_grpc.RankerServiceStub(channel)
    request = compare_pb2.CompareRequest(left=LEFT, right=RIGHT)
    reply = await stub.Compare(request, timeout=_TIMEOUT_SECONDS)
    comparison.show(reply)
    if find_spec("jinja2"):
        from services.ranker.web.report import report  # noqa: PLC0415 - of the page extra

        page = home() / "demo-comparison.html"
        write_result(page, report(reply))
        note(f"the same as a page: {page}")


def _terminal_picture(picture: Image.Image, columns: int) -> Text:
    """The picture drawn in half blocks, two pixels a character, `columns` wide."""
    from PIL import Image  # noqa: PLC0415 - of the segment extra

    rows = max(1, round(picture.height * columns / picture.width / 2)) * 2
    small = picture.convert("RGB").resize((columns, rows), Image.Resampling.BOX)
    text = Text(no_wrap=True)
    for y in range(0, rows, 2):
        for x in range(columns):
            upper, lower = (_hex(small, x, y + half) for half in (0, 1))
            text.append(_UPPER_HALF, style=f"{upper} on {lower}")
        text.append("\n")
    return text


def _hex(picture: Image.Image, x: int, y: int) -> str:
    pixel = picture.getpixel((x, y))
    assert isinstance(pixel, tuple)  # noqa: S101 - an RGB picture's pixel is one
    red, green, blue = (int(channel) for channel in pixel)
    return f"#{red:02x}{green:02x}{blue:02x}"
