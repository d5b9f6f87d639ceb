"""Structured logs: text on a terminal, JSON lines otherwise. Values are cut and made printable."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from tokenfactory.runtime.settings import LogFormat

FIELD_LIMIT = 1024


def printable(text: str, *, limit: int = FIELD_LIMIT) -> str:
    """`text` without control characters (log injection) and at most `limit` characters long."""
    clean = "".join(character if character.isprintable() else "?" for character in text[: limit + 1])
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def _guard(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if isinstance(value, str) and key not in {"exception", "timestamp"}:
            event[key] = printable(value)
    return event


def _is_ours(record: logging.LogRecord) -> bool:
    """Not what the guard refused: kopf logs that as an error of ours, and the guard logs it itself."""
    return not str(record.msg).startswith("Webhook ")


def configure(log_format: LogFormat, level: str) -> None:
    """Sets up logging for the process: ours and kopf's share one renderer on stderr.

    kopf logs every attempt to reach a lost API server; our informers say it once.
    """
    text = log_format == "text" or (log_format == "auto" and sys.stderr.isatty())
    renderer: Any = structlog.dev.ConsoleRenderer() if text else structlog.processors.JSONRenderer()
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _guard,
    ]
    if not text:
        shared.append(structlog.processors.format_exc_info)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("kopf").setLevel(max(logging.WARNING, root.level))
    logging.getLogger("kopf.objects").filters[:] = [_is_ours]
    logging.getLogger("kopf._cogs.clients").setLevel(logging.CRITICAL)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
