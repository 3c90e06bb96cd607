"""The comparison on the screen."""

from __future__ import annotations

from assay.ranker.v1 import ranker_pb2
from rich.table import Table
from rich.text import Text

from services.cli.output import measured, verdicts
from services.cli.output.console import OUT
from services.cli.output.messages import enum_name

_BAR_WIDTH = 26


def show(reply: ranker_pb2.CompareResponse) -> None:
    """Prints both artifacts side by side, their claims, and what follows."""
    left, right = reply.left, reply.right
    for side in (left, right):
        verdicts.show(f"\nClaims about {side.artifact.id}", side.claims)
    if reply.page_claims:
        verdicts.show("\nClaims about the page that compares them", reply.page_claims)
    OUT.print(_side_by_side(reply))
    for component in reply.components:
        if component.what_would_separate:
            OUT.print(
                f"{component.component}: {component.what_would_separate}", style="dim", markup=False
            )
    OUT.print(f"\n{reply.summary}", style="bold", markup=False)
    OUT.print(
        f"methodology {reply.methodology.version} {reply.methodology.digest[:19]}, "
        f"as of {reply.as_of}, cache {enum_name(reply.cache, 'status')}",
        style="dim",
        markup=False,
    )


def _side_by_side(reply: ranker_pb2.CompareResponse) -> Table:
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
    row("page reliability", [_reliability(s.reliability) for s in sides])
    return table


def _cell(cell: measured.Cell) -> Text:
    if cell.evidence is None:
        return Text(cell.why, style="dim")
    return Text(verdicts.measured_text(cell.evidence))


def _better(reply: ranker_pb2.CompareResponse, separation: ranker_pb2.ComponentComparison) -> str:
    return {
        ranker_pb2.SEPARATION_LEFT: reply.left.artifact.id,
        ranker_pb2.SEPARATION_RIGHT: reply.right.artifact.id,
        ranker_pb2.SEPARATION_NOT_SEPARABLE: "not separable",
    }.get(separation.separation, "")


def _capabilities(artifact: ranker_pb2.Artifact) -> str:
    names = [capability.name for capability in artifact.capabilities]
    return "\n".join([str(len(names)), *names])


def _matches(counts: ranker_pb2.MatchCounts) -> str:
    if not counts.reported:
        return str(counts.matched)
    return f"{counts.matched}\n{counts.succeeded} of {counts.reported} reported went well"


def _published(artifact: ranker_pb2.Artifact) -> str:
    if not artifact.HasField("published"):
        return "none"
    published = artifact.published
    feasible = published.feasible
    return f"{published.value:.0f}/100\nits parts allow {feasible.low:.0f} .. {feasible.high:.0f}"


def _score(score: ranker_pb2.Score) -> str:
    return (
        f"{score.point:.1f}   [{score.low:.1f} .. {score.high:.1f}]\n"
        f"{bar(score.low / 100, score.point / 100, score.high / 100)}\n"
        f"evidence for {score.coverage:.0%} of the weight"
    )


def _component(component: ranker_pb2.Component) -> str:
    if not component.coverage:
        return f"nothing is known: 0 .. 1\n{component.explanation}"
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


def _reliability(reliability: ranker_pb2.PageReliability) -> str:
    interval = reliability.interval
    return (
        f"{reliability.mean:.2f} [{interval.low:.2f} .. {interval.high:.2f}]\n"
        f"{reliability.confirmed} groups hold, {reliability.refuted} do not, "
        f"{reliability.undecided} undecided"
    )
