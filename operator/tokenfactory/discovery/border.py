"""Reading untrusted Kubernetes objects: a field of the wrong type, or of absurd size, is absent."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime
from ipaddress import ip_address
from types import MappingProxyType
from typing import Any

from tokenfactory.model import EMPTY

NAME_LENGTH = 253
LABEL_KEY_LENGTH = 317
LABEL_VALUE_LENGTH = 63
LABELS = 256
ITEMS = 512
LARGEST_GENERATION = 2**53

_OBJECT_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")
_NOTHING: Mapping[str, Any] = MappingProxyType({})


def mapping(value: object, *path: str) -> Mapping[str, Any]:
    """The mapping at `path` below `value`; an empty one when anything on the way is not there."""
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else _NOTHING


def mappings(value: object, *, most: int = ITEMS) -> Iterator[Mapping[str, Any]]:
    """The first `most` mappings in the list `value`; nothing when it is no list."""
    for item in value[:most] if isinstance(value, list | tuple) else ():
        if isinstance(item, Mapping):
            yield item


def text(value: object, *, longest: int = NAME_LENGTH) -> str:
    """`value` when it is printable text of at most `longest` characters, else an empty string."""
    return sys.intern(value) if type(value) is str and len(value) <= longest and value.isprintable() else ""


def object_name(value: object) -> str:
    """`value` when it can be the name of a Kubernetes object (RFC 1123), else an empty string.

    Where a name of a tenant's object is asked for, it becomes part of a path: the API server does not check
    all of them, such as a volume's ConfigMap.
    """
    name = text(value)
    return name if _OBJECT_NAME.fullmatch(name) else ""


def whole(value: object, *, most: int) -> int | None:
    """A whole number from 0 to `most`, written as a number or as text, else None."""
    if isinstance(value, str) and len(value) <= 12 and value.isascii() and value.isdigit():
        value = int(value)
    return value if type(value) is int and 0 <= value <= most else None


def labels_of(value: object) -> Mapping[str, str]:
    """The labels whose key and value are ones that Kubernetes accepts in length; at most LABELS of them."""
    if not isinstance(value, Mapping):
        return EMPTY
    kept: dict[str, str] = {}
    for key, label in value.items():
        name = text(key, longest=LABEL_KEY_LENGTH)
        if name and type(label) is str and len(label) <= LABEL_VALUE_LENGTH and label.isprintable():
            kept[name] = sys.intern(label)
        if len(kept) == LABELS:
            break
    return MappingProxyType(kept) if kept else EMPTY


def seconds(value: object) -> float | None:
    """An RFC 3339 time as Unix seconds; None for anything else, a time without an offset included."""
    if not isinstance(value, str) or not 20 <= len(value) <= 40:
        return None
    try:
        moment = datetime.fromisoformat(value)
        return moment.timestamp() if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None


def address(value: object) -> str:
    """An IP literal in its shortest form, or an empty string. Zones and every other spelling are refused."""
    literal = text(value, longest=45)
    if not literal or "%" in literal:
        return ""
    try:
        return str(ip_address(literal))
    except ValueError:
        return ""
