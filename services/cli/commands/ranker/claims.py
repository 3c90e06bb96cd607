"""`assay claims`: verify the claims about an artifact."""

from __future__ import annotations

import argparse
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import grpc
from assay_rpc.ranker.v1 import evidence_pb2, verification_pb2, verification_pb2_grpc

from services.cli.absent import refuse_absent
from services.cli.arguments import add_format
from services.cli.commands.ranker.register import register
from services.cli.connections import supplies
from services.cli.connections.connection import Connection
from services.cli.exits import Exit
from services.cli.output import verdicts
from services.cli.output.console import note, print_json
from services.cli.output.progress import working
from services.common.counts import plural
from services.errors import InternalError

SUBMIT_SECONDS = 60.0
_CANCEL_SECONDS = 5.0
_TIMES = 3.0
"""How much longer or shorter a plan may take: its costs were stated on another machine."""
TIMEOUT_SECONDS = 6 * 3600.0  # more than the full budget of any artifact announces
EFFORTS = {"quick": verification_pb2.EFFORT_QUICK, "full": verification_pb2.EFFORT_FULL}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description = (
        "Checks each claim about ARTIFACT: measures it on this machine if possible, otherwise "
        "looks it up in the cited sources. Prints which claims hold, and stores the evidence for "
        "`assay compare` and `assay rank`."
    )
    parser.epilog = "example: assay claims the-pile --claim P4.2"
    parser.add_argument("artifact", metavar="ARTIFACT", help='a registered id, such as "the-pile"')
    parser.add_argument(
        "--claim",
        action="append",
        default=[],
        metavar="ID",
        help="check only this claim; repeatable; default: all",
    )
    add_budget(parser)
    add_manifest(parser)
    supplies.add_arguments(parser)
    add_format(parser)
    parser.set_defaults(run=run)


def add_manifest(parser: argparse.ArgumentParser) -> None:
    """`--manifest`."""
    parser.add_argument(
        "--manifest",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="register this manifest first; repeatable",
    )


def add_budget(parser: argparse.ArgumentParser) -> None:
    """`--budget`."""
    parser.add_argument(
        "--budget",
        choices=sorted(EFFORTS),
        default="quick",
        help="quick: about a minute per artifact; full: as long as the intervals need; default: "
        "quick",
    )


async def run(arguments: argparse.Namespace) -> Exit:
    """Verifies one artifact's claims."""
    async with Connection(supplies.inventory(arguments), beside_up=True) as connection:
        await prepare(connection, arguments)
        found = await verify(
            await connection.channel("ranker"),
            arguments.artifact,
            arguments.claim,
            EFFORTS[arguments.budget],
        )
    if arguments.json:
        documents = [verdicts.as_json(verdict) for verdict in found]
        print_json({"artifact": arguments.artifact, "claims": documents})
    else:
        verdicts.show(f"Claims about {arguments.artifact}", found)
    return Exit.DONE


async def prepare(connection: Connection, arguments: argparse.Namespace) -> None:
    """Register the given manifests, and refuse digests that differ from `--expect`."""
    refuse_absent("--manifest", arguments.manifest)
    for manifest in arguments.manifest:
        await register(await connection.channel("ranker"), manifest)
    await supplies.check(connection, arguments.expect)


async def verify(
    channel: grpc.aio.Channel,
    artifact: str,
    claims: Sequence[str],
    effort: verification_pb2.Effort.ValueType,
) -> list[evidence_pb2.ClaimVerdict]:
    """Verifies the claims (default: all of the artifact's), showing progress on stderr."""
    stub = verification_pb2_grpc.VerificationServiceStub(channel)
    reply = await stub.SubmitVerification(
        verification_pb2.SubmitVerificationRequest(
            artifact=artifact,
            claims=owned(artifact, claims),
            effort=effort,
            request_id=str(uuid.uuid4()),
        ),
        timeout=SUBMIT_SECONDS,
    )
    job, plan = reply.job.id, reply.job.plan
    seconds = plan.estimated_duration.ToTimedelta().total_seconds()
    note(f"verifying {artifact}: {plural(len(plan.claims), 'claim')}, {about(seconds)}")
    try:
        return await follow(stub, job, artifact)
    except BaseException:
        # Ctrl-C, or any other end of the command, ends the measuring; stored evidence stays.
        with suppress(grpc.aio.AioRpcError):
            await stub.CancelJob(
                verification_pb2.CancelJobRequest(job=job), timeout=_CANCEL_SECONDS
            )
        raise


def about(seconds: float) -> str:
    """The range of time that a plan may take."""
    if seconds < 1:
        return "within seconds"
    return f"probably {_length(seconds / _TIMES)} to {_length(seconds * _TIMES)}"


def _length(seconds: float) -> str:
    """One significant figure and a unit: "20 s", "3 min"."""
    for size, unit in ((3600.0, "h"), (60.0, "min")):
        if seconds >= 1.5 * size:
            return f"{float(f'{seconds / size:.1g}'):.0f} {unit}"
    return f"{max(1.0, float(f'{seconds:.1g}')):.0f} s"


async def follow(
    stub: verification_pb2_grpc.VerificationServiceAsyncStub, job: str, artifact: str
) -> list[evidence_pb2.ClaimVerdict]:
    """Follows a job to its end, showing progress on stderr. Raises AssayError when it fails."""
    found: list[evidence_pb2.ClaimVerdict] = []
    with working(f"{artifact}: waiting for its turn", noted=False) as status:
        request = verification_pb2.WatchJobRequest(job=job)
        async for update in stub.WatchJob(request, timeout=TIMEOUT_SECONDS):
            if update.HasField("result"):
                found.append(update.result)
            elif update.progress.HasField("error"):
                raise InternalError(f"verifying {artifact}: {update.progress.error.message}")
            elif update.progress.HasField("progress"):
                step = update.progress.progress
                name = step.claim.rpartition("/")[2]
                status.update(f"{artifact} {step.done}/{step.total}: {name} {step.step}")
    return found


def owned(artifact: str, claims: Sequence[str]) -> list[str]:
    """Claims as OWNER/ID: a bare id belongs to the artifact itself."""
    return [claim if "/" in claim else f"{artifact}/{claim}" for claim in claims]
