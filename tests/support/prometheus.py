"""A real Prometheus for tests: started on a free port of loopback, killed and started again at will."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import yaml

from tests.support.tools import provide_tools
from tokenfactory.sandbox.fleet import ReplayedFleet
from tokenfactory.sandbox.guardian import Guardian
from tokenfactory.sandbox.objects import EXPORTER_NAMESPACE
from tokenfactory.sandbox.servers import LOOPBACK, Server, pick_port

READY_SECONDS = 30.0


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


class PrometheusServer:
    """Use as a context manager. `folder` outlives a restart, so what was scraped is still there."""

    def __init__(self, folder: Path, jobs: Iterable[Mapping[str, Any]], *, interval: str = "1s") -> None:
        self._folder = folder
        self._binary = provide_tools("prometheus") / "prometheus"
        self._port = pick_port()
        self._guardian = Guardian(folder / "guarded")
        self._server: Server | None = None
        self.url = f"http://{LOOPBACK}:{self._port}"
        self.configure(jobs, interval=interval)

    def __enter__(self) -> PrometheusServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._guardian.close()

    def configure(self, jobs: Iterable[Mapping[str, Any]], *, interval: str = "1s") -> None:
        """Writes the configuration that the next start reads."""
        settings = {
            "global": {"scrape_interval": interval, "scrape_timeout": interval},
            "scrape_configs": [dict(job) for job in jobs],
        }
        (self._folder / "prometheus.yml").write_text(yaml.safe_dump(settings))

    def start(self) -> None:
        """Starts it and waits until it answers queries."""
        self._server = Server(
            (
                str(self._binary),
                f"--config.file={self._folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={self._folder / 'data'}",
                f"--web.listen-address={LOOPBACK}:{self._port}",
                "--scrape.discovery-reload-interval=100ms",
                "--log.level=warn",
            ),
            log=self._folder / "prometheus.log",
            guardian=self._guardian,
        )
        deadline = time.monotonic() + READY_SECONDS
        while not self._answers():
            self._server.require_alive()
            if time.monotonic() > deadline:
                raise self._server.describe_failure("did not get ready")
            time.sleep(0.05)

    def kill(self) -> None:
        """Ends it at once, as a crash would."""
        if self._server is not None:
            self._server.kill()
            self._server = None

    def _answers(self) -> bool:
        try:
            with urlopen(f"{self.url}/-/ready", timeout=1) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False
