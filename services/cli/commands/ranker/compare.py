"""`assay compare`: two artifacts side by side, from evidence."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assay_rpc.ranker.v1 import compare_pb2, evidence_pb2, ranker_pb2_grpc

from services.cli.absent import refuse_absent
from services.cli.arguments import add_format, output_file
from services.cli.commands.ranker.claims import EFFORTS, add_budget, add_manifest, prepare, verify
from services.cli.comparison_picture import look
from services.cli.connections import supplies
from services.cli.connections.connection import Connection
from services.cli.exits import Exit
from services.cli.output import comparison, verdicts
from services.cli.output.console import note, note_written, print_json
from services.cli.output.messages import page_claims, plain
from services.cli.pages import templates
from services.cli.result_files import write_result
from services.errors import InvalidArgument
from services.ranker.web.values import enum_name

TIMEOUT_SECONDS = 60.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description = (
        "Compares two artifacts from stored evidence. An artifact without evidence is verified "
        "first, on the quick budget. --no-verify skips this; --verify measures both again."
    )
    parser.epilog = "example: assay compare segformer-b4-finetuned-ade-512-512 the-pile"
    parser.add_argument("left", metavar="A", help='a registered artifact\'s id, such as "the-pile"')
    parser.add_argument("right", metavar="B", help="another artifact's id")
    measuring = parser.add_mutually_exclusive_group()
    measuring.add_argument(
        "--verify", action="store_true", help="measure both artifacts again before comparing"
    )
    measuring.add_argument(
        "--no-verify",
        action="store_true",
        help="measure nothing, even if an artifact has no evidence",
    )
    add_budget(parser)
    add_manifest(parser)
    supplies.add_arguments(parser)
    parser.add_argument(
        "--as-of",
        default="",
        metavar="YYYY-MM-DD",
        help="date of the comparison, for freshness; default: today",
    )
    parser.add_argument(
        "--html",
        metavar="FILE",
        help="write the comparison to FILE as one self-contained HTML page",
    )
    parser.add_argument(
        "--picture",
        metavar="FILE",
        help="with --html: show this image, labelled by a compared model, on the page",
    )
    add_format(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> Exit:
    """Compares two artifacts."""
    html = output_file("--html", arguments.html) if arguments.html else None
    picture = Path(arguments.picture) if arguments.picture else None
    if html:
        templates("--html")
    if picture and not html:
        raise InvalidArgument("--picture", "is shown in a page: give --html FILE too")
    refuse_absent("--picture", [picture] if picture else [])
    inventory = supplies.inventory(arguments)
    async with Connection(inventory, measures=False, beside_up=True) as connection:
        await prepare(connection, arguments)
        channel = await connection.channel("ranker")
        stub = ranker_pb2_grpc.RankerServiceStub(channel)
        request = compare_pb2.CompareRequest(
            left=arguments.left, right=arguments.right, as_of=arguments.as_of
        )
        # The first answer also reveals a wrong name before anything is measured.
        reply: compare_pb2.CompareResponse = await stub.Compare(request, timeout=TIMEOUT_SECONDS)
        stale = [
            subject
            for subject, claims in _claims_by_subject(reply).items()
            if arguments.verify or not (arguments.no_verify or _has_evidence(subject, claims))
        ]
        if stale:
            await connection.measuring()
            channel = await connection.channel("ranker")
            stub = ranker_pb2_grpc.RankerServiceStub(channel)
        verified = [
            verdict
            for subject in stale
            for verdict in await verify(channel, subject, [], EFFORTS[arguments.budget])
        ]
        if stale:
            reply = await stub.Compare(request, timeout=TIMEOUT_SECONDS)
            _add_changes(reply, verified)
        if html:
            from services.ranker.web.report import report  # noqa: PLC0415 - of the page extra

            artifacts = [reply.left.artifact, reply.right.artifact]
            seen = await look(await connection.channel("segment"), artifacts, picture)
            if picture and not seen:
                note(
                    f"{picture} is not shown: no model is compared, or none is served with weights"
                )
            write_result(html, report(reply, seen))
            note_written(html)
    if arguments.json:
        print_json(as_json(reply))
    else:
        comparison.show(reply)
    return Exit.DONE


def _claims_by_subject(
    reply: compare_pb2.CompareResponse,
) -> dict[str, Sequence[evidence_pb2.ClaimVerdict]]:
    """The claims about both artifacts, and about the page that compares them if there is one."""
    claims: dict[str, Sequence[evidence_pb2.ClaimVerdict]] = {
        side.artifact.id: side.claims for side in (reply.left, reply.right)
    }
    return claims | {page.page.id: page.claims for page in reply.pages}


def _has_evidence(subject: str, claims: Sequence[evidence_pb2.ClaimVerdict]) -> bool:
    if any(verdict.HasField("evidence") for verdict in claims):
        return True
    note(f"{subject}: no evidence yet, verifying its claims first")
    return False


def _add_changes(
    reply: compare_pb2.CompareResponse, verified: Sequence[evidence_pb2.ClaimVerdict]
) -> None:
    """Copy the changes that a verification just reported into a comparison."""
    changes = {one.claim.id: one.change for one in verified if one.HasField("change")}
    for verdict in (*reply.left.claims, *reply.right.claims, *page_claims(reply)):
        if verdict.claim.id in changes:
            verdict.change.CopyFrom(changes[verdict.claim.id])


def as_json(reply: compare_pb2.CompareResponse) -> dict[str, Any]:
    """The comparison as the JSON that `--json` prints."""
    every = [*reply.left.claims, *reply.right.claims, *page_claims(reply)]
    return {
        "left": _side(reply.left),
        "right": _side(reply.right),
        "components": [
            {
                "component": each.component,
                "separation": enum_name(each, "separation"),
                "missing": [plain(one) for one in each.missing],
            }
            for each in reply.components
        ],
        "profiles": [
            {
                "profile": each.profile,
                "separation": enum_name(each, "separation"),
                "complete": each.complete,
                "missing": [plain(one) for one in each.missing],
            }
            for each in reply.profiles
        ],
        "profile": reply.profile,
        "overall": enum_name(reply, "overall"),
        "summary": reply.summary,
        "claims": [verdicts.as_json(verdict) for verdict in every],
        "methodology": plain(reply.methodology),
        "as_of": reply.as_of,
        "cache": {"status": enum_name(reply.cache, "status"), "age": plain(reply.cache.age)},
    }


def _side(side: compare_pb2.ComparedArtifact) -> dict[str, Any]:
    artifact = side.artifact
    return {
        "id": artifact.id,
        "name": artifact.name,
        "type": enum_name(artifact, "type"),
        "license": plain(artifact.license),
        "pricing": artifact.pricing,
        "capabilities": [plain(capability) for capability in artifact.capabilities],
        "matches": plain(side.matches),
        "score": plain(side.score),
        "scores": [plain(one) for one in side.scores],
        "reliability": [plain(one) for one in side.reliability],
        "published": [plain(one) for one in artifact.published],
        "digest": artifact.digest,
    }
