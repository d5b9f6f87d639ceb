"""The judge's memory as compact JSON and back, so that it outlives a restart (docs/cost-model.md §10).

Only what takes windows to learn is kept: levels, open latches, the annotation that was heeded. Whatever is
wrong with a text makes it as good as none: a lost baseline means WarmingUp, never a false alarm.
"""

from __future__ import annotations

import base64
import json
import math
import re
import struct
from collections.abc import Callable
from types import MappingProxyType
from typing import Any, TypeVar

from tokenfactory.judgement.baseline import (
    MAX_BUCKETS,
    MOST_WINDOWS_BETWEEN,
    PAIR,
    SAMPLES_PER_BUCKET,
    Baseline,
    Bucket,
    find_knots,
    median_of,
)
from tokenfactory.judgement.denominator import Watches
from tokenfactory.judgement.judge import JudgeMemory
from tokenfactory.judgement.profile import PROFILES_KEPT, Asked, Past, Profile, Trait
from tokenfactory.judgement.watch import Latch, Watch
from tokenfactory.model import OptimizationName, Role

VERSION = 1
LONGEST = 64 * 1024
MOST_BASELINES = 12
NEWS = 0.1

_SCALE, _ZERO = 1024, 32768
_ROLES = frozenset({Role.AGGREGATED.value, Role.PREFILL.value, Role.DECODE.value})
_EPOCH = re.compile(r"[0-9a-zA-Z]{0,64}", re.ASCII)
_PRODUCT = re.compile(r"[\x20-\x7e]{0,128}", re.ASCII)

T = TypeVar("T")
Knots = tuple[tuple[float, float], ...]


class _Garbage(ValueError):
    """The text is not what this module wrote."""


def encode(memory: JudgeMemory) -> str:
    """The memory as one line of JSON, a few KiB; the most recent baselines first."""
    document = {
        "v": VERSION,
        "j": _encode_watch(memory.watches.judged),
        "p": _encode_watch(memory.watches.prefill),
        "b": [_encode_baseline(item) for item in memory.baselines[:MOST_BASELINES]],
        "h": [_encode_profile(item) for item in memory.past.profiles[:PROFILES_KEPT]],
    }
    return json.dumps(document, separators=(",", ":"))


def decode(text: str) -> JudgeMemory | None:
    """The memory of `text`; None when it is of another version, too long, or damaged anywhere."""
    if len(text) > LONGEST:
        return None
    try:
        document = json.loads(text)
        if not isinstance(document, dict) or document.get("v") != VERSION:
            return None
        return JudgeMemory(
            watches=Watches(judged=_decode_watch(document["j"]), prefill=_decode_watch(document["p"])),
            baselines=_each(document["b"], _decode_baseline, most=MOST_BASELINES),
            past=Past(_each(document.get("h", []), _decode_profile, most=PROFILES_KEPT)),
        )
    except (ValueError, TypeError, KeyError, AttributeError, struct.error, RecursionError, OverflowError):
        return None


def is_worth_saving(saved: JudgeMemory | None, memory: JudgeMemory) -> bool:
    """Whether a latch turned, an epoch came or was accepted, or a level is new or moved by a tenth."""
    if saved is None:
        return any(item.accepted for item in memory.baselines)
    if _outline(saved) != _outline(memory):
        return True
    known = {(item.epoch, item.role, item.product): item.knots for item in saved.baselines}
    return any(
        _has_moved(known[item.epoch, item.role, item.product], item.knots) for item in memory.baselines
    )


def _has_moved(before: Knots, after: Knots) -> bool:
    if len(before) != len(after):
        return True
    levels = zip(before, after, strict=True)
    return any(abs(new - old) > NEWS * old for (_, old), (_, new) in levels)


def _outline(memory: JudgeMemory) -> object:
    watches = (memory.watches.judged, memory.watches.prefill)
    return (
        {(item.epoch, item.role, item.product, item.accepted) for item in memory.baselines},
        tuple((w.collapse.open, w.degraded.open, w.stall.open, w.paged, w.acknowledged) for w in watches),
    )


def _encode_watch(watch: Watch) -> dict[str, Any]:
    found = {
        "c": watch.collapse.since,
        "d": watch.degraded.since,
        "s": watch.stall.since,
        "g": watch.paged or None,
        "m": watch.shown,
        "a": watch.acknowledged or None,
    }
    return {key: value for key, value in found.items() if value is not None}


def _decode_watch(document: Any) -> Watch:
    shown = document.get("m")
    if shown is not None:
        efficiency, concurrency = shown
        shown = (_number(efficiency), _number(concurrency))
    return Watch(
        collapse=Latch(_time(document.get("c"))),
        degraded=Latch(_time(document.get("d"))),
        stall=Latch(_time(document.get("s"))),
        paged=document.get("g") is True,
        shown=shown,
        acknowledged=_text(document.get("a", ""), _EPOCH),
    )


def _encode_profile(item: Profile) -> dict[str, Any]:
    return {
        "e": item.epoch,
        "l": round(item.at, 1),
        "t": {trait.value: float(f"{value:.4g}") for trait, value in item.traits.items()},
        "o": [[name.value, flag] for name, flag in item.active],
    }


def _decode_profile(document: Any) -> Profile:
    traits = document["t"]
    return Profile(
        epoch=_text(document["e"], _EPOCH),
        at=_number(document["l"]),
        traits=MappingProxyType({Trait(name): _number(value) for name, value in traits.items()}),
        active=_each(document["o"], _decode_asked, most=len(OptimizationName)),
    )


def _decode_asked(pair: Any) -> Asked:
    name, flag = pair
    return OptimizationName(name), _text(flag, _PRODUCT)


def _encode_baseline(item: Baseline) -> dict[str, Any]:
    return {
        "e": item.epoch,
        "r": item.role,
        "p": item.product,
        "a": int(item.accepted),
        "n": item.count,
        "f": round(item.first_at, 1),
        "l": round(item.last_at, 1),
        "k": [[b.index, round(b.at, 1), b.stride, _pack(b.samples)] for b in item.buckets],
    }


def _decode_baseline(document: Any) -> Baseline:
    buckets = _each(document["k"], _decode_bucket, most=MAX_BUCKETS)
    if len({bucket.index for bucket in buckets}) != len(buckets) or document["r"] not in _ROLES:
        raise _Garbage
    return Baseline(
        epoch=_text(document["e"], _EPOCH),
        role=document["r"],
        product=_text(document["p"], _PRODUCT),
        accepted=document["a"] == 1,
        count=int(_number(document["n"])),
        first_at=_number(document["f"]),
        last_at=_number(document["l"]),
        buckets=tuple(sorted(buckets, key=lambda bucket: bucket.index)),
        knots=find_knots(buckets),
    )


def _decode_bucket(document: Any) -> Bucket:
    index, at, stride, packed = document
    if type(index) is not int or abs(index) > 64 or type(stride) is not int:
        raise _Garbage
    if not 1 <= stride <= MOST_WINDOWS_BETWEEN:
        raise _Garbage
    samples = _unpack(packed)
    return Bucket(index, samples, _number(at), stride, median_of(samples))


def _pack(samples: bytes) -> str:
    """Each number as the logarithm to base 2 in 16 bits: to 0.07 %."""
    numbers = (value for pair in PAIR.iter_unpack(samples) for value in pair)
    words = [min(65535, max(0, round(math.log2(max(value, 1e-9)) * _SCALE) + _ZERO)) for value in numbers]
    return base64.b64encode(struct.pack(f"<{len(words)}H", *words)).decode()


def _unpack(packed: Any) -> bytes:
    raw = base64.b64decode(packed, validate=True)
    if not raw or len(raw) % 4 or len(raw) > SAMPLES_PER_BUCKET * 4:
        raise _Garbage
    words = struct.unpack(f"<{len(raw) // 2}H", raw)
    numbers = [2.0 ** ((word - _ZERO) / _SCALE) for word in words]
    return b"".join(PAIR.pack(*numbers[i : i + 2]) for i in range(0, len(numbers), 2))


def _each(items: Any, read: Callable[[Any], T], *, most: int) -> tuple[T, ...]:
    if not isinstance(items, list) or len(items) > most:
        raise _Garbage
    return tuple(read(item) for item in items)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _Garbage
    if not 0 <= value <= 1e12:
        raise _Garbage
    return float(value)


def _time(value: Any) -> float | None:
    return None if value is None else _number(value)


def _text(value: Any, shape: re.Pattern[str]) -> str:
    if not isinstance(value, str) or not shape.fullmatch(value):
        raise _Garbage
    return value
