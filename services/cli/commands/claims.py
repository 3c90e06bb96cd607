"""`assay claims`: verify what is claimed of an artifact."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import grpc
from assay.ranker.v1 import ranker_pb2, ranker_pb2_grpc

from services.cli.arguments import add_json
from services.cli.connection import Connection
from services.cli.exits import Exit
from services.cli.inventory import Inventory
from services.cli.output import verdicts
from services.cli.output.console import ERR, note, print_json

TIMEOUT_SECONDS = 6 * 3600.0  # more than the full budget of any artifact announces
BUDGETS = {"quick": ranker_pb2.BUDGET_QUICK, "full": ranker_pb2.BUDGET_FULL}


def add_parser(commands: Any) -> None:
    """Adds the command to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "claims",
        help="verify what is claimed of an artifact",
        description=(
            "Measures each claim of ARTIFACT on this machine where that is possible, looks up its "
            "source where not, and says which claims hold. The evidence is kept, and `assay "
            "compare` reads it."
        ),
        epilog="example: assay claims the-pile --claim P4.2",
    )
    parser.add_argument("artifact", metavar="ARTIFACT", help='a registered id, such as "the-pile"')
    parser.add_argument("--claim", action="append", default=[], metavar="ID", help="repeatable")
    add_budget(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def add_budget(parser: argparse.ArgumentParser) -> None:
    """`--budget`."""
    parser.add_argument(
        "--budget",
        choices=sorted(BUDGETS),
        default="quick",
        help="quick: about a minute an artifact; full: as long as the intervals need",
    )


async def run(arguments: argparse.Namespace) -> Exit:
    """Verifies one artifact's claims."""
    async with Connection(Inventory()) as connection:
        found = await verify(
            await connection.channel("ranker"),
            arguments.artifact,
            arguments.claim,
            BUDGETS[arguments.budget],
        )
    if arguments.json:
        documents = [verdicts.as_json(verdict) for verdict in found]
        print_json({"artifact": arguments.artifact, "claims": documents})
    else:
        verdicts.show(f"Claims about {arguments.artifact}", found)
    return Exit.DONE


async def verify(
    channel: grpc.aio.Channel,
    artifact: str,
    claims: Sequence[str],
    budget: ranker_pb2.Budget.ValueType,
) -> list[ranker_pb2.ClaimVerdict]:
    """Verifies the claims (all of the artifact's without any), showing progress on stderr."""
    stub = ranker_pb2_grpc.RankerServiceStub(channel)
    request = ranker_pb2.VerifyClaimsRequest(artifact=artifact, claims=claims, budget=budget)
    found: list[ranker_pb2.ClaimVerdict] = []
    with ERR.status(f"{artifact}: planning") as status:
        async for update in stub.VerifyClaims(request, timeout=TIMEOUT_SECONDS):
            if update.HasField("plan"):
                seconds = update.plan.estimated_time.ToTimedelta().total_seconds()
                note(f"{artifact}: {len(update.plan.claims)} claims, about {seconds:.0f} s")
            elif update.HasField("progress"):
                step = update.progress
                status.update(f"{artifact} {step.done}/{step.total}: {step.claim} {step.step}")
            else:
                found.append(update.verdict)
    return found
