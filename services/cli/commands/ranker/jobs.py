"""`assay jobs`: verifications that outlive the command."""

from __future__ import annotations

import argparse
import uuid
from collections.abc import Iterable

from assay_rpc.ranker.v1 import evidence_pb2, verification_pb2, verification_pb2_grpc

from services.cli.arguments import add_format
from services.cli.commands.ranker.claims import EFFORTS, about, add_budget, owned
from services.cli.connections.connection import Connection
from services.cli.connections.inventory import Inventory
from services.cli.connections.remote import running_address
from services.cli.connections.running import announced_address
from services.cli.exits import Exit
from services.cli.output import verdicts
from services.cli.output.console import OUT, note, print_json
from services.cli.output.grid import Column, Grid, Kind, show
from services.cli.output.messages import plain
from services.cli.output.progress import working
from services.common.counts import plural
from services.errors import PreconditionFailed
from services.ranker.web.values import enum_name

TIMEOUT_SECONDS = 60.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description = (
        "Runs verifications as jobs of a running ranker (ASSAY_RANKER_ADDR). `submit --dry-run` "
        "estimates the cost, and needs no running ranker."
    )
    parser.epilog = "example: assay jobs submit the-pile --dry-run"
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    submit = actions.add_parser("submit", help="queue a verification")
    submit.add_argument("artifact", metavar="ARTIFACT", help='a registered id, such as "the-pile"')
    submit.add_argument(
        "--claim",
        action="append",
        default=[],
        metavar="ID",
        help="check only this claim; repeatable; default: all",
    )
    submit.add_argument(
        "--dry-run", action="store_true", help="estimate the cost, and submit nothing"
    )
    submit.add_argument(
        "--request-id",
        default="",
        metavar="ID",
        help="your own id of this request; submitting "
        "it again with the same id creates no "
        "second job",
    )
    add_budget(submit)
    for name, text in (
        ("list", "list the ranker's jobs, newest first"),
        ("watch", "follow a job until it ends"),
        ("cancel", "cancel a job; the evidence measured so far is kept"),
    ):
        action = actions.add_parser(name, help=text)
        if name != "list":
            action.add_argument("job", metavar="JOB", help="a job's id, as `list` shows it")
    for action in actions.choices.values():
        add_format(action)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> Exit:
    """Runs one of the four actions."""
    dry = arguments.action == "submit" and arguments.dry_run
    if not dry and running_address("ranker") is None and announced_address("ranker") is None:
        raise PreconditionFailed(
            "a job lives in a running ranker, and none is named: start one with `assay up`, or set "
            "ASSAY_RANKER_ADDR; `assay claims` verifies at once"
        )
    async with Connection(Inventory()) as connection:
        stub = verification_pb2_grpc.VerificationServiceStub(await connection.channel("ranker"))
        if arguments.action == "submit":
            await _submit(stub, arguments)
        elif arguments.action == "watch":
            await _watch(stub, arguments)
        elif arguments.action == "cancel":
            cancelled = await stub.CancelJob(verification_pb2.CancelJobRequest(job=arguments.job))
            _show([cancelled.job], as_json=arguments.json)
        else:
            _show(await _all(stub), as_json=arguments.json)
    return Exit.DONE


async def _submit(
    stub: verification_pb2_grpc.VerificationServiceAsyncStub, arguments: argparse.Namespace
) -> None:
    reply = await stub.SubmitVerification(
        verification_pb2.SubmitVerificationRequest(
            artifact=arguments.artifact,
            claims=owned(arguments.artifact, arguments.claim),
            effort=EFFORTS[arguments.budget],
            request_id=arguments.request_id or str(uuid.uuid4()),
            validate_only=arguments.dry_run,
        ),
        timeout=TIMEOUT_SECONDS,
    )
    if arguments.json:
        print_json(plain(reply.job))
        return
    seconds = reply.job.plan.estimated_duration.ToTimedelta().total_seconds()
    what = f"{plural(len(reply.job.plan.claims), 'claim')}, {about(seconds)}"
    OUT.print(what if arguments.dry_run else f"{reply.job.id}: {what}", markup=False)


async def _watch(
    stub: verification_pb2_grpc.VerificationServiceAsyncStub, arguments: argparse.Namespace
) -> None:
    found: list[evidence_pb2.ClaimVerdict] = []
    job = verification_pb2.Job()
    with working(f"following {arguments.job}") as status:
        async for update in stub.WatchJob(verification_pb2.WatchJobRequest(job=arguments.job)):
            if update.HasField("result"):
                found.append(update.result)
                continue
            job = update.progress
            step = f"{job.progress.claim} {job.progress.step}" if job.HasField("progress") else ""
            status.update(f"{_state(job)} {job.done}/{len(job.plan.claims)} {step}")
    if arguments.json:
        print_json({"job": plain(job), "claims": [verdicts.as_json(one) for one in found]})
        return
    verdicts.show(f"Claims about {job.artifact}", found)
    note(f"{_state(job)} {job.error.message}".strip())


async def _all(
    stub: verification_pb2_grpc.VerificationServiceAsyncStub,
) -> list[verification_pb2.Job]:
    """Every page of the list."""
    request = verification_pb2.ListJobsRequest()
    jobs: list[verification_pb2.Job] = []
    while True:
        reply = await stub.ListJobs(request, timeout=TIMEOUT_SECONDS)
        jobs += reply.jobs
        request.page_token = reply.next_page_token
        if not request.page_token:
            return jobs


def _show(jobs: Iterable[verification_pb2.Job], *, as_json: bool) -> None:
    if as_json:
        print_json({"jobs": [plain(one) for one in jobs]})
        return
    table = Grid(
        "",
        [
            Column("job", Kind.NAME),
            Column("artifact", Kind.NAME),
            Column("state", Kind.NAME),
            Column("claims decided"),
            Column("submitted", Kind.NAME, spare=1),
        ],
    )
    for one in jobs:
        done = f"{one.done} of {len(one.plan.claims)}"
        table.add(one.id, one.artifact, _state(one), done, one.create_time.ToJsonString())
    show(table)


def _state(job: verification_pb2.Job) -> str:
    return enum_name(job, "state").lower()
