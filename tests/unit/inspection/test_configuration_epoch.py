from __future__ import annotations

import pytest

from tests.unit.inspection.engines_of import engine, fleet_of, inspected
from tokenfactory.inspection.fleet import inspect
from tokenfactory.model import Fleet

BASE = (
    "--model",
    "org/m",
    "--tensor-parallel-size",
    "8",
    "-sc",
    '{"method":"mtp","num_speculative_tokens":1}',
)


@pytest.mark.parametrize(
    "same",
    [
        pytest.param((*BASE, "--port", "9000"), id="the port"),
        pytest.param((*BASE, "--api-key", "secret"), id="a key"),
        pytest.param(("--model=org/m", "-tp", "8", *BASE[4:]), id="another spelling"),
        pytest.param(
            (*BASE[:4], "-sc", '{"num_speculative_tokens":1,"method":"mtp"}'), id="the order of keys"
        ),
        pytest.param((*BASE[4:], *BASE[:4]), id="the order of flags"),
    ],
)
def test_what_does_not_change_the_configuration(same: tuple[str, ...]) -> None:
    assert inspected(*same).epoch == inspected(*BASE).epoch


@pytest.mark.parametrize(
    "other",
    [
        pytest.param((*BASE, "--max-num-seqs", "64"), id="a flag"),
        pytest.param(
            (*BASE[:4], "-sc", '{"method":"mtp","num_speculative_tokens":3}'), id="more draft tokens"
        ),
        pytest.param(("--model", "org/n", *BASE[2:]), id="the model"),
        pytest.param((*BASE, "--no-enable-prefix-caching"), id="a switch"),
        pytest.param(
            (*BASE, "--kv-transfer-config", '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'),
            id="a connector",
        ),
    ],
)
def test_what_changes_the_configuration(other: tuple[str, ...]) -> None:
    assert inspected(*other).epoch != inspected(*BASE).epoch


def test_the_image_that_runs_and_the_product_change_it() -> None:
    plain = inspected(*BASE).epoch
    assert inspected(*BASE, image_id="vllm@sha256:2").epoch != plain
    assert inspected(*BASE, image="vllm/vllm-openai:v0.34.0").epoch != plain
    assert inspect(fleet_of(engine(*BASE), product="NVIDIA-H200"))[0].epoch != plain


def test_replicas_on_different_gpus_have_different_epochs() -> None:
    first, second = (
        fleet_of(engine(*BASE)).replicas[0],
        fleet_of(engine(*BASE), product="NVIDIA-H200").replicas[0],
    )
    found = inspect(Fleet(replicas=(first, second)))
    assert len({item.epoch for item in found}) == 2


def test_a_script_has_an_epoch_of_the_flags_that_can_be_seen_in_it() -> None:
    def of(script: str) -> str:
        return inspected(command=("sh", "-c", script)).epoch

    assert of("vllm serve m --max-num-seqs 8") != of("vllm serve m --max-num-seqs 16")
    assert of("vllm serve m --max-num-seqs 8") == of("export T=secret; vllm serve m --max-num-seqs 8")
    assert len(of("x")) == 12
