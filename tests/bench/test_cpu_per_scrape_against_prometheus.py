"""What a scraped 52 KB vLLM page costs us and what it costs a real Prometheus, side by side in one run."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.bench import (
    PODS_PER_POOL,
    LargeFleet,
    child,
    cpu_seconds,
    free_fleet,
    memory_mib,
    print_table,
)
from tests.support.tools import provide_tools
from tokenfactory.sandbox.servers import pick_port

TARGETS = 100
WARM_UP_SECONDS = 20.0
SECONDS = 60.0


@contextmanager
def prometheus(fleet: LargeFleet, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A Prometheus with its storage, scraping the fleet's pods every 15 s, the operator's own interval."""
    targets = [f"{pod.ip}:{pod.port}" for pod in fleet.pods()]
    configuration = {
        "global": {"scrape_interval": "15s", "scrape_timeout": "5s"},
        "scrape_configs": [{"job_name": "vllm", "static_configs": [{"targets": targets}]}],
    }
    (folder / "prometheus.yml").write_text(json.dumps(configuration))
    address = f"127.0.0.1:{pick_port()}"
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                str(provide_tools("prometheus") / "prometheus"),
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={address}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        wait_until_answering(f"http://{address}/-/ready", process, folder / "prometheus.log")
        yield process
    finally:
        process.terminate()
        process.wait()


def wait_until_answering(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    while process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(log.read_text()[-2000:])


@pytest.mark.bench
def test_a_scraped_page_costs_at_most_a_fifth_of_what_it_costs_prometheus(tmp_path: Path) -> None:
    fleet = free_fleet(TARGETS // PODS_PER_POOL)
    arguments = [str(number) for number in (fleet.pools, fleet.port, fleet.network)]
    with (
        fleet.served(),
        prometheus(fleet, tmp_path) as theirs,
        child("tests.bench.scraper", *arguments) as ours,
    ):
        time.sleep(WARM_UP_SECONDS)
        pids = {"tokenfactory": ours.pid, "prometheus": theirs.pid}
        cpu = {name: -cpu_seconds(pid) for name, pid in pids.items()}
        scrapes = {name: -count for name, count in fleet.requests_by_client().items()}
        time.sleep(SECONDS)
        assert ours.poll() is None
        cpu = {name: cpu[name] + cpu_seconds(pid) for name, pid in pids.items()}
        scrapes = {name: scrapes[name] + count for name, count in fleet.requests_by_client().items()}
        memory = {name: memory_mib(pid) for name, pid in pids.items()}
    each = {name: cpu[name] / scrapes[name] * 1000 for name in pids}
    print_table(
        f"CPU per scraped page of 52 KB, {TARGETS} targets every 15 s",
        {
            name: f"{each[name]:.3f} ms ({scrapes[name]} scrapes, {cpu[name]:.2f} s, {memory[name]:.0f} MiB)"
            for name in pids
        }
        | {"ratio": f"1/{each['prometheus'] / each['tokenfactory']:.1f}"},
    )
    assert min(scrapes.values()) > 0.9 * TARGETS * SECONDS / 15
    assert each["tokenfactory"] <= each["prometheus"] / 5
