"""From what a cycle found to a draft for the gate: how full the window is, and which rollout runs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from tokenfactory.publishing.gate import Draft
from tokenfactory.publishing.status import Subject, without_window


def draft(subject: Subject, document: Mapping[str, Any], *, window_seconds: float) -> Draft:
    """The draft of `document`, which was rendered from `subject`. `window_seconds` is the pool's window."""
    economics = subject.economics
    filling = economics is not None and not economics.window_full
    return Draft(
        document=document,
        generation=subject.generation,
        window_seconds=window_seconds,
        early=without_window(document) if filling else None,
        rollout=rollout(subject),
        rollout_age=_age(subject),
    )


def rollout(subject: Subject) -> str:
    """Identifies the configurations (image, flags, GPU) that run now; empty when none is known."""
    epochs = sorted({item.epoch for item in subject.inspected if item.epoch})
    if not epochs:
        return ""
    return hashlib.sha256("\n".join(epochs).encode()).hexdigest()[:16]


def _age(subject: Subject) -> float:
    """Seconds since the youngest engine started: for so long nothing else can have run."""
    starts = [
        engine.container.started_at
        for replica in (subject.fleet.replicas if subject.fleet else ())
        for engine in replica.engines
    ]
    known = [start for start in starts if start is not None]
    return subject.now - max(known) if known and len(known) == len(starts) else 0.0
