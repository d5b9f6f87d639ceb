"""What is recognised and set aside: routers, frontends, planners, embedders, other engines, followers."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from types import MappingProxyType

from tokenfactory.inspection.engines import sentences
from tokenfactory.inspection.engines.declaring import NO_PAGE, S, all_five
from tokenfactory.inspection.engines.dynamo import worker_kind
from tokenfactory.inspection.engines.orchestrated import orchestrator_page
from tokenfactory.inspection.engines.recognised import (
    Declared,
    MetricsEndpoint,
    MetricsState,
    Recognised,
)
from tokenfactory.inspection.engines.roles import is_follower
from tokenfactory.inspection.engines.words import (
    Found,
    base_name,
    find_command,
    find_module,
    own_entrypoint,
    port_of,
    repository_of,
)
from tokenfactory.inspection.flags import parse
from tokenfactory.inspection.program import Program
from tokenfactory.model import CompanionKind, Container, EngineKind, Role

ROUTERS = frozenset(
    {"sglang_router.launch_router", "sglang-router", "sgl-model-gateway", "smg", "vllm-router"}
    | {"vllm_router.app", "epp", "dynamo.frontend", "dynamo.router", "dynamo.global_router", "litellm"}
)
PLANNERS = frozenset({"dynamo.planner", "dynamo.global_planner", "dynamo.profiler"})
SIMULATORS = frozenset({"dynamo.mocker", "llm-d-inference-sim"})
EMBEDDERS = frozenset({"text-embeddings-router", "infinity_emb"})
OTHERS: Mapping[str, EngineKind] = MappingProxyType(
    {
        "text-generation-launcher": EngineKind.TGI,
        "text-generation-server": EngineKind.TGI,
        "tritonserver": EngineKind.TRITON,
        "ollama": EngineKind.OTHER,
        "lmdeploy": EngineKind.OTHER,
        "llama-server": EngineKind.OTHER,
    }
)
ROUTER_IMAGES = (
    "inference-scheduler",
    "endpoint-picker",
    "/epp",
    "lwepp",
    "dynamo-frontend",
    "sgl-model-gateway",
    "lmstack-router",
    "vllm-router",
    "sglang-router",
)
OTHER_IMAGES: tuple[tuple[str, EngineKind], ...] = (
    ("text-generation-inference", EngineKind.TGI),
    ("tritonserver", EngineKind.TRITON),
    ("ollama", EngineKind.OTHER),
)
EMBEDDER_IMAGES = ("text-embeddings-inference", "infinity")
SIMULATOR_IMAGES = ("llm-d-inference-sim",)
ORCHESTRATOR = "trtllm-serve disaggregated"
MULTI_NODE = "multi-node-serving.sh"
PORTS: Mapping[str, tuple[str, str, int]] = MappingProxyType(
    {
        "dynamo.frontend": ("http-port", "DYN_HTTP_PORT", 8000),
        "sglang_router.launch_router": ("prometheus-port", "", 29000),
        "sglang-router": ("prometheus-port", "", 29000),
        "smg": ("prometheus-port", "", 29000),
        "sgl-model-gateway": ("prometheus-port", "", 29000),
        "dynamo.planner": ("", "PLANNER_PROMETHEUS_PORT", 9085),
        "epp": ("metrics-port", "", 9090),
        "vllm-router": ("prometheus-port", "", 29000),
    }
)
COMPANIONS: Mapping[str, CompanionKind] = MappingProxyType(
    {
        "dynamo.frontend": CompanionKind.DYNAMO_FRONTEND,
        ORCHESTRATOR: CompanionKind.ORCHESTRATOR,
    }
)


def recognise(program: Program, container: Container, labels: Mapping[str, str]) -> Recognised | None:
    """Anything known that executes no model, or that is an engine which is not read."""
    if program.opaque:
        return None
    found = _find(program)
    if found is not None:
        return _by_name(found, program, container, labels)
    if find_command(program, lambda name, after: name == "trtllm-serve" and after == "disaggregated"):
        return _aside(
            program,
            container,
            labels,
            role=Role.ROUTER,
            why=_routes(ORCHESTRATOR),
            arguments=(ORCHESTRATOR,),
        )
    if _is_ray_worker(program):
        kind = EngineKind.VLLM if "vllm" in container.image else EngineKind.OTHER
        return _aside(program, container, labels, kind=kind, role=Role.WORKER, why=sentences.FOLLOWER)
    if own_entrypoint(program, container):
        return _by_image(program, container, labels)
    return None


def declare(recognised: Recognised) -> Declared:
    """Nothing is guessed: opaque for what may execute a model, not declared for what executes none."""
    idle = recognised.role in (Role.ROUTER, Role.NONE) and recognised.kind not in OTHERS.values()
    state = S.NOT_DECLARED if idle or recognised.why == sentences.AN_EMBEDDER else S.OPAQUE
    return Declared(
        declarations=all_five(state, recognised.why),
        role=recognised.role,
        metrics=_page(recognised),
        companion=COMPANIONS.get(recognised.arguments[0]) if recognised.arguments else None,
    )


def follower_of(program: Program, container: Container, labels: Mapping[str, str]) -> Recognised | None:
    """A pod of a group that is not its first and runs no server: GPUs, and nothing to ask."""
    if not container.gpu_limits or not is_follower(program, labels):
        return None
    return _aside(
        program,
        container,
        labels,
        kind=kind_by_image(container.image),
        role=Role.WORKER,
        why=sentences.FOLLOWER,
        wrapper="dynamo" if any(key.startswith("nvidia.com/dynamo-") for key in labels) else "",
    )


def kind_by_image(image: str) -> EngineKind:
    """The engine that an image is made for; OTHER when its name does not tell."""
    repository = repository_of(image)
    name = base_name(repository)
    marks = (
        ("sglang", EngineKind.SGLANG),
        ("tensorrt-llm", EngineKind.TENSORRT_LLM),
        ("tensorrtllm", EngineKind.TENSORRT_LLM),
        *OTHER_IMAGES,
        ("vllm", EngineKind.VLLM),
    )
    if "/nim/" in f"/{repository}":
        return EngineKind.NIM
    if "tensorrt-llm" in repository:
        return EngineKind.TENSORRT_LLM
    return next((kind for mark, kind in marks if mark in name), EngineKind.OTHER)


def _find(program: Program) -> Found | None:
    known = ROUTERS | PLANNERS | SIMULATORS | EMBEDDERS | OTHERS.keys()
    module = find_module(
        program, lambda name: name in known or (name.startswith("dynamo.") and worker_kind(name) is None)
    )
    return module or find_command(program, lambda name, _: name in known or _is_proxy(name))


def _is_proxy(name: str) -> bool:
    """Scripts of examples that stand between prefill and decode."""
    return name.endswith(".py") and ("proxy" in name or "router" in name)


def _by_name(found: Found, program: Program, container: Container, labels: Mapping[str, str]) -> Recognised:
    name = found.name
    wrapper = "dynamo" if name.startswith("dynamo.") else ""
    kind, role, why = EngineKind.NONE, Role.NONE, sentences.NOT_SUPPORTED
    if name in PLANNERS:
        why = sentences.A_PLANNER
    elif name in SIMULATORS:
        why = sentences.A_SIMULATOR
    elif name in EMBEDDERS:
        kind, why = EngineKind.OTHER, sentences.AN_EMBEDDER
    elif name in OTHERS:
        kind, role = OTHERS[name], Role.AGGREGATED
    elif name in ROUTERS or _is_proxy(name):
        role, why = Role.ROUTER, sentences.A_ROUTER
    else:
        kind, role = EngineKind.OTHER, Role.AGGREGATED
    known = name in ROUTERS | PLANNERS | SIMULATORS | OTHERS.keys()
    return _aside(
        program,
        container,
        labels,
        kind=kind,
        role=role,
        why=why.format(name=name if known else "a program of this kind"),
        wrapper=wrapper,
        arguments=(name, *found.rest),
    )


def _by_image(program: Program, container: Container, labels: Mapping[str, str]) -> Recognised | None:
    repository = repository_of(container.image)
    for marks, kind, role, why in (
        (ROUTER_IMAGES, EngineKind.NONE, Role.ROUTER, _routes("an endpoint picker or gateway")),
        (SIMULATOR_IMAGES, EngineKind.NONE, Role.NONE, sentences.A_SIMULATOR.format(name="its image")),
        (EMBEDDER_IMAGES, EngineKind.OTHER, Role.NONE, sentences.AN_EMBEDDER),
    ):
        if any(mark in f"/{repository}" for mark in marks):
            name: tuple[str, ...] = ()
            if role is Role.ROUTER:
                name = ("dynamo.frontend",) if "dynamo-frontend" in repository else ("epp",)
            words = (*name, *program.words)
            return _aside(program, container, labels, kind=kind, role=role, why=why, arguments=words)
    for mark, kind in OTHER_IMAGES:
        if mark in repository:
            why = sentences.NOT_SUPPORTED.format(name=kind.value)
            return _aside(program, container, labels, kind=kind, role=Role.AGGREGATED, why=why)
    return None


def _routes(name: str) -> str:
    return sentences.A_ROUTER.format(name=name)


def _is_ray_worker(program: Program) -> bool:
    """A Ray node without a head: a follower of a multi-node engine."""
    names = [base_name(word) for word in program.words[:16]]
    if MULTI_NODE in names:
        return "worker" in names
    starts = any(pair == ("ray", "start") for pair in pairwise(names))
    return starts and "--head" not in program.words


def _page(recognised: Recognised) -> MetricsEndpoint:
    """The page of a router, where its port is known; none is read for the five."""
    if recognised.arguments[:1] == (ORCHESTRATOR,):
        return orchestrator_page(recognised.program)
    known = PORTS.get(recognised.arguments[0]) if recognised.arguments else None
    if known is None:
        return NO_PAGE
    flag, variable, default = known
    flags = parse(recognised.arguments[1:])
    written = (flags.text(flag) if flag else None) or recognised.program.env.get(variable)
    return MetricsEndpoint(port=port_of(written, str(default)), path="/metrics", state=MetricsState.ON)


def _aside(
    program: Program,
    container: Container,
    labels: Mapping[str, str],
    *,
    role: Role,
    why: str,
    kind: EngineKind = EngineKind.NONE,
    wrapper: str = "",
    arguments: tuple[str, ...] = (),
) -> Recognised:
    return Recognised(
        kind=kind,
        program=program,
        container=container,
        labels=labels,
        arguments=arguments,
        wrapper=wrapper,
        role=role,
        why=why,
    )
