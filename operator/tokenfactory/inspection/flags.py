"""vLLM's argument grammar: `--k v`, `--k=v`, `-` and `_` alike, dotted JSON keys, `--no-k`, short names.

Nothing here keeps or shows a value by itself; the checks pick the few that they know.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from tokenfactory.inspection.variables import UNKNOWN

MOST_WORDS = 512
DEEPEST = 16
SHORT: Mapping[str, str] = MappingProxyType(
    {
        "-q": "quantization",
        "-sc": "speculative-config",
        "-tp": "tensor-parallel-size",
        "-pp": "pipeline-parallel-size",
        "-dp": "data-parallel-size",
        "-dcp": "decode-context-parallel-size",
        "-ep": "enable-expert-parallel",
        "-cc": "compilation-config",
    }
)
TAKE_VALUE = frozenset(
    {
        *SHORT.values(),
        "model",
        "served-model-name",
        "api-key",
        "host",
        "port",
        "hf-token",
        "seed",
        "dtype",
        "tokenizer",
        "revision",
        "download-dir",
        "load-format",
        "chat-template",
        "max-model-len",
        "max-num-seqs",
        "max-num-batched-tokens",
        "gpu-memory-utilization",
        "kv-cache-dtype",
        "kv-transfer-config",
        "kv-offloading-size",
        "kv-offloading-backend",
        "moe-backend",
        "linear-backend",
        "tool-call-parser",
        "reasoning-parser",
        "root-path",
        "data-parallel-address",
        "data-parallel-rank",
        "node-rank",
        "master-addr",
        "model-path",
        "tp",
        "tp-size",
        "dp",
        "dp-size",
        "ep",
        "ep-size",
        "pp-size",
        "nnodes",
        "dist-init-addr",
        "context-length",
        "mem-fraction-static",
        "chunked-prefill-size",
        "page-size",
        "moe-runner-backend",
        "fp4-gemm-backend",
        "disaggregation-mode",
        "disaggregation-transfer-backend",
        "disaggregation-bootstrap-port",
        "disaggregation-ib-device",
        "watchdog-timeout",
        "kv-cache-free-gpu-memory-fraction",
        "free-gpu-memory-fraction",
        "extra-llm-api-options",
        "extra-engine-args",
        "override-engine-args",
        "config",
        "backend",
        "server-role",
        "quant-algo",
        "connector",
        "endpoint",
        "model-name",
        "http-port",
    }
)
VALUE_PREFIXES = ("max-", "num-", "hicache-", "speculative-num-", "speculative-draft-", "speculative-alg")
SWITCHES = frozenset(
    {
        "trust-remote-code",
        "enforce-eager",
        "headless",
        "async-scheduling",
        "is-prefill-worker",
        "is-decode-worker",
        "publish-metrics",
        "publish-events-and-metrics",
        "is-embedding",
        "skip-tokenizer-init",
    }
)
SWITCH_PREFIXES = ("enable-", "disable-", "no-")


@dataclass(frozen=True, slots=True)
class Broken:
    """A value that should be JSON and is not, or one that the pod does not say (`unknown`)."""

    unknown: bool = False


@dataclass(frozen=True, slots=True)
class Flags:
    """Parsed arguments. `values` by normalised name, the last one given; switches hold an empty string.

    `first` is the word before any flag, or without `--model` the only one of no flag.
    `stray_unknown` is set when an unknown word may be any flag.
    """

    first: str = ""
    values: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    dotted: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=lambda: MappingProxyType({}))
    stray_unknown: bool = False

    def text(self, name: str) -> str | None:
        """The value as written; None when the flag is not there."""
        return self.values.get(name)

    def switch(self, name: str) -> bool | None:
        """On, off (`--no-x`, `--disable-x`), or None when not given; the last one counts."""
        given = self.values.get(name)
        return None if given is None else given.lower() not in ("off", "false", "0")

    def mapping(self, name: str) -> Mapping[str, Any] | Broken | None:
        """A JSON object, dotted keys merged in, keys with `_`; None when not given or given as null."""
        written = self.values.get(name)
        if written is not None and UNKNOWN in written:
            return Broken(unknown=True)
        parsed = _parse(written) if written is not None else {}
        if written is not None and parsed is None:
            return None
        if not isinstance(parsed, dict):
            return Broken()
        merged = {str(key).replace("-", "_"): value for key, value in parsed.items()}
        for path, value in self.dotted.get(name, ()):
            if not _place(merged, path.split("."), value):
                return Broken(unknown=UNKNOWN in path + value)
        return merged if merged or written is not None else None


def parse(words: Sequence[str]) -> Flags:
    """The flags in `words`, in one pass: linear in their number. Never raises."""
    values: dict[str, str] = {}
    dotted: dict[str, tuple[tuple[str, str], ...]] = {}
    first, stray, position, loose = "", False, 0, []
    words = words[: MOST_WORDS + 1]
    while position < len(words):
        word = words[position]
        name, path, value = _split(word)
        position += 1
        if not name:
            stray = stray or (UNKNOWN in word and word[0] in (UNKNOWN, "-"))
            first = word if position == 1 else first
            loose.append(word)
            continue
        if value is None and not _is_switch(name) and position < len(words) and _is_value(words[position]):
            value = words[position]
            position += 1
            stray = stray or (value.startswith(UNKNOWN) and not _takes_value(name))
        if path:
            dotted[name] = (*dotted.get(name, ()), (path, value or ""))
        else:
            key, given = _toggle(name, value)
            values[key] = given
    if not first and len(loose) == 1 and values.keys().isdisjoint(("model", "model-path")):
        first = loose[0]
    return Flags(first, values, dotted, stray_unknown=stray)


def _split(word: str) -> tuple[str, str, str | None]:
    """Normalised name, dotted path and value of a flag word; an empty name when it is none."""
    left, equals, right = word.partition("=")
    head, _, path = left.partition(".")
    value = right if equals else None
    if head.startswith("--") and len(head) > 2 and UNKNOWN not in head:
        return head[2:].replace("_", "-"), path, value
    if head in SHORT:
        return SHORT[head], path, value
    if len(head) > 1 and head[0] == "-" and head[1].isalpha():
        return head, path, value
    return "", "", None


def _toggle(name: str, value: str | None) -> tuple[str, str]:
    """`--no-x` and `--disable-x` say that `x` (or `enable-x`) is off, `--no-disable-x` that it is on."""
    if value is None and name.startswith("no-disable-"):
        return f"enable-{name.removeprefix('no-disable-')}", "on"
    if value is None and name.startswith("no-"):
        return name.removeprefix("no-"), "off"
    if value is None and name.startswith("disable-"):
        return f"enable-{name.removeprefix('disable-')}", "off"
    return name, value or ""


def _is_switch(name: str) -> bool:
    return name in SWITCHES or name.startswith(SWITCH_PREFIXES)


def _takes_value(name: str) -> bool:
    return name in TAKE_VALUE or name.startswith(VALUE_PREFIXES)


def _is_value(word: str) -> bool:
    return not _split(word)[0]


def _parse(written: str) -> Any:
    """The JSON value; Broken when it is none."""
    try:
        return None if written in ("None", "null") else json.loads(written)
    except (ValueError, RecursionError):
        return Broken()


def _place(target: dict[str, Any], path: Sequence[str], written: str) -> bool:
    """Puts a dotted value where its path leads; False when it can't be. `key+` appends to a list."""
    if len(path) > DEEPEST or UNKNOWN in written or any(not key or UNKNOWN in key for key in path):
        return False
    for key in path[:-1]:
        below = target.setdefault(key.replace("-", "_"), {})
        if not isinstance(below, dict):
            return False
        target = below
    parsed = _parse(written)
    value = written if isinstance(parsed, Broken) else parsed
    key = path[-1].replace("-", "_")
    if not key.endswith("+"):
        target[key] = value
        return True
    items = target.setdefault(key.removesuffix("+"), [])
    if isinstance(items, list):
        items.append(value)
    return isinstance(items, list)
