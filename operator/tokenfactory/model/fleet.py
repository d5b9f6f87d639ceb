"""What runs: pods, nodes, engines and replicas, projected once at the border."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from tokenfactory.model.requests import OptimizationName

EMPTY: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class EnvSource:
    """One `envFrom` entry. `config_map` is empty for a Secret, and for what can't be read."""

    config_map: str
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class EnvKey:
    """A variable from a ConfigMap's key, written after the first `after` literal variables."""

    variable: str
    config_map: str
    key: str
    after: int


@dataclass(frozen=True, slots=True)
class FileMount:
    """What one ConfigMap puts below `path`: all its keys, or (key, relative path) `items` of it.

    `below` is the mount's subPath.
    """

    path: str
    below: str
    config_map: str
    items: tuple[tuple[str, str], ...] | None = None


@dataclass(frozen=True, slots=True)
class ConfigUse:
    """The ConfigMaps that a container takes variables and files from."""

    sources: tuple[EnvSource, ...] = ()
    keys: tuple[EnvKey, ...] = ()
    mounts: tuple[FileMount, ...] = ()

    def names(self) -> frozenset[str]:
        """The ConfigMaps, by name."""
        named = (
            *(source.config_map for source in self.sources),
            *(key.config_map for key in self.keys),
            *(mount.config_map for mount in self.mounts),
        )
        return frozenset(name for name in named if name)


@dataclass(frozen=True, slots=True)
class ConfigText:
    """A ConfigMap's text entries. `edited_at` is the Unix time of its last change, None when not known."""

    data: Mapping[str, str]
    edited_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """The few fields of a container that inspection and discovery read.

    `env` holds literal values, and those of ConfigMaps once they were read; `files` the mounted ones as
    (container path, text). `config` says which ConfigMaps those are, None when there is none.
    """

    name: str
    image: str
    image_id: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    opaque_env: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    gpu_limits: tuple[tuple[str, float], ...] = ()
    running: bool = False
    ready: bool = False
    restarts: int = 0
    started_at: float | None = None
    sidecar: bool = False
    config: ConfigUse | None = None
    files: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ClaimUse:
    """A ResourceClaim that a pod uses. `requests`: requests made for extended resources of its limits."""

    name: str
    requests: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ClaimedDevice:
    """One GPU, or MIG slice of one, that the scheduler gave to a claim, for a request of it."""

    pool: str
    device: str
    request: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What was allocated to a ResourceClaim: NVIDIA's devices, and the UIDs of the pods that may use them."""

    devices: tuple[ClaimedDevice, ...] = ()
    allocated: bool = False
    pods: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod as the informer keeps it: projected once, never a dict again."""

    namespace: str
    name: str
    uid: str
    labels: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    node_name: str = ""
    ip: str = ""
    host_network: bool = False
    phase: str = "Pending"
    ready: bool = False
    deleting: bool = False
    created_at: float = 0.0
    containers: tuple[Container, ...] = ()
    mounts_claims: bool = False
    claims: tuple[ClaimUse, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What a node says of its GPUs and of its price. `sharing` is the replicas of one GPU (1: not shared)."""

    name: str
    gpu_product: str | None = None
    gpu_count: int | None = None
    sharing: int = 1
    capability_major: int | None = None
    instance_type: str | None = None
    capacity_type: str | None = None
    labels: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    addresses: tuple[str, ...] = ()


class EngineKind(StrEnum):
    VLLM = "vllm"
    SGLANG = "sglang"
    TENSORRT_LLM = "trtllm"
    NIM = "nim"
    TGI = "tgi"
    TRITON = "triton"
    OTHER = "other"
    NONE = "none"


class CompanionKind(StrEnum):
    """What runs beside the engines, executes no model, and has a page that tells what theirs can't."""

    DYNAMO_FRONTEND = "dynamo-frontend"
    CACHE_SERVER = "lmcache-server"
    ORCHESTRATOR = "trtllm-orchestrator"


class Role(StrEnum):
    AGGREGATED = "aggregated"
    PREFILL = "prefill"
    DECODE = "decode"
    ROUTER = "router"
    WORKER = "worker"
    NONE = "none"


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """Where a metrics page is read: always an IP literal of a pod, never a name."""

    ip: str
    port: int
    path: str
    namespace: str = ""
    node_network: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """One engine process in a pod, or one port of it. `endpoint` is None when its page can't be reached,
    `why_not` says why. `instance` tells the engines of one container apart, empty where there is one;
    `ports` are those on which pages are likely, until the engine is located. `side` is a second page: the
    counters of an offload tier that has a port of its own.
    """

    container: Container
    kind: EngineKind
    wrapper: str = ""
    instance: str = ""
    ports: tuple[int, ...] = ()
    role: Role = Role.AGGREGATED
    endpoint: Endpoint | None = None
    side: Endpoint | None = None
    why_not: str = ""
    problem: FleetReason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """A pod of the pool that holds GPUs or runs an engine.

    `on_node`: it is on the host network, or its status shows a node's address.
    `gpus` is what its limits ask for and its claims were given (shares as fractions). `turns` is how many
    pods take turns on one of them, or share a claim of it, at most. `product` is None when no label tells.
    `group` is the same for all pods of a multi-node group (empty: no such group); of those, the `follower`s
    hold GPUs of an engine that another pod serves.
    """

    pod: Pod
    node: Node | None
    gpus: float
    product: str | None
    engines: tuple[Engine, ...] = ()
    shared_with: tuple[str, ...] = ()
    group: str = ""
    follower: bool = False
    on_node: bool = False
    turns: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Companion:
    """A frontend or the like in a pod of the pool: no engine, no replica, and its tokens are never added.

    `endpoint` is None when its page can't be reached; `why_not` says why, or what may be in its way.
    """

    kind: CompanionKind
    pod: Pod
    container: Container
    endpoint: Endpoint | None = None
    why_not: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exporter:
    """A dcgm-exporter pod and the node that it reports on."""

    node_name: str
    endpoint: Endpoint


class FleetReason(StrEnum):
    """Why discovery could not give a plain answer; becomes a reason of TelemetryHealthy or Stalled."""

    NO_PODS = "NoPods"
    ENGINE_NOT_SUPPORTED = "EngineNotSupported"
    METRICS_DISABLED = "MetricsDisabled"
    HOST_NETWORK_REFUSED = "HostNetworkRefused"
    TARGETS_TRUNCATED = "TargetsTruncated"
    DCGM_MISSING = "DCGMMissing"
    CLAIMS_NOT_READ = "ClaimsNotRead"
    POOL_REF_NOT_FOUND = "PoolRefNotFound"
    POOL_REF_KIND_MISSING = "PoolRefKindMissing"
    PODS_SHARED = "PodsShared"


@dataclass(frozen=True, slots=True)
class FleetProblem:
    reason: FleetReason
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Everything that a pool holds at one moment: sorted by pod name, deduplicated by UID."""

    replicas: tuple[Replica, ...] = ()
    companions: tuple[Companion, ...] = ()
    exporters: tuple[Exporter, ...] = ()
    problems: tuple[FleetProblem, ...] = ()


class DeclarationState(StrEnum):
    DECLARED = "declared"
    BY_CHECKPOINT = "declared-by-checkpoint"
    BY_DEFAULT = "declared-by-default"
    OPAQUE = "opaque"
    OFF = "off"
    INVALID = "invalid"
    SIMULATED = "simulated"
    NOT_DECLARED = "not-declared"


BY_SERVER = "lmcache-mp"
"""The method of offloading to LMCache's own server: its page counts what the engine's can't."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """What one engine was told about one optimization. `source` is a flag or file name, never a value."""

    optimization: OptimizationName
    state: DeclarationState
    source: str = ""
    explanation: str = ""
    method: str = ""


class MetricsState(StrEnum):
    ON = "on"
    OFF = "off"
    PARTIAL = "partial"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsEndpoint:
    """Where the metrics page is. `port` is None when there is none or its number can't be read.

    `partial`: a page that lacks the families which prove optimizations, or one on loopback. `none`: no page.
    `fix` says what to add when the state is off or partial, empty otherwise. `unread`: a file that may say
    otherwise could not be read.
    """

    port: int | None = None
    path: str = ""
    state: MetricsState = MetricsState.NONE
    fix: str = ""
    unread: bool = False


@dataclass(frozen=True, slots=True)
class Beside:
    """A process that is no engine and whose page is read, as its command line says it."""

    kind: CompanionKind
    metrics: MetricsEndpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """What the command line of one engine says. `epoch` identifies image + normalised flags + GPU product.

    `kind` is OTHER and `metrics` has no page where the command line could not be read. `beside` are the
    processes of its container that are read beside the engines, itself included if it is one.
    """

    pod_uid: str
    container: str
    role: Role
    declarations: tuple[Declaration, ...]
    instance: str = ""
    kind: EngineKind = EngineKind.OTHER
    wrapper: str = ""
    metrics: MetricsEndpoint = field(default_factory=MetricsEndpoint)
    model: str = ""
    weight_only_forced: bool = False
    epoch: str = ""
    beside: tuple[Beside, ...] = ()
