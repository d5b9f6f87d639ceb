"""How much of a hostile page or server is put up with. A breach fails the whole scrape, never part of it."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanLimits:
    """Bounds of one metrics page. Lengths are bytes as written on the page, before unescaping.

    `samples` and the bounds of labels count wanted samples only, `lines` and `line_length` the whole page.
    A vLLM page writes 37 labels on `vllm:cache_config_info`, so `labels` of one sample is 64.
    `page_labels`, the labels of all samples together, bounds the memory that a page can take.
    """

    samples: int = 20_000
    lines: int = 200_000
    line_length: int = 16 * KIB
    labels: int = 64
    label_name_length: int = 128
    label_value_length: int = 512
    page_labels: int = 64_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchLimits:
    """Bounds of one fetch (bytes, seconds) and of all fetches together (requests in flight, shared pages).

    `deadline_seconds` covers connecting, waiting and reading; waiting for a free slot comes before it.
    `share_seconds` is the longest that a page is kept for other callers, `share_bytes` the most of all pages.
    """

    compressed_bytes: int = 2 * MIB
    body_bytes: int = 8 * MIB
    header_bytes: int = 16 * KIB
    deadline_seconds: float = 5.0
    connect_seconds: float = 2.0
    in_flight: int = 64
    in_flight_per_namespace: int = 8
    share_seconds: float = 15.0
    share_bytes: int = 32 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryLimits:
    """Bounds of one answer of a Prometheus. A JSON answer takes about ten times its bytes while it is read.

    An answer over these is asked for again in slices, so they bound memory, not what can be read.
    """

    answer_bytes: int = 4 * MIB
    series: int = 20_000
