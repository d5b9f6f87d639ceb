"""An explanation as text, for a finance person and an SRE alike: nothing is rounded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

ZEROS = ("0", "0.0")


def render(found: Mapping[str, Any]) -> str:
    """Window and price, the inputs, the figures, the pods, and what moved the cost."""
    return "\n".join(
        (
            *_head(found),
            "",
            "INPUTS (sums over the pods below, and what was configured)",
            *_columns([("", row["name"], row["value"]) for row in found["inputs"]]),
            "",
            "FIGURES",
            *(line for row in found["figures"] for line in _figure(row)),
            "",
            "PODS (they add up to the inputs of the same name)",
            *(line for row in found["pods"] for line in _pod(row)),
            "",
            *_beside(found),
            *_moved(found["moved"]),
        )
    )


def _head(found: Mapping[str, Any]) -> Iterator[str]:
    window, price = found["window"], found["price"]
    yield f"{found['pool']}, observed {found['observationTime']}"
    full = "" if window["full"] else ", still filling"
    yield (
        f"window: {window['start']} to {window['end']}, {window['seconds']} s{full}; "
        f"replicas read: {window['coverage']}"
    )
    yield from _pages(found["pages"])
    source = ", ".join(
        str(price[key]) for key in ("source", "text", "asOf", "problem", "message") if key in price
    )
    mark = " (a placeholder in its source)" if price.get("placeholder") else ""
    yield f"price: {price.get('currency', '')} {source}{mark}".rstrip()
    yield "The status shows four digits, and may lag behind these numbers by 2 %."


def _pages(pages: Mapping[str, Any]) -> Iterator[str]:
    """Where the pages came from; of the names in a query only the first."""
    if pages["from"] != "Prometheus":
        yield f"pages: read from {'files' if pages['from'] == 'Files' else 'the pods themselves'}"
        return
    tenant = f", tenant {pages['tenant']}" if "tenant" in pages else ""
    yield f"pages: as Prometheus scraped them, {pages['url']}{tenant}"
    for row in pages["queries"]:
        names, rest = row["query"].split('",', 1)
        first, *more = names.split("|")
        yield f'  {row["of"]} of {row["namespace"]}: {first}|… {len(more)} more names",{rest}'
    yield "  All names: -o json. At both ends of the window its counters differ by the inputs, to one scrape."


def _figure(row: Mapping[str, Any]) -> Iterator[str]:
    value = f"{row['value']} {row['unit']}" if "value" in row else f"not known: {row['absent']}"
    yield f"  {row['name']} = {value}"
    yield f"      = {row['formula']}   [{row['section']}]"
    if "value" not in row:
        if "detail" in row:
            yield f"      {row['detail']}"
        return
    window = f", window {row['windowSeconds']} s" if "windowSeconds" in row else ""
    yield f"      {row['grade']}{window}; basis: {row['basis']}; source: {row['source']}"


def _pod(row: Mapping[str, Any]) -> Iterator[str]:
    about = [str(row[key]) for key in ("role", "product", "priceSource") if row.get(key)]
    if row.get("estimated"):
        about.append("estimated: a counter fell or the container restarted")
    yield f"  {row['pod']} ({row['uid']}): {', '.join(about)}"
    yield from _columns(
        [("    ", name, value) for name, value in row["inputs"].items() if value not in ZEROS]
    )


def _beside(found: Mapping[str, Any]) -> Iterator[str]:
    rows = found["beside"]
    if not rows:
        return
    yield f"BESIDE THE ENGINES (added to nothing above; frontends against workers: {found['frontends']})"
    for row in rows:
        about = f"not read: {row['notRead']}" if "notRead" in row else f"read over {row['seconds']} s"
        yield f"  {row['pod']} ({row['kind']}): {about}"
        yield from _columns([("    ", name, value) for name, value in row.get("counted", {}).items()])
    yield ""


def _moved(moved: Mapping[str, Any]) -> Iterator[str]:
    if "absent" in moved:
        yield f"MOVED: not known: {moved['absent']}. {moved.get('detail', '')}".rstrip()
        return
    yield f"MOVED by {moved['change']} {moved['basis']}, from {moved['before']} ({moved['from']}) to"
    yield f"      {moved['after']} ({moved['to']})   [{moved['section']}, {moved['grade']}]"
    for part in moved["parts"]:
        change = part.get("change", "not known: in the rest")
        span = f" ({part['before']} to {part['after']})" if "before" in part and "after" in part else ""
        yield f"  {part['part']}: {change}{span}"


def _columns(rows: list[tuple[str, str, str]]) -> Iterator[str]:
    width = max((len(name) for _, name, _ in rows), default=0)
    for indent, name, value in rows:
        yield f"  {indent}{name.ljust(width)}  {value}"
