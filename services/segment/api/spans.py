"""Spans that show where a picture's time went, below the call's own span."""

from __future__ import annotations

from services.rpc.tracing.tracing import Tracing
from services.segment.batching.scheduler import Trace
from services.segment.serving.repository import RegisteredModel


def add(tracing: Tracing, model: RegisteredModel, trace: Trace) -> None:
    """Add the spans of a picture whose answer was just made.

    Waiting for a thread and waiting for a batch share a span, because they share a number.
    """
    tracing.worked(
        (
            ("decode", trace.prepare),
            ("queue", trace.queue),
            ("inference", trace.compute),
            ("output", trace.finish),
        ),
        {
            "assay.model": model.manifest.name,
            "assay.model_version": model.manifest.version,
            "assay.batch_size": trace.batch_size,
        },
    )
