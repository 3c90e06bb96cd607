"""`assay search`: capabilities for an intent, and reports on how well they served it."""

from __future__ import annotations

import argparse
import uuid
from typing import Any

from assay_rpc.ranker.v1 import outcome_pb2, outcome_pb2_grpc, ranker_pb2_grpc, search_pb2

from services.cli.arguments import add_format, count
from services.cli.connections.connection import Connection
from services.cli.connections.inventory import Inventory
from services.cli.exits import Exit
from services.cli.output.console import OUT, Format, chosen_format, print_json
from services.cli.output.grid import Column, Grid, Kind, show
from services.cli.output.messages import plain

TIMEOUT_SECONDS = 60.0
OUTCOMES = {"success": outcome_pb2.OUTCOME_SUCCESS, "failure": outcome_pb2.OUTCOME_FAILURE}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description = (
        "Finds the registered capabilities that serve INTENT, the artifacts that have them, and "
        "the words that matched. --chose records which capability you chose, --outcome reports "
        "how that choice worked out, and --withdraw takes the report back. Reports are "
        "attributed by your certificate or token; an anonymous report is shown, but has no "
        "weight."
    )
    parser.epilog = 'example: assay search "label every pixel of a photo"'
    parser.add_argument("intent", metavar="INTENT", nargs="*", help="what you need, in words")
    parser.add_argument(
        "--limit",
        type=count,
        default=0,
        metavar="N",
        help="show at most N capabilities; default: 10",
    )
    telling = parser.add_mutually_exclusive_group()
    telling.add_argument(
        "--chose", metavar="URI", help="record that this capability was chosen for INTENT"
    )
    telling.add_argument(
        "--outcome",
        choices=sorted(OUTCOMES),
        help="report how the choice recorded as --match worked out",
    )
    telling.add_argument("--withdraw", action="store_true", help="withdraw your report on --match")
    parser.add_argument(
        "--match", default="", metavar="ID", help="id of a recorded choice; default: a new id"
    )
    add_format(parser)
    parser.set_defaults(run=run, parser=parser)


async def run(arguments: argparse.Namespace) -> Exit:
    """Searches, records or reports."""
    arguments.intent = " ".join(arguments.intent)
    of_match = arguments.outcome or arguments.withdraw
    if of_match and not arguments.match:
        arguments.parser.error("--outcome and --withdraw need --match ID")
    if not of_match and not arguments.intent:
        arguments.parser.error("say what you need: INTENT")
    async with Connection(Inventory(), measures=False) as connection:
        channel = await connection.channel("ranker")
        stub = outcome_pb2_grpc.OutcomeServiceStub(channel)
        if arguments.outcome:
            reported = await stub.ReportOutcome(
                outcome_pb2.ReportOutcomeRequest(
                    match_id=arguments.match, outcome=OUTCOMES[arguments.outcome]
                ),
                timeout=TIMEOUT_SECONDS,
            )
            _show_counts(arguments.match, plain(reported), as_json=arguments.json)
        elif arguments.withdraw:
            withdrawn = await stub.WithdrawOutcome(
                outcome_pb2.WithdrawOutcomeRequest(match_id=arguments.match),
                timeout=TIMEOUT_SECONDS,
            )
            _show_counts(arguments.match, plain(withdrawn), as_json=arguments.json)
        elif arguments.chose:
            name = arguments.match or str(uuid.uuid4())
            recorded = await stub.RecordMatch(
                outcome_pb2.RecordMatchRequest(
                    match_id=name, intent=arguments.intent, capability_uri=arguments.chose
                ),
                timeout=TIMEOUT_SECONDS,
            )
            _show_counts(name, plain(recorded), as_json=arguments.json)
        else:
            found = await ranker_pb2_grpc.RankerServiceStub(channel).SearchCapabilities(
                search_pb2.SearchCapabilitiesRequest(
                    intent=arguments.intent, limit=arguments.limit
                ),
                timeout=TIMEOUT_SECONDS,
            )
            show_matches(found, as_json=arguments.json)
    return Exit.DONE


def _show_counts(name: str, reply: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json({"match_id": name, **reply})
        return
    counts = reply["counts"]
    OUT.print(
        f"match {name}: {counts['matched']} recorded with this capability, "
        f"{counts['reported']} reported, {counts['succeeded']} went well; "
        f"{counts['reporters']} known reporters, {counts['anonymous']} anonymous reports",
        markup=False,
    )


def show_matches(reply: search_pb2.SearchCapabilitiesResponse, *, as_json: bool) -> None:
    """Prints the matches for an intent; as CSV, always a table."""
    if as_json:
        print_json(plain(reply))
        return
    if not reply.matches and chosen_format() is not Format.CSV:
        OUT.print(f"no registered capability matches (confidence below {reply.floor:.2f})")
        return
    table = Grid(
        "",
        [
            Column("capability", Kind.TEXT),
            Column("confidence"),
            Column("matched by", Kind.TEXT, spare=1),
            Column("artifacts", Kind.NAME),
            Column("matches, reported well", Kind.NAME, spare=2),
        ],
        lines=True,
    )
    for match in reply.matches:
        table.add(
            f"{match.name}\n{match.providers[0].capability.description}",
            f"{match.confidence:.2f}",
            "\n".join(f"{one.term} ({', '.join(one.fields)})" for one in match.terms),
            "\n".join(one.capability.uri for one in match.providers),
            "\n".join(
                f"{one.counts.matched}, {one.counts.succeeded} of {one.counts.reported}"
                for one in match.providers
            ),
        )
    show(table)
