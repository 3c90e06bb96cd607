"""`assay rank`: scores in the order that the evidence allows, and what a score is made of."""

from __future__ import annotations

import argparse

from assay_rpc.ranker.v1 import artifact_pb2, rank_pb2, ranker_pb2_grpc, score_pb2
from rich.table import Table

from services.cli.arguments import add_json
from services.cli.connection import Connection
from services.cli.exits import Exit
from services.cli.inventory import Inventory
from services.cli.output.comparison import bar
from services.cli.output.console import OUT, print_json
from services.cli.output.messages import plain
from services.ranker.web.values import enum_name

TIMEOUT_SECONDS = 60.0
TYPES = {
    name.removeprefix("ARTIFACT_TYPE_").lower().replace("_", "-"): value
    for name, value in artifact_pb2.ArtifactType.items()
    if value
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description = (
        "Ranks artifacts from the evidence that is stored: all of a type, or those that serve "
        "an intent. With ARTIFACT, traces every point of its score to evidence. Inside a "
        "group the evidence separates nothing, and the order means nothing."
    )
    parser.epilog = "example: assay rank --type segmentation-model"
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("artifact", nargs="?", metavar="ARTIFACT", help="explain its score")
    which.add_argument("--type", choices=sorted(TYPES), help="rank all artifacts of this type")
    which.add_argument("--intent", metavar="TEXT", help="rank what serves this wish")
    which.add_argument(
        "--methodology", action="store_true", help="print the file that scores are computed by"
    )
    parser.add_argument("--as-of", default="", metavar="YYYY-MM-DD", help="day of the scores")
    parser.add_argument(
        "--hardware", default="", metavar="CLASS", help="take timings from this class alone"
    )
    add_json(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> Exit:
    """Ranks, explains or prints the methodology."""
    async with Connection(Inventory()) as connection:
        stub = ranker_pb2_grpc.RankerServiceStub(await connection.channel("ranker"))
        if arguments.methodology:
            found = await stub.GetMethodology(
                score_pb2.GetMethodologyRequest(), timeout=TIMEOUT_SECONDS
            )
            _show_methodology(found, as_json=arguments.json)
        elif arguments.artifact:
            explained = await stub.ExplainRank(
                rank_pb2.ExplainRankRequest(
                    artifact=arguments.artifact, as_of=arguments.as_of, hardware=arguments.hardware
                ),
                timeout=TIMEOUT_SECONDS,
            )
            place = await stub.GetRank(
                rank_pb2.GetRankRequest(
                    artifact=arguments.artifact, as_of=arguments.as_of, hardware=arguments.hardware
                ),
                timeout=TIMEOUT_SECONDS,
            )
            _show_explanation(place.rank, explained, as_json=arguments.json)
        else:
            _show_ranks(await _listed(stub, arguments), as_json=arguments.json)
    return Exit.DONE


async def _listed(
    stub: ranker_pb2_grpc.RankerServiceAsyncStub, arguments: argparse.Namespace
) -> rank_pb2.ListRanksResponse:
    """Every page of the list, as one."""
    request = rank_pb2.ListRanksRequest(as_of=arguments.as_of, hardware=arguments.hardware)
    if arguments.type:
        request.type = TYPES[arguments.type]
    else:
        request.intent = arguments.intent
    whole = rank_pb2.ListRanksResponse()
    while True:
        reply = await stub.ListRanks(request, timeout=TIMEOUT_SECONDS)
        whole.MergeFrom(reply)  # appends the ranks
        request.page_token = reply.next_page_token
        if not request.page_token:
            return whole


def _show_ranks(reply: rank_pb2.ListRanksResponse, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "ranks": [plain(one) for one in reply.ranks],
                "methodology": plain(reply.methodology),
                "evidence_digest": reply.evidence_digest,
            }
        )
        return
    if not reply.ranks:
        OUT.print("nothing that is registered serves that")
        return
    table = Table(show_lines=True)
    for heading in ("type", "group", "place", "artifact", "score, of 100", "evidence for"):
        table.add_column(heading)
    for one in reply.ranks:
        places = {one.best_place, one.worst_place}
        table.add_row(
            enum_name(one, "type").replace("_", " ").lower(),
            str(one.tie_group),
            f"{' to '.join(str(each) for each in sorted(places))} of {one.ranked_count}",
            one.artifact,
            _score(one.score),
            f"{one.score.coverage:.0%} of the weight",
        )
    OUT.print(table)
    OUT.print("inside a group the evidence separates nothing: its order is by id", style="dim")


def _show_explanation(
    rank: rank_pb2.Rank, explained: rank_pb2.ExplainRankResponse, *, as_json: bool
) -> None:
    if as_json:
        print_json({"rank": plain(rank), "explanation": plain(explained)})
        return
    claims = {one.digest: one for one in explained.evidence}
    table = Table(title=f"The score of {rank.artifact}", title_justify="left", show_lines=True)
    for heading in ("part", "points", "of", "rests on"):
        table.add_column(heading)
    for one in explained.contributions:
        evidence = [claims[each] for each in one.evidence if each in claims]
        commands = "".join(f"\n{each.claim}: {each.command}" for each in evidence)
        open_ = one.high - one.low > 1e-9
        table.add_row(
            f"{one.component}\n{one.metric}".rstrip(),
            f"{one.point:.2f}" + (f"\n[{one.low:.2f} .. {one.high:.2f}]" if open_ else ""),
            f"{one.max_points:.2f}",
            one.explanation + commands,
        )
    table.add_row("sum", _score(explained.score), "100", "")
    OUT.print(table)
    tied = ", ".join(rank.not_separable_from) or "none"
    OUT.print(
        f"rank {rank.best_place} to {rank.worst_place} of {rank.ranked_count}; "
        f"not separable from: {tied}",
        markup=False,
    )
    OUT.print(
        f"methodology {explained.methodology.version} {explained.methodology.digest[:19]}, as of "
        f"{explained.score.as_of}, timings of {rank.hardware or 'no machine'}",
        style="dim",
        markup=False,
    )


def _show_methodology(reply: score_pb2.GetMethodologyResponse, *, as_json: bool) -> None:
    text = reply.content.decode()
    if as_json:
        print_json({**plain(reply.methodology), "content": text})
    else:
        OUT.print(text, markup=False, end="")


def _score(score: score_pb2.Score) -> str:
    return (
        f"{score.point:.1f}   [{score.low:.1f} .. {score.high:.1f}]\n"
        f"{bar(score.low / 100, score.point / 100, score.high / 100)}"
    )
