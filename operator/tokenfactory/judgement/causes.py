"""Why is it less than it was? A chain of small checks; the first that finds something is the likely cause.

Each compares this window with the profile of the revision whose level the pool is held against. Numbers in a
message have two digits and are frozen when it is first said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import chain
from statistics import median

from tokenfactory.judgement.denominator import BAD, Denominator, load_of
from tokenfactory.judgement.evidence import Evidence
from tokenfactory.judgement.profile import Profile, Trait, Traits, measure_traits, profile_of
from tokenfactory.judgement.reasons import Cause
from tokenfactory.judgement.telemetry_health import list_names
from tokenfactory.judgement.watch import Latch, turn
from tokenfactory.measure import value_of
from tokenfactory.model import (
    BoardFigures,
    DenominatorState,
    OptimizationName,
    OptimizationRow,
    OptimizationState,
    ReplicaLoad,
    RoleLoad,
)
from tokenfactory.units import significant

ACCEPTS_LESS = 0.8
LOADS_LESS = 0.3
FAILURES_PER_MINUTE, PREEMPTIONS_PER_MINUTE = 0.5, 1.0
TIMES_MORE = 3.0
THROTTLED_MORE = 0.2
SLOWER_CLOCK = 0.85
OFTEN = 0.3
CACHED_LESS = 0.15
PROMPTS_LONGER = 1.5
UNSEEN = 0.02
FAR_SLOWER = 0.7
LEAST_TO_COMPARE = 3
LOADING = 0.25
DEMAND = 0.5
DIGITS = 2
LEAST_MONEY = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Suspect:
    """One cause with its evidence, as a person would say it."""

    cause: Cause
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Clues:
    """What the checks look at. `before` is the healthy profile to compare with, None when there is none."""

    evidence: Evidence
    denominator: Denominator
    load: RoleLoad
    rows: tuple[OptimizationRow, ...]
    now: Traits
    before: Profile | None

    def both(self, trait: Trait) -> tuple[float, float] | None:
        """(now, while healthy), None unless both are known."""
        if self.before is None or trait not in self.now or trait not in self.before.traits:
            return None
        return self.now[trait], self.before.traits[trait]


Check = Callable[[Clues], Suspect | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """The cause of what is wrong now, as first said; `state` is what it was said of."""

    state: DenominatorState
    suspect: Suspect
    cost: str = ""

    @property
    def message(self) -> str:
        """The cause, and what the state costs."""
        cost = f"; about {self.cost} an hour" if self.cost else ""
        return (
            f"likely cause: {self.suspect.message}{cost}" if self.known else f"{self.suspect.message}{cost}"
        )

    @property
    def known(self) -> bool:
        return self.suspect.cause is not Cause.UNKNOWN


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A cause that is worth a finding while the pool as a whole is fine; `message` as first said."""

    cause: Cause
    latch: Latch
    message: str = ""


def gather(
    evidence: Evidence,
    *,
    denominator: Denominator,
    rows: tuple[OptimizationRow, ...],
    profiles: Iterable[Profile],
) -> Clues | None:
    """The clues of this cycle; None while no role is read or the window is not full."""
    load = load_of(evidence.economics.loads, denominator.role)
    if load is None or not evidence.economics.window_full:
        return None
    return Clues(
        evidence=evidence,
        denominator=denominator,
        load=load,
        rows=rows,
        now=measure_traits(evidence, load),
        before=profile_of(profiles, denominator.reference),
    )


def diagnose(
    clues: Clues | None,
    *,
    state: DenominatorState,
    said: Diagnosis | None,
    suspicions: Iterable[Suspicion] = (),
) -> Diagnosis | None:
    """The likely cause of a bad state. What was said stays until the state changes or more is known.

    An XID that was seen a window ago still counts: an open suspicion of it comes first.
    """
    if state not in BAD:
        return None
    same = said is not None and said.state is state
    if clues is None or (said is not None and same and said.known):
        return said
    checks = _WHEN_STALLED if state is DenominatorState.ENGINE_STALLED else _CHAIN
    standing = (Suspect(it.cause, it.message) for it in suspicions if it.cause is Cause.GPU_ERRORS)
    found = next(filter(None, chain(standing, (check(clues) for check in checks))), None)
    if said is not None and same and (found is None or found.cause is Cause.UNKNOWN):
        return said
    suspect = found or Suspect(Cause.UNKNOWN, "no known cause shows: look at the engines' logs")
    return Diagnosis(state=state, suspect=suspect, cost=_describe_cost(clues))


def _describe_cost(clues: Clues) -> str:
    """What the state costs an hour, "" when that is not known or next to nothing."""
    lost = value_of(clues.denominator.lost_per_hour)
    if lost is None or lost < LEAST_MONEY:
        return ""
    return f"{significant(lost, DIGITS)} {clues.evidence.economics.price.currency}"


def suspect_while_healthy(
    clues: Clues | None, before: tuple[Suspicion, ...], *, now: float, window: float
) -> tuple[Suspicion, ...]:
    """Each of the standing suspicions one cycle later: it opens after a window, an XID at once."""
    if clues is None:
        return before
    known = {item.cause: item for item in before}
    after: list[Suspicion] = []
    for cause, check in _STANDING:
        old = known.get(cause, Suspicion(cause, Latch()))
        found = check(clues)
        latch = turn(
            old.latch,
            bad=found is not None,
            good=found is None,
            after=0.0 if cause is Cause.GPU_ERRORS else window,
            until=window,
            now=now,
        )
        if not latch.doubtful:
            continue
        message = old.message if old.latch.open or found is None else found.message
        after.append(replace(old, latch=latch, message=message))
    return tuple(after)


def _check_gpu_errors(clues: Clues) -> Suspect | None:
    """Codes that appeared in the window: what was there before, the driver keeps for ever."""
    hit = [board for board in clues.evidence.economics.boards if board.xids]
    if not hit:
        return None
    codes = sorted({code for board in hit for code in board.xids})
    pods = _list_pods(clues.evidence, (board.pod_uid for board in hit))
    listed = list_names([str(code) for code in codes])
    return Suspect(Cause.GPU_ERRORS, f"XID {listed} on the GPUs of {pods}: look at the node's dmesg")


def _check_gpus_lost(clues: Clues) -> Suspect | None:
    both = clues.both(Trait.OBSERVED_SHARE)
    if both is None or both[0] >= both[1] - UNSEEN:
        return None
    return Suspect(
        Cause.GPUS_UNOBSERVED,
        "DCGM no longer sees all GPUs that the pods hold: look for a GPU that fell off the bus",
    )


def _check_optimization_lost(clues: Clues) -> Suspect | None:
    """What was active in the revision before, and is not asked for in this one. MTP stands for both rows."""
    if clues.before is None or not clues.denominator.revision:
        return None
    states = {row.name: row.state for row in clues.rows}
    gone = (OptimizationState.MISSING, OptimizationState.PARTIAL, OptimizationState.UNSUPPORTED)
    lost = [(name, flag) for name, flag in clues.before.active if states.get(name) in gone]
    if not lost:
        return None
    both = {name for name, _ in lost}
    if OptimizationName.MULTI_TOKEN_PREDICTION in both:
        both.discard(OptimizationName.SPECULATIVE_DECODING)
    names = " and ".join(name.value for name in OptimizationName if name in both)
    flags = sorted({flag for _, flag in lost if flag})
    why = f" ({', '.join(flags)} is gone)" if flags else ""
    return Suspect(Cause.OPTIMIZATION_LOST, f"{names} disappeared in the rollout{why}")


def _check_transfers(clues: Clues) -> Suspect | None:
    now = clues.now.get(Trait.TRANSFER_FAILURES, 0.0)
    before = clues.before.traits.get(Trait.TRANSFER_FAILURES, 0.0) if clues.before is not None else 0.0
    if now < FAILURES_PER_MINUTE + TIMES_MORE * before:
        return None
    return Suspect(
        Cause.TRANSFERS_FAILING,
        "KV transfers between engines fail: look at the network between their nodes",
    )


def _check_acceptance(clues: Clues) -> Suspect | None:
    both = clues.both(Trait.ACCEPTANCE_LENGTH)
    if both is None or both[0] > ACCEPTS_LESS * both[1]:
        return None
    now, before = _digits(*both)
    return Suspect(
        Cause.ACCEPTANCE_FELL,
        f"speculation accepts less: {now} tokens a step, {before} while healthy: traffic or draft changed",
    )


def _check_offload(clues: Clues) -> Suspect | None:
    both = clues.both(Trait.OFFLOAD_LOADS)
    if both is None or both[1] <= 0 or both[0] > LOADS_LESS * both[1]:
        return None
    much = "nothing" if both[0] <= 0 else "far less"
    return Suspect(
        Cause.OFFLOAD_STOPPED,
        f"the KV cache offload loads {much} back, and prompts are computed again: look at its store",
    )


def _check_throttling(clues: Clues) -> Suspect | None:
    """Slower clocks while work is done, or more samples in which they are held down."""
    why = _explain_clocks(clues.evidence.economics.boards)
    both = clues.both(Trait.CLOCK)
    if both is not None and both[0] <= SLOWER_CLOCK * both[1]:
        now, before = _digits(*both)
        return Suspect(
            Cause.CLOCKS_THROTTLED, f"GPU clocks run at {now} MHz, at {before} while healthy: {why}"
        )
    both = clues.both(Trait.THROTTLED_SHARE)
    if both is None or both[0] < both[1] + THROTTLED_MORE:
        return None
    now, before = (significant(100 * share, 1) for share in both)
    return Suspect(
        Cause.CLOCKS_THROTTLED,
        f"GPU clocks are held down in {now} % of the samples, {before} % while healthy: {why}",
    )


def _explain_clocks(boards: Iterable[BoardFigures]) -> str:
    """What the driver says of low clocks, the commoner of two reasons; else the three that there are."""
    known = [(board.power_capped_share or 0.0, board.thermal_share or 0.0) for board in boards]
    power, heat = (sum(shares) / len(known) for shares in zip(*known, strict=True)) if known else (0.0, 0.0)
    if max(power, heat) < OFTEN:
        return "power cap, heat, or clocks set by hand"
    return "the power cap" if power >= heat else "heat"


def _check_slow_replica(clues: Clues) -> Suspect | None:
    """Slower for its users and making less: no place on the curve of the others explains both."""
    slow, compared = find_slow(clues.load)
    if not slow or 2 * len(slow) > compared:
        return None
    names = _name_pods(clues.evidence, slow)
    uids = {item.id.pod_uid for item in slow}
    own = _explain_clocks(board for board in clues.evidence.economics.boards if board.pod_uid in uids)
    why = f" ({own})" if own.startswith(("the ", "heat")) else ""
    return Suspect(
        Cause.SLOW_REPLICA, f"{names} far slower than the others{why}: look at the node, or delete the pod"
    )


def find_slow(load: RoleLoad) -> tuple[tuple[ReplicaLoad, ...], int]:
    """(replicas that are far slower, replicas compared), within the commonest revision and product."""
    alike: dict[tuple[str, str], list[ReplicaLoad]] = {}
    for item in load.replicas:
        if item.fresh and item.gpu_seconds > 0 and item.sequence_seconds >= DEMAND * item.seconds > 0:
            alike.setdefault((item.epoch, item.product), []).append(item)
    peers = max(alike.values(), key=len, default=[])
    if len(peers) < LEAST_TO_COMPARE:
        return (), len(peers)
    rate = median(item.tokens / item.gpu_seconds for item in peers)
    speed = median(item.tokens / item.sequence_seconds for item in peers)
    slow = tuple(
        item
        for item in peers
        if item.tokens <= FAR_SLOWER * rate * item.gpu_seconds
        and item.tokens <= FAR_SLOWER * speed * item.sequence_seconds
    )
    return slow, len(peers)


def _check_cache_hits(clues: Clues) -> Suspect | None:
    both = clues.both(Trait.CACHED_SHARE)
    if both is None or both[0] > both[1] - CACHED_LESS:
        return None
    now, before = (significant(100 * share, 1) for share in both)
    return Suspect(
        Cause.CACHE_HITS_FELL,
        f"{now} % of the prompt tokens come from the prefix cache, {before} % while healthy: look at routing",
    )


def _check_prompts(clues: Clues) -> Suspect | None:
    both = clues.both(Trait.PROMPT_TOKENS)
    if both is None or both[1] <= 0 or both[0] < PROMPTS_LONGER * both[1]:
        return None
    times = significant(both[0] / both[1], DIGITS)
    return Suspect(
        Cause.PROMPTS_LONGER, f"prompts are {times} times as long as while healthy: GPUs spend it on prefill"
    )


def _check_preemptions(clues: Clues) -> Suspect | None:
    both = clues.both(Trait.PREEMPTIONS)
    now = clues.now.get(Trait.PREEMPTIONS, 0.0)
    before = both[1] if both is not None else 0.0
    if now < PREEMPTIONS_PER_MINUTE + TIMES_MORE * before:
        return None
    return Suspect(
        Cause.PREEMPTIONS,
        "requests are preempted and computed again, the KV cache is full: scale up or lower --max-num-seqs",
    )


def _check_loading(clues: Clues) -> Suspect | None:
    replicas = clues.evidence.fleet.replicas
    waiting = [item for item in replicas if not item.pod.ready]
    if not replicas or len(waiting) < LOADING * len(replicas):
        return None
    return Suspect(Cause.REPLICAS_LOADING, "many replicas are not ready: they load, or fail to start")


def _check_rollout(clues: Clues) -> Suspect | None:
    if not clues.denominator.revision:
        return None
    return Suspect(
        Cause.ROLLOUT, "the rollout itself: no optimization was lost, so compare its image and flags"
    )


def _check_stuck(clues: Clues) -> Suspect | None:
    if not clues.denominator.stuck:
        return None
    names = _name_pods(clues.evidence, clues.denominator.stuck)
    return Suspect(Cause.UNKNOWN, f"no known cause shows; {names} stuck")


def _name_pods(evidence: Evidence, items: Iterable[ReplicaLoad]) -> str:
    """The pods of `items` and the verb to go on with."""
    uids = {item.id.pod_uid for item in items}
    return f"{_list_pods(evidence, uids)} {'is' if len(uids) == 1 else 'are'}"


def _list_pods(evidence: Evidence, uids: Iterable[str]) -> str:
    names = {replica.pod.uid: replica.pod.name for replica in evidence.fleet.replicas}
    return list_names(sorted({names.get(uid, "a pod that is gone") for uid in uids}))


def _digits(*values: float) -> tuple[str, ...]:
    return tuple(significant(value, DIGITS) for value in values)


_CHAIN: tuple[Check, ...] = (
    _check_gpu_errors,
    _check_gpus_lost,
    _check_optimization_lost,
    _check_transfers,
    _check_acceptance,
    _check_offload,
    _check_throttling,
    _check_slow_replica,
    _check_cache_hits,
    _check_prompts,
    _check_preemptions,
    _check_loading,
    _check_rollout,
)
_WHEN_STALLED: tuple[Check, ...] = (_check_gpu_errors, _check_gpus_lost, _check_transfers, _check_stuck)
_STANDING: tuple[tuple[Cause, Check], ...] = (
    (Cause.GPU_ERRORS, _check_gpu_errors),
    (Cause.TRANSFERS_FAILING, _check_transfers),
    (Cause.CLOCKS_THROTTLED, _check_throttling),
    (Cause.SLOW_REPLICA, _check_slow_replica),
)
