"""The dcgm-exporter pods of a fleet's nodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tokenfactory.discovery.gpus import holds_nvidia
from tokenfactory.model import Endpoint, Exporter, FleetProblem, FleetReason, Pod, Replica, TelemetryTerms
from tokenfactory.ports import Inventory

EXPORTER_PATH = "/metrics"


def find_exporters(
    replicas: Iterable[Replica], terms: TelemetryTerms, inventory: Inventory
) -> tuple[tuple[Exporter, ...], tuple[FleetProblem, ...]]:
    """One exporter for each node that holds NVIDIA GPUs of the fleet, and a problem when some have none.

    Of two exporters on a node the one wins whose namespace runs more of them: the platform's own DaemonSet
    before a single pod that wears its label. They may be on the host network; the factory selects them.
    """
    wanted = {replica.pod.node_name for replica in replicas if holds_nvidia(replica.pod)}
    if not wanted:
        return (), ()
    found = tuple(pod for pod in inventory.exporters(terms.dcgm_selectors) if _can_be_read(pod))
    popular = Counter(pod.namespace for pod in found)
    by_node: dict[str, Pod] = {}
    for pod in sorted(
        (pod for pod in found if pod.node_name in wanted),
        key=lambda pod: (-popular[pod.namespace], not pod.ready, pod.namespace, pod.name),
    ):
        by_node.setdefault(pod.node_name, pod)
    exporters = tuple(
        Exporter(
            node_name=name,
            endpoint=Endpoint(
                pod.ip, terms.dcgm_port, EXPORTER_PATH, pod.namespace, node_network=pod.host_network
            ),
        )
        for name, pod in sorted(by_node.items())
    )
    missing = len(wanted) - len(by_node)
    if not missing:
        return exporters, ()
    return exporters, (
        FleetProblem(
            FleetReason.DCGM_MISSING,
            f"no running dcgm-exporter pod on {missing} of the {len(wanted)} nodes with GPUs of this pool:"
            " install it or the agent there, or correct telemetry.dcgm.selector of the TokenFactory",
        ),
    )


def _can_be_read(pod: Pod) -> bool:
    return pod.phase == "Running" and bool(pod.ip) and bool(pod.node_name)
