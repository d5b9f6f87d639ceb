"""Bad pages, bad resources and forged addresses through the whole operator: a clear reason each.

One scene: healthy pools are measured, then everything hostile arrives at once and stays for over a window.
"""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from kubernetes.client import ApiException

from tests.support import hostile
from tests.support.hostile import Act, HostileSite, Post
from tokenfactory.sandbox.assets import Assets
from tokenfactory.sandbox.engine_page import render_engine_page
from tokenfactory.sandbox.fleet import B200, H200, PoolPlan
from tokenfactory.sandbox.objects import ServingPod
from tokenfactory.sandbox.operator_process import OperatorProcess
from tokenfactory.sandbox.readings import read_series
from tokenfactory.sandbox.scene import Scene, SceneFailed
from tokenfactory.sandbox.servers import pick_port
from tokenfactory.sandbox.site import pick_network
from tokenfactory.sandbox.truth import state_truth
from tokenfactory.sandbox.workload import Odometer

pytestmark = pytest.mark.controlplane

HOSTILE = "hostile"
HEALTHY = (H200, replace(B200, replicas=1))
WINDOW = 30
PROMPT, OUTPUT = "vllm:prompt_tokens_total", "vllm:generation_tokens_total"
PAGE = render_engine_page(Odometer(H200.workload, started_at=0.0), now=3600.0)
OTHER_ENGINE = b"".join(
    b'# TYPE sglang:%s counter\nsglang:%s{model_name="m"} 5.0\n' % (name, name)
    for name in (b"prompt_tokens_total", b"generation_tokens_total", b"num_requests_total")
)
HTML = b"<!DOCTYPE html><html><body><h1>It works!</h1></body></html>"
MEGABYTES_64 = 64 * hostile.MIB


def _redirect(to: str) -> Act:
    return hostile.say(b"", status="302 Found", more=f"Location: {to}\r\n")


def _pages(target: str) -> dict[str, tuple[str, Act]]:
    """By what the page does: the reason that the operator must give, and the server."""
    say, plain = hostile.say, hostile.HEAD + b"\r\n"
    million = hostile.million_series(PAGE, "vllm:request_success_total", count=10**6)
    packed = gzip.compress(million, compresslevel=1)
    return {
        "never-ends": ("TooLarge", hostile.say_for_ever(PAGE.encode() * 20)),
        "is-a-gzip-bomb": (
            "TooLarge",
            say(hostile.gzip_bomb(MEGABYTES_64), more="Content-Encoding: gzip\r\n"),
        ),
        "has-a-million-series": ("TooLarge", hostile.say_raw(plain, million)),
        "has-a-million-packed-series": ("TooLarge", say(packed, more="Content-Encoding: gzip\r\n")),
        "has-thirty-thousand-wanted-series": (
            "LimitExceeded",
            say(hostile.million_series(PAGE, PROMPT, count=30_000)),
        ),
        "has-a-counter-that-is-no-number": ("BadValue", say(hostile.with_value(PAGE, OUTPUT, "NaN"))),
        "has-a-negative-counter": ("BadValue", say(hostile.with_value(PAGE, PROMPT, "-5"))),
        "has-counters-of-1e308": ("BadValue", say(hostile.with_value(PAGE, PROMPT, "1e308"))),
        "has-a-word-for-a-value": ("BadValue", say(hostile.with_value(PAGE, PROMPT, "many"))),
        "redirects": ("Redirected", _redirect(target)),
        "drips": ("TimedOut", hostile.drip(PAGE.encode())),
        "never-answers": ("TimedOut", hostile.keep_silent()),
        "is-json": ("NotExposition", say(b'{"status": "ok"}', kind="application/json")),
        "is-html": ("NotExposition", say(HTML, kind="text/html")),
        "is-binary": ("NotExposition", say(bytes(range(256)) * 400, kind="application/octet-stream")),
        "is-empty": ("EmptyPage", say(b"")),
        "is-an-error": ("HttpStatus", say(b"no", status="500 Internal Server Error")),
        "is-cut-off-in-a-line": (
            "Malformed",
            hostile.say_raw(plain + PAGE[: PAGE.index(f"\n{OUTPUT}{{") + 40].encode()),
        ),
        "is-shorter-than-it-says": (
            "Unreachable",
            hostile.say_raw(hostile.HEAD + b"Content-Length: 999999\r\n\r\n" + PAGE.encode()),
        ),
        "has-a-huge-header": ("LimitExceeded", say(PAGE.encode(), more=f"X-Filler: {'a' * hostile.MIB}\r\n")),
        "has-many-headers": (
            "LimitExceeded",
            say(PAGE.encode(), more="".join(f"X-{n}: {'a' * 60}\r\n" for n in range(2000))),
        ),
        "has-a-huge-label": (
            "LimitExceeded",
            say(hostile.with_line(PAGE, f'{PROMPT}{{engine="{"e" * 10_000}"}} 5')),
        ),
        "has-a-huge-line": (
            "LimitExceeded",
            say(hostile.with_line(PAGE, f'{PROMPT}{{engine="{"e" * 100_000}"}} 5')),
        ),
        "has-names-that-are-none": (
            "NoEngineMetrics",
            say(PAGE.replace("\nvllm:", "\n9-vllm ").encode()[:9000]),
        ),
        "has-a-series-twice": ("Malformed", say(hostile.doubled(PAGE, PROMPT))),
        "resets-the-connection": ("Unreachable", hostile.reset()),
        "is-not-utf-8": (
            "Malformed",
            say(hostile.with_line(PAGE, PROMPT.encode() + b'{engine="\xff\xfe"} 5')),
        ),
        "is-of-another-engine": ("OtherSystem", say(OTHER_ENGINE)),
        "is-no-http": ("Unreachable", hostile.say_raw(b"SSH-2.0-OpenSSH_9.6\r\n")),
    }


PAGES = {name: reason for name, (reason, _) in _pages("http://127.0.0.1/").items()}
APP: dict[str, Any] = {"selector": {"matchLabels": {"app": "nobody"}}}

SPECS: dict[str, tuple[dict[str, Any], str]] = {
    "neither-selector-nor-ref": ({}, "spec: exactly one of selector and poolRef must be set"),
    "selector-and-ref": ({**APP, "poolRef": {"name": "x"}}, "spec: exactly one of selector and poolRef"),
    "empty-selector": ({"selector": {}}, "spec.selector: must not be empty: add"),
    "selector-as-list": ({"selector": ["app"]}, "spec.selector: must be an object"),
    "selector-of-numbers": (
        {"selector": {"matchLabels": {"app": 7}}},
        "spec.selector.matchLabels.app: must be a string: put it in quotes",
    ),
    "no-label-key": (
        {"selector": {"matchLabels": {"a b": "x"}}},
        "spec.selector.matchLabels: must be keyed by label names",
    ),
    "in-without-values": (
        {"selector": {"matchExpressions": [{"key": "app", "operator": "In"}]}},
        "spec.selector.matchExpressions[0]: values must be given with In",
    ),
    "window-too-short": ({**APP, "windowSeconds": 5}, "spec.windowSeconds: must be at least 30"),
    "window-of-ages": ({**APP, "windowSeconds": 10**18}, "spec.windowSeconds: must be at most 3600"),
    "window-as-text": ({**APP, "windowSeconds": "60"}, "spec.windowSeconds: must be a whole number"),
    "price-as-number": ({**APP, "price": {"perGPUHour": 2.65}}, "spec.price.perGPUHour: must be a string"),
    "price-of-zero": (
        {**APP, "price": {"perGPUHour": "0"}},
        "spec.price.perGPUHour: must be a decimal number",
    ),
    "price-below-zero": ({**APP, "price": {"perGPUHour": "-1"}}, "spec.price.perGPUHour: must be a decimal"),
    "price-in-exponents": (
        {**APP, "price": {"perGPUHour": "1e9"}},
        "spec.price.perGPUHour: must be a decimal",
    ),
    "metrics-url": (
        {**APP, "metrics": {"path": "http://169.254.169.254/latest"}},
        "spec.metrics.path: must be a path and no URL",
    ),
    "metrics-traversal": (
        {**APP, "metrics": {"path": "/../etc"}},
        "spec.metrics.path: must not contain '..'",
    ),
    "metrics-with-host": (
        {**APP, "metrics": {"host": "10.0.0.1"}},
        "spec.metrics.host: is not a field of this resource: remove it",
    ),
    "metrics-port": ({**APP, "metrics": {"port": 70000}}, "spec.metrics.port: must be at most 65535"),
    "misspelt-field": (
        {**APP, "windowSecond": 60},
        "spec.windowSecond: is not a field of this resource: did you mean windowSeconds?",
    ),
    "unknown-optimization": (
        {**APP, "optimizations": [{"name": "FP2"}]},
        "spec.optimizations[0].name: must be one of",
    ),
    "optimization-twice": (
        {**APP, "optimizations": [{"name": "FP4"}, {"name": "FP4"}]},
        "spec.optimizations",
    ),
    "collapse-fraction": (
        {**APP, "collapse": {"fractionOfBaseline": "0.9"}},
        "spec.collapse.fractionOfBaseline",
    ),
    "suspend-as-text": ({**APP, "suspend": "yes"}, "spec.suspend: must be true or false"),
    "latency-with-unit": (
        {**APP, "objectives": {"maxTimeToFirstTokenSeconds": "2s"}},
        "spec.objectives.maxTimeToFirstTokenSeconds: must be a decimal number",
    ),
    "ten-thousand-labels": (
        {"selector": {"matchLabels": {f"k{n}": "v" for n in range(10_000)}}},
        "spec.selector.matchLabels: must have at most 32 entries",
    ),
}


@dataclass(slots=True)
class Forged:
    """A pod whose status somebody wrote: where it claims to be, and what the operator must answer."""

    ip: str
    port: int
    reason: str
    said: str
    host_network: bool = False


@dataclass(slots=True)
class Evidence:
    """What was seen while everything hostile was there."""

    before: dict[str, dict[str, float]]
    after: dict[str, dict[str, float]] = field(default_factory=dict)
    statuses: dict[str, dict[str, Any]] = field(default_factory=dict)
    posts: dict[str, Post] = field(default_factory=dict)
    traps: list[Post] = field(default_factory=list)
    page: str = ""
    peak_mib: float = 0.0
    log: str = ""
    mapped: int = 0

    def condition(self, name: str, kind: str) -> dict[str, Any]:
        rows = self.statuses[name].get("conditions") or []
        return next((row for row in rows if row["type"] == kind), {})


FIGURES: dict[str, tuple[str, dict[str, str]]] = {
    "$/Mtok": ("tokenfactory_pool_cost_per_million_tokens", {"basis": "total"}),
    "tok/s/GPU": ("tokenfactory_pool_tokens_per_second_per_gpu", {}),
    "$/h": ("tokenfactory_pool_cost_per_hour", {}),
    "W": ("tokenfactory_pool_power_watts", {"basis": "measured"}),
}


def _measure(operator: OperatorProcess) -> dict[str, dict[str, float]]:
    """The healthy pools' figures, by figure and pool."""
    page = operator.get("/metrics")[1]
    return {figure: dict(read_series(page, name, **labels)) for figure, (name, labels) in FIGURES.items()}


def _true(plan: PoolPlan, figure: str) -> float:
    truth = state_truth(plan)
    return {
        "$/Mtok": truth.dollars_per_million or 0.0,
        "tok/s/GPU": truth.tokens_per_second_per_gpu,
        "$/h": truth.dollars_per_hour,
        "W": truth.watts,
    }[figure]


def _right(seen: dict[str, dict[str, float]]) -> bool:
    return all(
        abs(seen[figure].get(plan.name, 0.0) / _true(plan, figure) - 1) <= 0.01
        for figure in FIGURES
        for plan in HEALTHY
    )


def _relax(scene: Scene) -> None:
    """An API server that lets any spec through, as before the rules existed."""
    where = "/spec/versions/0/schema/openAPIV3Schema"
    patch = [
        {"op": "remove", "path": f"{where}/required"},
        {
            "op": "replace",
            "path": f"{where}/properties/spec",
            "value": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    ]
    scene.kubectl("patch", "crd", "inferencepools.tokenfactory.dev", "--type=json", "-p", json.dumps(patch))
    lax = _pool("lax-probe", {"windowSeconds": "any"})
    scene.wait_for(
        "the relaxed schema is served",
        lambda: (
            scene.plane.kubectl("create", "--dry-run=server", "-f", "-", input=json.dumps(lax)).returncode
            == 0
        ),
    )


def _pool(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "tokenfactory.dev/v1alpha1",
        "kind": "InferencePool",
        "metadata": {"name": name, "namespace": HOSTILE},
        "spec": spec,
    }


def _send_pod(scene: Scene, name: str, ip: str, *, host_network: bool = False) -> None:
    pod = ServingPod(
        name=name,
        namespace=HOSTILE,
        node="nowhere",
        ip=ip,
        gpus=1,
        labels={"app": name},
        started_at=time.time() - 600,
        host_network=host_network,
    )
    scene.cluster.add_pod(pod)


def _send_pages(scene: Scene, site: HostileSite, evidence: Evidence, network: int) -> None:
    trap = site.add(f"127.{network}.9.1", 8000, hostile.say(PAGE.encode()))
    evidence.traps.append(trap)
    for number, (name, (_, act)) in enumerate(_pages(f"http://{trap.ip}:{trap.port}/metrics").items()):
        ip = f"127.{network}.1.{number + 1}"
        evidence.posts[name] = site.add(ip, 8000, act)
        _send_pod(scene, name, ip)
        selector = {"matchLabels": {"app": name}}
        scene.cluster.apply(_pool(name, {"selector": selector, "windowSeconds": WINDOW}))


def _forge(network: int, denied: str, port: int) -> dict[str, Forged]:
    refused = "AddressRefused"
    return {
        "at-the-metadata-service": Forged("169.254.169.254", 80, "ScrapeFailed", refused),
        "at-a-denied-network": Forged(denied, 8000, "ScrapeFailed", refused),
        "at-ipv6-loopback": Forged("::1", port, "ScrapeFailed", refused),
        "at-the-unspecified-address": Forged("0.0.0.0", port, "ScrapeFailed", refused),
        "at-the-metadata-service-by-nat64": Forged("64:ff9b::a9fe:a9fe", 80, "ScrapeFailed", refused),
        "on-the-host-network": Forged(
            f"127.{network}.9.2", 8000, "HostNetworkRefused", "allowHostNetwork", host_network=True
        ),
    }


FORGED = tuple(_forge(0, "", 0))


def _send_forged(scene: Scene, site: HostileSite, evidence: Evidence, network: int, denied: str) -> None:
    port = pick_port()
    answer = hostile.say(PAGE.encode())
    for ip, at in ((denied, 8000), (f"127.{network}.9.2", 8000), ("127.0.0.1", port), ("::1", port)):
        evidence.traps.append(site.add(ip, at, answer))
    try:
        _send_pod(scene, "at-a-mapped-address", "::ffff:127.0.0.1")
    except ApiException as error:
        evidence.mapped = error.status
    for name, forged in _forge(network, denied, port).items():
        _send_pod(scene, name, forged.ip, host_network=forged.host_network)
        spec = {
            "selector": {"matchLabels": {"app": name}},
            "windowSeconds": WINDOW,
            "metrics": {"port": forged.port},
        }
        scene.cluster.apply(_pool(name, spec))


def _untold(scene: Scene, evidence: Evidence) -> list[str]:
    """Reads all hostile statuses; names the pools that were not judged yet, with what they say so far."""
    answer = json.loads(scene.kubectl("get", "tfpools", "-n", HOSTILE, "-o", "json"))
    evidence.statuses = {item["metadata"]["name"]: item.get("status") or {} for item in answer["items"]}
    missing = [
        f"{name}: {evidence.condition(name, 'Stalled')}" for name in SPECS if not _stalled(evidence, name)
    ]
    for name in (*PAGES, *FORGED):
        telemetry = evidence.condition(name, "TelemetryHealthy")
        if telemetry.get("reason") in (None, "NoPods"):
            missing.append(f"{name}: {telemetry}")
    return missing


def _stalled(evidence: Evidence, name: str) -> bool:
    return evidence.condition(name, "Stalled").get("status") == "True"


def _observed_at(operator: OperatorProcess) -> float:
    times = read_series(operator.get("/metrics")[1], "tokenfactory_pool_last_observation_timestamp_seconds")
    return min((times.get(plan.name, 0.0) for plan in HEALTHY), default=0.0)


@pytest.fixture(scope="module")
def evidence(assets: Assets) -> Iterator[Evidence]:
    network = pick_network()
    denied = f"127.{network}.200.1"
    with Scene(assets, HEALTHY) as scene, HostileSite() as site:
        scene.cluster.add_namespace(HOSTILE)
        _relax(scene)
        operator = scene.start_operator(TOKENFACTORY_DENIED_NETWORKS=json.dumps([f"127.{network}.200.0/24"]))
        scene.wait_for("the healthy pools are measured", lambda: _right(_measure(operator)), seconds=90)
        found = Evidence(before=_measure(operator))
        for name, (spec, _) in SPECS.items():
            scene.cluster.apply(_pool(name, spec))
        _send_pages(scene, site, found, network)
        _send_forged(scene, site, found, network, denied)
        arrived = time.time()
        try:
            scene.wait_for("every hostile pool is told", lambda: not _untold(scene, found), seconds=60)
        except SceneFailed as late:
            raise AssertionError("\n".join(_untold(scene, found))) from late
        scene.wait_for(
            "a whole window passed under attack",
            lambda: _observed_at(operator) > arrived + WINDOW + 6,
            seconds=90,
        )
        found.after = _measure(operator)
        assert _untold(scene, found) == []
        found.page, found.log = operator.get("/metrics")[1], operator.log.read_text()
        found.peak_mib = _peak_mib(operator)
        yield found


def _peak_mib(operator: OperatorProcess) -> float:
    """The highest resident size that the process ever had."""
    assert operator.process is not None
    lines = Path(f"/proc/{operator.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


@pytest.mark.parametrize("name", PAGES)
def test_a_bad_page_gives_a_clear_reason_and_no_number(evidence: Evidence, name: str) -> None:
    telemetry = evidence.condition(name, "TelemetryHealthy")
    assert (telemetry["status"], telemetry["reason"]) == ("False", "ScrapeFailed"), telemetry
    assert telemetry["message"].startswith(f"0 of 1 replicas scraped; {name}: {PAGES[name]}; "), telemetry
    status = evidence.statuses[name]
    assert "throughput" not in status
    assert "perMillionTokens" not in status.get("cost", {})
    assert evidence.condition(name, "Ready")["status"] == "True"
    assert evidence.posts[name].requests, "the page was never asked for"


@pytest.mark.parametrize("name", SPECS)
def test_a_bad_resource_gives_the_field_and_the_fix_and_no_number(evidence: Evidence, name: str) -> None:
    _, said = SPECS[name]
    ready, stalled = evidence.condition(name, "Ready"), evidence.condition(name, "Stalled")
    assert (ready["status"], ready["reason"]) == ("False", "InvalidSpec")
    assert (stalled["status"], stalled["reason"]) == ("True", "InvalidSpec")
    assert ready["message"].startswith(said), ready["message"]
    status = evidence.statuses[name]
    assert status["observedGeneration"] == 1
    assert {"cost", "throughput", "energy", "gpus"}.isdisjoint(status)
    others = [row for row in status["conditions"] if row["type"] not in ("Ready", "Stalled")]
    assert others
    assert {(row["status"], row["reason"]) for row in others} == {("Unknown", "InvalidSpec")}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_address_is_refused_with_its_reason(evidence: Evidence, name: str) -> None:
    forged = _forge(0, "", 0)[name]
    telemetry = evidence.condition(name, "TelemetryHealthy")
    assert (telemetry["status"], telemetry["reason"]) == ("False", forged.reason), telemetry
    assert forged.said in telemetry["message"]


def test_an_ipv4_mapped_address_is_refused_by_the_api_server_itself(evidence: Evidence) -> None:
    """An older one lets it through: tests/unit/telemetry/test_address_refusal.py refuses it again."""
    assert evidence.mapped == 422


def test_nobody_connected_to_a_redirects_target_or_to_a_forged_address(evidence: Evidence) -> None:
    assert [(post.ip, post.port, post.connections) for post in evidence.traps if post.connections] == []
    assert len(evidence.traps) == 5


def test_every_request_is_bare_and_carries_nothing_secret(evidence: Evidence) -> None:
    heads = {
        line.split(b":")[0].lower()
        for post in evidence.posts.values()
        for line in post.requests[0].split(b"\r\n")[1:-2]
    }
    assert heads == {b"host", b"accept", b"accept-encoding", b"connection", b"user-agent"}


@pytest.mark.parametrize("figure", FIGURES)
@pytest.mark.parametrize("plan", HEALTHY, ids=lambda plan: plan.name)
def test_the_other_pools_numbers_are_unchanged(evidence: Evidence, plan: PoolPlan, figure: str) -> None:
    for seen in (evidence.before, evidence.after):
        assert seen[figure][plan.name] == pytest.approx(_true(plan, figure), rel=0.01)


def test_the_operators_memory_stayed_bounded(evidence: Evidence) -> None:
    assert evidence.peak_mib < 200


def test_no_cycle_ended_in_an_error_of_the_operators_own(evidence: Evidence) -> None:
    lines = [
        line for line in evidence.page.splitlines() if line.startswith("tokenfactory_internal_errors_total")
    ]
    assert lines == ["tokenfactory_internal_errors_total 0.0"]
    assert "Traceback" not in evidence.log
    loud = [
        line
        for line in evidence.log.splitlines()
        if '"level": "error"' in line or '"level": "critical"' in line
    ]
    assert loud == []


def test_nothing_of_a_tenants_page_or_spec_is_a_label_of_the_metrics(evidence: Evidence) -> None:
    pools = {*PAGES, *SPECS, *FORGED, *(plan.name for plan in HEALTHY)}
    assert pools >= set(read_series(evidence.page, "tokenfactory_pool_condition", type="Ready"))
    assert len(evidence.page) < 2 * hostile.MIB


def test_the_tests_above_cover_twenty_bad_pages_and_twenty_bad_resources() -> None:
    assert len(PAGES) >= 20
    assert len(SPECS) >= 20
