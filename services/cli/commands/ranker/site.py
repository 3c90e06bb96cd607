"""`assay site`: every page of a ranker as a folder of files."""

from __future__ import annotations

import argparse
from pathlib import Path

from assay_rpc.ranker.v1 import ranker_pb2_grpc

from services.cli.connections.connection import Connection
from services.cli.connections.inventory import Inventory
from services.cli.exits import Exit
from services.cli.output.console import note
from services.cli.pages import templates
from services.errors import InvalidArgument
from services.ranker.web.reads import Reads, of_stub

TIMEOUT_SECONDS = 60.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description = (
        "Writes the ranker's pages to a folder, from stored evidence: leaderboards, artifacts, "
        "comparisons, claims, evidence and the methodology. Comparisons are of artifacts of one "
        "type, and of those that a registered page compares. The pages need no server and load "
        "nothing from other sites. Existing pages of the same name are replaced."
    )
    parser.epilog = "example: assay site --out public"
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write the pages to")
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> Exit:
    """Writes the pages."""
    folder = Path(arguments.out)
    if folder.exists() and not folder.is_dir():
        raise InvalidArgument("--out", f"{folder} is a file; name a folder")
    templates("assay site")
    from services.ranker.web.site import write  # noqa: PLC0415 - of the page extra

    async with Connection(Inventory(), measures=False) as connection:
        stub = ranker_pb2_grpc.RankerServiceStub(await connection.channel("ranker"))
        written = await write(Reads(of_stub(stub, TIMEOUT_SECONDS)), folder, note)
    note(
        f"{written.files:,} pages, {written.size / 1e6:.1f} MB; begin with {folder / 'index.html'}"
    )
    return Exit.DONE
