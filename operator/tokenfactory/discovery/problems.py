"""What stands in the way of reading a fleet, in messages that change only when the fleet does."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from tokenfactory.discovery.engines import NOT_SUPPORTED
from tokenfactory.model import Engine, EngineKind, FleetProblem, FleetReason, Replica

MOST_NAMES = 5


def list_problems(
    replicas: Sequence[Replica], *, selected: int, kept: int, claims: Collection[str] = ()
) -> tuple[FleetProblem, ...]:
    """The problems of a fleet, the most basic first, each reason at most once.

    `claims` are the names of the ResourceClaims that were read.
    """
    return (*_problems(replicas, selected, kept), *_of_claims(replicas, claims))


def list_engine_problems(engines: Sequence[Engine]) -> tuple[FleetProblem, ...]:
    """What keeps engines from being read, each reason at most once."""
    return tuple(_of_engines(engines))


def _problems(replicas: Sequence[Replica], selected: int, kept: int) -> Iterator[FleetProblem]:
    if not selected:
        yield FleetProblem(
            FleetReason.NO_PODS,
            "no pod of this namespace is selected: compare the selector with the pods' labels",
        )
    elif not replicas:
        yield FleetProblem(
            FleetReason.NO_PODS, "no selected pod runs an engine or holds GPUs on a node at the moment"
        )
    if kept < selected:
        yield FleetProblem(
            FleetReason.TARGETS_TRUNCATED,
            f"more than {kept} pods are selected, the rest is left out: split the pool",
        )
    names = sorted({name for replica in replicas for name in replica.shared_with})
    if names:
        yield FleetProblem(
            FleetReason.PODS_SHARED,
            f"pods of this pool are also selected by {_listed(names)}: each pool counts them as its own",
        )


def _of_claims(replicas: Sequence[Replica], claims: Collection[str]) -> Iterator[FleetProblem]:
    if any(use.name not in claims for replica in replicas for use in replica.pod.claims):
        yield FleetProblem(
            FleetReason.CLAIMS_NOT_READ,
            "ResourceClaims of the pods can't be read, so GPUs that they hold count only where DCGM shows"
            " them: grant the operator get on resourceclaims",
        )


def _of_engines(engines: Sequence[Engine]) -> Iterator[FleetProblem]:
    unsupported = [engine for engine in engines if engine.problem is FleetReason.ENGINE_NOT_SUPPORTED]
    if unsupported:
        kinds = sorted({_described(engine) for engine in unsupported})
        yield FleetProblem(FleetReason.ENGINE_NOT_SUPPORTED, f"{NOT_SUPPORTED}: {_listed(kinds)}")
    disabled = [engine for engine in engines if engine.problem is FleetReason.METRICS_DISABLED]
    if disabled:
        fixes = sorted({f"{item.why_not} (container {item.container.name})" for item in disabled})
        yield FleetProblem(FleetReason.METRICS_DISABLED, _listed(fixes))
    refused = _containers(engines, FleetReason.HOST_NETWORK_REFUSED)
    if refused:
        yield FleetProblem(
            FleetReason.HOST_NETWORK_REFUSED,
            "serving pods on the host network are not read: take them off it, or have the platform team set"
            " telemetry.allowHostNetwork of the TokenFactory",
        )


def _described(engine: Engine) -> str:
    if engine.kind is EngineKind.OTHER:
        return f"an unknown server in container {engine.container.name}"
    return engine.kind.value


def _containers(engines: Sequence[Engine], reason: FleetReason) -> list[str]:
    return sorted({f"container {engine.container.name}" for engine in engines if engine.problem is reason})


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MOST_NAMES])
    return f"{shown} and others" if len(names) > MOST_NAMES else shown
