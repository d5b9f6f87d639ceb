"""Roles from a pod's labels: the last resort, after the command line."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tokenfactory.inspection.program import Program
from tokenfactory.model import Role

NAMED: Mapping[str, Role] = MappingProxyType({"prefill": Role.PREFILL, "decode": Role.DECODE})
LABELS = (
    "llm-d.ai/role",
    "nvidia.com/dynamo-sub-component-type",
    "nvidia.com/dynamo-component-type",
)
WORKER_INDEX = "leaderworkerset.sigs.k8s.io/worker-index"
OF_DYNAMO = ("nvidia.com/dynamo-component-type", "nvidia.com/dynamo-graph-deployment-name")
OF_OWNERS = ("app.kubernetes.io/managed-by", "app.kubernetes.io/part-of")
TELLING = tuple(dict.fromkeys((*LABELS, *OF_DYNAMO, *OF_OWNERS)))
MARKS = ("llm-d.ai/", "serving.kserve.io/", "kserve.io/")
"""Prefixes of labels: that one is there tells who runs the engine, whatever its name and value."""
GROVE = "grove.io/"
GROVE_WORKER = "-wkr"


def labelled_role(labels: Mapping[str, str]) -> Role:
    """Prefill or decode as llm-d's and Dynamo's labels say it, aggregated otherwise."""
    for label in LABELS:
        role = NAMED.get(labels.get(label, "").lower())
        if role is not None:
            return role
    return Role.AGGREGATED


def telling_labels(labels: Mapping[str, str]) -> Mapping[str, str]:
    """Only the labels that say what a process is: the same for all replicas of one template.

    Who follows whom in a multi-node group is discovery's to say.
    """
    found = {label: labels[label] for label in TELLING if label in labels}
    marked = [label for label in labels if label.startswith(MARKS)]
    for mark in MARKS if marked else ():
        if any(label.startswith(mark) for label in marked):
            found[mark] = ""
    return found


def is_follower(program: Program, labels: Mapping[str, str]) -> bool:
    """Whether the pod is not the first of its group, by LeaderWorkerSet's, Grove's or NIM's word."""
    index = labels.get(WORKER_INDEX) or program.env.get("LWS_WORKER_INDEX", "")
    if _above_zero(index):
        return True
    if any(key.startswith(GROVE) and value.endswith(GROVE_WORKER) for key, value in labels.items()):
        return True
    return _above_zero(program.env.get("NIM_NODE_RANK", ""))


def is_rank_above_zero(written: str | None) -> bool:
    return _above_zero(written or "")


def _above_zero(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0
