"""The comparison on the screen."""

from __future__ import annotations

from assay_rpc.ranker.v1 import artifact_pb2, compare_pb2, score_pb2
from rich.table import Table
from rich.text import Text

from services.cli.output import verdicts
from services.cli.output.console import OUT
from services.cli.output.messages import missing
from services.ranker.web import measured
from services.ranker.web.values import enum_name, measured_text

_BAR_WIDTH = 26


def show(reply: compare_pb2.CompareResponse) -> None:
    """Prints both artifacts side by side, their claims, and what follows."""
    left, right = reply.left, reply.right
    for side in (left, right):
        verdicts.show(f"\nClaims about {side.artifact.id}", side.claims)
    for page in reply.pages:
        verdicts.show(f"\nClaims about {page.page.name}", page.claims)
    OUT.print(_side_by_side(reply))
    for component in reply.components:
        if component.missing:
            OUT.print(
                f"missing to decide {component.component}: {missing(component)}",
                style="dim",
                markup=False,
            )
    OUT.print(f"\n{reply.summary}", style="bold", markup=False)
    OUT.print(
        f"methodology {reply.methodology.version} {reply.methodology.digest[:19]}, "
        f"as of {reply.as_of}, cache {enum_name(reply.cache, 'status')}",
        style="dim",
        markup=False,
    )


def _side_by_side(reply: compare_pb2.CompareResponse) -> Table:
    sides = (reply.left, reply.right)
    table = Table(title="\nSide by side", title_justify="left", show_lines=True)
    table.add_column("")
    for side in sides:
        table.add_column(side.artifact.id)
    table.add_column("better")

    def row(heading: str, cells: list[str | Text], better: str = "") -> None:
        table.add_row(heading, *cells, better)

    row("type", [enum_name(s.artifact, "type").replace("_", " ").lower() for s in sides])
    row("licence", [s.artifact.license.name for s in sides])
    row("pricing", [s.artifact.pricing for s in sides])
    row("capabilities", [_capabilities(s.artifact) for s in sides])
    row("times matched", [_matches(s.matches) for s in sides])
    row("published score", [_published(s.artifact) for s in sides])
    row("score, by methodology " + reply.methodology.version, [_score(s.score) for s in sides])
    better = {each.component: each for each in reply.components}
    for left, right in zip(sides[0].score.components, sides[1].score.components, strict=True):
        separation = better.get(left.name)
        row(
            f"{left.name}\nweights {left.weight:.2f}, {right.weight:.2f}",
            [_component(left), _component(right)],
            _better(reply, separation) if separation else "",
        )
    for one in measured.rows(reply):
        row(f"measured: {one.fact}", [_cell(cell) for cell in one.cells])
    row("page reliability", ["\n".join(map(_reliability, s.reliability)) for s in sides])
    return table


def _cell(cell: measured.Cell) -> Text:
    if cell.evidence is None:
        return Text(cell.why, style="dim")
    return Text(measured_text(cell.evidence))


def _better(reply: compare_pb2.CompareResponse, separation: compare_pb2.ComponentComparison) -> str:
    return {
        compare_pb2.SEPARATION_LEFT: reply.left.artifact.id,
        compare_pb2.SEPARATION_RIGHT: reply.right.artifact.id,
        compare_pb2.SEPARATION_NOT_SEPARABLE: "not separable",
    }.get(separation.separation, "")


def _capabilities(artifact: artifact_pb2.Artifact) -> str:
    names = [capability.name for capability in artifact.capabilities]
    return "\n".join([str(len(names)), *names])


def _matches(counts: score_pb2.MatchCounts) -> str:
    if not counts.reported:
        return str(counts.matched)
    return f"{counts.matched}\n{counts.succeeded} of {counts.reported} reported went well"


def _published(artifact: artifact_pb2.Artifact) -> str:
    return (
        "\n".join(
            f"{one.value:.0f}/100\nits printed components are consistent with "
            f"{one.feasible.low:.0f} to {one.feasible.high:.0f}"
            for one in artifact.published
        )
        or "none"
    )


def _score(score: score_pb2.Score) -> str:
    if not score.HasField("point"):
        return "no evidence yet"
    return (
        f"{score.point:.1f}   [{score.low:.1f} .. {score.high:.1f}]\n"
        f"{bar(score.low / 100, score.point / 100, score.high / 100)}\n"
        f"evidence for {score.coverage:.0%} of the weight"
    )


def _component(component: score_pb2.Component) -> str:
    if not component.HasField("point"):
        return f"nothing is known\n{component.explanation}"
    return (
        f"{component.point:.2f}   [{component.low:.2f} .. {component.high:.2f}]\n"
        f"{bar(component.low, component.point, component.high)}\n{component.explanation}"
    )


def bar(low: float, point: float, high: float) -> str:
    """The interval drawn on [0, 1], its point marked."""
    first, mark, last = (round(x * (_BAR_WIDTH - 1)) for x in (low, point, high))
    cells = ["·"] * _BAR_WIDTH
    cells[first : last + 1] = "─" * (last + 1 - first)
    cells[mark] = "●"
    return "".join(cells)


def _reliability(reliability: compare_pb2.PageReliability) -> str:
    interval = reliability.interval
    mean = "unknown"
    if reliability.HasField("mean"):
        mean = f"{reliability.mean:.2f} [{interval.low:.2f} .. {interval.high:.2f}]"
    return (
        f"{mean}\n{reliability.confirmed} confirmed, {reliability.refuted} refuted, "
        f"{reliability.undecided} undecided (by fact)"
    )
