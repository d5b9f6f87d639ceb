"""The engines of a pod, and the ports on which their metrics pages are likely.

Inspection reads the command line afterwards and corrects both (`endpoints.locate`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

from tokenfactory.discovery.border import whole
from tokenfactory.discovery.companions import may_accompany
from tokenfactory.discovery.programs import DYNAMO, Program, find_program, is_sidecar
from tokenfactory.model import Container, Engine, EngineKind, FleetReason, Pod, Pool, Role, Terms
from tokenfactory.ports import ReferencedPool

NOT_SUPPORTED = "engine not supported yet"
HEADLESS = "a follower without a server"
NO_MODEL = "it executes no model: frontends and routers repeat what their workers count"

SCRAPED: Mapping[EngineKind, int] = MappingProxyType(
    {
        EngineKind.VLLM: 8000,
        EngineKind.SGLANG: 30000,
        EngineKind.TENSORRT_LLM: 8000,
        EngineKind.NIM: 8000,
    }
)
"""The engines whose pages are read, with their default port."""

DYNAMO_PORT = 9090
"""The system port that Dynamo's operator gives a worker."""

MOST_PORTS = 64
ROLE_LABEL = "llm-d.ai/role"
ROLES = {"prefill": Role.PREFILL, "decode": Role.DECODE}.get
MULTI_PORT = "data-parallel-multi-port-external-lb"
EACH_NODE = frozenset({"data-parallel-hybrid-lb", "data-parallel-external-lb", "data-parallel-rank"})
LED_NODES = frozenset({"nnodes", "node-rank", "dist-init-addr"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Where the pool says that metrics are, and whether pods on the host network may be read."""

    port: int | None = None
    path: str | None = None
    referenced_ports: tuple[int, ...] = ()
    allow_host_network: bool = False


def access_to(pool: Pool, terms: Terms, referenced: ReferencedPool | None) -> Access:
    """What pool, factory and referenced pool say together."""
    return Access(
        port=pool.metrics_port,
        path=pool.metrics_path,
        referenced_ports=referenced.ports if referenced else (),
        allow_host_network=terms.telemetry.allow_host_network,
    )


class Nodes(StrEnum):
    """Which nodes of a multi-node engine serve, as far as the command line says it."""

    ONE = "not told to span nodes"
    LED = "spans nodes, the first one serves"
    EACH = "every node has a server of its own"


@dataclass(frozen=True, slots=True)
class Shape:
    """What a container's specification says, the same for all replicas of one template."""

    kind: EngineKind
    wrapper: str = ""
    role: Role = Role.AGGREGATED
    ports: tuple[int, ...] = ()
    problem: FleetReason | None = None
    why_not: str = ""
    nodes: Nodes = Nodes.ONE


def shape_of(container: Container, access: Access) -> Shape | None:
    """What the container serves and on which ports; None when it is nothing to look at and holds no GPU."""
    if is_sidecar(container):
        return None
    program = find_program(container)
    shape = _shape_of(container, program, access)
    return replace(shape, nodes=_nodes(container, program)) if shape and program else shape


def _shape_of(container: Container, program: Program | None, access: Access) -> Shape | None:
    if program is None:
        if container.gpu_limits:
            return _unsupported(EngineKind.OTHER)
        return Shape(EngineKind.NONE, why_not=NO_MODEL) if may_accompany(container) else None
    if program.kind not in SCRAPED:
        return _unsupported(program.kind)
    if program.worker or _switched(program, "headless"):
        return Shape(program.kind, program.wrapper, role=Role.WORKER, why_not=HEADLESS)
    return Shape(program.kind, program.wrapper, ports=_ports(container, program, access))


def follow(shape: Shape, *, alike: bool) -> Shape:
    """The shape in a follower of a multi-node group: most have no server, and need no scrape.

    `alike`: the container is told what its leader's is, so that only its rank makes it a follower. One that
    is told to serve by a command of its own does so.
    """
    if shape.role is Role.WORKER or shape.nodes is Nodes.EACH:
        return shape
    if alike or shape.kind is EngineKind.OTHER or shape.nodes is Nodes.LED:
        return Shape(shape.kind, shape.wrapper, role=Role.WORKER, why_not=HEADLESS)
    return shape


def appear(shape: Shape, pod: Pod, container: Container) -> Engine:
    """The engine of this pod, before it is known where its page is."""
    role = ROLES(pod.labels.get(ROLE_LABEL, ""), shape.role) if shape.role is Role.AGGREGATED else shape.role
    return Engine(
        container=container,
        kind=shape.kind,
        wrapper=shape.wrapper,
        ports=shape.ports,
        role=role,
        why_not=shape.why_not,
        problem=shape.problem,
    )


def _unsupported(kind: EngineKind) -> Shape:
    return Shape(kind, problem=FleetReason.ENGINE_NOT_SUPPORTED, why_not=NOT_SUPPORTED)


def _ports(container: Container, program: Program, access: Access) -> tuple[int, ...]:
    """The pool's word, else the engine's own, the referenced pool's, the container's, the engine's default.

    The engine's own comes before the referenced pool's target ports, because those may be a proxy's in front
    of it, as llm-d's decode pods have it. An engine with a server for each data-parallel rank has a page on
    each of as many ports; so has one behind a pool with several target ports.
    """
    if access.port:
        return (access.port,)
    own = _own_port(container, program)
    if program.wrapper == DYNAMO:
        return (own or DYNAMO_PORT,)
    default = SCRAPED[program.kind]
    if _switched(program, MULTI_PORT):
        return _row(own or default, _ranks_here(program) or len(access.referenced_ports))
    if len(access.referenced_ports) > 1:
        behind = own is not None and own not in access.referenced_ports
        return _row(own or default, len(access.referenced_ports)) if behind else access.referenced_ports
    return (own or next(iter(access.referenced_ports + container.ports), default),)


def _row(first: int, count: int) -> tuple[int, ...]:
    return tuple(range(first, min(first + max(1, min(count, MOST_PORTS)), 65536)))


def _own_port(container: Container, program: Program) -> int | None:
    env = dict(container.env)
    if program.wrapper == DYNAMO:
        return whole(env.get("DYN_SYSTEM_PORT", ""), most=65535) or None
    for value in _values(program.words, "port"):
        number = whole(env.get(value.strip("$(){}"), "") if "$" in value else value, most=65535)
        if number:
            return number
    return None


def _ranks_here(program: Program) -> int | None:
    """Data-parallel ranks of this pod."""
    for name in ("data-parallel-size-local", "data-parallel-size"):
        for value in _values(program.words, name):
            return whole(value, most=MOST_PORTS)
    return None


def _nodes(container: Container, program: Program) -> Nodes:
    """A script that names no server joins a leader's, wherever it is a follower that runs it."""
    names = {_name(word.partition("=")[0]) for word in program.words}
    if names & EACH_NODE:
        return Nodes.EACH
    scripted = program.by_image and bool(container.command)
    return Nodes.LED if scripted or names & LED_NODES else Nodes.ONE


def _values(words: tuple[str, ...], name: str) -> Iterator[str]:
    """Values given to the flag, the last one first: that is the one which counts."""
    for position in range(len(words) - 1, -1, -1):
        flag, equals, value = words[position].partition("=")
        if _name(flag) != name:
            continue
        if equals:
            yield value
        elif position + 1 < len(words):
            yield words[position + 1]


def _switched(program: Program, name: str) -> bool:
    """Whether the switch is on: the last of `--name` and `--no-name` counts."""
    for word in reversed(program.words):
        if _name(word) in (name, f"no-{name}"):
            return _name(word) == name
    return False


def _name(word: str) -> str:
    return word[2:].replace("_", "-") if word.startswith("--") else ""
