"""Messages that are none: whatever somebody put into a queue must not end a worker, and then the next one."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

from celery.signals import task_rejected
from kombu.log import get_logger

logger = get_logger(__name__)
POISON = (TypeError, ValueError, LookupError, AttributeError, OverflowError, RecursionError)
"""What kombu and Celery raise for what nothing of ours has sent."""


def deliverable(message: Any) -> bool:
    """Tell whether kombu can make a message of it."""
    match message:
        case {"properties": {"delivery_tag": str(tag), "delivery_info": dict(info), **properties}}:
            body, encoding = message.get("body"), properties.get("body_encoding")
            texts = (body, message.get("content-type"))
            return (
                bool(tag)
                and all(isinstance(info.get(name), str) for name in ("exchange", "routing_key"))
                and all(text is None or isinstance(text, str) for text in texts)
                and isinstance(message.get("headers") or {}, dict)
                and (not encoding or (encoding == "base64" and _is_base64(body or "")))
            )
    return False


def _is_base64(body: str) -> bool:
    try:
        b64decode(body)
    except ValueError:
        return False
    return True


def dropped(why: str, length: int | None = None) -> None:
    """Tell that a message was dropped, in the log and to whoever counts; nothing is told of its content."""
    size = "" if length is None else f" of {length} bytes"
    logger.warning("A message%s was dropped: %s.", size, why)
    task_rejected.send(sender=None, message=None, exc=None)
