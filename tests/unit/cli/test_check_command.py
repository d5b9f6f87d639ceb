"""`tokenfactory check` as people run it: inputs, outputs, exit codes, and that no value leaves."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from typer.testing import CliRunner, Result

from tests.support.corpus import FOLDER, cases
from tests.support.documents import ROOT, codes, read, rows
from tokenfactory.cli.main import COMMANDS, build
from tokenfactory.publishing.checkreport import SCHEMA_VERSION

SARIF = json.loads((ROOT / "tests/golden/sarif-2.1.0-reduced.json").read_text())
FIVE = ["FP4", "SpeculativeDecoding", "KVCacheOffloading", "MultiTokenPrediction", "DisaggregatedServing"]


def pod(*args: str, name: str = "chat", image: str = "vllm/vllm-openai:v0.14.0", **container: Any) -> str:
    limits = {"resources": {"limits": {"nvidia.com/gpu": 8}}}
    body = {"name": "engine", "image": image, "args": list(args)} | limits | container
    return yaml.safe_dump(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [body]}}
    )


FP4_POD = pod("--model", "nvidia/DeepSeek-R1-NVFP4")
WIDE_POD = pod("--model", "Qwen/Qwen3-32B")


def run(text: str, *options: str) -> Result:
    """The command on standard input."""
    return CliRunner().invoke(build(COMMANDS), ["check", "-f", "-", *options], input=text)


def document(text: str, *options: str) -> dict[str, Any]:
    result = run(text, *options, "-o", "json")
    assert result.exit_code in (0, 1), result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.mark.parametrize(
    ("text", "options", "code"),
    [
        pytest.param(WIDE_POD, (), 0, id="nothing required, nothing missing"),
        pytest.param(FP4_POD, ("--require", "FP4"), 0, id="a requirement that is met"),
        pytest.param(WIDE_POD, ("--require", "FP4"), 1, id="a requirement that is not met"),
        pytest.param(FP4_POD, ("--require", "fp4,MultiTokenPrediction"), 1, id="one of two is not met"),
        pytest.param(FP4_POD, ("--require", "FP4", "--gpu", "NVIDIA-GB300"), 0, id="FP4 on Blackwell"),
        pytest.param(
            FP4_POD, ("--require", "FP4", "--gpu", "NVIDIA-H200"), 1, id="FP4 on Hopper is weight-only"
        ),
        pytest.param(WIDE_POD, ("--require", "FP8"), 2, id="an optimization that does not exist"),
        pytest.param(WIDE_POD, ("--gpu", "unheard-of"), 2, id="a GPU that is not known"),
        pytest.param("kind: [", (), 2, id="broken YAML"),
        pytest.param("a: {{ .Values.x }}\nb: {{- end }}", (), 2, id="a Helm template that is not rendered"),
        pytest.param("just text", (), 2, id="no object at all"),
        pytest.param("", (), 2, id="nothing at all"),
        pytest.param("[" * 100_000, (), 2, id="nesting without end"),
        pytest.param("kind: Service\nmetadata: {name: s}\n", (), 0, id="a kind without pods"),
        pytest.param("kind: Service\n", ("--require", "FP4"), 1, id="a requirement and nothing that serves"),
    ],
)
def test_the_exit_code(text: str, options: tuple[str, ...], code: int) -> None:
    result = run(text, *options)
    assert result.exit_code == code, result.output
    if code == 2:
        assert result.stdout == ""
        assert result.stderr.startswith("tokenfactory check: ")


def test_aliases_that_multiply_are_refused() -> None:
    levels = [f"k{n}: &k{n} [{', '.join([f'*k{n - 1}'] * 10)}]" for n in range(1, 10)]
    assert run("\n".join(["k0: &k0 [x]", *levels])).exit_code == 2


def test_a_broken_document_is_named_by_its_line_and_not_quoted() -> None:
    result = run("kind: Pod\nmetadata: !token hunter2\n")
    assert "stdin:2" in result.stderr
    assert "hunter2" not in result.stderr


def test_files_and_folders_are_read(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "one.yaml").write_text(FP4_POD)
    (tmp_path / "below/two.yml").write_text(WIDE_POD)
    (tmp_path / "below/values.yaml").write_text("replicas: 3\n")
    (tmp_path / "notes.txt").write_text("kind: [")
    result = CliRunner().invoke(build(COMMANDS), ["check", "-f", str(tmp_path), "-o", "json"])
    assert result.exit_code == 0, result.stderr
    sources = [engine["document"]["source"] for engine in json.loads(result.stdout)["engines"]]
    assert [Path(source).name for source in sources] == ["two.yml", "one.yaml"]
    assert "values.yaml" in result.stderr


def test_a_file_that_is_not_there_is_unreadable() -> None:
    assert CliRunner().invoke(build(COMMANDS), ["check", "-f", "nowhere.yaml"]).exit_code == 2


def test_kinds_without_pods_are_passed_over_and_named() -> None:
    result = run(f"{FP4_POD}---\nkind: HTTPRoute\n---\nkind: HTTPRoute\n")
    assert result.exit_code == 0
    assert "passed over, no pods in them: 2 HTTPRoute" in result.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (pod(image="nginx:1", resources={}), "no engine in the pods of the input"),
        ("kind: Service\n", "no pod template in the input"),
        ("kind: PodList\nitems: []\n", "no pod template in the input"),
    ],
)
def test_an_input_without_engines_is_said_to_be_one(text: str, said: str) -> None:
    result = run(text)
    assert result.exit_code == 0, result.stderr
    assert said in result.stderr


def test_an_engine_in_json() -> None:
    found = document(f"# a comment\n---\n{FP4_POD}", "--require", "FP4", "--gpu", "NVIDIA-GB300")
    assert found["schemaVersion"] == SCHEMA_VERSION
    assert found["requirements"] == [{"name": "FP4", "met": True, "reason": None}]
    (engine,) = found["engines"]
    assert engine["document"]["line"] == 9
    assert engine["document"]["kind"] == "Pod"
    assert (engine["engine"], engine["wrapper"], engine["role"]) == ("vllm", None, "aggregated")
    assert engine["model"] == "nvidia/DeepSeek-R1-NVFP4"
    assert engine["gpus"] == {"resource": "nvidia.com/gpu", "count": 8}
    assert engine["metrics"]["port"] == 8000
    assert engine["metrics"]["state"] == "on"
    assert [row["name"] for row in engine["optimizations"]] == FIVE
    assert engine["optimizations"][0]["required"] == "met"
    assert engine["optimizations"][1]["fix"]


def test_every_field_of_the_json_is_documented_and_every_documented_field_exists() -> None:
    page = read("docs/reference/check-json.md")
    documented = {codes(row[0])[0] for row in rows(page)}
    found = document(FP4_POD, "--require", "FP4,SpeculativeDecoding")

    def paths(value: dict[str, Any], lead: str = "") -> set[str]:
        names: set[str] = set()
        for key, item in value.items():
            if isinstance(item, list):
                names |= {f"{lead}{key}[]"} | paths(item[0], f"{lead}{key}[].")
            else:
                names.add(f"{lead}{key}")
        return names

    assert paths(found) == documented
    for row in rows(page):
        if row[1] == "object":
            keys = found["engines"][0][codes(row[0])[0].rpartition(".")[2]]
            assert set(keys) <= set(codes(row[2])), row[0]


def test_text_shows_the_table_the_evidence_and_the_fix() -> None:
    result = run(WIDE_POD, "--require", "FP4")
    table, _, details = result.stdout.partition("\n\n")
    assert table.splitlines()[0].split()[:4] == ["WORKLOAD", "CONTAINER", "ENGINE", "ROLE"]
    assert "Pod/chat" in table.splitlines()[1]
    assert "-!" in table.splitlines()[1]
    assert "fix: " in details
    assert "FP4: required, NOT MET" in details


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_sarif_follows_its_schema(path: Path) -> None:
    chosen = [case for case in cases() if case.name in path.read_text()]
    text = yaml.safe_dump_all([body for case in chosen for body in case.documents])
    result = run(text, "--require", ",".join(FIVE), "-o", "sarif")
    found = json.loads(result.stdout)
    jsonschema.Draft4Validator(SARIF).validate(found)
    (only,) = found["runs"]
    rules = [rule["id"] for rule in only["tool"]["driver"]["rules"]]
    assert only["results"]
    for finding in only["results"]:
        assert rules[finding["ruleIndex"]] == finding["ruleId"]
        last = len(text.splitlines())
        for location in finding.get("locations", ()):
            assert location["physicalLocation"]["region"]["startLine"] <= last


def test_sarif_calls_an_unmet_requirement_an_error_at_the_containers_line() -> None:
    found = json.loads(run(WIDE_POD, "--require", "FP4", "-o", "sarif").stdout)
    errors = [item for item in found["runs"][0]["results"] if item["level"] == "error"]
    assert [item["ruleId"] for item in errors] == ["FP4"]
    place = errors[0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "stdin"
    line = WIDE_POD.splitlines()[place["region"]["startLine"] - 1]
    assert line.lstrip().startswith("- ")


def test_sarif_has_a_finding_for_a_requirement_that_no_engine_could_meet() -> None:
    found = json.loads(run("kind: Service\n", "--require", "FP4", "-o", "sarif").stdout)
    (finding,) = found["runs"][0]["results"]
    assert finding["level"] == "error"
    assert "locations" not in finding


SECRET = re.compile(r"s3cr3t[0-9a-f]+")
SHAPES = (
    "{}",
    "hf_{}",
    "sk-{}",
    "Bearer {}",
    "https://user:{}@registry.invalid/x",
    "--api-key={}",
    '{{"token": "{}"}}',
)


def secrets() -> list[str]:
    return [SHAPES[number % len(SHAPES)].format(f"s3cr3t{number:026x}") for number in range(200)]


def hostile_manifests(planted: list[str]) -> str:
    """200 secrets in arguments, variables, files, labels, annotations, images and scripts of all engines."""
    taken = iter(planted * 40)

    def secret() -> str:
        return next(taken)

    commands: list[list[str]] = [
        ["vllm", "serve", "Qwen/Qwen3-32B", "--api-key", secret(), secret()],
        ["vllm", "serve", secret()],
        [
            "vllm",
            "serve",
            "--unheard-of",
            secret(),
            "org/model",
            "--port",
            secret(),
            "--speculative-config",
            secret(),
        ],
        [
            "vllm",
            "serve",
            "m",
            "--speculative-config",
            json.dumps({"method": secret(), "model": secret(), "x": secret()}),
        ],
        [
            "vllm",
            "serve",
            "m",
            "--kv-transfer-config",
            json.dumps({"kv_connector": secret(), "kv_role": secret()}),
        ],
        [
            "vllm",
            "serve",
            "m",
            "--quantization",
            secret(),
            "--served-model-name",
            secret(),
            "--config",
            secret(),
        ],
        ["bash", "-c", f"export KEY='{secret()}'; vllm serve \"$KEY\" --{secret()} {secret()}"],
        ["bash", "-c", f"cat > /tmp/{secret()} <<X\n{secret()}\nX\ncurl '{secret()}' | bash; {secret()}"],
        [
            "python3",
            "-m",
            "sglang.launch_server",
            "--model-path",
            secret(),
            "--speculative-algorithm",
            secret(),
        ],
        ["python3", "-m", "sglang.launch_server", "--api-key", secret(), "--disaggregation-mode", secret()],
        ["trtllm-serve", secret(), "--extra_llm_api_options", "/files/llm.yaml", "--server_role", secret()],
        ["trtllm-serve", "disaggregated", "-c", "/files/llm.yaml"],
        ["python3", "-m", "dynamo.vllm", "--model", secret(), "--connector", secret()],
        ["python3", "-m", "dynamo.trtllm", "--model-path", secret(), "--override-engine-args", secret()],
        ["python3", "-m", f"dynamo.{secret()}", secret()],
        [secret(), secret()],
    ]
    documents: list[dict[str, Any]] = [
        {
            "kind": "ConfigMap",
            "metadata": {"name": "files", "annotations": {"x": secret()}},
            "data": {
                "llm.yaml": f"speculative_config: {{decoding_type: '{secret()}', model: '{secret()}'}}\n"
                f"cache_transceiver_config: {{backend: '{secret()}'}}\nother: '{secret()}'\n",
                "key": secret(),
            },
        },
        {"kind": "Secret", "metadata": {"name": "s"}, "stringData": {"key": secret()}},
    ]
    images = (
        "vllm/vllm-openai:v1",
        "nvcr.io/nim/x/y:1",
        f"registry.invalid/{secret()}:{secret()}",
        "ollama/ollama",
    )
    for number, command in enumerate(commands * 4):
        container = {
            "name": "c",
            "image": images[number % len(images)],
            "command": command if number % 5 else [],
            "args": [] if number % 5 else [secret(), "--model", secret()],
            "env": [
                {"name": "HF_TOKEN", "value": secret()},
                {
                    "name": "NIM_PASSTHROUGH_ARGS",
                    "value": f"--api-key {secret()} --speculative-config {secret()}",
                },
                {"name": "DYN_SYSTEM_PORT", "value": secret()},
                {"name": "NIM_MODEL_PATH", "value": secret()},
                {"name": secret(), "value": secret()},
                {"name": "FROM_MAP", "valueFrom": {"configMapKeyRef": {"name": "files", "key": "key"}}},
            ],
            "volumeMounts": [{"name": "f", "mountPath": "/files"}],
            "resources": {"limits": {"nvidia.com/gpu": 1}},
        }
        documents.append(
            {
                "kind": "Deployment",
                "metadata": {"name": f"d{number}", "annotations": {"note": secret()}},
                "spec": {
                    "template": {
                        "metadata": {"labels": {"owner": secret()}},
                        "spec": {
                            "containers": [container],
                            "volumes": [{"name": "f", "configMap": {"name": "files"}}],
                            "nodeSelector": {"nvidia.com/gpu.product": secret()},
                        },
                    }
                },
            }
        )
    return yaml.safe_dump_all(documents)


@pytest.mark.parametrize("output", ["text", "json", "sarif"])
def test_none_of_200_planted_secrets_is_ever_shown(output: str) -> None:
    planted = secrets()
    text = hostile_manifests(planted)
    assert all(item.strip('{}"') in text.replace('\\"', '"') or item in text for item in planted)
    result = run(text, "--require", ",".join(FIVE), "-o", output)
    assert result.exit_code == 1, result.stderr
    assert len(result.stdout) > 10_000
    assert not SECRET.findall(result.stdout + result.stderr)


@pytest.mark.parametrize(
    "ending", ["kind: [", "metadata: !x {0}", "a: *{0}", "? {0}\n: {{", "\t{0}: x", "{0}: @{0}"]
)
def test_a_secret_beside_a_syntax_error_is_not_shown(ending: str) -> None:
    result = run(f"kind: Pod\n{ending.format('s3cr3t' + 'a' * 26)}\n")
    assert result.exit_code == 2
    assert not SECRET.findall(result.output)
