"""The basis of bits per byte, in words."""

from __future__ import annotations

from assay_rpc.common.v1 import common_pb2
from assay_rpc.corpus.v1 import scoring_pb2

from services.common.counts import plural
from services.common.percent import percent

_UNITS = {
    scoring_pb2.SAMPLE_UNIT_SPANS: "span",
    scoring_pb2.SAMPLE_UNIT_DOCUMENTS: "document",
}


def standing(basis: scoring_pb2.Basis, interval: common_pb2.Interval | None, form: str) -> str:
    """The cell next to a figure: its interval, or that it is exact, or an example."""
    if interval is not None:
        low = f"{interval.low:{form}}" if interval.HasField("low") else "-inf"
        high = f"{interval.high:{form}}" if interval.HasField("high") else "inf"
        return f"{low} .. {high}"
    names = {scoring_pb2.STANDING_EXACT: "exact", scoring_pb2.STANDING_EXAMPLE: "an example"}
    return names.get(basis.standing, "")


def basis_sentences(basis: scoring_pb2.Basis, what: str = "95 % intervals are") -> list[str]:
    """Which question the figures answer, and their basis."""
    worth = f"which count as {basis.effective_documents:,.4g} of equal size"
    if basis.standing == scoring_pb2.STANDING_EXACT:
        return [f"exact: over {plural(basis.documents, 'document')}, {worth}"]
    documents = plural(basis.documents, "document")
    if basis.scope == scoring_pb2.INTERVAL_SCOPE_CORPUS_BEHIND:
        question = f"of the corpus behind these {documents}"
    else:
        question = f"of these {documents}"
    said = [f"{what} {question}, {worth}"]
    if basis.unit in _UNITS:
        said.append(_drawn(basis))
    if basis.standing == scoring_pb2.STANDING_EXAMPLE:
        said.append(f"the figure is an example, not a measurement: {basis.no_interval}")
    return said


def _drawn(basis: scoring_pb2.Basis) -> str:
    sentence = (
        f"{plural(basis.scored, _UNITS[basis.unit])} scored, {basis.by_chance:,} drawn by chance; "
        f"{percent(basis.certain_share, 2)} of the bytes were certain to be drawn"
    )
    if basis.HasField("kept_share") and basis.kept_share < 1:
        sentence += f"; an estimated {percent(1 - basis.kept_share, 1)} of the bytes is left out"
    return sentence
