"""The whole document: one file that loads nothing and runs nothing."""

from __future__ import annotations

from html import escape

from assay_rpc.ranker.v1 import compare_pb2

from services.cli.output.messages import page_claims
from services.cli.output.report import sections
from services.cli.output.report.claims import claims
from services.cli.output.report.picture import Seen
from services.cli.output.report.side_by_side import side_by_side
from services.cli.output.report.style import CSS

# A browser that is told so loads nothing from elsewhere, whatever a text might hold.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def render(reply: compare_pb2.CompareResponse, seen: Seen | None = None) -> str:
    """Return a comparison as HTML; equal comparisons give equal pages."""
    left, right = reply.left.artifact.id, reply.right.artifact.id
    every = [*reply.left.claims, *reply.right.claims, *page_claims(reply)]
    title = escape(f"{left} and {right}, compared")
    parts = [
        f'<p class="summary">{escape(reply.summary)}</p>',
        side_by_side(reply),
        sections.changed(every),
        sections.contradictions(every),
        sections.picture(seen) if seen else "",
        sections.breakdowns(reply),
        claims(f"Claims about {left}", reply.left.claims),
        claims(f"Claims about {right}", reply.right.claims),
    ]
    parts += [claims(f"Claims of {page.page.name}", page.claims) for page in reply.pages]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{CSS}</style></head><body><h1>{title}</h1>"
        f"{''.join(parts)}"
        f'<p class="quiet">Methodology {escape(reply.methodology.version)} '
        f"{escape(reply.methodology.digest)}, as of {escape(reply.as_of)}. "
        f"Manifests {escape(reply.left.artifact.digest)} and "
        f"{escape(reply.right.artifact.digest)}.</p></body></html>\n"
    )
