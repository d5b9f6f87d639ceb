"""When a status is written (design: Writing status). No heartbeat: a quiet fleet causes no write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tokenfactory.publishing.bucket import Bucket
from tokenfactory.publishing.movement import moved, verdicts
from tokenfactory.publishing.text import seconds_of

SECONDS_BETWEEN_NUMBERS = 60.0
WINDOWS_HELD = 2.0
WRITES_PER_SECOND = 5.0
NUMBERS = ("windowSeconds", "verdicts")


class GateReason(StrEnum):
    """Why a status is written, or why not."""

    FIRST_STATUS = "FirstStatus"
    GENERATION_MOVED = "GenerationMoved"
    CONDITION_CHANGED = "ConditionChanged"
    WINDOW_FILLED = "WindowFilled"
    VALUE_MOVED = "ValueMoved"
    HELD = "Held"
    TOO_SOON = "TooSoon"
    NOTHING_MOVED = "NothingMoved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A status that could be written.

    `early` is set while the window is not full yet: the document without the numbers of the window.
    `rollout` identifies what runs (image, flags, GPU), `rollout_age` the seconds for which nothing else ran.
    """

    document: Mapping[str, Any]
    generation: int
    window_seconds: float
    early: Mapping[str, Any] | None = None
    rollout: str = ""
    rollout_age: float = 0.0

    @property
    def settled(self) -> bool:
        """Whether the window holds numbers of this rollout only."""
        return self.rollout_age >= self.window_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """The gate's memory of one object: what the API server holds, and since when. Times: Unix seconds.

    `adopted_at` is set while the document was found and not written by this process.
    `numbered` and `rollout` are the generation and the rollout whose numbers it holds, or held last.
    """

    document: Mapping[str, Any]
    written_at: float | None = None
    adopted_at: float | None = None
    numbered: int | None = None
    rollout: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Whether to write, why, and the document that belongs on the API server."""

    write: bool
    reason: GateReason
    document: Mapping[str, Any]


def adopt(document: Mapping[str, Any] | None, *, now: float) -> Published | None:
    """The memory after a start or failover: the status that was found, None when there is none."""
    if not document:
        return None
    written = seconds_of(document.get("observationTime"))
    generation = document.get("observedGeneration")
    return Published(
        document=document,
        written_at=min(written, now) if written is not None else None,
        adopted_at=now,
        numbered=generation if holds_numbers(document) and isinstance(generation, int) else None,
    )


def note(published: Published | None, draft: Draft, decision: Decision, *, now: float) -> Published:
    """The memory after `decision` was written: to be called only once the API server took it."""
    numbered = published.numbered if published else None
    rollout = published.rollout if published else ""
    if holds_numbers(decision.document):
        numbered = draft.generation
        rollout = draft.rollout if draft.settled or not rollout else rollout
    return Published(document=decision.document, written_at=now, numbered=numbered, rollout=rollout)


def holds_numbers(document: Mapping[str, Any]) -> bool:
    """Whether the document carries numbers of a window."""
    return any(name in document for name in NUMBERS)


def decide(published: Published | None, draft: Draft, *, now: float) -> Decision:
    """Whether `draft` is written over what was published. `now`: Unix seconds.

    At once: a first status, a moved generation, a condition's status or reason, and numbers of a generation
    or rollout for which none were written yet. Else a value that moved by 2 %, once a minute.
    """
    document = draft.document if draft.early is None else draft.early
    if published is None:
        return Decision(write=True, reason=GateReason.FIRST_STATUS, document=document)
    if published.document.get("observedGeneration") != draft.generation:
        return Decision(write=True, reason=GateReason.GENERATION_MOVED, document=document)
    if _held(published, draft, now):
        return Decision(write=False, reason=GateReason.HELD, document=published.document)
    if draft.early is not None and holds_numbers(published.document):
        document = draft.document
    if verdicts(published.document) != verdicts(document):
        return Decision(write=True, reason=GateReason.CONDITION_CHANGED, document=document)
    if _fills(published, draft, document):
        return Decision(write=True, reason=GateReason.WINDOW_FILLED, document=document)
    if not moved(published.document, document):
        return Decision(write=False, reason=GateReason.NOTHING_MOVED, document=published.document)
    if published.written_at is not None and now - published.written_at < SECONDS_BETWEEN_NUMBERS:
        return Decision(write=False, reason=GateReason.TOO_SOON, document=published.document)
    return Decision(write=True, reason=GateReason.VALUE_MOVED, document=document)


def _held(published: Published, draft: Draft, now: float) -> bool:
    """After a restart numbers and conditions stay until the window is full, for two windows at most."""
    ready = verdicts(published.document).get("Ready", ("", ""))
    if draft.early is None or published.adopted_at is None or ready[0] != "True":
        return False
    return now - published.adopted_at < WINDOWS_HELD * draft.window_seconds


def _fills(published: Published, draft: Draft, document: Mapping[str, Any]) -> bool:
    """Whether these would be the first numbers of this generation, or of a rollout after another one."""
    if draft.early is not None or not holds_numbers(document):
        return False
    if published.numbered != draft.generation:
        return True
    known = bool(published.rollout and draft.rollout)
    return known and draft.settled and published.rollout != draft.rollout


def write_budget() -> Bucket:
    """The writes of the whole operator: five a second."""
    return Bucket(burst=WRITES_PER_SECOND, per_second=WRITES_PER_SECOND)
