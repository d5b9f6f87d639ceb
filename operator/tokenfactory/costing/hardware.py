"""What prices and power depend on: the product, the node's type and the labels that an entry asks for."""

from __future__ import annotations

from dataclasses import dataclass

from tokenfactory.costing.skus import matches_product, name_product
from tokenfactory.model import Factory, HardwareMatch, NodePrice, Replica, Terms


@dataclass(frozen=True, slots=True)
class HardwareFacts:
    """GPUs with equal facts have equal prices. `labels` holds only what the factory's entries select on.

    `opencost` is what OpenCost says of the node, where it is asked, and `labelled_gpus` its GPUs by label.
    """

    product: str | None = None
    instance_type: str | None = None
    capacity_type: str | None = None
    labels: tuple[tuple[str, str], ...] = ()
    opencost: NodePrice | None = None
    labelled_gpus: int | None = None


UNKNOWN_HARDWARE = HardwareFacts()


def selected_labels(factory: Factory | None) -> frozenset[str]:
    """The node label keys that any price or ownership entry of the factory selects on."""
    if factory is None:
        return frozenset()
    matches = [entry.match for entry in factory.prices] + [entry.match for entry in factory.ownership]
    selectors = [match.node_selector for match in matches if match.node_selector is not None]
    return frozenset(key for item in selectors for key, _ in item.match_labels) | frozenset(
        rule.key for item in selectors for rule in item.rules
    )


def facts_of(replica: Replica, terms: Terms, *, seen_product: str = "") -> HardwareFacts:
    """The replica's facts; `seen_product` (DCGM's model name) stands in where no label names the product."""
    keys = selected_labels(terms.factory)
    node = replica.node
    product = replica.product or (node.gpu_product if node else None) or seen_product
    labels = tuple(sorted((k, v) for k, v in node.labels.items() if k in keys)) if node and keys else ()
    priced = terms.node_prices.of(node.name) if terms.node_prices and node else None
    return HardwareFacts(
        product=name_product(product) if product else None,
        instance_type=node.instance_type if node else None,
        capacity_type=node.capacity_type if node else None,
        labels=labels,
        opencost=priced,
        labelled_gpus=node.gpu_count if node and priced else None,
    )


def is_match(match: HardwareMatch, facts: HardwareFacts) -> bool:
    """Every given field must match; `on-demand` and `OnDemand` are equal."""
    if match.gpu_product and not matches_product(match.gpu_product, facts.product):
        return False
    if match.instance_type and match.instance_type != facts.instance_type:
        return False
    if match.capacity_type and _plain(match.capacity_type) != _plain(facts.capacity_type or ""):
        return False
    return match.node_selector is None or match.node_selector.matches(dict(facts.labels))


def _plain(text: str) -> str:
    return text.lower().replace("-", "").replace("_", "")
