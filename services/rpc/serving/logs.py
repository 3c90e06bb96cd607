"""Structured logs: one JSON object a line on stderr, ours and the libraries' alike."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

import structlog


def configure(level: str, more: Sequence[structlog.typing.Processor] = ()) -> None:
    """Sends every log of this process to stderr as JSON, from `level` up. Called once, by `run`.

    The processors `more` add to each line.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        *more,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,  # first: what is not written costs nothing
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(default=str),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    logging.captureWarnings(capture=True)
    logging.getLogger("grpc._cython.cygrpc").addFilter(_is_a_fault)


def _is_a_fault(record: logging.LogRecord) -> bool:
    """False for what gRPC logs as an exception where a caller leaves before its last message."""
    return "ExecuteBatchError raised in core" not in record.getMessage()
