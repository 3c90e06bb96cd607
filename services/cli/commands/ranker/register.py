"""`assay register`: check a manifest, and register the artifact that it describes."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import grpc
from assay_rpc.ranker.v1 import admin_pb2, admin_pb2_grpc

from services.cli.arguments import add_json
from services.cli.connections.connection import Connection
from services.cli.connections.inventory import Inventory
from services.cli.exits import Exit
from services.cli.output.console import OUT, print_json
from services.cli.output.messages import plain
from services.errors import InvalidArgument

TIMEOUT_SECONDS = 60.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description = (
        "Registers the artifact or page that the YAML file MANIFEST describes: its capabilities, "
        "and the claims about it with the tolerances that decide them. Lists every error in the "
        "manifest, and suggests improvements. docs/manifests.md describes the format."
    )
    parser.epilog = "example: assay register thing.yaml --check"
    parser.add_argument("manifest", metavar="MANIFEST", type=Path, help="a YAML file")
    parser.add_argument(
        "--check", action="store_true", help="check the manifest, and register nothing"
    )
    add_json(parser)
    parser.set_defaults(run=run)


async def register(channel: grpc.aio.Channel, manifest: Path) -> None:
    """Register a manifest. Raises InvalidArgument with all of its errors."""
    content = manifest.read_bytes()
    stub = admin_pb2_grpc.RankerAdminServiceStub(channel)
    checked = await stub.ValidateManifest(
        admin_pb2.ValidateManifestRequest(manifest=content), timeout=TIMEOUT_SECONDS
    )
    if not checked.valid:
        first, *others = [(one.place, one.message) for one in checked.errors]
        raise InvalidArgument(*first, *others)
    await stub.RegisterManifest(
        admin_pb2.RegisterManifestRequest(manifest=content), timeout=TIMEOUT_SECONDS
    )


async def run(arguments: argparse.Namespace) -> Exit:
    """Checks a manifest, and registers it if it is valid and `--check` is not given."""
    content = arguments.manifest.read_bytes()
    async with Connection(Inventory(), measures=False) as connection:
        stub = admin_pb2_grpc.RankerAdminServiceStub(await connection.channel("ranker"))
        checked = await stub.ValidateManifest(
            admin_pb2.ValidateManifestRequest(manifest=content), timeout=TIMEOUT_SECONDS
        )
        document = plain(checked)
        registered = ""
        if checked.valid and not arguments.check:
            reply = await stub.RegisterManifest(
                admin_pb2.RegisterManifestRequest(manifest=content), timeout=TIMEOUT_SECONDS
            )
            found = reply.page if reply.HasField("page") else reply.artifact
            done = "withdrawn" if found.HasField("withdrawal") else "registered"
            registered = f"{found.id}, version {reply.version}: {done}"
            document["registered"] = {"id": found.id, "version": reply.version}
    if arguments.json:
        print_json(document)
    else:
        _show("error", "red", checked.errors)
        _show("warning", "yellow", checked.warnings)
        OUT.print(registered or ("valid" if checked.valid else "invalid"))
    return Exit.DONE if checked.valid else Exit.BAD_INPUT


def _show(kind: str, style: str, findings: Iterable[admin_pb2.ManifestFinding]) -> None:
    for one in findings:
        OUT.print(f"{kind}: {one.place}: {one.message}", style=style, markup=False, soft_wrap=True)
