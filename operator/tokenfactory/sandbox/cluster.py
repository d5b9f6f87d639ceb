"""Puts the replayed fleet's objects on an API server, playing scheduler and kubelet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kubernetes import client, config

from tokenfactory.sandbox.objects import EXPORTER_NAMESPACE, Body, GpuNode, ServingPod


class Cluster:
    """An admin's view of a sandbox API server. Calls are synchronous and raise ApiException."""

    def __init__(self, kubeconfig: Path) -> None:
        self._api = config.new_client_from_config(str(kubeconfig))
        self._core = client.CoreV1Api(self._api)
        self._custom = client.CustomObjectsApi(self._api)

    def close(self) -> None:
        self._api.close()

    def add_namespace(self, name: str) -> None:
        """Creates a namespace, or leaves the one that is there."""
        try:
            self._core.create_namespace({"metadata": {"name": name}})
        except client.ApiException as error:
            if error.status != 409:
                raise

    def add_node(self, node: GpuNode) -> None:
        """Creates the node and, when it has one, its exporter pod."""
        self._core.create_node(node.body())
        if node.exporter_ip:
            self.add_namespace(EXPORTER_NAMESPACE)
            body = node.exporter()
            name = body["metadata"]["name"]
            self._core.create_namespaced_pod(EXPORTER_NAMESPACE, body)
            self._core.patch_namespaced_pod_status(
                name, EXPORTER_NAMESPACE, {"status": node.exporter_status()}
            )

    def add_pod(self, pod: ServingPod) -> str:
        """Creates the pod with its status and returns its UID."""
        created = self._core.create_namespaced_pod(pod.namespace, pod.body())
        self.report(pod)
        return str(created.metadata.uid)

    def report(self, pod: ServingPod) -> None:
        """Patches the pod's status as its kubelet would."""
        self._core.patch_namespaced_pod_status(pod.name, pod.namespace, {"status": pod.status()})

    def remove_pod(self, namespace: str, name: str) -> None:
        self._core.delete_namespaced_pod(name, namespace, grace_period_seconds=0)

    def apply(self, body: Body) -> dict[str, Any]:
        """Creates one of our resources."""
        namespace = body["metadata"].get("namespace")
        where = ("tokenfactory.dev", "v1alpha1")
        if namespace:
            return dict(
                self._custom.create_namespaced_custom_object(*where, namespace, "inferencepools", body)
            )
        return dict(self._custom.create_cluster_custom_object(*where, "tokenfactories", body))

    def pool(self, namespace: str, name: str) -> dict[str, Any]:
        """The InferencePool as the API server holds it."""
        return dict(
            self._custom.get_namespaced_custom_object(
                "tokenfactory.dev", "v1alpha1", namespace, "inferencepools", name
            )
        )
