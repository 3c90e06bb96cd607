"""`assay models`: lists the models of a running segment service, and chooses which to serve."""

from __future__ import annotations

import argparse

from assay_rpc.segment.v1 import admin_pb2, admin_pb2_grpc

from services.cli.arguments import add_format
from services.cli.connections.connection import Connection
from services.cli.connections.inventory import Inventory
from services.cli.connections.remote import running_address
from services.cli.connections.running import announced_address
from services.cli.exits import Exit
from services.cli.output.console import OUT, note, print_json
from services.cli.output.grid import Column, Grid, Kind, show
from services.cli.output.messages import plain
from services.errors import PreconditionFailed
from services.ranker.web.values import enum_name


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description = (
        "Lists and chooses the models of a running segment service: that of ASSAY_SEGMENT_ADDR, "
        "or the one that `assay up` runs. `serve` writes its choice to the file that "
        "ASSAY_SEGMENT_DESIRED names. Every replica follows this file, and loads a new model "
        "before it unloads the one that it replaces."
    )
    parser.epilog = "example: assay models serve segformer-b0:2 segformer-b4"
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="list present and desired models, with their states")
    serve = actions.add_parser("serve", help="choose the models that all replicas serve")
    serve.add_argument(
        "models",
        nargs="*",
        metavar="NAME[:VERSION]",
        help="a model to serve; without a version, always the latest one",
    )
    serve.add_argument("--all", action="store_true", help="serve every model in the repository")
    serve.add_argument(
        "--revision",
        default="",
        metavar="DIGEST",
        help="change nothing if the current revision is not DIGEST; `list` prints the revision",
    )
    for action in actions.choices.values():
        add_format(action)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> Exit:
    """Lists the models, after setting the desired ones if requested."""
    if running_address("segment") is None and announced_address("segment") is None:
        raise PreconditionFailed(
            "a model repository belongs to a running service, and none is named: start one with "
            "`assay up`, or set ASSAY_SEGMENT_ADDR"
        )
    async with Connection(Inventory(), beside_up=True) as connection:
        channel = await connection.channel("segment")
        stub = admin_pb2_grpc.SegmentAdminServiceStub(channel)
        if arguments.action == "serve":
            await stub.SetDesiredModels(_wishes(arguments))
            note("written; each replica follows in a moment")
        reply = await stub.GetRepository(admin_pb2.GetRepositoryRequest())
    if arguments.json:
        print_json(plain(reply))
    else:
        _print_table(reply)
    return Exit.DONE


def _wishes(arguments: argparse.Namespace) -> admin_pb2.SetDesiredModelsRequest:
    if arguments.all == bool(arguments.models):
        raise PreconditionFailed("name the models to serve, or give --all, and not both")
    models = []
    for given in arguments.models:
        name, _, version = given.partition(":")
        models.append(admin_pb2.DesiredModel(name=name, version=version))
    return admin_pb2.SetDesiredModelsRequest(
        models=models, everything=not models, expected_revision=arguments.revision
    )


def _print_table(reply: admin_pb2.GetRepositoryResponse) -> None:
    serving = "all models (no desired state set)" if reply.everything else "the desired models"
    OUT.print(f"revision {reply.revision}; serving {serving}", markup=False)
    table = Grid(
        "",
        [
            Column("model", Kind.NAME),
            Column("version", Kind.NAME),
            Column("state", Kind.NAME),
            Column("desired", Kind.NAME),
            Column("default", Kind.NAME, spare=1),
            Column("why", Kind.TEXT),
        ],
    )
    for item in reply.models:
        table.add(
            item.ref.name,
            item.ref.version,
            enum_name(item, "state").lower().replace("_", " "),
            "yes" if item.desired else "",
            "yes" if item.serves_unversioned else "",
            item.problem,
        )
    show(table)
