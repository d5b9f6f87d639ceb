"""The operator's own process with `telemetry.mode: Prometheus`, from the first day to the bad ones.

A real Prometheus scrapes the replayed fleet with the labels that a PodMonitor gives; the operator reaches it
through TLS, a bearer token and a tenant, from a credentials folder as the Deployment mounts it. The tests are
one story on one fleet: their order matters, and each leaves the fleet as the next one needs it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
import trustme

from tests.support.gate import CREDENTIAL, Gate, Mood
from tests.support.prometheus import PrometheusServer, jobs_of, scrape_job
from tests.support.scenes import figure, is_near, small_plan, tells_truth, writes
from tokenfactory.model import PROMETHEUS_ADVICE, FailureReason
from tokenfactory.sandbox.assets import Assets
from tokenfactory.sandbox.audit import Audit
from tokenfactory.sandbox.fleet import GB300, NAMESPACE, PoolPlan
from tokenfactory.sandbox.objects import EXPORTER_NAMESPACE
from tokenfactory.sandbox.operator_process import OperatorProcess
from tokenfactory.sandbox.readings import read_series
from tokenfactory.sandbox.scene import Scene
from tokenfactory.sandbox.servers import LOOPBACK
from tokenfactory.sandbox.truth import state_truth

pytestmark = pytest.mark.controlplane

PRICED = small_plan("priced-by-opencost", replicas=2, output=1000.0)
MONTHLY = small_plan("a-price-730-times-too-low", output=500.0)
FREE = small_plan("a-node-for-nothing", output=500.0)
OTHERS = tuple(small_plan(f"quiet-{letter}", output=700.0) for letter in "abc")
PLANS = (GB300, PRICED, MONTHLY, FREE, *OTHERS)
TENANT, TOKEN = "platform", "the-platform-teams-token"
INTERVAL = 5
LAG = 0.02
"""How far a status may be behind /metrics, and what a page that is rendered late does to its watts."""
OPENCOST_PORT = 9003


@dataclass(slots=True)
class Stage:
    """Everything that runs."""

    scene: Scene
    server: PrometheusServer
    gate: Gate
    operator: OperatorProcess

    def telemetry(self, **changes: Any) -> None:
        """Edits the factory's telemetry; None removes a field. Its pools are cycled at once."""
        patch = json.dumps({"spec": {"telemetry": changes}})
        self.scene.kubectl("patch", "tfactory", "default", "--type=merge", "-p", patch)

    def factory(self) -> dict[str, Any]:
        """The TokenFactory's status."""
        body = json.loads(self.scene.kubectl("get", "tfactory", "default", "-o", "json"))
        return dict(body.get("status") or {})

    def fleet_cost(self) -> str:
        return str(self.factory().get("cost", {}).get("perMillionTokens", ""))

    def reachable(self) -> dict[str, Any]:
        """The TokenFactory's condition about its Prometheus."""
        rows = self.factory().get("conditions", ())
        return next((row for row in rows if row["type"] == "PrometheusReachable"), {})

    def told(self, pool: str, kind: str) -> tuple[str, str, str]:
        row = self.scene.condition(pool, kind)
        return row.get("status", ""), row.get("reason", ""), row.get("message", "")


def opencost_page(scene: Scene) -> str:
    """Every node's price as OpenCost shows it; two of them with faults of it that are known in public."""
    prices = {MONTHLY.name: MONTHLY.per_gpu_hour / 730, FREE.name: Decimal(0)}
    lines = ["# TYPE node_total_hourly_cost gauge", "# TYPE node_gpu_count gauge"]
    for engine in scene.fleet.engines.values():
        node, plan = engine.pod.node, engine.plan
        price = prices.get(plan.name, plan.per_gpu_hour) * plan.gpus_per_pod
        labels = f'instance="{node}",node="{node}",provider_id="i-{node}"'
        lines.append(f"node_total_hourly_cost{{{labels}}} {price}")
        lines.append(f"node_gpu_count{{{labels}}} {plan.gpus_per_pod}")
    return "\n".join(lines) + "\n"


def jobs(scene: Scene, opencost: str) -> list[dict[str, Any]]:
    labels = {"namespace": "opencost", "pod": "opencost-0", "container": "opencost"}
    target = (f"{opencost}:{OPENCOST_PORT}", labels)
    return [*jobs_of(scene.fleet), scrape_job("opencost", [target], honor_labels=True)]


def terms(gate: Gate) -> dict[str, Any]:
    """The factory's telemetry as the platform team writes it."""
    return {
        "mode": "Prometheus",
        "scrapeIntervalSeconds": INTERVAL,
        "prometheus": {"url": gate.url, "credentialsName": CREDENTIAL, "tenant": TENANT},
    }


@pytest.fixture(scope="module")
def stage(assets: Assets, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("prometheus")
    with Scene(assets, PLANS, audit=Audit.METADATA) as scene:
        address = f"127.{scene.fleet.nodes[0].exporter_ip.split('.')[1]}.9.9"
        page = opencost_page(scene)
        scene.site.add(address, OPENCOST_PORT, lambda _: page)
        with (
            PrometheusServer(folder, jobs(scene, address), interval="2s") as server,
            Gate(folder, server.url, token=TOKEN, tenant=TENANT) as gate,
        ):
            prices = [{"match": {"gpuProduct": GB300.product}, "perGPUHour": str(GB300.per_gpu_hour)}]
            patch = json.dumps({"spec": {"prices": prices, "telemetry": terms(gate)}})
            scene.kubectl("patch", "tfactory", "default", "--type=merge", "-p", patch)
            operator = scene.start_operator(TOKENFACTORY_CREDENTIALS_DIRECTORY=str(gate.credentials))
            yield Stage(scene, server, gate, operator)


READABLE = (GB300, PRICED, *OTHERS)


def shown(stage: Stage) -> dict[str, str]:
    """The column $/MTOK of `kubectl get inferencepools`, by pool; blank cells are left out."""
    lines = stage.scene.kubectl("get", "inferencepools", "-n", NAMESPACE).splitlines()
    start, end = lines[0].index("$/MTOK"), lines[0].index("TOK/S/GPU")
    cells = {line.split()[0]: line[start:end].strip() for line in lines[1:]}
    return {name: cell for name, cell in cells.items() if cell}


def read_time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def true_cost(plan: PoolPlan) -> float:
    cost = state_truth(plan).dollars_per_million
    assert cost is not None
    return cost


def test_the_table_shows_what_a_million_tokens_truly_cost(stage: Stage) -> None:
    stage.scene.wait_for(
        "the truth on /metrics",
        lambda: all(tells_truth(stage.operator, plan) for plan in READABLE),
        seconds=60,
    )
    stage.scene.wait_for("all cells", lambda: shown(stage).keys() == {p.name for p in READABLE}, seconds=60)
    table = shown(stage)
    for plan in READABLE:
        assert is_near(table[plan.name], true_cost(plan), tolerance=LAG), plan.name


@pytest.mark.parametrize("plan", READABLE, ids=lambda plan: plan.name)
def test_metrics_and_status_tell_the_truth_of_money_tokens_and_watts(stage: Stage, plan: PoolPlan) -> None:
    truth, status = state_truth(plan), stage.scene.status(plan.name)
    exact = (
        (figure(stage.operator, "cost_per_hour", plan.name), truth.dollars_per_hour),
        (figure(stage.operator, "gpus", plan.name, kind="observed"), float(plan.gpus)),
        (status["cost"]["perHour"], truth.dollars_per_hour),
    )
    near = (
        (figure(stage.operator, "power_watts", plan.name, basis="measured"), truth.watts),
        (status["throughput"]["tokensPerSecondPerGPU"], truth.tokens_per_second_per_gpu),
        (status["energy"]["measured"]["watts"], truth.watts),
    )
    assert [pair for pair in exact if not is_near(*pair, tolerance=0.001)] == []
    assert [pair for pair in near if not is_near(*pair, tolerance=LAG)] == []
    assert stage.told(plan.name, "TelemetryHealthy")[:2] == ("True", "AllFresh")


def test_the_optimizations_that_are_required_are_proven_by_what_prometheus_scraped(stage: Stage) -> None:
    assert stage.told(GB300.name, "OptimizationsActive")[:2] == ("True", "AllRequiredActive")
    rows = {row["name"]: row for row in stage.scene.status(GB300.name)["optimizations"]}
    assert rows["MultiTokenPrediction"]["state"] == "Active"
    assert figure(stage.operator, "acceptance_length", GB300.name) == pytest.approx(3.0, rel=0.01)


def test_opencosts_prices_come_through_the_same_prometheus_and_its_known_faults_are_refused(
    stage: Stage,
) -> None:
    assert stage.told(PRICED.name, "PriceKnown")[:2] == ("True", "OpenCost")
    monthly, free = stage.told(MONTHLY.name, "PriceKnown"), stage.told(FREE.name, "PriceKnown")
    assert monthly[:2] == ("False", "PriceOutOfBounds")
    assert "730" in monthly[2]
    assert free[:2] == ("False", "NoPrice")
    for plan in (MONTHLY, FREE):
        assert "perMillionTokens" not in stage.scene.status(plan.name).get("cost", {})
        assert is_near(figure(stage.operator, "tokens_per_second_per_gpu", plan.name), plan.workload.total)


def wait_until_quiet(stage: Stage) -> None:
    """Every pool went through two cycles and wrote nothing: its window is full and told."""
    seen, first = len(writes(stage.scene)), cycles(stage.operator)

    def quiet() -> bool:
        nonlocal seen, first
        if len(writes(stage.scene)) > seen:
            seen, first = len(writes(stage.scene)), cycles(stage.operator)
        return cycles(stage.operator) - first >= 2 * len(PLANS)

    stage.scene.wait_for("two cycles without a write", quiet)


def test_a_quiet_fleet_is_asked_for_in_three_queries_and_nothing_is_written(stage: Stage) -> None:
    """One query for the engines of all seven pools, one for the exporters, one for OpenCost."""
    stage.scene.wait_for("the fleet's numbers", stage.fleet_cost)
    wait_until_quiet(stage)
    before, first = len(writes(stage.scene)), cycles(stage.operator)
    began, shared = time.monotonic(), INTERVAL / 2
    stage.gate.queries.clear()
    stage.scene.wait_for(
        "three cycles of every pool", lambda: cycles(stage.operator) - first >= 3 * len(PLANS)
    )
    asked, spans = list(stage.gate.queries), (time.monotonic() - began) / shared + 1
    assert writes(stage.scene)[before:] == ()
    assert len(set(asked)) <= 3
    assert len(asked) <= 2 * spans + 1, "an answer is shared by all pools for half an interval"
    assert not [query for query in asked for plan in PLANS if plan.name in query]


def output_tokens(stage: Stage, query: str, plan: PoolPlan, *, at: float) -> float:
    """What the query shows of the pool's output tokens at that time, asked as anybody may."""
    form = urllib.parse.urlencode({"query": query, "time": at}).encode()
    with urllib.request.urlopen(f"{stage.server.url}/api/v1/query", form, timeout=10) as answer:
        result = json.load(answer)["data"]["result"]
    name = "vllm:generation_tokens_total"
    rows = [row for row in result if row["metric"]["__name__"] == name]
    return sum(float(row["values"][-1][1]) for row in rows if row["metric"]["pod"].startswith(plan.name))


def test_an_explanation_names_the_prometheus_and_queries_that_can_be_asked_again(stage: Stage) -> None:
    url = f"http://{LOOPBACK}:{stage.operator.explain_port}"
    command = (sys.executable, "-m", "tokenfactory.cli.main", "explain", PRICED.name, "-n", NAMESPACE)
    done = subprocess.run(
        [*command, "--operator", url, "-o", "json"], capture_output=True, text=True, timeout=60, check=True
    )
    document = json.loads(done.stdout)
    pages = document["pages"]
    assert (pages["from"], pages["url"], pages["tenant"]) == ("Prometheus", stage.gate.url, TENANT)
    queries = {(row["of"], row["namespace"]): row["query"] for row in pages["queries"]}
    assert queries.keys() == {("engines", NAMESPACE), ("exporters", EXPORTER_NAMESPACE)}
    assert set(queries.values()) <= set(stage.gate.queries)
    start, end = (read_time(document["window"][edge]) for edge in ("start", "end"))
    query = queries["engines", NAMESPACE]
    gained = output_tokens(stage, query, PRICED, at=end) - output_tokens(stage, query, PRICED, at=start)
    inputs = {row["name"]: float(row["value"]) for row in document["inputs"]}
    scrapes = 2 * 2.0 * PRICED.workload.output * PRICED.replicas
    assert gained == pytest.approx(inputs["outputTokens"], abs=scrapes)


def cycles(operator: OperatorProcess) -> float:
    name = "tokenfactory_cycle_duration_seconds_count "
    lines = operator.get("/metrics")[1].splitlines()
    return next(float(line.removeprefix(name)) for line in lines if line.startswith(name))


@dataclass(frozen=True, slots=True)
class Sample:
    """What /metrics said of one pool at one moment."""

    cost: float | None
    tokens: float
    gpu_seconds: float


def take(stage: Stage, plan: PoolPlan) -> Sample:
    page = stage.operator.get("/metrics")[1]

    def total(name: str) -> float:
        lines = [line for line in page.splitlines() if line.startswith(f"tokenfactory_pool_{name}{{")]
        return sum(float(line.split()[-1]) for line in lines if f'pool="{plan.name}"' in line)

    cost = read_series(page, "tokenfactory_pool_cost_per_million_tokens", basis="total").get(plan.name)
    return Sample(cost, total("tokens_total"), total("gpu_seconds_total"))


def test_a_switch_to_direct_and_back_shows_no_wrong_number_in_between(stage: Stage) -> None:
    began, first = time.time(), take(stage, PRICED)
    samples = [first]
    for mode in ("Direct", "Prometheus"):
        stage.telemetry(mode=mode)
        for _ in range(2):
            last, asked = cycles(stage.operator), len(stage.gate.queries)
            while cycles(stage.operator) - last < len(PLANS):
                samples.append(take(stage, PRICED))
                time.sleep(0.2)
        late = [query for query in stage.gate.queries[asked:] if "vllm" in query]
        assert bool(late) == (mode == "Prometheus")
    seen = [sample.cost for sample in samples if sample.cost is not None]
    assert [cost for cost in seen if not is_near(cost, true_cost(PRICED))] == []
    assert len(seen) > len(samples) / 2
    assert sorted(samples, key=lambda sample: sample.tokens) == samples, "a counter fell"
    tokens, seconds = samples[-1].tokens - first.tokens, samples[-1].gpu_seconds - first.gpu_seconds
    assert tokens == pytest.approx(seconds * state_truth(PRICED).tokens_per_second_per_gpu, rel=0.01)
    elapsed = (time.time() - began) * PRICED.gpus
    assert seconds <= elapsed + 3 * INTERVAL * PRICED.gpus, "time was counted twice"


def test_a_prometheus_that_went_away_is_named_while_all_else_goes_on(stage: Stage) -> None:
    stage.server.kill()
    stage.scene.wait_for(
        "all pools say so",
        lambda: {stage.told(plan.name, "TelemetryHealthy")[1] for plan in PLANS} == {"PrometheusUnavailable"},
    )
    stage.scene.wait_for(
        "so does the factory",
        lambda: stage.reachable().get("reason") == "PrometheusFailed",
    )
    assert stage.told(PRICED.name, "DenominatorHealthy")[1] == "Blind"
    assert stage.told(PRICED.name, "PriceKnown")[1] == "OpenCost"
    assert stage.told(PRICED.name, "Ready")[0] == "True"
    last = shown(stage)
    assert [
        plan.name for plan in READABLE if not is_near(last[plan.name], true_cost(plan), tolerance=LAG)
    ] == []
    assert stage.operator.get("/healthz")[0] == 200


@pytest.mark.parametrize(
    ("path", "said", "token", "reason"),
    [
        ("", {"tenant": "strangers"}, TOKEN, "PrometheusDenied"),
        ("/api/v1", {"tenant": TENANT}, TOKEN, "PrometheusFailed"),
        ("", {}, "an-old-token", "PrometheusDenied"),
        ("", {"credentialsName": "nobody"}, TOKEN, "CredentialMissing"),
    ],
    ids=["403", "wrong path", "401", "no credential"],
)
def test_a_mistake_on_the_first_day_is_told_with_the_field_to_mend(
    stage: Stage, path: str, said: dict[str, str], token: str, reason: str
) -> None:
    stage.gate.mount(token=token)
    stage.telemetry(prometheus={**said, "url": stage.gate.url + path})
    expect(stage, reason)


def test_a_certificate_that_is_not_trusted_is_told_once_the_secret_holds_another_ca(stage: Stage) -> None:
    stage.gate.mount(authority=trustme.CA().cert_pem.bytes())
    stage.telemetry(prometheus={"credentialsName": CREDENTIAL})
    expect(stage, "PrometheusUntrusted")


def expect(stage: Stage, reason: str) -> None:
    """The TokenFactory says so, and which field to mend."""
    row = stage.scene.wait_for(
        reason,
        lambda: row if (row := stage.reachable()).get("reason") == reason else None,
        seconds=20,
    )
    assert row["status"] == "False"
    assert row["message"] == PROMETHEUS_ADVICE[FailureReason(reason)]


def test_a_slow_one_is_told_from_one_that_is_away(stage: Stage) -> None:
    stage.gate.mount()
    stage.gate.mood = Mood.SLOW
    stage.telemetry(scrapeIntervalSeconds=INTERVAL + 1)
    expect(stage, "PrometheusTimedOut")
    assert stage.operator.get("/healthz")[0] == 200


def test_when_all_is_mended_the_numbers_are_true_again(stage: Stage) -> None:
    stage.gate.mood = Mood.OPEN
    stage.server.start()
    stage.telemetry(scrapeIntervalSeconds=INTERVAL)
    stage.scene.wait_for(
        "all pools are fresh",
        lambda: {stage.told(plan.name, "TelemetryHealthy")[1] for plan in PLANS} == {"AllFresh"},
    )
    stage.scene.wait_for("the factory says so", lambda: stage.reachable().get("status") == "True")
    stage.scene.wait_for(
        "the truth", lambda: all(tells_truth(stage.operator, plan) for plan in READABLE), seconds=30
    )
