"""The judge's view of each role: E and c of docs/cost-model.md §10 and §15, and what causes are found by."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tokenfactory.costing.counters import gain_of
from tokenfactory.costing.latency import find_slowest
from tokenfactory.costing.ledger import Track
from tokenfactory.costing.shares import Share
from tokenfactory.costing.tokencount import WORKERS
from tokenfactory.costing.tracks import Step
from tokenfactory.costing.window import TrackView, WindowView, is_fresh
from tokenfactory.measure import Absence, Grade, Known, Measure, Missing
from tokenfactory.model import LoadStep, ReplicaLoad, Role, RoleLoad, Signal

SOURCE = "engine counters, docs/cost-model.md §15"

_BASIS = {
    Role.AGGREGATED: "output tokens/s/ready GPU",
    Role.PREFILL: "prompt tokens/s/ready GPU",
    Role.DECODE: "output tokens/s/ready GPU",
}


def weigh_roles(
    window: WindowView, steps: Iterable[Step], *, now: float, interval: float
) -> tuple[RoleLoad, ...]:
    """One row per serving role that has an engine now, in the order aggregated, prefill, decode."""
    closed = [step for step in steps if step.segment is not None]
    found = []
    for role in WORKERS:
        parts = tuple(p for p in window.parts if p.track.role is role)
        if any(p.track.present and p.track.id.container for p in parts):
            own = [step for step in closed if step.track.role is role]
            found.append(_weigh(role, parts, own, now=now, interval=interval))
    return tuple(found)


def _weigh(
    role: Role, parts: tuple[TrackView, ...], steps: list[Step], *, now: float, interval: float
) -> RoleLoad:
    """E: tokens over the GPU time that could serve. Loading time is cost, not inefficiency.

    Followers of a multi-node group (no container of their own) bring GPU time and are no replicas.
    """
    tokens = sum(part.total(_tokens_of(role, part.track)) for part in parts)
    able = sum(part.able_gpu_seconds for part in parts)
    parts = tuple(part for part in parts if part.track.id.container)
    seconds = max((part.seconds for part in parts), default=0.0)
    read = [part for part in parts if part.track.read_at is not None]
    per_gpu: Measure[float] = Missing(Absence.NOT_SCRAPED)
    if read and able > 0:
        per_gpu = Known(value=tokens / able, basis=_BASIS[role], source=SOURCE, window_seconds=seconds)
    ready = [part.track for part in parts if part.track.present and part.track.ready]
    fresh = [track for track in ready if is_fresh(track, now=now, interval=interval)]
    return RoleLoad(
        role=role,
        tokens=tokens,
        per_ready_gpu=per_gpu,
        concurrency=_concurrency(role, read, seconds=seconds),
        running=sum(track.running for track in fresh),
        waiting=sum(track.waiting for track in fresh),
        fresh_share=_count(fresh) / _count(ready) if ready else 0.0,
        ready_replicas=_count(ready),
        gpu_seconds=able,
        waiting_mean=sum(part.waiting_seconds for part in parts) / seconds if seconds else 0.0,
        counts_live=all(part.counts_live for part in read),
        preemptions=_sum_of(read, Signal.PREEMPTIONS),
        prompt_tokens_per_request=_prompt_length(read),
        kv_usage=_mean([track.kv_usage for track in fresh if track.kv_usage is not None]),
        replicas=tuple(_replica(role, p, now=now, interval=interval) for p in parts if p.track.present),
        steps=tuple(_step(role, step) for step in steps if _is_judged(step)),
    )


def _tokens_of(role: Role, track: Track) -> Signal:
    """What moves at every step where the page has it: else tokens come when a request ends."""
    if role is Role.PREFILL:
        return Signal.PROMPT_TOKENS
    steps = Signal.STEP_OUTPUT_TOKENS in track.families
    return Signal.STEP_OUTPUT_TOKENS if steps else Signal.OUTPUT_TOKENS


def _time_of(role: Role) -> Signal:
    return Signal.PREFILL_SECONDS if role is Role.PREFILL else Signal.INTER_TOKEN_SECONDS


def _is_judged(step: Step) -> bool:
    """Loading says nothing of efficiency; nor does a span in which the engine was gone for a while."""
    segment = step.segment
    if segment is None or not step.track.id.container:
        return False
    return segment.share is not Share.LOADING and not segment.estimated


def _step(role: Role, step: Step) -> LoadStep:
    segment, track = step.segment, step.track
    assert segment is not None
    seconds = segment.end - segment.start
    if _time_of(role) in track.families:
        sequence_seconds = gain_of(segment.deltas, _time_of(role))
    else:
        sequence_seconds = segment.running * seconds
    return LoadStep(
        epoch=track.epoch,
        product=track.facts.product or "",
        seconds=seconds,
        gpu_seconds=seconds * segment.gpus,
        tokens=gain_of(segment.deltas, _tokens_of(role, track)),
        sequence_seconds=sequence_seconds,
    )


def _replica(role: Role, part: TrackView, *, now: float, interval: float) -> ReplicaLoad:
    track = part.track
    known = part.has(_time_of(role))
    return ReplicaLoad(
        id=track.id,
        epoch=track.epoch,
        product=track.facts.product or "",
        fresh=track.ready and is_fresh(track, now=now, interval=interval),
        seconds=part.able_seconds,
        gpu_seconds=part.able_gpu_seconds,
        tokens=part.total(_tokens_of(role, track)),
        sequence_seconds=part.total(_time_of(role)) if known else part.running_seconds,
        prompt_tokens=part.total(Signal.PROMPT_TOKENS),
        requests=part.total(Signal.REQUESTS) if part.has(Signal.REQUESTS) else None,
        preemptions=part.total(Signal.PREEMPTIONS) if part.has(Signal.PREEMPTIONS) else None,
        running=track.running,
        waiting=track.waiting,
        kv_usage=track.kv_usage,
        still_seconds=max(0.0, (track.read_at or 0.0) - (track.moved_at or track.read_at or 0.0)),
        slowest_seconds=None if part.counts_live else find_slowest(track.snapshot),
    )


def _sum_of(parts: Sequence[TrackView], signal: Signal) -> float | None:
    """The window's gain where every page carries the family."""
    if not parts or not all(part.has(signal) for part in parts):
        return None
    return sum(part.total(signal) for part in parts)


def _prompt_length(parts: Sequence[TrackView]) -> float | None:
    """Prompt tokens of a finished request, on average over the window."""
    requests = _sum_of(parts, Signal.REQUESTS)
    if not requests:
        return None
    return sum(part.total(Signal.PROMPT_TOKENS) for part in parts) / requests


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _count(tracks: Iterable[Track]) -> int:
    return len({track.id.pod_uid for track in tracks})


def _concurrency(role: Role, parts: list[TrackView], *, seconds: float) -> Measure[float]:
    """c: decoding (prefilling) seconds over the seconds in which a replica could serve, so per replica."""
    signal = _time_of(role)
    able = sum(part.able_seconds for part in parts)
    if able <= 0:
        return Missing(Absence.NOT_SCRAPED)
    if all(part.has(signal) for part in parts):
        amount, grade = sum(part.total(signal) for part in parts), Grade.MEASURED
    else:
        amount, grade = sum(part.running_seconds for part in parts), Grade.ESTIMATED
    return Known(
        value=amount / able,
        basis="mean sequences per replica",
        source=SOURCE,
        grade=grade,
        window_seconds=seconds,
    )
