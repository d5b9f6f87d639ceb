"""Where each engine's metrics page is, now that its command line has been read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

from tokenfactory.discovery.border import whole
from tokenfactory.discovery.companions import (
    NO_ADDRESS,
    NOT_RUNNING,
    ON_THE_HOST,
    accompany,
    is_alone,
    join,
)
from tokenfactory.discovery.engines import DYNAMO_PORT, HEADLESS, NO_MODEL, SCRAPED, Access
from tokenfactory.discovery.problems import list_engine_problems
from tokenfactory.discovery.programs import DYNAMO
from tokenfactory.model import (
    Companion,
    Endpoint,
    Engine,
    EngineKind,
    Fleet,
    FleetReason,
    Inspected,
    MetricsState,
    Replica,
    Role,
)

DEFAULT_PATH = "/metrics"
TRTLLM_PATH = "/prometheus/metrics"
PATHS: Mapping[EngineKind, str] = MappingProxyType(
    {EngineKind.TENSORRT_LLM: TRTLLM_PATH, EngineKind.NIM: "/v1/metrics"}
)
DISABLED = "metrics are off: {fix}"
KVBM_METRICS = "DYN_KVBM_METRICS"
KVBM_PORT_VARIABLE = "DYN_KVBM_METRICS_PORT"
KVBM_PORT = 6880
ON = frozenset({"1", "true", "yes", "on"})


def locate(
    fleet: Fleet, inspected: tuple[Inspected, ...], access: Access
) -> tuple[Fleet, tuple[Inspected, ...]]:
    """Every engine where its page is, or why it has none, with what was said to each and all problems.

    Several engines of one container, and several ports of one engine, become an engine each. A pod that
    executes no model and holds no GPU is no replica; what of it has a page of its own to tell is a companion.
    """
    told: dict[tuple[str, str], list[Inspected]] = {}
    for item in inspected:
        told.setdefault((item.pod_uid, item.container), []).append(item)
    replicas, said, beside = list[Replica](), list[Inspected](), list[Companion]()
    for replica in fleet.replicas:
        engines, own = list[Engine](), list[Inspected]()
        for engine in replica.engines:
            items = told.get((replica.pod.uid, engine.container.name), [])
            for located, told_it in _locate(replica, engine, items, access):
                engines.append(located)
                if told_it is not None:
                    same = told_it.instance == located.instance
                    own.append(told_it if same else replace(told_it, instance=located.instance))
                    beside += accompany(replica, engine, told_it, host_network=access.allow_host_network)
        placed = replace(replica, engines=tuple(engines))
        if not is_alone(placed):
            replicas.append(placed)
            said += own
    problems = list_engine_problems([engine for replica in replicas for engine in replica.engines])
    located_all = replace(fleet, replicas=tuple(replicas), problems=(*fleet.problems, *problems))
    return join(located_all, beside), tuple(
        sorted(said, key=lambda item: (item.pod_uid, item.container, item.instance))
    )


def _locate(
    replica: Replica, engine: Engine, items: list[Inspected], access: Access
) -> Iterator[tuple[Engine, Inspected | None]]:
    if not items:
        yield _place(replica, engine, None, access), None
    elif len(items) > 1:
        for item in items:
            one = replace(_told(engine, item), ports=(item.metrics.port or 0,), instance=item.instance)
            yield _place(replica, one, item, replace(access, port=None)), item
    else:
        one = _told(engine, items[0])
        if len(one.ports) < 2:
            yield _place(replica, one, items[0], access), items[0]
        for port in one.ports if len(one.ports) > 1 else ():
            yield (
                _place(replica, replace(one, ports=(port,), instance=str(port)), items[0], access),
                items[0],
            )


def _told(engine: Engine, item: Inspected) -> Engine:
    """The engine as its command line says it: kind, role, and the port where that is not the default."""
    if item.role is Role.WORKER:
        return replace(engine, role=Role.WORKER, problem=None, why_not=HEADLESS, ports=())
    if item.kind is EngineKind.NONE:
        return replace(engine, kind=item.kind, role=item.role, problem=None, why_not=NO_MODEL, ports=())
    if item.kind not in SCRAPED:
        return engine
    default = DYNAMO_PORT if item.wrapper == DYNAMO else SCRAPED[item.kind]
    own, ports = item.metrics.port, engine.ports
    if own is not None and own != default and len(ports) < 2:
        ports = (own,)
    known = (item.kind, item.wrapper, ports or (default,))
    if known == (engine.kind, engine.wrapper, engine.ports) and not engine.why_not:
        return engine
    kind, wrapper, ports = known
    return replace(engine, kind=kind, wrapper=wrapper, ports=ports, problem=None, why_not="")


def _place(replica: Replica, engine: Engine, item: Inspected | None, access: Access) -> Engine:
    """The engine with its endpoint. Without an address or a reason to read it, that is None."""
    if engine.why_not:
        return engine
    page = item.metrics if item is not None else None
    if page is not None and page.state is MetricsState.OFF and not page.unread:
        why = DISABLED.format(fix=page.fix)
        return replace(engine, problem=FleetReason.METRICS_DISABLED, why_not=why)
    if replica.on_node and not access.allow_host_network:
        return replace(engine, problem=FleetReason.HOST_NETWORK_REFUSED, why_not=ON_THE_HOST)
    pod = replica.pod
    if pod.phase != "Running":
        return replace(engine, why_not=NOT_RUNNING)
    if not pod.ip:
        return replace(engine, why_not=NO_ADDRESS)
    port = access.port or engine.ports[0]
    endpoint = Endpoint(pod.ip, port, _path(engine, access), pod.namespace, node_network=replica.on_node)
    return replace(engine, endpoint=endpoint, side=_side(engine, endpoint))


def _side(engine: Engine, endpoint: Endpoint) -> Endpoint | None:
    """KVBM's own page, which it opens when its variable says so. Of several engines the first one has it."""
    env = dict(engine.container.env)
    if env.get(KVBM_METRICS, "").strip().lower() not in ON:
        return None
    port = whole(env.get(KVBM_PORT_VARIABLE, ""), most=65535) or KVBM_PORT
    return replace(endpoint, port=port, path=DEFAULT_PATH)


def _path(engine: Engine, access: Access) -> str:
    """The pool's path, but never one that a TensorRT-LLM server empties with each reading."""
    if engine.wrapper == DYNAMO:
        return access.path or DEFAULT_PATH
    if engine.kind is EngineKind.TENSORRT_LLM:
        return access.path if access.path and access.path.endswith(TRTLLM_PATH) else TRTLLM_PATH
    return access.path or PATHS.get(engine.kind, DEFAULT_PATH)
