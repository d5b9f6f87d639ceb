"""The queries that a Prometheus is asked: constant templates, a forced namespace, nothing of a tenant's.

No name of a pool or pod is ever part of a query. The only values put in are a namespace, which the API
server spells as a DNS label, and what the TokenFactory says; all are checked here once more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,62}")
_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_ESCAPES = {"\\": r"\\", '"': r"\"", "\n": r"\n"}

UP = "up"
ALL = ""


def _ends_with(letters: str) -> str:
    """Instances whose host ends so: `10.0.0.17:8000`, `[fd00::17]:8000`, or a name without a port."""
    return rf".*[{letters}]\]?:[0-9]+|[^:]*[{letters}]"


SLICES: tuple[tuple[str, ...], ...] = (
    (ALL,),
    tuple(map(_ends_with, ("0-1", "2-3", "4-5", "6-7", "8-9", "a-z"))),
    tuple(map(_ends_with, "0123456789abcdefghijklmnopqrstuvwxyz")),
)
"""Ways to cut a namespace into queries, by the last letter of the addresses of its pods. The number of
queries depends on how much a namespace holds, never on its pools."""


def select_pages(
    names: Iterable[str], *, namespace: str, namespace_label: str, pod_label: str, part: str, seconds: int
) -> str:
    """The samples of the last `seconds` of these metrics, and of `up`, of the pods of one namespace.

    A range of samples, not an instant: each keeps the time at which it was scraped, and what went stale is
    not there. `part` is one of SLICES. Raises ValueError for anything that is not spelt as it has to be.
    """
    if not all(_LABEL.fullmatch(label) for label in (namespace_label, pod_label)):
        raise ValueError("not the name of a label")
    if not _NAMESPACE.fullmatch(namespace):
        raise ValueError("not the name of a namespace")
    matchers = [
        f"__name__=~{quote(join_names((*names, UP)))}",
        f"{namespace_label}={quote(namespace)}",
        f'{pod_label}!=""',
    ]
    if part:
        matchers.append(f"instance=~{quote(part)}")
    return f"{{{','.join(matchers)}}}[{int(seconds)}s]"


def select_now(names: Iterable[str]) -> str:
    """The present value of these metrics, whoever exports them."""
    return f"{{__name__=~{quote(join_names(names))}}}"


def join_names(names: Iterable[str]) -> str:
    """One pattern for all names. Raises ValueError for one that is no metric's."""
    given = sorted(set(names))
    if not given or not all(_METRIC.fullmatch(name) for name in given):
        raise ValueError("not the name of a metric")
    return "|".join(given)


def quote(text: str) -> str:
    """`text` as a string literal of PromQL."""
    return '"' + "".join(_ESCAPES.get(letter, letter) for letter in text) + '"'
