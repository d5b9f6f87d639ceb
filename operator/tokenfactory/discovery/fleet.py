"""What a pool holds at one moment: pods, GPUs, engines, exporters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from tokenfactory.discovery.claims import devices_held
from tokenfactory.discovery.companions import is_alone
from tokenfactory.discovery.configmaps import configure
from tokenfactory.discovery.engines import Access, Shape, access_to, appear, follow, shape_of
from tokenfactory.discovery.exporters import find_exporters
from tokenfactory.discovery.gpus import gpus_held, turns_of
from tokenfactory.discovery.groups import GroupKey, commands_of_leaders, complete, group_of, is_follower
from tokenfactory.discovery.problems import list_problems
from tokenfactory.model import (
    Claim,
    ConfigText,
    Container,
    Fleet,
    FleetProblem,
    FleetReason,
    LabelSelector,
    Pod,
    Pool,
    Replica,
    Terms,
)
from tokenfactory.ports import Inventory, ReferencedPool

MOST_PODS = 10_000
FINISHED = frozenset({"Succeeded", "Failed"})
NOT_READ: Mapping[str, ConfigText] = MappingProxyType({})
NO_CLAIMS: Mapping[str, Claim] = MappingProxyType({})


def find(
    pool: Pool,
    terms: Terms,
    inventory: Inventory,
    *,
    referenced: ReferencedPool | None = None,
    neighbours: Sequence[tuple[str, LabelSelector]] = (),
    configs: Mapping[str, ConfigText] = NOT_READ,
    claims: Mapping[str, Claim] = NO_CLAIMS,
) -> Fleet:
    """The pool's fleet, from its own namespace only, sorted by pod name, each UID once.

    The selected pods' multi-node groups are completed (docs/cost-model.md §4). `configs` are those ConfigMaps
    and `claims` those ResourceClaims of the namespace that were read (see `config_maps_of`, `claims_of`), by
    name. `neighbours` are the other pools of the namespace by name, for what is selected twice. Finished pods
    and pods without a node hold no GPU and are left out. Past 10,000 pods the rest is left out, and said so.
    Engines have no endpoint yet: `endpoints.locate` gives it, once their command lines have been read.
    """
    selector = pool.selector or (referenced.selector if referenced else None)
    if selector is None:
        return Fleet(problems=(FleetProblem(FleetReason.POOL_REF_NOT_FOUND, "spec.poolRef names no pool"),))
    selected = _select(inventory.pods(pool.key.namespace, selector), pool.key.namespace)
    members = complete(selected, pool.key.namespace, inventory)
    kept = [configure(item, configs) for item in members[:MOST_PODS]]
    access = access_to(pool, terms, referenced)
    others = [(name, other) for name, other in neighbours if name != pool.key.name]
    replicas = tuple(_replicas(kept, access, inventory=inventory, claims=claims, neighbours=others))
    serving = tuple(replica for replica in replicas if not is_alone(replica))
    exporters, problems = find_exporters(serving, terms.telemetry, inventory)
    return Fleet(
        replicas=replicas,
        exporters=exporters,
        problems=list_problems(serving, selected=len(members), kept=len(kept), claims=claims) + problems,
    )


def withhold(fleet: Fleet, message: str) -> Fleet:
    """The fleet with nothing to scrape: its GPUs still count, and TARGETS_TRUNCATED says why."""
    replicas = tuple(
        replace(
            replica,
            engines=tuple(replace(engine, endpoint=None, why_not=message) for engine in replica.engines),
        )
        for replica in fleet.replicas
        if not is_alone(replica)
    )
    problem = FleetProblem(FleetReason.TARGETS_TRUNCATED, message)
    return Fleet(replicas=replicas, problems=(problem, *fleet.problems))


def _select(pods: Iterable[Pod], namespace: str) -> list[Pod]:
    """Pods of this namespace by name; of two with one UID the first."""
    by_uid: dict[str, Pod] = {}
    for pod in sorted(pods, key=lambda pod: pod.name):
        if pod.namespace == namespace:
            by_uid.setdefault(pod.uid, pod)
    return list(by_uid.values())


def _replicas(
    pods: Sequence[Pod],
    access: Access,
    *,
    inventory: Inventory,
    claims: Mapping[str, Claim],
    neighbours: Sequence[tuple[str, LabelSelector]],
) -> Iterable[Replica]:
    """Pods that hold GPUs or run an engine; replicas of one template are looked at once."""
    shapes: dict[tuple[object, ...], Shape | None] = {}
    leading = commands_of_leaders(pods)
    sharing = _sharing(pods, neighbours)
    for pod in pods:
        if pod.phase in FINISHED or not pod.node_name:
            continue
        group = group_of(pod.labels)
        follower = is_follower(pod.labels, group)
        engines = []
        for container, shape in _shapes(pod, access, shapes):
            alike = (group, container.command + container.args) in leading
            own = follow(shape, alike=alike) if follower else shape
            engines.append(appear(own, pod, container))
        node = inventory.node(pod.node_name)
        gpus = gpus_held(pod, node)
        claimed, sharers = devices_held(pod, claims, product=(node.gpu_product if node else None) or "")
        gpus += claimed
        if not engines and not gpus and not pod.mounts_claims:
            continue
        yield Replica(
            pod=pod,
            node=node,
            gpus=gpus,
            product=node.gpu_product if node else None,
            engines=tuple(engines),
            shared_with=sharing(pod, group),
            group="/".join(group) if group else "",
            follower=follower,
            on_node=pod.host_network or inventory.is_node_address(pod.ip),
            turns=max(turns_of(pod, node), sharers),
        )


def _sharing(
    pods: Iterable[Pod], neighbours: Sequence[tuple[str, LabelSelector]]
) -> Callable[[Pod, GroupKey | None], tuple[str, ...]]:
    """Which other pools count a pod, too: those that select it or a pod of its group."""
    by_group: dict[GroupKey, set[str]] = {}

    def direct(pod: Pod) -> set[str]:
        return {name for name, other in neighbours if other.matches(pod.labels)}

    for pod in pods if neighbours else ():
        group = group_of(pod.labels)
        if group is not None:
            by_group.setdefault(group, set()).update(direct(pod))

    def sharing(pod: Pod, group: GroupKey | None) -> tuple[str, ...]:
        return tuple(sorted(by_group.get(group, ()) if group else direct(pod)))

    return sharing


def _shapes(
    pod: Pod, access: Access, shapes: dict[tuple[object, ...], Shape | None]
) -> Iterable[tuple[Container, Shape]]:
    for container in pod.containers:
        template = _template(container)
        if template not in shapes:
            shapes[template] = shape_of(container, access)
        shape = shapes[template]
        if shape is not None:
            yield container, shape


def _template(container: Container) -> tuple[object, ...]:
    return (
        container.name,
        container.image,
        container.command,
        container.args,
        container.env,
        container.ports,
        bool(container.gpu_limits),
    )
