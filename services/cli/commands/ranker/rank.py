"""`assay rank`: places that the evidence allows, and the parts of a score."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from assay_rpc.ranker.v1 import artifact_pb2, rank_pb2, ranker_pb2_grpc, score_pb2

from services.cli.arguments import add_format
from services.cli.connections.connection import Connection
from services.cli.connections.inventory import Inventory
from services.cli.exits import Exit
from services.cli.output.comparison import MOST_NAMES, score_text
from services.cli.output.console import OUT, Format, chosen_format, print_json
from services.cli.output.grid import Column, Grid, Kind, show
from services.cli.output.messages import plain
from services.common.percent import percent
from services.ranker.methodology.points import POINTS
from services.ranker.web.values import enum_name
from services.ranker.words import words

TIMEOUT_SECONDS = 60.0
TYPES = {
    name.removeprefix("ARTIFACT_TYPE_").lower().replace("_", "-"): value
    for name, value in artifact_pb2.ArtifactType.items()
    if value
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description = (
        "Ranks artifacts from stored evidence: all of a type (--type), those that serve a need "
        "(--intent), or those that you name. Ranks hold for one profile, which includes only "
        "artifacts with evidence for all of its metrics; a single metric can also be used as a "
        "profile. For named artifacts, the stated confidence level applies to all ranks "
        "together. With one ARTIFACT, traces every point of its score to evidence."
    )
    parser.epilog = "example: assay rank --type segmentation-model"
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "artifacts",
        nargs="*",
        default=[],
        metavar="ARTIFACT",
        help="one artifact to explain the score of, or several of one type to rank",
    )
    which.add_argument("--type", choices=sorted(TYPES), help="rank all artifacts of this type")
    which.add_argument(
        "--intent",
        metavar="TEXT",
        help="rank the artifacts that serve this need, described in words",
    )
    which.add_argument(
        "--methodology",
        action="store_true",
        help="print the file that defines how scores are computed",
    )
    parser.add_argument(
        "--profile", default="", metavar="NAME", help="rank only in this profile, or by this metric"
    )
    parser.add_argument(
        "--as-of",
        default="",
        metavar="YYYY-MM-DD",
        help="date of the scores, for freshness; default: today",
    )
    parser.add_argument(
        "--hardware", default="", metavar="CLASS", help="use timings from this hardware class only"
    )
    add_format(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> Exit:
    """Ranks, explains or prints the methodology."""
    async with Connection(Inventory(), measures=False) as connection:
        stub = ranker_pb2_grpc.RankerServiceStub(await connection.channel("ranker"))
        if arguments.methodology:
            found = await stub.GetMethodology(
                score_pb2.GetMethodologyRequest(), timeout=TIMEOUT_SECONDS
            )
            _show_methodology(found, as_json=arguments.json)
        elif len(arguments.artifacts) == 1:
            await _explain(stub, arguments)
        else:
            listed = await _listed(stub, arguments)
            show_ranks(listed, together=bool(arguments.artifacts), as_json=arguments.json)
    return Exit.DONE


async def _explain(
    stub: ranker_pb2_grpc.RankerServiceAsyncStub, arguments: argparse.Namespace
) -> None:
    (artifact,) = arguments.artifacts
    asked = {
        "artifact": artifact,
        "as_of": arguments.as_of,
        "hardware": arguments.hardware,
        "profile": arguments.profile,
    }
    explained = await stub.ExplainRank(
        rank_pb2.ExplainRankRequest(**asked), timeout=TIMEOUT_SECONDS
    )
    place = await stub.GetRank(rank_pb2.GetRankRequest(**asked), timeout=TIMEOUT_SECONDS)
    _show_explanation(place.rank, explained, as_json=arguments.json)


async def _listed(
    stub: ranker_pb2_grpc.RankerServiceAsyncStub, arguments: argparse.Namespace
) -> rank_pb2.ListRanksResponse:
    """Every page of the list, joined."""
    request = rank_pb2.ListRanksRequest(
        as_of=arguments.as_of, hardware=arguments.hardware, profile=arguments.profile
    )
    if arguments.artifacts:
        request.artifacts.artifacts.extend(arguments.artifacts)
    elif arguments.type:
        request.type = TYPES[arguments.type]
    else:
        request.intent = arguments.intent
    whole = rank_pb2.ListRanksResponse()
    while True:
        reply = await stub.ListRanks(request, timeout=TIMEOUT_SECONDS)
        known = {(one.type, one.profile) for one in whole.profiles}
        fresh = [one for one in reply.profiles if (one.type, one.profile) not in known]
        del reply.profiles[:]
        reply.profiles.extend(fresh)
        whole.MergeFrom(reply)  # appends the ranks
        request.page_token = reply.next_page_token
        if not request.page_token:
            return whole


def show_ranks(reply: rank_pb2.ListRanksResponse, *, together: bool, as_json: bool) -> None:
    """Prints the places in each profile; as CSV, one table of all artifacts, placed or not."""
    if as_json:
        print_json(
            {
                "ranks": [plain(one) for one in reply.ranks],
                "profiles": [plain(one) for one in reply.profiles],
                "methodology": plain(reply.methodology),
                "evidence_digest": reply.evidence_digest,
            }
        )
        return
    if chosen_format() is Format.CSV:
        show(_one_table(reply))
        return
    if not reply.ranks:
        OUT.print("no registered capability matches")
        return
    line = False
    for one in reply.profiles:
        ranks = [
            rank for rank in reply.ranks if (rank.type, rank.profile) == (one.type, one.profile)
        ]
        line = _show_profile(one, ranks, together=together, after_line=line)
    lacking = {rank.artifact for rank in reply.ranks if not rank.HasField("best_place")}
    if lacking:
        OUT.print("\nwhat a score still needs (`assay claims` measures what it can):", style="dim")
    for artifact in sorted(lacking):
        OUT.print(f"  assay rank {artifact}", markup=False, soft_wrap=True)


def _one_table(reply: rank_pb2.ListRanksResponse) -> Grid:
    """Every artifact of every profile in one table for programs, even without a place."""
    names = ("type", "profile", "artifact", "best place", "worst place", "ranked", "score", "low")
    table = Grid(
        "", [Column(one) for one in (*names, "high", "better than", "measured on", "lacks")]
    )
    for one in reply.ranks:
        placed, score = one.HasField("best_place"), one.score
        places = (one.best_place, one.worst_place, one.ranked_count) if placed else ("",) * 3
        table.add(
            enum_name(one, "type").replace("_", " ").lower(),
            one.profile,
            one.artifact,
            *map(str, places),
            f"{score.point:z.4f}" if score.HasField("point") else "",
            f"{score.low:z.4f}",
            f"{score.high:z.4f}",
            "\n".join(one.beats),
            one.measured_on,
            "\n".join(score.lacks),
        )
    return table


def _show_profile(
    profile: rank_pb2.RankedProfile,
    ranks: list[rank_pb2.Rank],
    *,
    together: bool,
    after_line: bool,
) -> bool:
    """Print a table of artifacts with a place, and what others lack; or a line if none has one.

    Consecutive lines have no blank line between them. Returns whether it printed a line.
    """
    called = words(profile.profile)
    if called != profile.profile:
        called += f" (--profile {profile.profile})"
    name = f"{called}, of {enum_name(profile, 'type').replace('_', ' ').lower()}s"
    placed = [one for one in ranks if one.HasField("best_place")]
    if placed:
        table = Grid(
            f"\n{name}",
            [
                Column("place", Kind.NAME),
                Column("artifact", Kind.NAME),
                Column("score, points", Kind.NAME),
                Column("surely better than", Kind.NAME),
                Column("measured on", Kind.TEXT, spare=1),
            ],
            lines=True,
        )
        for one in placed:
            table.add(
                f"{_place(one)} of {one.ranked_count}",
                one.artifact,
                score_text(one.score),
                "\n".join(one.beats),
                one.measured_on,
            )
        show(table)
        sure = "no sampling error" if profile.level == 1 else f"{percent(profile.level, 1)} sure"
        of = f"of these {len(placed)} together" if together else "each pair separately"
        OUT.print(f"{sure}, {of}; ties share places. {POINTS}", style="dim")
    unranked: dict[tuple[str, ...], list[str]] = {}
    for one in ranks:
        if not one.HasField("best_place"):
            unranked.setdefault(tuple(one.score.lacks), []).append(one.artifact)
    if not placed and len(unranked) == 1:
        (lacks,) = unranked
        if not after_line:
            OUT.print()
        OUT.print(f"{name}: nothing is ranked yet, no evidence of {_some(lacks)}", markup=False)
        return True
    if not placed:
        OUT.print(f"\n{name}: no artifact has all of its evidence", markup=False)
    for lacks, names in unranked.items():
        OUT.print(f"  not ranked yet, no evidence of {_some(lacks)}:", style="dim", markup=False)
        for name in names:
            OUT.print(f"    {name}", style="dim", markup=False, soft_wrap=True)
    return False


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(words, names[:MOST_NAMES])) + (" and more" if names[MOST_NAMES:] else "")


def _place(one: rank_pb2.Rank) -> str:
    """One place, or the best and the worst: "2 to 4"."""
    return " to ".join(str(each) for each in sorted({one.best_place, one.worst_place}))


def _show_explanation(
    rank: rank_pb2.Rank, explained: rank_pb2.ExplainRankResponse, *, as_json: bool
) -> None:
    if as_json:
        print_json({"rank": plain(rank), "explanation": plain(explained)})
        return
    claims = {one.digest: one for one in explained.evidence}
    title = f"The score of {rank.artifact} in {words(explained.score.profile)}"
    table = Grid(
        title,
        [
            Column("part", Kind.TEXT),
            Column("points", Kind.NAME),
            Column("weight, of 100", Kind.TEXT),
            Column("evidence", Kind.TEXT),
        ],
        lines=True,
    )
    for one in explained.contributions:
        evidence = [claims[each] for each in one.evidence if each in claims]
        commands = "".join(f"\n{each.claim}: {each.command}" for each in evidence)
        weight = f"{one.max_points:g}" if one.metric else "not weighted"
        table.add(words(one.component), _points(one), weight, one.explanation + commands)
    table.add("sum", score_text(explained.score), "100", "")
    show(table)
    if rank.HasField("best_place"):
        tied = ", ".join(rank.not_separable_from) or "none"
        place = f"rank {_place(rank)} of {rank.ranked_count}; too close to call with: {tied}"
    else:
        lacks = ", ".join(map(words, rank.score.lacks))
        place = f"not ranked in {words(rank.profile)}: it lacks {lacks}"
    OUT.print(place, markup=False)
    timings = f"timings of {rank.hardware}" if rank.hardware else "no timings"
    OUT.print(
        f"methodology {explained.methodology.version} {explained.methodology.digest[:19]}, as of "
        f"{explained.score.as_of}, {timings}",
        style="dim",
        markup=False,
    )


def _points(one: score_pb2.Contribution) -> str:
    if not one.metric:
        return ""
    ends = f"[{one.low:z.2f} .. {one.high:z.2f}]" if one.high - one.low > 1e-9 else ""
    point = f"{one.point:z.2f}" if one.HasField("point") else "unknown"
    return f"{point}\n{ends}".rstrip()


def _show_methodology(reply: score_pb2.GetMethodologyResponse, *, as_json: bool) -> None:
    text = reply.content.decode()
    if as_json:
        print_json({**plain(reply.methodology), "content": text})
    else:
        OUT.print(text, markup=False, end="")
