"""What the guard says of a workload: only what is certain is refused, and what runs is never held up."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tokenfactory.guard import LONGEST_TOLD, MOST_TOLD, examine
from tokenfactory.model import (
    Factory,
    Guard,
    LabelSelector,
    OptimizationName,
    Policy,
    Pool,
    PoolKey,
    Requirement,
    Terms,
)

MTP = '--speculative-config={"method":"mtp","num_speculative_tokens":1}'
NGRAM = '--speculative-config={"method":"ngram","num_speculative_tokens":4}'


def deployment(*args: str, labels: dict[str, str] | None = None, **container: Any) -> dict[str, Any]:
    served = {
        "name": "vllm",
        "image": "vllm/vllm-openai:v0.32.0",
        "args": ["--model=nvidia/DeepSeek-R1-NVFP4", *args],
        **container,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "chat", "namespace": "serving"},
        "spec": {
            "replicas": 2,
            "template": {
                "metadata": {"labels": labels or {"app": "chat"}},
                "spec": {"containers": [served]},
            },
        },
    }


def pool(
    guard: Guard, *required: OptimizationName, policy: Policy = Policy.REQUIRED, name: str = "chat"
) -> tuple[Pool, Terms]:
    spec = Pool(
        key=PoolKey("serving", name), uid=name, generation=1, selector=LabelSelector((("app", "chat"),))
    )
    rows = tuple(Requirement(name=each, policy=policy) for each in required)
    return spec, Terms(factory=Factory(guard=guard), requirements=rows)


DENY_MTP = pool(Guard.DENY, OptimizationName.MULTI_TOKEN_PREDICTION)


@pytest.mark.parametrize(
    ("document", "rule", "refused", "warned"),
    [
        pytest.param(deployment(), DENY_MTP, True, False, id="a lack is refused under Deny"),
        pytest.param(deployment(MTP), DENY_MTP, False, False, id="what is declared passes"),
        pytest.param(deployment(NGRAM), DENY_MTP, True, False, id="another method is not MTP"),
        pytest.param(
            deployment(),
            pool(Guard.WARN, OptimizationName.MULTI_TOKEN_PREDICTION),
            False,
            True,
            id="the same lack is a warning under Warn",
        ),
        pytest.param(
            deployment(),
            pool(Guard.OFF, OptimizationName.MULTI_TOKEN_PREDICTION),
            False,
            False,
            id="nothing is said under Off",
        ),
        pytest.param(
            deployment(),
            pool(Guard.DENY, OptimizationName.MULTI_TOKEN_PREDICTION, policy=Policy.PREFERRED),
            False,
            False,
            id="what is preferred holds up nobody",
        ),
        pytest.param(
            deployment(labels={"app": "other"}), DENY_MTP, False, False, id="what no pool selects passes"
        ),
        pytest.param(
            deployment("--config", "/etc/vllm/flags.yaml"),
            DENY_MTP,
            False,
            True,
            id="what the manifest can't tell is a warning even under Deny",
        ),
        pytest.param(
            deployment(args=["--model=org/model"]),
            pool(Guard.DENY, OptimizationName.FP4),
            True,
            False,
            id="a wide model where FP4 is required",
        ),
        pytest.param(
            deployment("--kv-offloading-size=0"),
            pool(Guard.DENY, OptimizationName.KV_CACHE_OFFLOADING),
            True,
            False,
            id="an offload of size zero can't work",
        ),
        pytest.param(
            deployment(image="nginx:1.29", args=[]), DENY_MTP, False, False, id="what serves no model passes"
        ),
        pytest.param({}, DENY_MTP, False, False, id="an empty document"),
        pytest.param({"metadata": 3, "spec": []}, DENY_MTP, False, False, id="a document of the wrong types"),
    ],
)
def test_the_ruling(document: dict[str, Any], rule: tuple[Pool, Terms], refused: bool, warned: bool) -> None:
    ruling = examine(document, namespace="serving", pools=[rule])
    assert (bool(ruling.refusals), bool(ruling.warnings)) == (refused, warned)


def test_a_refusal_names_the_pool_the_container_and_the_flag_to_add() -> None:
    (line,) = examine(deployment(), namespace="serving", pools=[DENY_MTP]).refusals
    assert line.startswith('InferencePool "chat" requires MultiTokenPrediction, and container vllm')
    assert "--speculative-config" in line


def test_scaling_a_workload_that_lacks_it_is_never_held_up() -> None:
    before = deployment()
    after = copy.deepcopy(before)
    after["spec"]["replicas"] = 20
    assert not examine(after, namespace="serving", pools=[DENY_MTP], before=before).refusals


def test_a_changed_template_is_looked_at_again() -> None:
    before, after = deployment(MTP), deployment()
    assert examine(after, namespace="serving", pools=[DENY_MTP], before=before).refusals


def test_a_pod_that_a_controller_made_is_passed_over() -> None:
    template = deployment()["spec"]["template"]
    owner = [{"kind": "ReplicaSet", "name": "chat-1", "controller": True}]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "labels": {"app": "chat"}, "ownerReferences": owner},
        "spec": template["spec"],
    }
    assert not examine(pod, namespace="serving", pools=[DENY_MTP]).refusals
    del pod["metadata"]["ownerReferences"]
    assert examine(pod, namespace="serving", pools=[DENY_MTP]).refusals


def test_an_offload_on_one_role_is_not_asked_of_the_other() -> None:
    decode = deployment(labels={"app": "chat", "llm-d.ai/role": "decode"})
    rule = pool(Guard.DENY, OptimizationName.KV_CACHE_OFFLOADING)
    assert not examine(decode, namespace="serving", pools=[rule]).refusals


def test_what_is_told_is_short_however_many_pools_select_the_workload() -> None:
    rules = [
        pool(Guard.DENY, *OptimizationName, name=f"a-pool-with-a-long-name-{number:03d}")
        for number in range(50)
    ]
    ruling = examine(deployment(args=["--model=org/model"]), namespace="serving", pools=rules)
    assert len(ruling.refusals) == MOST_TOLD
    assert max(map(len, ruling.refusals)) <= LONGEST_TOLD
