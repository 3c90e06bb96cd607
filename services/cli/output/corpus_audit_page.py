"""An audit of a corpus as one page that needs no other file."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from assay_rpc.audit.v1alpha1 import corpus_audit_pb2 as pb

from services.cli.output.corpus_audit import name_of, rights_of, share_of, summary


def page(found: pb.CorpusAudit) -> str:
    """Return the page as HTML; equal audits give equal pages."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415  # an extra

    from services.ranker.web.rendering import STYLE, asset  # noqa: PLC0415  # needs jinja2

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("corpus_audit.html").render(
        found=found,
        summary=summary(found),
        name_of=name_of,
        rights_of=rights_of,
        share_of=share_of,
        style=asset(STYLE),
        product=f"Assay {metadata.version('assay-services')}",
    )
