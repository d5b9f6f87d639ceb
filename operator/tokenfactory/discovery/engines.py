"""The engines of a pod and where their metrics pages are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from tokenfactory.discovery.border import whole
from tokenfactory.discovery.programs import Program, find_program, is_sidecar
from tokenfactory.model import Container, Endpoint, Engine, EngineKind, FleetReason, Pod, Role

DEFAULT_PORT = 8000
DEFAULT_PATH = "/metrics"
NOT_SUPPORTED = "engine not supported yet"
SEVERAL_PORTS = f"{NOT_SUPPORTED}: one metrics page for each of several ports"
DISABLED = "metrics are off by --disable-log-stats: remove the flag"
HEADLESS = "a follower without a server"
ON_THE_HOST = "the pod is on the host network"
NOT_RUNNING = "the pod is not running yet"
NO_ADDRESS = "the pod has no address yet"

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


class Nodes(StrEnum):
    """Which nodes of a multi-node engine serve, as far as the command line says it."""

    ONE = "not told to span nodes"
    LED = "spans nodes, the first one serves"
    EACH = "every node has a server of its own"


@dataclass(frozen=True, slots=True)
class Shape:
    """What a container's specification says, the same for all replicas of one template."""

    kind: EngineKind
    role: Role = Role.AGGREGATED
    port: int = DEFAULT_PORT
    problem: FleetReason | None = None
    why_not: str = ""
    nodes: Nodes = Nodes.ONE


def shape_of(container: Container, access: Access) -> Shape | None:
    """What the container serves and on which port; None when it is no engine and holds no GPU."""
    if is_sidecar(container):
        return None
    program = find_program(container)
    shape = _shape_of(container, program, access)
    return replace(shape, nodes=_nodes(container, program)) if shape and program else shape


def _shape_of(container: Container, program: Program | None, access: Access) -> Shape | None:
    if program is None:
        return _unsupported(EngineKind.OTHER) if container.gpu_limits else None
    if program.kind is not EngineKind.VLLM or not program.supported:
        return _unsupported(program.kind)
    if program.worker or _switched(program, "headless"):
        return Shape(EngineKind.VLLM, role=Role.WORKER, why_not=HEADLESS)
    several = access.port is None and len(access.referenced_ports) > 1
    if several or _switched(program, MULTI_PORT):
        return Shape(EngineKind.VLLM, problem=FleetReason.ENGINE_NOT_SUPPORTED, why_not=SEVERAL_PORTS)
    port = _port(container, program, access)
    if _switched(program, "disable-log-stats"):
        return Shape(EngineKind.VLLM, port=port, problem=FleetReason.METRICS_DISABLED, why_not=DISABLED)
    return Shape(EngineKind.VLLM, port=port)


def follow(shape: Shape, *, alike: bool) -> Shape:
    """The shape in a follower of a multi-node group: most have no server, and need no scrape.

    `alike`: the container is told what its leader's is, so that only its rank makes it a follower. One that
    is told to serve by a command of its own does so.
    """
    if shape.role is Role.WORKER or shape.nodes is Nodes.EACH:
        return shape
    if alike or shape.kind is EngineKind.OTHER or shape.nodes is Nodes.LED:
        return Shape(shape.kind, role=Role.WORKER, why_not=HEADLESS)
    return shape


def place(shape: Shape, pod: Pod, container: Container, access: Access, *, on_node: bool) -> Engine:
    """The engine as it runs in this pod. Without an address or a reason to read it, `endpoint` is None.

    `on_node`: the pod is on the host network, or its status shows a node's address.
    """
    role = ROLES(pod.labels.get(ROLE_LABEL, ""), shape.role) if shape.role is Role.AGGREGATED else shape.role
    problem, why_not, endpoint = shape.problem, shape.why_not, None
    if why_not:
        pass
    elif on_node and not access.allow_host_network:
        problem, why_not = FleetReason.HOST_NETWORK_REFUSED, ON_THE_HOST
    elif pod.phase != "Running":
        why_not = NOT_RUNNING
    elif not pod.ip:
        why_not = NO_ADDRESS
    else:
        path = access.path or DEFAULT_PATH
        endpoint = Endpoint(pod.ip, shape.port, path, pod.namespace, node_network=on_node)
    return Engine(
        container=container, kind=shape.kind, role=role, endpoint=endpoint, why_not=why_not, problem=problem
    )


def _unsupported(kind: EngineKind) -> Shape:
    return Shape(kind, problem=FleetReason.ENGINE_NOT_SUPPORTED, why_not=NOT_SUPPORTED)


def _port(container: Container, program: Program, access: Access) -> int:
    """The pool's word, else the engine's `--port`, the referenced pool's, the container's, vLLM's default.

    `--port` comes before the referenced pool's target port, because that may be a proxy's in front of the
    engine, as llm-d's decode pods have it.
    """
    if access.port:
        return access.port
    env = dict(container.env)
    for value in _values(program.words, "port"):
        number = whole(env.get(value.strip("$(){}"), "") if "$" in value else value, most=65535)
        if number:
            return number
    return next(iter(access.referenced_ports + container.ports), DEFAULT_PORT)


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
