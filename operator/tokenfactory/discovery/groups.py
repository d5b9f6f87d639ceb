"""Multi-node groups: a selector that takes leaders only still finds the followers (docs/cost-model.md §4).

A group is told by labels that its controller writes: LeaderWorkerSet (also under KServe, llm-d, NIM and
Dynamo), Grove (Dynamo's other orchestrator) and KubeRay. Labels are the tenant's own, so a group never leaves
the pool's namespace, and looking for followers costs at most one look at each pod of that namespace.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tokenfactory.model import LabelSelector, Pod
from tokenfactory.ports import Inventory

GroupKey = tuple[str, str, str]
"""The kind of the group, the name of its set, and its index in the set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupKind:
    """How a controller labels a group's pods. `index` empty: the whole set is one group.

    A pod is a follower when `rank` has one of `follows`, or, where that is empty, any value but 0.
    """

    name: str
    index: str = ""
    rank: str
    follows: tuple[str, ...] = ()
    follows_suffix: str = ""


KINDS = (
    GroupKind(
        name="leaderworkerset.sigs.k8s.io/name",
        index="leaderworkerset.sigs.k8s.io/group-index",
        rank="leaderworkerset.sigs.k8s.io/worker-index",
    ),
    GroupKind(
        name="grove.io/podcliquescalinggroup",
        index="grove.io/podcliquescalinggroup-replica-index",
        rank="grove.io/podclique",
        follows_suffix="-wkr",
    ),
    GroupKind(name="ray.io/cluster", rank="ray.io/node-type", follows=("worker",)),
)


def group_of(labels: Mapping[str, str]) -> GroupKey | None:
    """The group that a pod with these labels belongs to; None for a pod on its own."""
    for kind in KINDS:
        name = labels.get(kind.name)
        if name and (not kind.index or labels.get(kind.index)):
            return kind.name, name, labels.get(kind.index, "") if kind.index else ""
    return None


def is_follower(labels: Mapping[str, str], group: GroupKey | None) -> bool:
    """Whether the labels say that another pod of its group leads."""
    if group is None:
        return False
    kind = next(kind for kind in KINDS if kind.name == group[0])
    rank = labels.get(kind.rank, "")
    if kind.follows_suffix:
        return rank.endswith(kind.follows_suffix)
    return rank in kind.follows if kind.follows else rank not in ("", "0")


def complete(selected: Sequence[Pod], namespace: str, inventory: Inventory) -> tuple[Pod, ...]:
    """The selected pods and all others of their groups in the namespace; by name, each UID once.

    The pods of a set are looked up once however many of its groups are wanted: a pod is in one set of each
    kind, so that no labelling makes this cost more than the namespace has pods.
    """
    wanted = {group for pod in selected if (group := group_of(pod.labels)) is not None}
    if not wanted:
        return tuple(selected)
    found = {pod.uid: pod for pod in selected}
    for kind, name in sorted({(kind, name) for kind, name, _ in wanted}):
        for pod in inventory.pods(namespace, LabelSelector(((kind, name),))):
            if pod.namespace == namespace and group_of(pod.labels) in wanted:
                found.setdefault(pod.uid, pod)
    return tuple(sorted(found.values(), key=lambda pod: pod.name))


def commands_of_leaders(pods: Iterable[Pod]) -> frozenset[tuple[GroupKey, tuple[str, ...]]]:
    """What the leaders of each group run: a follower that is told the same has no server of its own."""
    return frozenset(
        (group, container.command + container.args)
        for pod in pods
        if (group := group_of(pod.labels)) is not None and not is_follower(pod.labels, group)
        for container in pod.containers
    )
