"""A comparison as one file that needs nothing else."""

from __future__ import annotations

from assay_rpc.ranker.v1 import compare_pb2

from services.ranker.web.links import Nowhere
from services.ranker.web.pictures import Seen
from services.ranker.web.rendering import render
from services.ranker.web.views import comparison


def report(reply: compare_pb2.CompareResponse, seen: Seen | None = None) -> str:
    """Return a comparison as HTML; equal comparisons give equal pages."""
    links = Nowhere()
    return render(
        "comparison.html",
        links,
        alone=True,
        view=comparison.view(reply, links),
        seen=seen,
        running=(),
    )
