"""The operator's own path: engines that are not scraped yet are still read."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.unit.inspection.reports_of import FP4, PD, SPEC, container
from tokenfactory.inspection.fleet import inspect
from tokenfactory.model import (
    Container,
    DeclarationState,
    Engine,
    EngineKind,
    Fleet,
    FleetReason,
    Inspected,
    OptimizationName,
    Pod,
    Replica,
    Role,
)

S = DeclarationState


def inspected(kind: EngineKind, command: str, labels: Mapping[str, str]) -> Inspected:
    engine = Engine(container=container(command), kind=kind, problem=FleetReason.ENGINE_NOT_SUPPORTED)
    pod = Pod(namespace="n", name="p", uid="u", labels=labels)
    replica = Replica(pod=pod, node=None, gpus=8.0, product=None, engines=(engine,))
    return inspect(Fleet(replicas=(replica,)))[0]


@pytest.mark.parametrize(
    ("kind", "command", "name", "state"),
    [
        (
            EngineKind.SGLANG,
            "sglang serve m --disaggregation-mode decode --speculative-algorithm NEXTN",
            SPEC,
            S.DECLARED,
        ),
        (EngineKind.TENSORRT_LLM, "trtllm-serve nvidia/DeepSeek-R1-FP4", FP4, S.BY_CHECKPOINT),
        (EngineKind.VLLM, "python3 -m dynamo.vllm --model m --disaggregation-mode prefill", PD, S.INVALID),
        (EngineKind.TGI, "text-generation-launcher --speculate 3", SPEC, S.OPAQUE),
    ],
)
def test_engines_that_are_not_scraped_are_read(
    kind: EngineKind, command: str, name: OptimizationName, state: DeclarationState
) -> None:
    found = inspected(kind, command, {})
    assert next(item for item in found.declarations if item.optimization is name).state is state


SCRIPT = "cat > /c.yml <<EOF\n{settings}EOF\ntrtllm-serve m --config /c.yml"
MTP_ON = "speculative_config:\n  decoding_type: MTP\n  max_draft_len: {length}\n"


def epoch(kind: EngineKind, command: str) -> str:
    return inspected(kind, command, {}).epoch


def test_a_flag_or_a_file_that_changes_what_an_engine_does_begins_a_new_epoch() -> None:
    plain = "python3 -m sglang.launch_server --model-path m --tp-size 2"
    assert epoch(EngineKind.SGLANG, plain) == epoch(EngineKind.SGLANG, f"{plain} --port 9000")
    assert epoch(EngineKind.SGLANG, plain) != epoch(EngineKind.SGLANG, f"{plain} --hicache-ratio 3")
    off, on = (SCRIPT.format(settings=text) for text in ("{}\n", MTP_ON.format(length=3)))
    engines = [
        Engine(
            container=Container(name="c", image="i", command=("bash", "-c", text)),
            kind=EngineKind.TENSORRT_LLM,
        )
        for text in (off, on)
    ]
    epochs = [
        inspect(
            Fleet(
                replicas=(
                    Replica(
                        pod=Pod(namespace="n", name="p", uid="u"),
                        node=None,
                        gpus=1.0,
                        product=None,
                        engines=(engine,),
                    ),
                )
            )
        )[0].epoch
        for engine in engines
    ]
    assert epochs[0] != epochs[1]


def test_labels_say_the_role_where_the_command_line_does_not() -> None:
    labels = {"nvidia.com/dynamo-sub-component-type": "decode"}
    assert inspected(EngineKind.VLLM, "python3 -m dynamo.vllm --model m", labels).role is Role.DECODE
    assert inspected(EngineKind.VLLM, "python3 -m dynamo.vllm --model m", {}).role is Role.AGGREGATED
