"""The rows of a side-by-side comparison: scores by profile, their parts, what backs them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from assay_rpc.ranker.v1 import compare_pb2, score_pb2

from services.common.counts import plural
from services.ranker.words import words

LEAST, MOST = -0.5, 1.5
"""Ends of what a utility is drawn on."""

Answer = compare_pb2.ComponentComparison | compare_pb2.ProfileComparison
UNDECIDED = "not decided: evidence is missing"
"""The answer if a side has no figure. "Too close to call" would mean that both have one."""


def score_rows(
    reply: compare_pb2.CompareResponse,
) -> Iterator[tuple[str, list[score_pb2.Score], Answer | None]]:
    """A heading, both scores and which is better: of each profile of several metrics.

    Where the two are of different types each has the first profile of its own.
    """
    scores = [{one.profile: one for one in side.scores} for side in (reply.left, reply.right)]
    of_components = {one.component for one in reply.components}
    for answer in reply.profiles:
        if answer.profile not in of_components:
            yield f"score, {words(answer.profile)}", [one[answer.profile] for one in scores], answer
    if not reply.profiles:
        both = [reply.left.score, reply.right.score]
        yield "score (first profile of each type)", both, None


def component_rows(
    reply: compare_pb2.CompareResponse,
) -> Iterator[tuple[str, list[score_pb2.Component | None], Answer | None]]:
    """A name, both parts and which is better: of each metric, then of what is shown beside."""
    sides = [{one.name: one for one in side.score.components} for side in (reply.left, reply.right)]
    answers = {one.component: one for one in reply.components}
    metrics = {one.profile for side in (reply.left, reply.right) for one in side.scores}
    names = dict.fromkeys((*sides[0], *sides[1]))
    for name in sorted(names, key=lambda one: one not in metrics):
        yield name, [side.get(name) for side in sides], answers.get(name)


def known(both: Sequence[score_pb2.Score | score_pb2.Component | None]) -> bool:
    """Whether both sides have a figure, so that a missing answer is not for want of one."""
    return all(one is not None and one.HasField("point") for one in both)


def reports(counts: score_pb2.MatchCounts) -> list[str]:
    """What was reported of matches, and by whom; nothing where nothing was."""
    if not counts.reported:
        return []
    named = counts.reported - counts.anonymous
    return [
        f"{counts.succeeded} of {counts.reported} reported went well",
        f"{named} by {counts.reporters} known reporters, {counts.anonymous} anonymous",
    ]


def facts(reliability: compare_pb2.PageReliability) -> str:
    """What a page's reliability rests on, and what it does not."""
    counts = (
        f"{plural(reliability.confirmed, 'fact')} confirmed, {reliability.refuted} refuted, "
        f"{reliability.undecided} undecided"
    )
    if reliability.trivial:
        counts += f"; {reliability.trivial} of the confirmed would be right by a guess"
    if reliability.left_out:
        counts += f"; {plural(reliability.left_out, 'claim')} not counted"
    return counts
