"""The truth table of the conditions, their reasons and the fixes that their messages name."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tests.unit.judgement.builders import (
    POOL,
    TERMS,
    counters,
    declaration,
    economics,
    evidence,
    inspected,
    known,
    quote,
    replica,
)
from tokenfactory.judgement.conditions import judge_optimizations_active, judge_price
from tokenfactory.judgement.judge import (
    judge,
    judge_internal_error,
    judge_invalid,
    judge_stalled,
    judge_suspended,
)
from tokenfactory.judgement.objectives import judge_objectives
from tokenfactory.judgement.telemetry_health import judge_telemetry
from tokenfactory.measure import Absence, Missing
from tokenfactory.model import (
    Condition,
    Container,
    CostBasis,
    Coverage,
    DeclarationState,
    Engine,
    EngineKind,
    FailureReason,
    Fleet,
    FleetProblem,
    FleetReason,
    InvalidPool,
    MetricsEndpoint,
    MetricsState,
    Objectives,
    OptimizationName,
    OptimizationRow,
    OptimizationState,
    Policy,
    PriceProblem,
    PriceSource,
    PrometheusTerms,
    Requirement,
    TelemetryMode,
    TelemetryTerms,
    Truth,
    Verdict,
)

RECORDED = replace(
    TERMS,
    telemetry=TelemetryTerms(
        mode=TelemetryMode.PROMETHEUS, prometheus=PrometheusTerms(url="http://prometheus:9090")
    ),
)
S = OptimizationState
UNPRICED = {"per_gpu_hour": Missing(Absence.PRICE_UNKNOWN), "source": None}


def facts(verdict: Verdict) -> dict[str, tuple[str, str]]:
    return {item.type: (item.status.value, item.reason) for item in verdict.conditions}


def test_a_healthy_pool() -> None:
    _, verdict = judge(evidence(), None)
    assert facts(verdict) == {
        "Ready": ("True", "StatusPublished"),
        "Stalled": ("False", "Serving"),
        "TelemetryHealthy": ("True", "AllFresh"),
        "PriceKnown": ("True", "Pool"),
        "OptimizationsActive": ("True", "NoneRequired"),
        "DenominatorHealthy": ("Unknown", "WarmingUp"),
    }


@pytest.mark.parametrize(
    ("failure", "field"),
    [
        (FailureReason.PROMETHEUS_UNREACHABLE, "telemetry.prometheus.url"),
        (FailureReason.PROMETHEUS_TIMED_OUT, "telemetry.scrapeIntervalSeconds"),
        (FailureReason.PROMETHEUS_UNTRUSTED, "ca.crt"),
        (FailureReason.CREDENTIAL_MISSING, "telemetry.prometheus.credentialsName"),
        (FailureReason.PROMETHEUS_DENIED, "telemetry.prometheus.credentialsName"),
        (FailureReason.PROMETHEUS_FAILED, "telemetry.prometheus.url"),
        (FailureReason.PROMETHEUS_TOO_LARGE, "telemetry.mode"),
    ],
)
def test_a_prometheus_that_gives_nothing_names_the_factorys_field(failure: FailureReason, field: str) -> None:
    lost = economics(coverage=Coverage(expected=8, scraped=0), failures=(("serving-0", failure),), loads=())
    verdict = judge(evidence(money=lost), None)[1]
    assert facts(verdict)["TelemetryHealthy"] == ("False", "PrometheusUnavailable")
    message = next(item.message for item in verdict.conditions if item.type == "TelemetryHealthy")
    assert field in message
    assert "TokenFactory" in message
    assert "serving-0" not in message


def test_a_prometheus_that_was_just_lost_is_no_news_while_the_last_pages_are_fresh() -> None:
    money = economics(failures=(("serving-0", FailureReason.PROMETHEUS_UNREACHABLE),))
    assert facts(judge(evidence(money=money), None)[1])["TelemetryHealthy"] == ("True", "AllFresh")


def test_ready_stays_true_when_telemetry_is_lost() -> None:
    lost = economics(coverage=Coverage(expected=8, scraped=0), loads=())
    found = facts(judge(evidence(money=lost), None)[1])
    assert found["Ready"] == ("True", "StatusPublished")
    assert found["TelemetryHealthy"] == ("False", "ScrapeFailed")
    assert found["DenominatorHealthy"] == ("Unknown", "Blind")


def test_an_invalid_spec_names_field_and_fix_and_leaves_the_rest_unknown() -> None:
    invalid = InvalidPool(
        key=POOL.key, uid="u", generation=2, field="spec.windowSeconds", message="use 30 to 3600"
    )
    verdict = judge_invalid(invalid)
    found = facts(verdict)
    assert found.pop("Ready") == ("False", "InvalidSpec")
    assert found.pop("Stalled") == ("True", "InvalidSpec")
    assert set(found.values()) == {("Unknown", "InvalidSpec")}
    assert verdict.conditions[0].message == "spec.windowSeconds: use 30 to 3600"
    assert verdict.rows == ()


@pytest.mark.parametrize(
    ("reason", "fix"),
    [(FleetReason.POOL_REF_NOT_FOUND, "create it"), (FleetReason.POOL_REF_KIND_MISSING, "install its CRDs")],
)
def test_a_pool_ref_that_is_not_there_stalls_with_the_same_reason(reason: FleetReason, fix: str) -> None:
    pool = replace(POOL, pool_ref="other", selector=None, objectives=Objectives())
    verdict = judge_stalled(pool, FleetProblem(reason, "other"), quote())
    found = facts(verdict)
    assert found["Ready"] == ("False", reason.value)
    assert found["Stalled"] == ("True", reason.value)
    assert found["PriceKnown"] == ("True", "Pool")
    assert found["ObjectivesMet"][0] == "Unknown"
    assert fix in verdict.conditions[0].message
    assert '"other"' in verdict.conditions[0].message


def test_a_suspended_pool_keeps_ready_and_its_price() -> None:
    pool = replace(POOL, suspend=True, objectives=Objectives(min_tokens_per_second_per_gpu=1.0))
    verdict = judge_suspended(pool, TERMS, quote())
    found = facts(verdict)
    assert found.pop("Ready") == ("True", "StatusPublished")
    assert found.pop("Stalled") == ("False", "Serving")
    assert found.pop("PriceKnown") == ("True", "Pool")
    assert set(found) == {"TelemetryHealthy", "OptimizationsActive", "DenominatorHealthy", "ObjectivesMet"}
    assert set(found.values()) == {("Unknown", "Suspended")}
    assert verdict.denominator.value == "Suspended"


@pytest.mark.parametrize(
    "resource", [POOL, InvalidPool(key=POOL.key, uid="u", generation=1, field="f", message="m")]
)
def test_a_bug_leaves_everything_unknown(resource: Any) -> None:
    found = facts(judge_internal_error(resource))
    assert found["Ready"] == ("Unknown", "InternalError")
    assert found["Stalled"][0] == "False"
    assert {status for kind, (status, _) in found.items() if kind != "Stalled"} == {"Unknown"}


PRICES: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "the pool's own": ({}, "True", "Pool", "spec.price.perGPUHour"),
    "the factory's, with its source": (
        {"source": PriceSource.FACTORY, "source_text": "contract 7", "as_of": "2026-04-15"},
        "True",
        "Factory",
        "contract 7, as of 2026-04-15",
    ),
    "a built-in one says so": (
        {"source": PriceSource.REFERENCE},
        "True",
        "Reference",
        "built-in reference price",
    ),
    "a placeholder says so": (
        {"source": PriceSource.REFERENCE, "placeholder": True},
        "True",
        "Reference",
        "placeholder",
    ),
    "a pool price passed over names the field to remove": (
        {"source": PriceSource.FACTORY, "passed_over": PriceProblem.POOL_PRICE_FORBIDDEN},
        "True",
        "PoolPriceForbidden",
        "remove spec.price.perGPUHour",
    ),
    "a pool price out of bounds is passed over": (
        {"source": PriceSource.FACTORY, "passed_over": PriceProblem.POOL_PRICE_OUT_OF_BOUNDS},
        "True",
        "PoolPriceOutOfBounds",
        "spec.price.perGPUHour",
    ),
    "no price names both fixes": (
        {**UNPRICED, "problem": PriceProblem.NO_PRICE},
        "False",
        "NoPrice",
        'add a prices entry to TokenFactory "default"',
    ),
    "an absent price without a problem is NoPrice": (UNPRICED, "False", "NoPrice", "set spec.price"),
    "a named factory that is not there": (
        {**UNPRICED, "problem": PriceProblem.FACTORY_NOT_FOUND},
        "False",
        "FactoryNotFound",
        "spec.factoryName",
    ),
    "a currency without a rate": (
        {**UNPRICED, "problem": PriceProblem.CURRENCY_MISMATCH},
        "False",
        "CurrencyMismatch",
        "spec.usdExchangeRate",
    ),
    "a factory price out of bounds": (
        {**UNPRICED, "problem": PriceProblem.PRICE_OUT_OF_BOUNDS},
        "False",
        "PriceOutOfBounds",
        "spec.priceBounds",
    ),
}


@pytest.mark.parametrize(("changes", "status", "reason", "text"), PRICES.values(), ids=PRICES.keys())
def test_price_known(changes: dict[str, Any], status: str, reason: str, text: str) -> None:
    condition = judge_price(quote(**changes))
    assert (condition.status.value, condition.reason) == (status, reason)
    assert text in condition.message


def troubled(problem: FleetReason, count: int = 1, why: str = "") -> Fleet:
    container = Container(name="vllm", image="vllm")
    engine = Engine(container=container, kind=EngineKind.VLLM, problem=problem, why_not=why)
    bad = [replica(f"serving-{index}", engine=engine) for index in range(count)]
    return Fleet(replicas=(*bad, *(replica(f"serving-{index}") for index in range(count, 8))))


TELEMETRY: dict[str, tuple[dict[str, Any], str, str]] = {
    "no pods": ({"fleet": Fleet()}, "NoPods", "compare spec.selector"),
    "pods, and none ready": (
        {"money": economics(coverage=Coverage(expected=0, scraped=0))},
        "NoPods",
        "no pod of the pool is ready",
    ),
    "metrics off": ({"fleet": troubled(FleetReason.METRICS_DISABLED)}, "MetricsDisabled", "serving-0"),
    "metrics off, the flag": (
        {"fleet": troubled(FleetReason.METRICS_DISABLED)},
        "MetricsDisabled",
        "the engine's metrics are off: turn them on",
    ),
    "metrics off, told by discovery": (
        {"fleet": troubled(FleetReason.METRICS_DISABLED, why="add --enable-metrics")},
        "MetricsDisabled",
        "add --enable-metrics; serving-0",
    ),
    "the host network": (
        {"fleet": troubled(FleetReason.HOST_NETWORK_REFUSED)},
        "HostNetworkRefused",
        "telemetry.allowHostNetwork",
    ),
    "too many targets": (
        {
            "fleet": replace(
                evidence().fleet, problems=(FleetProblem(FleetReason.TARGETS_TRUNCATED, "1000 of 1200"),)
            )
        },
        "TargetsTruncated",
        "1000 of 1200",
    ),
    "an engine of another kind": (
        {"fleet": troubled(FleetReason.ENGINE_NOT_SUPPORTED, count=5)},
        "EngineNotSupported",
        "serving-0, serving-1, serving-2 and 2 more",
    ),
    "one failed scrape": (
        {
            "money": economics(
                coverage=Coverage(expected=8, scraped=7),
                failures=(("serving-3", FailureReason.UNREACHABLE),),
            )
        },
        "ScrapeFailed",
        "7 of 8 replicas scraped; serving-3: Unreachable",
    ),
    "many failed scrapes are sorted and capped": (
        {
            "money": economics(
                coverage=Coverage(expected=8, scraped=3),
                failures=tuple((f"serving-{index}", FailureReason.TIMED_OUT) for index in (4, 2, 7, 1, 0)),
            )
        },
        "ScrapeFailed",
        "serving-0: TimedOut, serving-1: TimedOut, serving-2: TimedOut and 2 more",
    ),
    "a failing exporter is named": (
        {
            "money": economics(
                gpu_coverage=Coverage(expected=8, scraped=4),
                failures=(("node gpu-7", FailureReason.UNREACHABLE),),
            )
        },
        "ScrapeFailed",
        "4 of 8 GPUs are seen by DCGM; node gpu-7: Unreachable",
    ),
    "no exporter, told by discovery": (
        {
            "fleet": replace(
                evidence().fleet, problems=(FleetProblem(FleetReason.DCGM_MISSING, "install it"),)
            ),
            "money": economics(gpu_coverage=Coverage(expected=8, scraped=0)),
        },
        "DCGMMissing",
        "0 of 8 GPUs are seen by DCGM: install it",
    ),
    "no exporter": (
        {"money": economics(gpu_coverage=Coverage(expected=8, scraped=0))},
        "DCGMMissing",
        "run dcgm-exporter",
    ),
    "GPUs that honorLabels hides": (
        {"terms": RECORDED, "money": economics(gpu_coverage=Coverage(expected=8, scraped=0))},
        "DCGMMissing",
        "0 of 8 GPUs are seen by DCGM: have Prometheus scrape dcgm-exporter on every GPU node",
    ),
    "an exporter of which honorLabels hides every GPU": (
        {
            "terms": RECORDED,
            "money": economics(
                gpu_coverage=Coverage(expected=8, scraped=0),
                failures=(("node gpu-7", FailureReason.NO_GPU_METRICS),),
            ),
        },
        "ScrapeFailed",
        "node gpu-7: NoGPUMetrics; have Prometheus scrape",
    ),
    "exporters that Prometheus alone keeps back": (
        {
            "terms": RECORDED,
            "money": economics(
                gpu_coverage=Coverage(expected=8, scraped=0),
                failures=(("node gpu-7", FailureReason.PROMETHEUS_TOO_LARGE),),
            ),
        },
        "ScrapeFailed",
        "set spec.telemetry.mode of the TokenFactory to Direct",
    ),
}


ANY_HOST = "add --host 0.0.0.0: the page is on 127.0.0.1 only"
ONE_FAILS = Coverage(expected=1, scraped=0)
TOLD_APART = {
    "SGLang that listens on its loopback alone": (
        EngineKind.SGLANG,
        MetricsEndpoint(port=30000, path="/metrics", state=MetricsState.ON, fix=ANY_HOST),
        (FailureReason.CONNECTION_REFUSED, "ECONNREFUSED"),
        "loopback address alone: add --host 0.0.0.0",
    ),
    "nothing on that port": (
        EngineKind.VLLM,
        MetricsEndpoint(port=8000, path="/metrics", state=MetricsState.ON),
        (FailureReason.CONNECTION_REFUSED, "ECONNREFUSED"),
        "nothing listens there: compare spec.metrics.port",
    ),
    "SGLang without its page": (
        EngineKind.SGLANG,
        MetricsEndpoint(port=30000, path="/metrics", state=MetricsState.OFF, unread=True),
        (FailureReason.HTTP_STATUS, "HTTP 404"),
        "--enable-metrics",
    ),
    "TensorRT-LLM without its page": (
        EngineKind.TENSORRT_LLM,
        MetricsEndpoint(port=8000, path="/prometheus/metrics", state=MetricsState.ON),
        (FailureReason.HTTP_STATUS, "HTTP 404"),
        "return_perf_metrics: true",
    ),
    "a sidecar's page": (
        EngineKind.VLLM,
        MetricsEndpoint(port=8000, path="/metrics", state=MetricsState.ON),
        (FailureReason.OTHER_SYSTEM, "the page is that of a proxy, not of vLLM; check spec.metrics.port"),
        "the page is that of a proxy, not of vLLM",
    ),
    "vLLM without statistics": (
        EngineKind.VLLM,
        MetricsEndpoint(port=8000, path="/metrics", state=MetricsState.ON),
        (FailureReason.NO_ENGINE_METRICS, "the page has no vllm: metrics; remove --disable-log-stats"),
        "remove --disable-log-stats",
    ),
}


@pytest.mark.parametrize(("kind", "page", "failed", "text"), TOLD_APART.values(), ids=TOLD_APART.keys())
def test_what_keeps_a_page_from_being_read_is_told_apart_with_its_fix(
    kind: EngineKind, page: MetricsEndpoint, failed: tuple[FailureReason, str], text: str
) -> None:
    reason, detail = failed
    condition = judge_telemetry(
        evidence(
            engines=(inspected("serving-0", kind=kind, metrics=page),),
            seen=(counters("serving-0", readable=False, failure=reason, failure_detail=detail),),
            money=economics(
                coverage=ONE_FAILS,
                failures=(("serving-0", reason),),
            ),
        )
    )
    assert (condition.status, condition.reason) == (Truth.FALSE, "ScrapeFailed")
    assert text in condition.message


@pytest.mark.parametrize(("changes", "reason", "text"), TELEMETRY.values(), ids=TELEMETRY.keys())
def test_telemetry_unhealthy(changes: dict[str, Any], reason: str, text: str) -> None:
    condition = judge_telemetry(evidence(**changes))
    assert (condition.status, condition.reason) == (Truth.FALSE, reason)
    assert text in condition.message


def test_one_lost_scrape_of_a_replica_that_is_still_fresh_is_no_news() -> None:
    money = economics(failures=(("serving-3", FailureReason.TIMED_OUT),))
    assert judge_telemetry(evidence(money=money)).status is Truth.TRUE


def row(state: OptimizationState, policy: Policy = Policy.REQUIRED) -> OptimizationRow:
    return OptimizationRow(
        name=OptimizationName.FP4, policy=policy, state=state, declared="declared", evidence="why"
    )


def optimizations(*states: OptimizationState) -> Condition:
    return judge_optimizations_active(tuple(row(state) for state in states))


@pytest.mark.parametrize("state", [S.MISSING, S.PARTIAL, S.INEFFECTIVE, S.SIMULATED, S.UNSUPPORTED])
def test_a_required_row_without_effect_is_false_even_beside_an_open_question(
    state: OptimizationState,
) -> None:
    condition = optimizations(S.ACTIVE, S.UNKNOWN, state)
    assert (condition.status, condition.reason) == (Truth.FALSE, state.value)
    assert "why" in condition.message


@pytest.mark.parametrize("state", [S.UNKNOWN, S.UNVERIFIABLE])
def test_a_required_row_that_is_an_open_question_is_unknown(state: OptimizationState) -> None:
    assert (optimizations(S.ACTIVE, state).status, optimizations(S.ACTIVE, state).reason) == (
        Truth.UNKNOWN,
        state.value,
    )


def test_all_required_active_is_true_and_the_others_do_not_count() -> None:
    rows = (row(S.ACTIVE), row(S.MISSING, Policy.PREFERRED), row(S.SIMULATED, Policy.IGNORED))
    assert judge_optimizations_active(rows).reason == "AllRequiredActive"
    assert judge_optimizations_active(rows[1:]).reason == "NoneRequired"


OBJECTIVES = Objectives(
    max_cost_per_million_tokens=Decimal("0.20"),
    min_tokens_per_second_per_gpu=500.0,
    max_time_to_first_token_seconds=2.0,
    max_inter_token_latency_seconds=0.05,
)


def met(objectives: Objectives | None, **changes: Any) -> tuple[str, str] | None:
    pool = replace(POOL, objectives=objectives)
    return facts(judge(evidence(pool=pool, money=economics(**changes)), None)[1]).get("ObjectivesMet")


def test_objectives_are_absent_without_objectives_and_met_when_all_are() -> None:
    assert met(None) is None
    assert met(Objectives()) is None
    assert met(OBJECTIVES) == ("True", "AllMet")


@pytest.mark.parametrize(
    ("objectives", "reason"),
    [
        (replace(OBJECTIVES, max_cost_per_million_tokens=Decimal("0.1")), "CostTooHigh"),
        (replace(OBJECTIVES, min_tokens_per_second_per_gpu=800.0), "ThroughputTooLow"),
        (replace(OBJECTIVES, max_time_to_first_token_seconds=0.5), "TimeToFirstTokenTooLong"),
        (replace(OBJECTIVES, max_inter_token_latency_seconds=0.01), "InterTokenLatencyTooLong"),
    ],
)
def test_the_first_unmet_objective_is_named(objectives: Objectives, reason: str) -> None:
    assert met(objectives) == ("False", reason)


def test_the_cost_is_judged_on_its_basis_which_the_message_names() -> None:
    costs = {basis: known(Decimal(index)) for index, basis in enumerate(CostBasis, start=1)}
    money = economics(cost=replace(economics().cost, per_million=costs))
    asked = Objectives(cost_basis=CostBasis.OUTPUT, max_cost_per_million_tokens=Decimal("2.5"))
    (result,) = judge_objectives(asked, money)
    assert result.met is False
    assert "basis Output" in result.message
    (total,) = judge_objectives(replace(asked, cost_basis=CostBasis.TOTAL), money)
    assert total.met is True


def test_an_unmet_objective_counts_before_one_that_cannot_be_judged() -> None:
    blind: dict[str, Any] = {"latency": {}}
    assert met(OBJECTIVES, **blind) == ("Unknown", "CannotBeJudged")
    slow = replace(OBJECTIVES, min_tokens_per_second_per_gpu=800.0)
    assert met(slow, **blind) == ("False", "ThroughputTooLow")


def test_a_required_optimization_reaches_the_condition_through_the_judge() -> None:
    name = OptimizationName.SPECULATIVE_DECODING
    engine = inspected(
        "serving-0", declaration(name, DeclarationState.DECLARED, source="--speculative-config")
    )
    page = counters("serving-0", drafts=1000.0, accepted_tokens=50.0)
    asked = (Requirement(name=name, policy=Policy.REQUIRED),)
    _, verdict = judge(evidence(requirements=asked, engines=(engine,), seen=(page,)), None)
    assert facts(verdict)["OptimizationsActive"] == ("False", "Ineffective")
