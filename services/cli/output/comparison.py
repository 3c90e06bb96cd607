"""Shows a comparison on the screen."""

from __future__ import annotations

from collections.abc import Sequence

from assay_rpc.ranker.v1 import artifact_pb2, compare_pb2, score_pb2
from rich.text import Text

from services.cli.output import grid, verdicts
from services.cli.output.console import OUT
from services.cli.output.grid import Column, Grid, Kind
from services.cli.output.messages import missing
from services.ranker.web import measured
from services.ranker.web.sides import (
    LEAST,
    MOST,
    UNDECIDED,
    Answer,
    component_rows,
    facts,
    known,
    reports,
    score_rows,
)
from services.ranker.web.values import enum_name, measured_text, spread
from services.ranker.web.verdicts import counted, sentence
from services.ranker.words import words

MOST_NAMES = 5
_BAR_WIDTH = 27


def show(reply: compare_pb2.CompareResponse) -> None:
    """Prints both artifacts side by side, their claims, and the conclusion."""
    left, right = reply.left, reply.right
    for side in (left, right):
        verdicts.show(
            f"\nClaims about {side.artifact.id}",
            side.claims,
            verified_by=f"assay claims {side.artifact.id}",
        )
    for page in reply.pages:
        verdicts.show(
            f"\nClaims about {page.page.name}",
            page.claims,
            verified_by=f"assay claims {page.page.id}",
        )
    grid.show(_side_by_side(reply))
    for name, parts, answer in component_rows(reply):
        if answer is not None and answer.missing and known(parts):
            OUT.print(
                f"missing to decide {words(name)}: {missing(answer)}",
                style="dim",
                markup=False,
            )
    every = [*left.claims, *right.claims, *(one for page in reply.pages for one in page.claims)]
    OUT.print(f"\n{sentence(counted(every))}", style="bold", markup=False)
    OUT.print(reply.summary, style="bold", markup=False)
    OUT.print(
        f"methodology {reply.methodology.version} {reply.methodology.digest[:19]}, "
        f"as of {reply.as_of}, cache {enum_name(reply.cache, 'status').lower()}",
        style="dim",
        markup=False,
    )


def _side_by_side(reply: compare_pb2.CompareResponse) -> Grid:
    sides = (reply.left, reply.right)
    table = Grid(
        "\nSide by side",
        [
            Column("aspect", Kind.TEXT),
            *(Column(side.artifact.id, Kind.TEXT) for side in sides),
            Column("better", Kind.TEXT),
        ],
        lines=True,
    )

    def row(heading: str, cells: list[str | Text], better: str = "") -> None:
        table.add(heading, *cells, better)

    row("type", [enum_name(s.artifact, "type").replace("_", " ").lower() for s in sides])
    row("licence", [s.artifact.license.name for s in sides])
    row("pricing", [s.artifact.pricing for s in sides])
    row("capabilities registered", [_capabilities(s.artifact) for s in sides])
    row("times matched", [_matches(s.matches) for s in sides])
    row("published score", [_published(s.artifact) for s in sides])
    for heading, scores, answer in score_rows(reply):
        row(heading, [score_text(one) for one in scores], _answered(reply, scores, answer))
    for name, parts, answer in component_rows(reply):
        row(words(name), [_component(one) for one in parts], _answered(reply, parts, answer))
    for one in measured.rows(reply):
        facts = ", ".join(map(words, one.facts))
        row(f"{one.heading}: {facts}", [_cell(cell) for cell in one.cells])
    row("page reliability", ["\n".join(map(_reliability, s.reliability)) for s in sides])
    return table


def _cell(cell: measured.Cell) -> Text:
    if cell.evidence is None:
        return Text(cell.why, style="dim")
    return Text(measured_text(cell.evidence))


def _answered(
    reply: compare_pb2.CompareResponse,
    both: Sequence[score_pb2.Score | score_pb2.Component | None],
    answer: Answer | None,
) -> str:
    open_ = compare_pb2.SEPARATION_NOT_SEPARABLE
    if answer is not None and answer.separation == open_ and not known(both):
        return UNDECIDED
    return better(reply, answer)


def better(reply: compare_pb2.CompareResponse, answer: Answer | None) -> str:
    """The id of the better artifact, or that it is too close to call; empty if not requested."""
    return {
        compare_pb2.SEPARATION_LEFT: reply.left.artifact.id,
        compare_pb2.SEPARATION_RIGHT: reply.right.artifact.id,
        compare_pb2.SEPARATION_NOT_SEPARABLE: "too close to call",
    }.get(answer.separation if answer else compare_pb2.SEPARATION_UNSPECIFIED, "")


def _capabilities(artifact: artifact_pb2.Artifact) -> str:
    names = [capability.name for capability in artifact.capabilities]
    return "\n".join([str(len(names)), *names])


def _matches(counts: score_pb2.MatchCounts) -> str:
    return "\n".join([str(counts.matched), *reports(counts)])


def _published(artifact: artifact_pb2.Artifact) -> str:
    return (
        "\n".join(
            f"{one.value:.0f}/100\nits printed components are consistent with "
            f"{one.feasible.low:.0f} to {one.feasible.high:.0f}"
            for one in artifact.published
        )
        or "none"
    )


def score_text(score: score_pb2.Score) -> str:
    """A score with its ends, or the remaining bounds and what is missing."""
    ends = f"[{score.low:z.1f} .. {score.high:z.1f}]"
    point, least, most = spread(score.point, score.low, score.high, 1)
    shown = f"{point}   [{least} .. {most}]" if least else point
    if not score.HasField("point"):
        few = len(score.lacks) <= MOST_NAMES
        lacks = ", ".join(map(words, score.lacks)) if few else len(score.lacks)
        if not score.coverage:
            return f"no evidence for {lacks}"
        return f"no score: no evidence for {lacks}\npossible: {ends} points"
    return _with_bar(shown, score.low / 100, score.point / 100, score.high / 100)


def _component(component: score_pb2.Component | None) -> str:
    if component is None:
        return ""
    if not component.HasField("point"):
        return component.explanation or "no evidence"
    point, least, most = spread(component.point, component.low, component.high, 2)
    shown = f"{point}   [{least} .. {most}]" if least else point
    drawn = _with_bar(shown, component.low, component.point, component.high)
    return f"{drawn}\n{component.explanation}"


def _with_bar(shown: str, low: float, point: float, high: float) -> str:
    """The text with its bar below, if grids are drawn: programs do not need bars."""
    return f"{shown}\n{bar(low, point, high)}" if grid.is_table() else shown


def bar(low: float, point: float, high: float) -> str:
    """The interval drawn on a scale from -0.5 to 1.5, its point marked."""
    places = (min(1.0, max(0.0, (x - LEAST) / (MOST - LEAST))) for x in (low, point, high))
    first, mark, last = (round(x * (_BAR_WIDTH - 1)) for x in places)
    cells = ["·"] * _BAR_WIDTH
    cells[first : last + 1] = "─" * (last + 1 - first)
    cells[mark] = "●"
    return "".join(cells)


def _reliability(reliability: compare_pb2.PageReliability) -> str:
    interval = reliability.interval
    mean = "unknown"
    if reliability.HasField("mean"):
        mean = f"{reliability.mean:.2f} [{interval.low:.2f} .. {interval.high:.2f}]"
    of_page = f" (as {reliability.page} states it)" if reliability.page else ""
    return f"{mean}{of_page}\n{facts(reliability)}"
