"""From the series of a Prometheus back to the pages that it scraped, so that the same parsers read them.

A scrape gives all its samples one time stamp. So the series of one target with a sample at that very time
are one page, as it stood: counters of one moment, never a mixture of two. Labels that Prometheus attached
are taken off again and `exported_*` gets its own name back; which labels were attached, `up` tells.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tokenfactory.telemetry.queries import UP

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_ESCAPE = re.compile(r'[\\"\n]')
_ESCAPED = {"\\": r"\\", '"': r"\"", "\n": r"\n"}
_EXPORTED = "exported_"
_USUAL = frozenset({"job", "instance", "namespace", "pod", "container", "endpoint", "service", "node"})
_REPLICAS = frozenset({"prometheus", "prometheus_replica", "replica", "cluster"})
_TAKEN_OFF = _USUAL | _REPLICAS
_HOSTS = ("Hostname", "hostname", "node")
_NAME_LABEL = "__name__"
_RESERVED = "__"
_TEXT = {str}
_FIRST_LINE = "# as scraped by Prometheus\n"

Stamps = Mapping[float, str]


class Unreadable(Exception):
    """A result that no Prometheus gives."""


class Oversized(Exception):
    """More than is read at once: the query has to be cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a Prometheus last scraped of one target; `page` None: nothing that was asked for.

    `at` is the time stamp of the page (Unix seconds). `up` tells whether its last scrape succeeded; None: it
    is not known. `hosts` are names of its node, as far as its labels tell.
    """

    pod: str
    instance: str
    container: str
    at: float
    page: bytes | None
    samples: int
    up: bool | None
    hosts: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Group:
    """The series of one job and instance."""

    rows: list[tuple[str, Mapping[str, str], Stamps]] = field(default_factory=list)
    ups: list[tuple[Mapping[str, str], Stamps]] = field(default_factory=list)


def rebuild(result: Sequence[Any], *, pod_label: str) -> tuple[Target, ...]:
    """The targets of a range of samples. Raises Unreadable for anything but a Prometheus' result."""
    groups: dict[tuple[str, str, str], _Group] = {}
    for item in result:
        labels, stamps = read_series(item)
        name = labels.get(_NAME_LABEL, "")
        if not stamps or not _NAME.fullmatch(name):
            continue
        if name == UP:
            _group(groups, labels, pod_label).ups.append((labels, stamps))
        else:
            _group(groups, labels, pod_label).rows.append((name, labels, stamps))
    return tuple(
        _to_target(pod, instance, part)
        for (pod, _, instance), group in groups.items()
        for part in _split(group)
    )


def _group(groups: dict[tuple[str, str, str], _Group], labels: Mapping[str, str], pod_label: str) -> _Group:
    key = labels.get(pod_label, ""), labels.get("job", ""), labels.get("instance", "")
    return groups.setdefault(key, _Group())


def _split(group: _Group) -> Iterable[_Group]:
    """One group for each set of labels that was attached: replicas of a Prometheus, each with its own mark.

    Their pages are copies of one, so they must never be put together.
    """
    attached = {frozenset(_own(labels).items()) for labels, _ in group.ups}
    if len(attached) < 2:
        return (group,)
    parts = {labels: _Group() for labels in sorted(attached, key=sorted)}
    for labels, stamps in group.ups:
        parts[frozenset(_own(labels).items())].ups.append((labels, stamps))
    for row in group.rows:
        pairs = row[1].items()
        parts[max(parts, key=lambda labels: len(labels & pairs))].rows.append(row)
    return parts.values()


def _own(labels: Mapping[str, str]) -> dict[str, str]:
    return {label: value for label, value in labels.items() if label != _NAME_LABEL}


def read_series(item: Any) -> tuple[Mapping[str, str], Stamps]:
    """The labels of one series and its samples by time, as text. Raises Unreadable."""
    try:
        labels, values = item["metric"], item.get("values", ())
        stamps = {float(at): value for at, value in values}
    except (LookupError, TypeError, ValueError, AttributeError):
        raise Unreadable from None
    if not isinstance(labels, dict) or not all(map(math.isfinite, stamps)):
        raise Unreadable
    if not {*map(type, labels), *map(type, labels.values()), *map(type, stamps.values())} <= _TEXT:
        raise Unreadable
    return labels, stamps


def _to_target(pod: str, instance: str, group: _Group) -> Target:
    last_up = max(((at, value) for _, stamps in group.ups for at, value in stamps.items()), default=None)
    at = _find_scrape(stamps for _, _, stamps in group.rows)
    rows = [(name, labels, stamps[at]) for name, labels, stamps in group.rows if at in stamps]
    attached = _attached_at(at, group.ups)
    lines = sorted({_render(name, restore(labels, attached), value) for name, labels, value in rows})
    said = [labels for labels, _ in group.ups] + [labels for _, labels, _ in rows]
    return Target(
        pod=pod,
        instance=instance,
        container=next((labels["container"] for labels in said if labels.get("container")), ""),
        at=at if rows else (last_up[0] if last_up else 0.0),
        page="".join((_FIRST_LINE, *lines)).encode() if lines else None,
        samples=len(lines),
        up=last_up[1] == "1" if last_up else None,
        hosts=frozenset(labels[key] for labels in said for key in _HOSTS if labels.get(key)),
    )


def _find_scrape(series: Iterable[Stamps]) -> float:
    """The time of the last whole scrape.

    A store that is written to in parts may show the last one half: where the one before holds more series,
    it is taken. A series that really ended costs one scrape of delay. 0 without any sample.
    """
    counted: Counter[float] = Counter(at for stamps in series for at in stamps)
    last = sorted(counted, reverse=True)[:2]
    if not last:
        return 0.0
    return max(last, key=lambda at: (counted[at], at))


def _attached_at(at: float, ups: Iterable[tuple[Mapping[str, str], Stamps]]) -> Mapping[str, str] | None:
    """The labels that Prometheus attached to the scrape of that time, from its `up`."""
    known = [labels for labels, stamps in ups if at in stamps] or [labels for labels, _ in ups]
    return known[0] if known else None


def restore(labels: Mapping[str, str], attached: Mapping[str, str] | None) -> dict[str, str]:
    """The labels as the page had them. Without `attached` the usual ones are taken off, and those by which
    replicas of a Prometheus are told apart: their copies of a sample then are one line, or refuse the page.
    """
    if attached is None:
        own = {pair for pair in labels.items() if pair[0] not in _TAKEN_OFF}
    else:
        own = labels.items() - attached.items()
    replaced = _USUAL if attached is None else attached.keys()
    found: dict[str, str] = {}
    for label, value in own:
        if not label.startswith(_RESERVED) and _LABEL.fullmatch(label):
            short = label.removeprefix(_EXPORTED)
            found[short if short != label and short in replaced else label] = value
    return found


def _render(name: str, labels: Mapping[str, str], value: str) -> str:
    pairs = ",".join(f'{label}="{_escape(text)}"' for label, text in sorted(labels.items()))
    return f"{name}{{{pairs}}} {value}\n" if pairs else f"{name} {value}\n"


def _escape(text: str) -> str:
    return _ESCAPE.sub(lambda match: _ESCAPED[match[0]], text) if _ESCAPE.search(text) else text
