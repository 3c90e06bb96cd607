"""`assay register`: check a manifest, and register the artifact that it describes."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from assay.ranker.v1 import admin_pb2 as pb
from assay.ranker.v1 import admin_pb2_grpc

from services.cli.arguments import add_json
from services.cli.connection import Connection
from services.cli.exits import Exit
from services.cli.inventory import Inventory
from services.cli.output.console import OUT, print_json
from services.cli.output.messages import plain

TIMEOUT_SECONDS = 60.0


def add_parser(commands: Any) -> None:
    """Adds the command to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "register",
        help="check a manifest and register its artifact",
        description=(
            "Registers the artifact that MANIFEST, a YAML file, describes: its capabilities, and "
            "what is claimed of it with the tolerances that decide. Says everything that is wrong "
            "with it, and what could be better. docs/manifests.md has the format."
        ),
        epilog="example: assay register thing.yaml --check",
    )
    parser.add_argument("manifest", metavar="MANIFEST", type=Path)
    parser.add_argument("--check", action="store_true", help="only check it")
    add_json(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> Exit:
    """Checks, and registers unless told not to or something is wrong."""
    content = arguments.manifest.read_bytes()
    async with Connection(Inventory()) as connection:
        stub = admin_pb2_grpc.RankerAdminServiceStub(await connection.channel("ranker"))
        checked = await stub.ValidateManifest(
            pb.ValidateManifestRequest(manifest=content), timeout=TIMEOUT_SECONDS
        )
        document = plain(checked)
        registered = ""
        if checked.valid and not arguments.check:
            reply = await stub.RegisterArtifact(
                pb.RegisterArtifactRequest(manifest=content), timeout=TIMEOUT_SECONDS
            )
            registered = f"{reply.artifact.id}, version {reply.version}: registered"
            document["registered"] = {"id": reply.artifact.id, "version": reply.version}
    if arguments.json:
        print_json(document)
    else:
        _show("error", "red", checked.errors)
        _show("warning", "yellow", checked.warnings)
        OUT.print(registered or ("it is valid" if checked.valid else "it is not valid"))
    return Exit.DONE if checked.valid else Exit.BAD_INPUT


def _show(kind: str, style: str, findings: Iterable[pb.ManifestFinding]) -> None:
    for one in findings:
        OUT.print(f"{kind}: {one.place}: {one.message}", style=style, markup=False, soft_wrap=True)
