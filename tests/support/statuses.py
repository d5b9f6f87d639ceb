"""Whole status documents, with every field that a status can hold."""

from __future__ import annotations

from typing import Any

AT = "2026-11-23T12:00:00Z"


def condition(kind: str, status: str, reason: str) -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": "for a person",
        "lastTransitionTime": AT,
        "observedGeneration": 3,
    }


def full_pool_status() -> dict[str, Any]:
    quantiles = {"p50": "0.05", "p99": "0.4"}
    energy = {
        "joulesPerToken": "0.2",
        "tokensPerSecondPerMegawatt": "2800000",
        "gramsCO2PerMillionTokens": "21",
    }
    return {
        "observedGeneration": 3,
        "conditions": [
            condition("Ready", "True", "StatusPublished"),
            condition("DenominatorHealthy", "True", "Healthy"),
        ],
        "observationTime": AT,
        "windowSeconds": 300,
        "optimizationsActive": "4/5",
        "serving": {
            "engine": "vllm",
            "engineVersion": "0.32.0",
            "model": "deepseek-ai/DeepSeek-R1",
            "method": "mtp",
            "roles": [{"name": "aggregated", "replicas": 8, "gpus": "64"}],
            "replicas": 8,
            "coverage": "7/8",
        },
        "gpus": {
            "held": "64",
            "observed": "64",
            "products": ["NVIDIA-B200"],
            "busyShare": "0.93",
            "tensorActiveShare": "0.41",
            "memoryUsedShare": "0.9",
            "throttledShare": "0",
        },
        "cost": {
            "currency": "USD",
            "perMillionTokens": "0.1228",
            "perMillionTokensUncached": "0.21",
            "allCostPerMillionOutputTokens": "1.1",
            "perMillionInputTokens": "0.05",
            "perMillionOutputTokens": "0.7",
            "perHour": "169.6",
            "perGPUHour": "2.65",
            "priceSource": "Factory",
            "priceAsOf": "2026-04-15",
            "idleShare": "0.04",
            "projectedPerMonth": "1228",
            "grade": "measured",
        },
        "throughput": {
            "tokensPerSecond": "384000",
            "tokensPerSecondPerGPU": "6000",
            "inputTokensPerSecond": "340000",
            "outputTokensPerSecond": "44000",
            "cachedInputShare": "0.5",
            "tokensPerSecondPerUser": "75",
            "concurrency": "586.7",
        },
        "latency": {
            "timeToFirstTokenSeconds": quantiles,
            "interTokenLatencySeconds": quantiles,
            "queueSeconds": quantiles,
        },
        "energy": {
            "measured": {"watts": "51200", "coverage": "1", **energy},
            "provisioned": {"kilowatts": "138.9", **energy},
        },
        "efficiency": {"ofReference": "0.48", "ofBaseline": "1.01", "load": "0.8"},
        "optimizations": [
            {
                "name": "FP4",
                "policy": "Required",
                "declared": "--quantization modelopt_fp4",
                "state": "Active",
                "evidence": "checkpoint",
                "observed": "compute capability 10.0",
                "replicas": "8/8",
                "savingPerMillionTokens": "0.04",
            }
        ],
        "findings": [
            {"cause": "PaidIdle", "message": "8 GPUs made no token", "costPerHour": "21.2", "pool": "a/b"}
        ],
    }


def full_factory_status() -> dict[str, Any]:
    states = (
        "healthy",
        "lowDemand",
        "saturated",
        "efficiencyDegraded",
        "engineStalled",
        "warmingUp",
        "blind",
        "suspended",
        "invalid",
    )
    basis = {"megawatts": "0.5", "tokensPerSecondPerMegawatt": "2800000"}
    return {
        "observedGeneration": 1,
        "conditions": [condition("Ready", "True", "StatusPublished")],
        "observationTime": AT,
        "pools": 12,
        "gpus": {"held": "96.5"},
        "throughput": {"tokensPerSecond": "1400000"},
        "cost": {"currency": "USD", "perHour": "255.7", "perMillionTokens": "0.0507"},
        "energy": {"measured": basis, "provisioned": basis, "tokensPerHourAtBudget": "100800000000"},
        "verdicts": {**dict.fromkeys(states, 1), "throughputCollapsed": 3},
        "findings": [
            {"cause": "PaidIdle", "message": "8 GPUs made no token", "costPerHour": "21.2", "pool": "a/b"}
        ],
    }
