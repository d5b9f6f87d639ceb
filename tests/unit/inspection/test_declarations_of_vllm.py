from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.inspection.engines_of import ROWS, engine, fleet_of, inspected, row
from tokenfactory.inspection.fleet import inspect
from tokenfactory.model import DeclarationState, EngineKind, FleetReason, OptimizationName, Role

S = DeclarationState
NVFP4 = "nvidia/DeepSeek-R1-0528-NVFP4-v2"


def connector(name: str, role: str | None = "kv_both", **extra: Any) -> str:
    config: dict[str, Any] = {"kv_connector": name}
    config |= {"kv_role": role} if role else {}
    return json.dumps(config | ({"kv_connector_extra_config": extra} if extra else {}))


@pytest.mark.parametrize(
    ("args", "state", "source"),
    [
        pytest.param(("--model", "org/m"), S.NOT_DECLARED, "", id="nothing says FP4"),
        pytest.param(
            ("--model", "org/m", "--quantization", "modelopt_fp4"), S.DECLARED, "--quantization", id="a flag"
        ),
        pytest.param(("-q", "mxfp4"), S.DECLARED, "--quantization", id="the short flag"),
        pytest.param(
            ("--model", NVFP4, "--quantization=fp8"), S.NOT_DECLARED, "--quantization", id="fp8 is not FP4"
        ),
        pytest.param(
            ("--model", "m", "--kv-cache-dtype", "nvfp4"), S.NOT_DECLARED, "", id="the KV dtype is no weight"
        ),
        pytest.param(("--model", NVFP4), S.BY_CHECKPOINT, "model name", id="the checkpoint's name"),
        pytest.param(
            ("--model", NVFP4, "-q", "modelopt"), S.BY_CHECKPOINT, "model name", id="modelopt and a name"
        ),
        pytest.param(
            ("--model", "org/m", "-q", "modelopt"), S.OPAQUE, "--quantization", id="modelopt may be fp8"
        ),
        pytest.param(
            ("--model", "openai/gpt-oss-120b"), S.BY_CHECKPOINT, "model name", id="gpt-oss is MXFP4"
        ),
        pytest.param(("--model", "x/gpt-oss-20b-BF16"), S.NOT_DECLARED, "", id="gpt-oss converted to BF16"),
        pytest.param(
            ("--model", "/cache/deepseek-r1-fp4/"), S.BY_CHECKPOINT, "model name", id="a path that tells"
        ),
        pytest.param(
            ("--model", "/models/fp4/r1"), S.OPAQUE, "--model", id="only the last part of a path tells"
        ),
        pytest.param(("--model", "s3://bucket/r1"), S.OPAQUE, "--model", id="a remote path"),
        pytest.param(("--model", "$(MODEL)"), S.OPAQUE, "--model", id="a model from a variable"),
        pytest.param(
            ("--model", "org/m", "-q", "$(Q)"), S.OPAQUE, "--quantization", id="a flag from a variable"
        ),
        pytest.param((), S.OPAQUE, "--model", id="no model said"),
        pytest.param(("--model", "org/fp4free"), S.NOT_DECLARED, "", id="a part of a word is no FP4"),
    ],
)
def test_fp4(args: tuple[str, ...], state: DeclarationState, source: str) -> None:
    found = row("fp4", *args)
    assert (found.state, found.source) == (state, source)
    assert found.explanation


@pytest.mark.parametrize(
    ("args", "env", "forced"),
    [
        (("--moe-backend", "marlin"), (), True),
        (("--linear-backend=emulation",), (), True),
        (("--kernel-config.moe_backend", "marlin"), (), True),
        ((), (("VLLM_MXFP4_USE_MARLIN", "1"),), True),
        ((), (("VLLM_MXFP4_USE_MARLIN", "0"),), False),
        (("--model", "r/llama-NVFP4A16"), (), True),
        (("--moe-backend", "flashinfer_trtllm"), (), False),
        (("--model", NVFP4), (), False),
    ],
)
def test_forced_weight_only_kernels(args: tuple[str, ...], env: Any, forced: bool) -> None:
    assert inspected(*args, env=env).weight_only_forced is forced


@pytest.mark.parametrize(
    ("config", "spec", "mtp", "method"),
    [
        ('{"method":"ngram","num_speculative_tokens":4}', S.DECLARED, S.NOT_DECLARED, "ngram"),
        ('{"method":"mtp","num_speculative_tokens":1}', S.DECLARED, S.DECLARED, "mtp"),
        ('{"method":"deepseek_mtp"}', S.DECLARED, S.DECLARED, "mtp"),
        ('{"method":"qwen3-next-mtp"}', S.DECLARED, S.DECLARED, "mtp"),
        ('{"num-speculative-tokens":2}', S.DECLARED, S.DECLARED, "mtp"),
        (
            '{"method":"eagle3","model":"a/b","num_speculative_tokens":3}',
            S.DECLARED,
            S.NOT_DECLARED,
            "eagle3",
        ),
        ('{"model":"a/b","num_speculative_tokens":3}', S.DECLARED, S.NOT_DECLARED, "draft_model"),
        ('{"method":"hunter2"}', S.DECLARED, S.OPAQUE, "other"),
        ('{"method":"extract_hidden_states","num_speculative_tokens":1}', S.NOT_DECLARED, S.NOT_DECLARED, ""),
        ('{"method":"mtp","num_speculative_tokens":0}', S.INVALID, S.INVALID, "mtp"),
        ('{"method":"ngram","num_speculative_tokens":"4"}', S.INVALID, S.NOT_DECLARED, "ngram"),
        ('{"method":"mtp","rejection_sample_method":"synthetic"}', S.SIMULATED, S.SIMULATED, "mtp"),
        ('{"method":"eagle","synthetic_acceptance_length":2.4}', S.SIMULATED, S.NOT_DECLARED, "eagle"),
        ("null", S.OFF, S.OFF, ""),
        ("{}", S.OFF, S.OFF, ""),
        ("ngram", S.INVALID, S.INVALID, ""),
        ("$(SPEC)", S.OPAQUE, S.OPAQUE, ""),
    ],
)
def test_speculation(config: str, spec: DeclarationState, mtp: DeclarationState, method: str) -> None:
    args = ("--model", "org/m", "--speculative-config", config)
    assert (row("spec", *args).state, row("mtp", *args).state) == (spec, mtp)
    assert row("spec", *args).method == method
    assert row("spec", *args).source in ("--speculative-config", "")


@pytest.mark.parametrize(
    "args",
    [
        ("-sc", '{"method":"mtp"}'),
        ("--speculative_config.method", "mtp"),
        ("-sc.method=mtp",),
        ("--spec-method", "mtp", "--spec-tokens", "2"),
    ],
)
def test_every_spelling_of_speculation_is_read(args: tuple[str, ...]) -> None:
    assert row("mtp", *args).state is S.DECLARED


def test_no_speculation_asked_for() -> None:
    assert row("spec", "--model", "org/m").state is S.NOT_DECLARED
    assert row("mtp", "--model", "org/m").state is S.NOT_DECLARED


def test_a_speculator_checkpoint_speculates_without_a_flag() -> None:
    assert row("spec", "--model", "r/Qwen3-8B-speculator.eagle3").state is S.BY_CHECKPOINT


@pytest.mark.parametrize(
    ("args", "state"),
    [
        pytest.param((), S.NOT_DECLARED, id="nothing"),
        pytest.param(("--kv-offloading-size", "64"), S.DECLARED, id="a size"),
        pytest.param(("--kv-offloading-size", "0"), S.INVALID, id="size 0"),
        pytest.param(("--kv-offloading-size", "lots"), S.INVALID, id="no number"),
        pytest.param(("--kv-offloading-size", "nan"), S.INVALID, id="not a number"),
        pytest.param(("--kv-offloading-size", "$(S)"), S.OPAQUE, id="a size from a variable"),
        pytest.param(("--cpu-offload-gb", "64"), S.NOT_DECLARED, id="weights are no KV cache"),
        pytest.param(("--swap-space", "64"), S.NOT_DECLARED, id="swap space is no offloading"),
        pytest.param(
            ("--kv-transfer-config", connector("OffloadingConnector")), S.DECLARED, id="the connector"
        ),
        pytest.param(
            ("--kv-transfer-config", connector("OffloadingConnector", cpu_bytes_to_use=0)),
            S.INVALID,
            id="0 bytes",
        ),
        pytest.param(
            ("--kv-transfer-config", connector("OffloadingConnector", num_cpu_blocks=9)),
            S.DECLARED,
            id="9 blocks",
        ),
        pytest.param(("--kv-transfer-config", connector("LMCacheConnectorV1")), S.DECLARED, id="LMCache"),
        pytest.param(
            ("--kv-transfer-config", connector("LMCacheConnectorV1", "kv_producer")),
            S.OPAQUE,
            id="LMCache between roles",
        ),
        pytest.param(
            ("--kv-transfer-config", connector("DynamoConnector")), S.INVALID, id="KVBM without a tier"
        ),
        pytest.param(
            ("--kv-transfer-config", connector("NixlConnector")), S.NOT_DECLARED, id="NIXL stores nothing"
        ),
        pytest.param(
            (
                "--kv-transfer-config",
                connector(
                    "MultiConnector",
                    connectors=[
                        {"kv_connector": "NixlConnector", "kv_role": "kv_both"},
                        {"kv_connector": "OffloadingConnector", "kv_role": "kv_both"},
                    ],
                ),
            ),
            S.DECLARED,
            id="inside of a wrapper",
        ),
        pytest.param(("--kv-transfer-config", "{"), S.INVALID, id="no JSON"),
        pytest.param(("--kv-transfer-config", "$(KV)"), S.OPAQUE, id="from a variable"),
    ],
)
def test_offloading(args: tuple[str, ...], state: DeclarationState) -> None:
    assert row("offload", "--model", "org/m", *args).state is state


def test_kvbm_with_a_tier_offloads_and_with_a_hidden_one_is_opaque() -> None:
    args = ("--kv-transfer-config", connector("DynamoConnector"))
    assert row("offload", *args, env=(("DYN_KVBM_CPU_CACHE_GB", "64"),)).state is S.DECLARED
    assert row("offload", *args, opaque_env=("*",)).state is S.OPAQUE


def test_offloading_without_prefix_caching_says_that_nothing_is_reused() -> None:
    found = row("offload", "--kv-offloading-size", "8", "--no-enable-prefix-caching")
    assert found.state is S.INVALID
    assert "nothing can be reused" in found.explanation


@pytest.mark.parametrize(
    ("config", "state", "role"),
    [
        (connector("NixlConnector", "kv_producer"), S.DECLARED, Role.PREFILL),
        (connector("NixlConnector", "kv_consumer"), S.DECLARED, Role.DECODE),
        (connector("ExampleConnector", "kv_consumer"), S.DECLARED, Role.DECODE),
        (connector("NixlConnector", "kv_both"), S.DECLARED, Role.AGGREGATED),
        (connector("NixlConnector", None), S.INVALID, Role.AGGREGATED),
        (connector("MooncakeStoreConnector", "kv_both"), S.NOT_DECLARED, Role.AGGREGATED),
        (connector("OffloadingConnector", "kv_both"), S.NOT_DECLARED, Role.AGGREGATED),
        (connector("DecodeBenchConnector", "kv_both"), S.SIMULATED, Role.AGGREGATED),
        (
            connector("MultiConnector", "kv_consumer", connectors=[{"kv_connector": "NixlConnector"}]),
            S.DECLARED,
            Role.DECODE,
        ),
    ],
)
def test_disaggregation(config: str, state: DeclarationState, role: Role) -> None:
    args = ("--model", "org/m", "--kv-transfer-config", config)
    assert row("pd", *args).state is state
    assert inspected(*args).role is role


def test_the_pods_label_gives_the_role_where_kv_both_does_not() -> None:
    args = ("--kv-transfer-config", connector("NixlConnector"))
    assert inspected(*args, role=Role.PREFILL).role is Role.PREFILL
    assert (
        inspected("--kv-transfer-config", connector("NixlConnector", "kv_consumer"), role=Role.WORKER).role
        is Role.WORKER
    )


def test_dummy_weights_make_every_claim_simulated() -> None:
    args = (
        "--model",
        NVFP4,
        "-sc",
        '{"method":"mtp"}',
        "--kv-offloading-size",
        "8",
        "--load-format",
        "dummy",
    )
    assert [item.state for item in inspected(*args).declarations] == [
        S.SIMULATED,
        S.SIMULATED,
        S.SIMULATED,
        S.SIMULATED,
        S.NOT_DECLARED,
    ]


def test_a_configuration_file_may_say_more_than_the_flags() -> None:
    args = ("--model", NVFP4, "--config", "/etc/vllm.yaml")
    assert [item.state for item in inspected(*args).declarations] == [S.BY_CHECKPOINT, *[S.OPAQUE] * 4]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"command": ("sh", "-c", "vllm serve m $EXTRA")}, id="a script with a variable"),
        pytest.param({"command": ("sh", "-c", "if x; then vllm serve m; fi")}, id="a condition"),
        pytest.param({"command": ("sh", "-c", "vllm serve 'm")}, id="a broken script"),
        pytest.param({"command": ("sh", "-c", "vllm serve m & vllm serve n")}, id="two different servers"),
        pytest.param({"command": ("/bin/bash", "/start.sh")}, id="a script file"),
        pytest.param({"args": ("--model", "m", "$(EXTRA)")}, id="a variable that may be any flag"),
        pytest.param({"command": ("python3", "wrapper.py")}, id="a program of their own"),
        pytest.param({"args": ("$(=)",)}, id="a command line over the limits"),
    ],
)
def test_what_can_not_be_read_is_opaque_with_a_reason(changes: dict[str, Any]) -> None:
    found = inspected(**changes).declarations
    assert [item.optimization for item in found] == list(OptimizationName)
    assert {item.state for item in found} == {S.OPAQUE}
    assert len({item.explanation for item in found}) == 1


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(("sh", "-c", f"vllm serve {NVFP4}"), id="a shell script"),
        pytest.param(
            ("bash", "-lc", f"export M={NVFP4}\nexec vllm serve $M \\\n --port 1"), id="a longer one"
        ),
        pytest.param(("sh", "-c", 'exec "$@"', "x", "vllm", "serve", NVFP4), id="a shell that starts vllm"),
        pytest.param(("env", "A=b", "nice", "-n", "5", "vllm", "serve", NVFP4), id="words in front"),
    ],
)
def test_a_script_is_read_like_the_command_that_it_starts(command: tuple[str, ...]) -> None:
    assert row("fp4", command=command).state is S.BY_CHECKPOINT
    assert row("spec", command=command).state is S.NOT_DECLARED


def test_a_configuration_file_that_the_script_writes_is_read_below_the_command_line() -> None:
    script = f"""cat > /tmp/c.yaml <<'EOF'
model: {NVFP4}
speculative-config: '{{"method": "mtp", "num_speculative_tokens": 2}}'
kv-offloading-size: 0
EOF
vllm serve --config /tmp/c.yaml --kv-offloading-size 20"""
    command = ("bash", "-c", script)
    assert row("fp4", command=command).state is S.BY_CHECKPOINT
    assert row("mtp", command=command).state is S.DECLARED
    assert row("offload", command=command).state is S.DECLARED


def test_an_engine_whose_metrics_are_not_read_yet_is_inspected_all_the_same() -> None:
    command = ("python3", "-m", "sglang.launch_server", "--model-path", NVFP4)
    found = inspected(command=command, kind=EngineKind.SGLANG, problem=FleetReason.ENGINE_NOT_SUPPORTED)
    assert found.declarations[0].state is S.BY_CHECKPOINT


def test_a_program_that_nobody_knows_is_opaque_with_the_reason() -> None:
    found = row("fp4", command=("/app/server",), kind=EngineKind.OTHER, image="own:1")
    assert found.state is S.OPAQUE
    assert found.explanation == "the command names no server that is known here"


@pytest.mark.parametrize(
    "command",
    [
        ("vllm", "serve", "org/m", "-q", "mxfp4"),
        (
            "/usr/bin/python3",
            "-u",
            "-m",
            "vllm.entrypoints.openai.api_server",
            "--model=org/m",
            "-q",
            "mxfp4",
        ),
        ("numactl", "-N0", "vllm", "serve", "org/m", "-q", "mxfp4"),
    ],
)
def test_the_command_is_read_wherever_the_server_starts(command: tuple[str, ...]) -> None:
    found = inspected(command=command, args=())
    assert found.model == "org/m"
    assert found.declarations[0].state is S.DECLARED


def test_a_key_from_a_secret_hides_nothing_else() -> None:
    args = ("--model", "org/m", "--api-key", "$(API_KEY)", "-q", "mxfp4")
    assert row("fp4", *args, opaque_env=("API_KEY",)).state is S.DECLARED


def test_a_literal_variable_is_resolved() -> None:
    env = (("SPEC", '{"method":"mtp"}'),)
    assert row("mtp", "--speculative-config", "$(SPEC)", env=env).state is S.DECLARED


def test_one_answer_for_each_engine_in_order() -> None:
    found = inspect(fleet_of(*(engine("--model", "org/m") for _ in range(12))))
    assert [item.pod_uid for item in found] == sorted(f"u{index}" for index in range(12))
    assert {len(item.declarations) for item in found} == {len(ROWS)}
