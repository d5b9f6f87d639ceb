"""`status.serving.engine` names the engine behind what runs it, as the pods and their pages say it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.golden.replay.test_captured_engines import CAPTURES, ENGINES, Server, pages_of, status_of

VLLM = pages_of(CAPTURES / "vllm-0.32.0" / "a-plain", ("metrics-before.prom", "metrics-after.prom"))
SGLANG = pages_of(ENGINES / "sglang" / "0.5.23-plain")
NIM_1X = tuple(page.replace(b"vllm:", b"") for page in VLLM)
DYNAMO = "DYN_SYSTEM_PORT=8000 python3 -m dynamo.vllm --model m"
SGLANG_COMMAND = "python3 -m sglang.launch_server --model-path m --enable-metrics --host 0.0.0.0 --port 8000"


def server(command: str, pages: Any = VLLM) -> Server:
    return Server("server", command, pages, 1, 8000)


@pytest.mark.parametrize(
    ("command", "engine"),
    [
        pytest.param("vllm serve m", "vllm", id="an engine alone"),
        pytest.param(DYNAMO, "dynamo/vllm", id="a worker of Dynamo"),
    ],
)
def test_the_engine_is_named_behind_its_wrapper(command: str, engine: str) -> None:
    assert status_of(server(command))["serving"]["engine"] == engine


@pytest.mark.parametrize(
    ("labels", "engine"),
    [
        ({"llm-d.ai/role": "prefill"}, "llm-d/vllm"),
        ({"llm-d.ai/guide": "any"}, "llm-d/vllm"),
        ({"serving.kserve.io/inferenceservice": "chat"}, "kserve/vllm"),
        ({"llm-d.ai/role": "prefill", "app.kubernetes.io/part-of": "llminferenceservice"}, "kserve/vllm"),
        ({"app": "pool", "team": "x"}, "vllm"),
    ],
)
def test_the_labels_of_its_pod_say_who_runs_it(labels: dict[str, str], engine: str) -> None:
    found = replace(server("vllm serve m"), labels=labels)
    assert status_of(found)["serving"]["engine"] == engine


@pytest.mark.parametrize(
    ("pages", "labels", "engine"),
    [
        pytest.param(VLLM, {}, "nim/vllm", id="vLLM inside"),
        pytest.param(SGLANG, {}, "nim/sglang", id="SGLang inside"),
        pytest.param(NIM_1X, {}, "nim", id="1.x, whose page does not say"),
        pytest.param(
            VLLM,
            {"app.kubernetes.io/managed-by": "k8s-nim-operator"},
            "nim-operator/nim/vllm",
            id="a NIM of its operator",
        ),
    ],
)
def test_a_nim_is_named_with_the_engine_that_its_page_shows(
    pages: Any, labels: dict[str, str], engine: str
) -> None:
    found = Server("server", "exec nim-serve", pages, 1, 8000, labels)
    assert status_of(found)["serving"]["engine"] == engine


def test_several_kinds_are_listed_in_order() -> None:
    several = (server(DYNAMO), replace(server(SGLANG_COMMAND, SGLANG), name="other"))
    assert status_of(*several)["serving"]["engine"] == "dynamo/vllm, sglang"
