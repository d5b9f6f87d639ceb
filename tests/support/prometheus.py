"""A real Prometheus for tests: started on a free port of loopback, killed and started again at will."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.support.monitoring import MonitoringServer
from tokenfactory.sandbox.fleet import ReplayedFleet
from tokenfactory.sandbox.objects import EXPORTER_NAMESPACE


def scrape_job(
    name: str, targets: Iterable[tuple[str, Mapping[str, str]]], **settings: Any
) -> dict[str, Any]:
    """A job with fixed targets, each with the labels that service discovery would have attached."""
    fixed = [{"targets": [address], "labels": dict(labels)} for address, labels in targets]
    return {"job_name": name, "static_configs": fixed, **settings}


def jobs_of(fleet: ReplayedFleet) -> list[dict[str, Any]]:
    """Scrape jobs as a PodMonitor and the GPU operator's ServiceMonitor make them (honorLabels false)."""
    pods = [engine.pod for engine in fleet.engines.values()]
    engines = [
        (
            f"{pod.ip}:{pod.port}",
            {"namespace": pod.namespace, "pod": pod.name, "container": "vllm", "endpoint": "http"},
        )
        for pod in pods
    ]
    exporters = [
        (
            f"{node.exporter_ip}:{node.exporter_port}",
            {
                "namespace": EXPORTER_NAMESPACE,
                "pod": f"nvidia-dcgm-exporter-{node.name}",
                "container": "dcgm-exporter",
                "endpoint": "gpu-metrics",
                "service": "nvidia-dcgm-exporter",
            },
        )
        for node in fleet.nodes
    ]
    return [scrape_job("podMonitor/serving/vllm", engines), scrape_job("nvidia-dcgm-exporter", exporters)]


class PrometheusServer(MonitoringServer):
    """Use as a context manager; what was scraped before a restart is still there.

    `settings` are further sections of its configuration. It takes what others write to `writing_url`.
    """

    tool = "prometheus"

    def __init__(
        self, folder: Path, jobs: Iterable[Mapping[str, Any]], *, interval: str = "1s", **settings: Any
    ) -> None:
        super().__init__(folder)
        self._settings = settings
        self.writing_url = f"{self.url}/api/v1/write"
        self.configure(jobs, interval=interval)

    def configure(self, jobs: Iterable[Mapping[str, Any]], *, interval: str = "1s") -> None:
        """Writes the configuration that the next start reads."""
        settings = {
            **self._settings,
            "global": {
                "scrape_interval": interval,
                "scrape_timeout": interval,
                "evaluation_interval": interval,
                **self._settings.get("global", {}),
            },
            "scrape_configs": [dict(job) for job in jobs],
        }
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(settings))

    def flags(self) -> tuple[str, ...]:
        return (
            f"--config.file={self.folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            "--scrape.discovery-reload-interval=100ms",
            "--web.enable-remote-write-receiver",
            "--rules.alert.resend-delay=5s",
        )
