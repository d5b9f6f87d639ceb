"""Pods and nodes in memory, indexed: a pool's cycle costs what the pool holds, not what the cluster holds."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable
from typing import TypeVar

from tokenfactory.model import LabelSelector, Node, Pod

K = TypeVar("K", bound=Hashable)


class PodStore:
    """Projected pods by UID, with an index from (namespace, label, value) to UIDs.

    `version` rises with every change.
    """

    def __init__(self) -> None:
        self._pods: dict[str, Pod] = {}
        self._by_label: dict[tuple[str, str, str], set[str]] = defaultdict(set)
        self._by_namespace: dict[str, set[str]] = defaultdict(set)
        self.version = 0

    def __len__(self) -> int:
        return len(self._pods)

    def replace(self, items: Iterable[tuple[str, Pod]]) -> None:
        self.version += 1
        self._pods.clear()
        self._by_label.clear()
        self._by_namespace.clear()
        for uid, pod in items:
            self.put(uid, pod)

    def put(self, uid: str, item: Pod) -> None:
        self.drop(uid)
        self.version += 1
        self._pods[uid] = item
        self._by_namespace[item.namespace].add(uid)
        for key, value in item.labels.items():
            self._by_label[item.namespace, key, value].add(uid)
            self._by_label["", key, value].add(uid)

    def drop(self, uid: str) -> None:
        pod = self._pods.pop(uid, None)
        if pod is None:
            return
        self.version += 1
        _discard(self._by_namespace, pod.namespace, uid)
        for key, value in pod.labels.items():
            _discard(self._by_label, (pod.namespace, key, value), uid)
            _discard(self._by_label, ("", key, value), uid)

    def select(self, namespace: str, selector: LabelSelector) -> tuple[Pod, ...]:
        """Pods that match, sorted by namespace and name. An empty `namespace` means all of them."""
        candidates = self._by_namespace.get(namespace, set()) if namespace else set(self._pods)
        if selector.match_labels:
            empty: set[str] = set()
            candidates = min(
                (self._by_label.get((namespace, key, value), empty) for key, value in selector.match_labels),
                key=len,
            )
        chosen = (self._pods[uid] for uid in candidates)
        return tuple(
            sorted(
                (pod for pod in chosen if selector.matches(pod.labels)),
                key=lambda pod: (pod.namespace, pod.name),
            )
        )


class NodeStore:
    """Projected nodes by UID and by name."""

    def __init__(self) -> None:
        self._by_uid: dict[str, Node] = {}
        self._by_name: dict[str, Node] = {}
        self._addresses: Counter[str] = Counter()

    def replace(self, items: Iterable[tuple[str, Node]]) -> None:
        self._by_uid = dict(items)
        self._by_name = {node.name: node for node in self._by_uid.values()}
        self._addresses = Counter(ip for node in self._by_uid.values() for ip in node.addresses)

    def put(self, uid: str, item: Node) -> None:
        self.drop(uid)
        self._by_uid[uid] = item
        self._by_name[item.name] = item
        self._addresses.update(item.addresses)

    def drop(self, uid: str) -> None:
        node = self._by_uid.pop(uid, None)
        if node is None:
            return
        if self._by_name.get(node.name) is node:
            del self._by_name[node.name]
        self._addresses.subtract(node.addresses)

    def has_address(self, ip: str) -> bool:
        return self._addresses[ip] > 0

    def find(self, name: str) -> Node | None:
        return self._by_name.get(name)


class Inventory:
    """The informers' stores as the line sees them."""

    def __init__(self, pods: PodStore, nodes: NodeStore) -> None:
        self._pods = pods
        self._nodes = nodes
        self._exporters: dict[tuple[LabelSelector, ...], tuple[int, tuple[Pod, ...]]] = {}

    def pods(self, namespace: str, selector: LabelSelector) -> tuple[Pod, ...]:
        return self._pods.select(namespace, selector) if namespace else ()

    def exporters(self, selectors: tuple[LabelSelector, ...]) -> tuple[Pod, ...]:
        """All pods that one of the selectors takes. Looked for anew only after a pod changed."""
        version, found = self._exporters.get(selectors, (-1, ()))
        if version != self._pods.version:
            found = self._find_exporters(selectors)
            self._exporters = {selectors: (self._pods.version, found)}
        return found

    def _find_exporters(self, selectors: tuple[LabelSelector, ...]) -> tuple[Pod, ...]:
        seen: dict[str, Pod] = {}
        for selector in selectors:
            for pod in self._pods.select("", selector):
                seen.setdefault(pod.uid, pod)
        return tuple(sorted(seen.values(), key=lambda pod: (pod.namespace, pod.name)))

    def node(self, name: str) -> Node | None:
        return self._nodes.find(name)

    def is_node_address(self, ip: str) -> bool:
        return self._nodes.has_address(ip)


def _discard(index: dict[K, set[str]], key: K, uid: str) -> None:
    members = index.get(key)
    if members is not None:
        members.discard(uid)
        if not members:
            del index[key]
