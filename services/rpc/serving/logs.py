"""Structured logs: one JSON object a line on stderr, for the services' logs and the libraries'."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

import structlog


def configure(level: str, more: Sequence[structlog.typing.Processor] = ()) -> None:
    """Sends every log of this process to stderr as JSON, from `level` up. `run` calls this once.

    The processors `more` add fields to each line.
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
            structlog.stdlib.filter_by_level,  # first, so that dropped lines cost nothing
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
    """False for the exception that gRPC logs when a caller leaves before its last message."""
    return "ExecuteBatchError raised in core" not in record.getMessage()
