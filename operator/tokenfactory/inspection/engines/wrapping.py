"""What runs the engine, by the labels that it puts on its pods."""

from __future__ import annotations

from collections.abc import Mapping

from tokenfactory.inspection.engines import llmd
from tokenfactory.inspection.engines.recognised import Declared, Recognised
from tokenfactory.model import Container

KSERVE = ("serving.kserve.io/", "kserve.io/")
LLM_SERVICE = ("app.kubernetes.io/part-of", "llminferenceservice")


def wrapper_of(recognised: Recognised, labels: Mapping[str, str]) -> str:
    """KServe writes llm-d's labels too, so its own go first; engines under Dynamo or NIM stay theirs."""
    served = any(key.startswith(KSERVE) for key in labels) or labels.get(LLM_SERVICE[0]) == LLM_SERVICE[1]
    return "kserve" if served and recognised.wrapper in ("", llmd.WRAPPER) else recognised.wrapper


def check_pod(
    recognised: Recognised,
    declared: Declared,
    *,
    labels: Mapping[str, str],
    containers: tuple[Container, ...],
) -> Declared:
    """What the rest of the pod makes of a declaration: llm-d's decode pods need their routing sidecar."""
    if wrapper_of(recognised, labels) != llmd.WRAPPER:
        return declared
    return llmd.check_sidecar(declared, containers)
