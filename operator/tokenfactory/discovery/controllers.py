"""What controllers add to the pods of their own kinds: labels, variables, followers, default commands.

One function per kind; a kind that is not listed is read as written (see `podspecs`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from tokenfactory.discovery.border import mapping, mappings, text, whole
from tokenfactory.discovery.podspecs import Body, Draft, find_drafts

GROUP_ENV = "LWS_"
WORKER_INDEX = "leaderworkerset.sigs.k8s.io/worker-index"
LLM_ROLE = "llm-d.ai/role"
DYNAMO = "nvidia.com/dynamo-"
DYNAMO_WORKERS = frozenset({"worker", "prefill", "decode"})
DYNAMO_SYSTEM_PORT = "9090"
RAY_OWN_COMMAND = "ray.io/overwrite-container-cmd"
RAY_NODE_TYPE = "ray.io/node-type"
RAY_START = MappingProxyType(
    {"head": "ray start --head --block", "worker": "ray start --address=head:6379 --block"}
)
KSERVE_SERVICE = "serving.kserve.io/inferenceservice"
MORE_ARGUMENTS = "VLLM_ADDITIONAL_ARGS"
MODEL_MOUNT = "/mnt/models"
ROUTING_SIDECAR = MappingProxyType(
    {
        "name": "llm-d-routing-sidecar",
        "image": "llm-d-routing-sidecar",
        "restartPolicy": "Always",
    }
)
ROLE_NAMES = frozenset({"prefill", "decode"})
TEMPLATES = frozenset({"leaderTemplate", "workerTemplate"})

_AT_MOUNT = re.compile(r"(?<![\w./-])/mnt/models/?(?![\w./-])")


def drafts_of(document: Body, runtimes: Mapping[str, Body]) -> Iterator[Draft]:
    """The pods that a document asks for. `runtimes` are KServe's ServingRuntimes by name."""
    kind = document.get("kind")
    if kind == "InferenceService":
        return _inference_service(document, runtimes)
    return KINDS.get(kind, find_drafts)(document) if isinstance(kind, str) else iter(())


def _leader_worker_set(document: Body) -> Iterator[Draft]:
    """A leader and, when a group has more than one pod, a worker; one template may serve as both."""
    yield from _grouped(document, find_drafts(document))


def _disaggregated_set(document: Body) -> Iterator[Draft]:
    """Roles by name, each with a group or a plain template of its own."""
    for index, role in enumerate(mappings(mapping(document, "spec").get("roles"))):
        name = text(role.get("name"))
        wears = {LLM_ROLE: name} if name in ROLE_NAMES else {}
        drafts = [
            replace(draft, path=("spec", "roles", index, *draft.path), labels={**wears, **draft.labels})
            for draft in find_drafts(role)
        ]
        for draft in _grouped(role, drafts):
            yield replace(draft, part=f"{name}-{draft.part}" if draft.part else name)


def _grouped(owner: Body, drafts: Iterable[Draft]) -> Iterator[Draft]:
    found = {next((key for key in draft.path[::-1] if key in TEMPLATES), ""): draft for draft in drafts}
    worker = found.get("workerTemplate")
    leader = found.get("leaderTemplate", worker)
    if leader is None:
        yield from found.values()
        return
    group = mapping(owner, "leaderWorkerTemplate") or mapping(owner, "spec", "leaderWorkerTemplate")
    written = whole(group.get("size"), most=1024)
    size = 1 if written is None else written
    yield _in_group(leader, index=0, size=size, part="leader")
    if worker is not None and (size > 1 or (written is None and leader is not worker)):
        yield _in_group(worker, index=1, size=size, part="worker")


def _in_group(draft: Draft, *, index: int, size: int, part: str) -> Draft:
    return replace(
        draft,
        part=part,
        labels={**draft.labels, WORKER_INDEX: str(index)},
        env=(
            *draft.env,
            (f"{GROUP_ENV}GROUP_SIZE", str(size)),
            (f"{GROUP_ENV}WORKER_INDEX", str(index)),
            (f"{GROUP_ENV}LEADER_ADDRESS", None),
        ),
    )


def _dynamo_graph(document: Body) -> Iterator[Draft]:
    """Both API versions: `services` by name with an extraPodSpec, and `components` with a podTemplate."""
    graph = text(mapping(document, "metadata").get("name"))
    spec = mapping(document, "spec")
    for name, service in mapping(spec, "services").items():
        if isinstance(name, str) and isinstance(service, Mapping):
            draft = _alpha_service(service, shared=spec.get("envs"))
            draft = replace(draft, path=("spec", "services", name, *draft.path))
            yield from _dynamo_pods(draft, service, graph=graph, name=name)
    for index, component in enumerate(mappings(spec.get("components"))):
        template = mapping(component, "podTemplate")
        containers = [
            {**item, "env": [*mappings(spec.get("env")), *mappings(item.get("env"))]}
            for item in mappings(mapping(template, "spec").get("containers"))
        ]
        draft = Draft(
            path=("spec", "components", index, "podTemplate", "spec"),
            spec={**mapping(template, "spec"), "containers": containers},
            labels=mapping(template, "metadata", "labels"),
        )
        yield from _dynamo_pods(draft, component, graph=graph, name=text(component.get("name")))


def _dynamo_component(document: Body) -> Iterator[Draft]:
    spec = mapping(document, "spec")
    draft = _alpha_service(spec, shared=None)
    name = text(spec.get("serviceName")) or text(mapping(document, "metadata").get("name"))
    yield from _dynamo_pods(replace(draft, path=("spec", *draft.path)), spec, graph="", name=name)


def _alpha_service(service: Body, *, shared: object) -> Draft:
    extra = mapping(service, "extraPodSpec")
    main = mapping(extra, "mainContainer")
    env = [*mappings(shared), *mappings(service.get("envs")), *mappings(main.get("env"))]
    container = {**main, "name": "main", "env": env}
    if text(service.get("envFromSecret")):
        container["envFrom"] = [*mappings(main.get("envFrom")), {"secretRef": {}}]
    if not mapping(main, "resources", "limits"):
        container["resources"] = {"limits": _alpha_limits(mapping(service, "resources", "limits"))}
    return Draft(
        path=("extraPodSpec",),
        spec={**extra, "containers": [container, *mappings(extra.get("containers"))]},
        labels={**mapping(service, "labels"), **mapping(service, "extraPodMetadata", "labels")},
    )


def _alpha_limits(limits: Body) -> dict[str, Any]:
    resource = text(limits.get("gpuType")) or "nvidia.com/gpu"
    return {**mapping(limits, "custom"), **({resource: limits["gpu"]} if "gpu" in limits else {})}


def _dynamo_pods(draft: Draft, service: Body, *, graph: str, name: str) -> Iterator[Draft]:
    kind = text(service.get("componentType")) or text(service.get("type"))
    sub = text(service.get("subComponentType"))
    labels = {
        f"{DYNAMO}graph-deployment-name": graph,
        f"{DYNAMO}component": name,
        f"{DYNAMO}component-type": kind,
        f"{DYNAMO}sub-component-type": sub,
    }
    labels = {key: value for key, value in labels.items() if value} | dict(draft.labels)
    env = (("DYN_SYSTEM_PORT", DYNAMO_SYSTEM_PORT),) if kind in DYNAMO_WORKERS else ()
    one = replace(draft, part=name, labels=labels, env=env)
    nodes = whole(mapping(service, "multinode").get("nodeCount"), most=1024) or 1
    if nodes == 1:
        yield one
        return
    yield replace(one, labels={**labels, "grove.io/podclique": f"{name.lower()}-ldr"})
    yield replace(one, part=f"{name}-wkr", labels={**labels, "grove.io/podclique": f"{name.lower()}-wkr"})


def _ray(document: Body) -> Iterator[Draft]:
    """KubeRay ends the command of the first container with `ray start`, unless told otherwise."""
    own_command = mapping(document, "metadata", "annotations").get(RAY_OWN_COMMAND) == "true"
    for draft in find_drafts(document):
        node = "head" if "headGroupSpec" in draft.path else "worker"
        if own_command or not {"headGroupSpec", "workerGroupSpecs"} & set(draft.path):
            yield draft
            continue
        containers = [dict(item) for item in mappings(draft.spec.get("containers"))]
        if containers:
            written = [*_words(containers[0].get("command")), *_words(containers[0].get("args"))]
            before = f"{' '.join(written)} && " if written else ""
            containers[0] |= {"command": ["/bin/bash", "-c", "--"], "args": [before + RAY_START[node]]}
        yield replace(
            draft,
            part=draft.part or node,
            spec={**draft.spec, "containers": containers},
            labels={**draft.labels, RAY_NODE_TYPE: node},
        )


def _words(value: object) -> Iterable[str]:
    return [word for word in value if isinstance(word, str)] if isinstance(value, list) else ()


def _nim_service(document: Body) -> Iterator[Draft]:
    """The pod that the NIM operator writes: one container of the image, with the API port as a variable."""
    spec = mapping(document, "spec")
    yield from _nim(spec, path=("spec",), name=text(mapping(document, "metadata").get("name")))


def _nim_pipeline(document: Body) -> Iterator[Draft]:
    for index, service in enumerate(mappings(mapping(document, "spec").get("services"))):
        path = ("spec", "services", index, "spec")
        yield from _nim(mapping(service, "spec"), path=path, name=text(service.get("name")))


def _nim(spec: Body, *, path: tuple[str | int, ...], name: str) -> Iterator[Draft]:
    image = spec.get("image")
    parts = mapping(spec, "image")
    tag = text(parts.get("tag"))
    port = whole(mapping(spec, "expose", "service").get("port"), most=65535)
    container = {
        "name": f"{name}-ctr",
        "image": image if isinstance(image, str) else f"{parts.get('repository', '')}{tag and ':' + tag}",
        **{key: spec[key] for key in ("command", "args", "env", "envFrom", "resources") if key in spec},
        "ports": [{"name": "api", "containerPort": port}] if port else [],
    }
    numbers = tuple((key, str(port)) for key in ("NIM_HTTP_API_PORT", "NIM_SERVER_PORT") if port)
    labels = {
        **mapping(spec, "labels"),
        "app.kubernetes.io/part-of": "nim-service",
        "app.kubernetes.io/managed-by": "k8s-nim-operator",
    }
    one = Draft(path=path, spec={**spec, "containers": [container]}, labels=labels, env=numbers)
    group = mapping(spec, "multiNode")
    if not group:
        yield one
        return
    for part, leads in (("leader", "1"), ("worker", "0")):
        rank = ("NIM_NODE_RANK", "0" if leads == "1" else "1")
        env = (*numbers, ("NIM_MULTI_NODE", "1"), ("NIM_LEADER_ROLE", leads), rank)
        labels = {**one.labels, WORKER_INDEX: rank[1]}
        yield replace(one, part=part, env=env, labels=labels)


def _inference_service(document: Body, runtimes: Mapping[str, Body]) -> Iterator[Draft]:
    """KServe: a predictor with its own containers, or a model on a ServingRuntime among the documents."""
    predictor = mapping(document, "spec", "predictor")
    model = mapping(predictor, "model")
    labels = {
        **mapping(document, "metadata", "labels"),
        KSERVE_SERVICE: text(mapping(document, "metadata").get("name")),
    }
    for draft in find_drafts(document):
        if "model" not in draft.path:
            yield replace(draft, labels={**labels, **draft.labels})
    if not model:
        return
    runtime = runtimes.get(text(model.get("runtime")), {})
    base = next(mappings(mapping(runtime, "spec").get("containers")), {})
    container = {
        **base,
        **{key: model[key] for key in ("image", "command", "resources", "ports") if key in model},
        "name": text(base.get("name")) or "kserve-container",
        "args": [*_words(base.get("args")), *_words(model.get("args"))],
        "env": [*mappings(base.get("env")), *mappings(model.get("env"))],
    }
    if "image" not in container:
        container["image"] = (
            "kserve/" + (text(mapping(model, "modelFormat").get("name")) or "model") + "server"
        )
    spec = {**mapping(runtime, "spec"), **predictor, "containers": [container]}
    yield Draft(
        path=("spec", "predictor", "model"),
        spec=_with_model(spec, _hub_name(model.get("storageUri"))),
        part="predictor",
        labels=labels,
    )


def _llm_inference_service(document: Body) -> Iterator[Draft]:
    """KServe's LLMInferenceService: a decode or only template, a prefill template, workers of both."""
    spec = mapping(document, "spec")
    model = _hub_name(mapping(spec, "model").get("uri"))
    split = "prefill" in spec
    labels = {**mapping(document, "metadata", "labels"), "app.kubernetes.io/part-of": "llminferenceservice"}
    roles = (((), spec, "decode" if split else ""), (("prefill",), mapping(spec, "prefill"), "prefill"))
    for path, section, role in roles:
        for key in ("template", "worker"):
            template = mapping(section, key)
            if not template and not (key == "template" and section):
                continue
            own = {**labels, **({LLM_ROLE: role} if role else {})}
            if key == "worker":
                own[WORKER_INDEX] = "1"
            part = "-".join(word for word in (role, "worker" if key == "worker" else "") if word)
            port = "8001" if role == "decode" else "8000"
            full = _with_default_command(template, model=model, port=port)
            if role == "decode" and key == "template":
                full = {**full, "initContainers": [*mappings(full.get("initContainers")), ROUTING_SIDECAR]}
            yield Draft(
                path=("spec", *path, key),
                spec=_with_model(full, model),
                part=part,
                labels=own,
            )


def _with_default_command(template: Body, *, model: str, port: str) -> Body:
    """KServe's preset serves the mounted model with vLLM; VLLM_ADDITIONAL_ARGS is read as shell text."""
    containers = [dict(item) for item in mappings(template.get("containers"))] or [{"name": "main"}]
    for item in containers:
        if item.get("name") == "main" and not item.get("command") and not item.get("args"):
            where = model or MODEL_MOUNT
            line = f"vllm serve {where} --port {port}"
            if _may_have(item, MORE_ARGUMENTS):
                line = f'eval "{line} ${{{MORE_ARGUMENTS}}}"'
            item |= {"command": ["/bin/bash", "-c"], "args": [line]}
    return {**template, "containers": containers}


def _may_have(container: Body, variable: str) -> bool:
    given = any(item.get("name") == variable for item in mappings(container.get("env")))
    return given or next(mappings(container.get("envFrom")), None) is not None


def _hub_name(uri: object) -> str:
    """`org/name` of an hf:// URI, else nothing."""
    found = re.fullmatch(r"hf://([\w.-]+/[\w.-]+)(?:[:@][\w.-]+)?", uri) if isinstance(uri, str) else None
    return found.group(1) if found else ""


def _with_model(spec: Body, model: str) -> Body:
    """The mounted folder called by the name of the model that is mounted there."""
    if not model:
        return spec
    containers = []
    for item in mappings(spec.get("containers")):
        renamed = {
            key: [_AT_MOUNT.sub(model, word) for word in _words(item[key])]
            for key in ("command", "args")
            if isinstance(item.get(key), list)
        }
        containers.append({**item, **renamed})
    return {**spec, "containers": containers}


KINDS: Mapping[str, Callable[[Body], Iterator[Draft]]] = MappingProxyType(
    {
        "LeaderWorkerSet": _leader_worker_set,
        "DisaggregatedSet": _disaggregated_set,
        "DynamoGraphDeployment": _dynamo_graph,
        "DynamoComponentDeployment": _dynamo_component,
        "RayService": _ray,
        "RayCluster": _ray,
        "RayJob": _ray,
        "NIMService": _nim_service,
        "NIMPipeline": _nim_pipeline,
        "LLMInferenceService": _llm_inference_service,
    }
)
