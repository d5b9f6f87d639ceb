"""llm-d: vLLM or SGLang with llm-d's labels; a decode pod has a routing sidecar in front of its engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from tokenfactory.inspection.engines import sglang, vllm
from tokenfactory.inspection.engines.declaring import IN_EFFECT, S
from tokenfactory.inspection.engines.recognised import Declared, Recognised
from tokenfactory.inspection.engines.words import base_name, repository_of
from tokenfactory.inspection.program import Program
from tokenfactory.model import Container, Declaration, EngineKind, OptimizationName, Role

WRAPPER = "llm-d"
LABELS = "llm-d.ai/"
SIDECAR = "routing-proxy"
SIDECAR_IMAGES = ("routing-sidecar", "routing-proxy", "pd-sidecar")
NO_SIDECAR = "no routing sidecar in the decode pod asks a prefill pod: it fills its prompts itself"
ADD_SIDECAR = "add llm-d's routing sidecar (routing-proxy) in front of the engine"
DECLARE: Mapping[EngineKind, Callable[[Recognised], Declared]] = MappingProxyType(
    {EngineKind.VLLM: vllm.declare, EngineKind.SGLANG: sglang.declare}
)


def recognise(program: Program, container: Container, labels: Mapping[str, str]) -> Recognised | None:
    """An engine in a pod with a label of llm-d."""
    if not any(key.startswith(LABELS) for key in labels):
        return None
    inner = vllm.recognise(program, container, labels) or sglang.recognise(program, container, labels)
    return replace(inner, wrapper=WRAPPER) if inner else None


def declare(recognised: Recognised) -> Declared:
    """What the engine itself declares."""
    return DECLARE[recognised.kind](recognised)


def is_sidecar(container: Container) -> bool:
    """Whether the container is llm-d's routing sidecar."""
    image = base_name(repository_of(container.image))
    return container.name == SIDECAR or any(mark in image for mark in SIDECAR_IMAGES)


def check_sidecar(declared: Declared, containers: Iterable[Container]) -> Declared:
    """Disaggregation of a decode pod is invalid without the sidecar that asks a prefill pod."""
    if declared.role is not Role.DECODE or any(map(is_sidecar, containers)):
        return declared
    found = tuple(_without_sidecar(item) for item in declared.declarations)
    if found == declared.declarations:
        return declared
    fixes = {**declared.fixes, OptimizationName.DISAGGREGATED_SERVING: ADD_SIDECAR}
    return replace(declared, declarations=found, fixes=MappingProxyType(fixes))


def _without_sidecar(item: Declaration) -> Declaration:
    if item.optimization is OptimizationName.DISAGGREGATED_SERVING and item.state in IN_EFFECT:
        return replace(item, state=S.INVALID, explanation=NO_SIDECAR)
    return item
