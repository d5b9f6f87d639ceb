"""A vLLM metrics page that advances: the page of a real vLLM 0.32.0 with the driven counters put in."""

from __future__ import annotations

import math
import re
from functools import cache
from importlib.resources import files

from tokenfactory.sandbox.workload import Odometer, Workload

_SAMPLE = re.compile(r"^(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(?P<labels>\{.*\})? (?P<value>\S+)$")
_BOUND = re.compile(r'le="([^"]+)"')
_HISTOGRAMS = (
    "vllm:time_to_first_token_seconds",
    "vllm:inter_token_latency_seconds",
    "vllm:request_queue_time_seconds",
)
PLAIN = "vllm-0.32.0.prom"
SPECULATION = "vllm-0.32.0-speculation.prom"


@cache
def load_template(name: str) -> tuple[tuple[str, str, float | None], ...]:
    """(text before the value, driven sample name or empty, bucket bound) for every line of the template."""
    lines: list[tuple[str, str, float | None]] = []
    text = files("tokenfactory.sandbox").joinpath("templates", name).read_text()
    driven = set(Workload().rates()) | {"vllm:num_requests_running", "vllm:num_requests_waiting"}
    for line in text.splitlines():
        match = _SAMPLE.match(line)
        if match is None:
            lines.append((line, "", None))
            continue
        name_, labels = match["name"], match["labels"] or ""
        family = name_.removesuffix("_bucket")
        if name_ in driven:
            lines.append((f"{name_}{labels} ", name_, None))
        elif name_.endswith("_bucket") and family in _HISTOGRAMS:
            found = _BOUND.search(labels)
            lines.append((f"{name_}{labels} ", family, float(found[1]) if found else math.inf))
        else:
            lines.append((line, "", None))
    return tuple(lines)


def render_engine_page(odometer: Odometer, *, now: float) -> str:
    """The page at `now`. A page with speculation carries the speculation families, like a real one."""
    workload = odometer.workload
    counts = odometer.counts(now)
    gauges = {
        "vllm:num_requests_running": workload.concurrency,
        "vllm:num_requests_waiting": workload.waiting,
    }
    lines: list[str] = []
    for text, driven, bound in load_template(SPECULATION if workload.drafts else PLAIN):
        if not driven:
            lines.append(text)
        elif bound is not None:
            observations = counts[f"{driven}_count"] * workload.share_under(driven, bound)
            lines.append(f"{text}{observations!r}")
        else:
            lines.append(f"{text}{gauges[driven] if driven in gauges else counts[driven]!r}")
    return "\n".join(lines).replace('model_name="tiny"', f'model_name="{workload.model}"') + "\n"
