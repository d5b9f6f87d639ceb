"""vLLM 0.21.0 on an NVIDIA H200, watched by the agent: four rollouts against what clients and nvidia-smi saw.

`frames.tar.xz` and `truth.json` are what `python -m tests.gpu.record` wrote there (docs/accuracy-gpu.md); the
GPU's UUID was replaced.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tokenfactory.runtime.files import Frame, SavedPage
from tokenfactory.runtime.offline import Replay

HERE = Path(__file__).parent
TRUTH: dict[str, dict[str, float]] = json.loads((HERE / "truth.json").read_text())
PRICE = 3.0
DUMMY = "--load-format=dummy"


@cache
def frames() -> Mapping[str, tuple[Frame, ...]]:
    """The frames of each phase."""
    found: dict[str, dict[float, dict[str, bytes]]] = {}
    with tarfile.open(HERE / "frames.tar.xz") as archive:
        for member in archive:
            if not member.isfile():
                continue
            phase, moment, name = member.name.removeprefix("./").split("/")
            page = archive.extractfile(member)
            assert page is not None
            found.setdefault(phase, {}).setdefault(float(moment), {})[name] = page.read()
    return {
        phase: tuple(_frame(at, files) for at, files in sorted(rows.items())) for phase, rows in found.items()
    }


def _frame(at: float, files: Mapping[str, bytes]) -> Frame:
    pages = {
        name.removesuffix(".prom"): SavedPage(body, at)
        for name, body in files.items()
        if name.endswith(".prom")
    }
    objects = files.get("objects.yaml")
    return Frame(at, pages, None if objects is None else tuple(yaml.safe_load_all(objects)))


@cache
def replay(phase: str, without: str = "") -> Mapping[str, Any]:
    """What the operator says of the phase's window; `without`: a flag that the pod's spec loses."""
    first, *others = frames()[phase]
    assert isinstance(first.objects, tuple)
    bodies = json.loads(json.dumps(first.objects))
    for container in (part for body in bodies for part in body.get("spec", {}).get("containers", ())):
        container["args"] = [flag for flag in container.get("args", ()) if flag != without]
    pool = {
        "apiVersion": "tokenfactory.dev/v1alpha1",
        "kind": "InferencePool",
        "metadata": {"name": "llm", "namespace": "inference"},
        "spec": {
            "selector": {"matchLabels": {"app": "llm"}},
            "windowSeconds": 75,
            "price": {"perGPUHour": str(PRICE)},
        },
    }
    factory = {
        "apiVersion": "tokenfactory.dev/v1alpha1",
        "kind": "TokenFactory",
        "metadata": {"name": "default"},
        "spec": {},
    }
    *_, last = Replay([factory, pool], bodies).run((Frame(first.at, first.pages), *others))
    return last.document()


def figure(document: Mapping[str, Any], name: str, *labels: str) -> float:
    """The figure of that name which has these label values."""
    rows = [row for row in document["figures"] if row["name"] == f"tokenfactory_pool_{name}"]
    (value,) = (row["value"] for row in rows if set(labels) <= set(row["labels"]))
    return float(value)


def state(document: Mapping[str, Any], optimization: str) -> str:
    rows = document["status"]["optimizations"]
    return next(str(row["state"]) for row in rows if row["name"] == optimization)


@pytest.mark.parametrize("phase", TRUTH)
def test_a_million_tokens_cost_what_the_clients_tokens_say(phase: str) -> None:
    truth = TRUTH[phase]
    per_million = PRICE * truth["seconds"] / 3600 / truth["tokens"] * 1e6
    assert figure(replay(phase), "cost_per_million_tokens", "total") == pytest.approx(per_million, rel=0.002)
    rate = truth["tokens"] / truth["seconds"]
    assert figure(replay(phase), "tokens_per_second_per_gpu") == pytest.approx(rate, rel=0.002)


@pytest.mark.parametrize("phase", TRUTH)
def test_the_watts_are_those_that_nvidia_smi_saw(phase: str) -> None:
    truth = TRUTH[phase]
    watts = truth["joules"] / truth["seconds"]
    assert figure(replay(phase), "power_watts", "measured") == pytest.approx(watts, rel=0.015)


@pytest.mark.parametrize(
    ("phase", "optimization", "found"),
    [
        ("plain", "SpeculativeDecoding", "Missing"),
        ("plain", "KVCacheOffloading", "Missing"),
        ("ngram", "SpeculativeDecoding", "Active"),
        ("ngram", "MultiTokenPrediction", "Missing"),
        ("offload", "KVCacheOffloading", "Active"),
        ("offload", "DisaggregatedServing", "Missing"),
        ("fp8", "FP4", "Missing"),
    ],
)
def test_what_a_rollout_switched_on_is_proven_by_its_counters(
    phase: str, optimization: str, found: str
) -> None:
    assert state(replay(phase, DUMMY), optimization) == found


@pytest.mark.parametrize(
    ("phase", "optimization"), [("ngram", "SpeculativeDecoding"), ("offload", "KVCacheOffloading")]
)
def test_a_model_of_dummy_weights_proves_nothing(phase: str, optimization: str) -> None:
    assert state(replay(phase), optimization) == "Simulated"


def test_the_acceptance_length_is_the_counters_own() -> None:
    """1 + 1,216,416 accepted tokens / 314,255 draft steps over the server's whole life."""
    assert figure(replay("ngram", DUMMY), "acceptance_length") == pytest.approx(4.871, rel=0.002)
