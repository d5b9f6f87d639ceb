from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.discovery.kube import Shelf, exporter, look, node, pod, pool
from tokenfactory.discovery.fleet import MOST_PODS, withhold
from tokenfactory.model import (
    EngineKind,
    Factory,
    Fleet,
    FleetProblem,
    FleetReason,
    LabelSelector,
    Pod,
    Role,
    TelemetryTerms,
    Terms,
)
from tokenfactory.ports import ReferencedPool

TERMS = Terms(factory=Factory())
ON_HOST = {"spec": {"hostNetwork": True}}


def found(*pods: Pod, exporters: list[Pod] | None = None, **changes: Any) -> Fleet:
    shelf = Shelf(list(pods), exporters=exporters if exporters is not None else [exporter()])
    return look(pool(**changes), TERMS, shelf)


def reasons(fleet: Fleet) -> list[FleetReason]:
    return [problem.reason for problem in fleet.problems]


def test_a_plain_vllm_pod_is_read_on_its_own_address() -> None:
    fleet = found(pod())
    replica = fleet.replicas[0]
    endpoint = replica.engines[0].endpoint
    assert endpoint is not None
    assert (endpoint.ip, endpoint.port, endpoint.path) == ("10.0.0.5", 8000, "/metrics")
    assert (endpoint.namespace, endpoint.node_network) == ("serving", False)
    assert (replica.gpus, replica.product) == (8.0, "NVIDIA-H200")
    assert fleet.problems == ()


def test_pods_are_sorted_by_name_and_each_uid_counts_once() -> None:
    twin = replace(pod("web-9"), uid="uid-web-1")
    fleet = found(pod("web-2"), twin, pod("web-1"))
    assert [replica.pod.name for replica in fleet.replicas] == ["web-1", "web-2"]


def test_a_matching_pod_of_another_namespace_is_never_seen() -> None:
    stranger = pod("other", metadata={"namespace": "foreign", "uid": "x"})
    assert [replica.pod.namespace for replica in found(pod(), stranger).replicas] == ["serving"]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"status": {"phase": "Succeeded"}}, id="a finished pod"),
        pytest.param({"status": {"phase": "Failed"}}, id="a failed pod"),
        pytest.param({"spec": {"nodeName": ""}, "status": {"phase": "Pending"}}, id="a pod without a node"),
        pytest.param(
            {"container": {"name": "api", "image": "nginx:1", "args": [], "resources": {}}},
            id="a pod that neither serves nor holds GPUs",
        ),
    ],
)
def test_what_holds_nothing_is_no_replica(changes: dict[str, Any]) -> None:
    fleet = found(pod(**changes))
    assert fleet.replicas == ()
    assert reasons(fleet) == [FleetReason.NO_PODS]


def test_nothing_selected_is_said() -> None:
    assert reasons(found()) == [FleetReason.NO_PODS]


def test_a_loading_pod_holds_its_gpus_and_is_no_failure() -> None:
    fleet = found(pod(status={"phase": "Pending", "podIP": None}))
    engine = fleet.replicas[0].engines[0]
    assert fleet.replicas[0].gpus == 8.0
    assert (engine.endpoint, engine.problem, engine.why_not) == (None, None, "the pod is not running yet")
    assert fleet.problems == ()


@pytest.mark.parametrize(
    ("container", "changes", "port"),
    [
        pytest.param({"args": ["--port", "9000"]}, {"metrics_port": 7777}, 7777, id="the pool's word wins"),
        pytest.param({"args": ["--port", "9000"]}, {}, 9000, id="--port as two words"),
        pytest.param({"args": ["--port=9000"]}, {}, 9000, id="--port with an equals sign"),
        pytest.param({"args": ["--port", "1", "--port", "9000"]}, {}, 9000, id="the last --port counts"),
        pytest.param({"args": ["--port", "70000"]}, {}, 8000, id="an impossible --port is passed over"),
        pytest.param(
            {"args": ["--port", "$(PORT)"], "env": [{"name": "PORT", "value": "9001"}]},
            {},
            9001,
            id="a variable",
        ),
        pytest.param({"args": [], "ports": [{"containerPort": 8200}]}, {}, 8200, id="the container's port"),
        pytest.param({"args": [], "ports": []}, {}, 8000, id="vLLM's default"),
        pytest.param(
            {"command": ["bash", "-c", "vllm serve m \\\n --port 8200"], "args": []},
            {},
            8200,
            id="over two lines",
        ),
        pytest.param(
            {"command": ["bash", "-c", "vllm serve m --port 8200 & proxy --port 8000"], "args": []},
            {},
            8200,
            id="the port of vLLM in a script, not of the next program",
        ),
    ],
)
def test_the_port_of_the_metrics_page(container: dict[str, Any], changes: dict[str, Any], port: int) -> None:
    endpoint = found(pod(container=container), **changes).replicas[0].engines[0].endpoint
    assert endpoint is not None
    assert endpoint.port == port


def by_reference(container: dict[str, Any], ports: tuple[int, ...]) -> Fleet:
    referenced = ReferencedPool(selector=LabelSelector((("app", "web"),)), ports=ports)
    return look(
        pool(selector=None, pool_ref="gie"),
        TERMS,
        Shelf([pod(container=container)], exporters=[exporter()]),
        referenced=referenced,
    )


def test_the_referenced_pools_port_is_used_unless_the_engine_says_its_own() -> None:
    written = by_reference({"args": []}, (8081,)).replicas[0].engines[0].endpoint
    behind_a_proxy = by_reference({"args": ["--port=8200"]}, (8081,)).replicas[0].engines[0].endpoint
    assert written is not None
    assert behind_a_proxy is not None
    assert (written.port, behind_a_proxy.port) == (8081, 8200)


def ports(fleet: Fleet) -> list[int | None]:
    return [engine.endpoint and engine.endpoint.port for engine in fleet.replicas[0].engines]


@pytest.mark.parametrize(
    ("fleet", "expected"),
    [
        pytest.param(by_reference({"args": []}, (8000, 8001)), [8000, 8001], id="the target ports"),
        pytest.param(by_reference({"args": ["--port=8000"]}, (8000, 8001)), [8000, 8001], id="its own"),
        pytest.param(
            by_reference({"args": ["--port=8200"]}, (8000, 8001)), [8200, 8201], id="behind a proxy for each"
        ),
        pytest.param(
            found(
                pod(container={"args": ["--data-parallel-multi-port-external-lb", "--data-parallel-size=3"]})
            ),
            [8000, 8001, 8002],
            id="a server for each data-parallel rank",
        ),
    ],
)
def test_a_server_on_each_of_several_ports_is_an_engine_for_each(
    fleet: Fleet, expected: list[int | None]
) -> None:
    assert ports(fleet) == expected
    assert [engine.instance for engine in fleet.replicas[0].engines] == [str(port) for port in expected]
    assert fleet.replicas[0].gpus == 8.0
    assert fleet.problems == ()


TWO_WORKERS = """
export DYN_NAMESPACE=d
python3 -m dynamo.frontend --http-port 8000 &
DYN_SYSTEM_PORT=9091 python3 -m dynamo.vllm --model m --disaggregation-mode prefill &
DYN_SYSTEM_PORT=9093 python3 -m dynamo.vllm --model m --disaggregation-mode decode &
wait
"""


def test_the_workers_of_one_container_are_told_apart_by_their_ports_and_the_frontend_is_left_out() -> None:
    fleet = found(pod(container={"command": ["bash", "-c", TWO_WORKERS], "args": []}))
    engines = fleet.replicas[0].engines
    assert ports(fleet) == [9091, 9093]
    assert [engine.instance for engine in engines] == ["9091", "9093"]
    assert {engine.wrapper for engine in engines} == {"dynamo"}


def test_a_port_of_the_pools_own_settles_which_of_several_is_read() -> None:
    referenced = ReferencedPool(selector=LabelSelector((("app", "web"),)), ports=(8000, 8001))
    own = pool(selector=None, pool_ref="gie", metrics_port=9000)
    fleet = look(own, TERMS, Shelf([pod()], exporters=[exporter()]), referenced=referenced)
    endpoint = fleet.replicas[0].engines[0].endpoint
    assert endpoint is not None
    assert endpoint.port == 9000


def test_rays_head_is_no_follower() -> None:
    script = {"command": ["sh", "-c", "ray start --head && /start.sh"], "args": []}
    assert found(pod(container=script)).replicas[0].engines[0].role is Role.AGGREGATED


def test_a_pod_with_device_claims_is_a_replica_without_limits() -> None:
    claims = {"resourceClaims": [{"name": "gpu", "resourceClaimName": "c"}]}
    fleet = found(pod(spec=claims, container={"image": "own:1", "args": [], "resources": {}}))
    assert [(replica.gpus, replica.engines) for replica in fleet.replicas] == [(0, ())]


def test_a_ready_exporter_goes_before_another_on_the_same_node() -> None:
    unready = exporter("a", status={"podIP": "192.168.0.9", "conditions": []})
    assert [item.endpoint.ip for item in found(pod(), exporters=[unready, exporter("b")]).exporters] == [
        "192.168.0.7"
    ]


def test_a_pool_reference_that_led_nowhere_is_a_problem() -> None:
    assert reasons(look(pool(selector=None, pool_ref="gone"), TERMS, Shelf([pod()]))) == [
        FleetReason.POOL_REF_NOT_FOUND
    ]


@pytest.mark.parametrize(
    ("container", "kind"),
    [
        pytest.param({"command": ["vllm", "serve", "m"]}, EngineKind.VLLM, id="vllm serve"),
        pytest.param(
            {"command": ["/opt/v/bin/vllm"], "args": ["serve", "m"]}, EngineKind.VLLM, id="a path to vllm"
        ),
        pytest.param(
            {"image": "x/y", "command": ["python3", "-m", "vllm.entrypoints.openai.api_server"]},
            EngineKind.VLLM,
            id="the module of vLLM's server",
        ),
        pytest.param(
            {"image": "mirror.local:5000/a/vllm-openai@sha256:0"}, EngineKind.VLLM, id="a mirrored image"
        ),
        pytest.param({"command": ["sh", "-c", "exec vllm serve m"]}, EngineKind.VLLM, id="in a script"),
        pytest.param(
            {"command": ["bash", "/scripts/start.sh"]}, EngineKind.VLLM, id="a script file in vLLM's image"
        ),
        pytest.param({"command": ["sleep", "infinity"]}, EngineKind.OTHER, id="sleep in vLLM's image"),
        pytest.param({"command": ["vllm", "bench"]}, EngineKind.OTHER, id="vllm bench is no server"),
        pytest.param({"image": "rocm/vllm:1"}, EngineKind.OTHER, id="an image whose entrypoint is no server"),
        pytest.param({"image": "acme/own:1", "args": ["--x"]}, EngineKind.OTHER, id="an unknown image"),
        pytest.param({"image": "lmsysorg/sglang:v1"}, EngineKind.SGLANG, id="SGLang's image"),
        pytest.param(
            {"image": "x/y", "command": ["python3", "-m", "sglang.launch_server"]},
            EngineKind.SGLANG,
            id="SGLang",
        ),
        pytest.param(
            {"command": ["trtllm-serve", "m"]}, EngineKind.TENSORRT_LLM, id="the command outranks the image"
        ),
        pytest.param({"image": "nvcr.io/nim/meta/llama:1"}, EngineKind.NIM, id="NIM"),
        pytest.param({"image": "nvcr.io/nvidia/tritonserver:1-trtllm"}, EngineKind.TRITON, id="Triton"),
        pytest.param({"image": "ghcr.io/hf/text-generation-inference:3"}, EngineKind.TGI, id="TGI"),
        pytest.param(
            {"command": ["python3", "-m", "dynamo.vllm"]}, EngineKind.VLLM, id="vLLM inside of Dynamo"
        ),
    ],
)
def test_engines_are_told_by_command_then_image(container: dict[str, Any], kind: EngineKind) -> None:
    assert found(pod(container=container)).replicas[0].engines[0].kind is kind


@pytest.mark.parametrize(
    ("container", "message"),
    [
        ({"image": "ghcr.io/hf/text-generation-inference:3"}, "engine not supported yet: tgi"),
        ({"image": "own:1"}, "engine not supported yet: an unknown server in container vllm"),
    ],
)
def test_an_engine_that_is_not_supported_holds_gpus_and_is_never_read(
    container: dict[str, Any], message: str
) -> None:
    fleet = found(pod(container=container))
    assert [problem.message for problem in fleet.problems] == [message]
    assert fleet.replicas[0].gpus == 8.0
    assert fleet.replicas[0].engines[0].endpoint is None


def served(command: str, **container: Any) -> dict[str, Any]:
    return {"command": command.split(), "args": [], "ports": [], **container}


@pytest.mark.parametrize(
    ("container", "place"),
    [
        pytest.param(
            served("python3 -m sglang.launch_server --model-path m --enable-metrics --host 0.0.0.0"),
            (30000, "/metrics"),
            id="SGLang on its default port",
        ),
        pytest.param(
            served("sglang serve --model-path m --port 8200 --enable-metrics"),
            (8200, "/metrics"),
            id="SGLang on a port of its own",
        ),
        pytest.param({"image": "lmsysorg/sglang:v1"}, (8000, "/metrics"), id="SGLang by its image alone"),
        pytest.param(
            {"image": "nvcr.io/nim/meta/llama:1", "args": []}, (8000, "/v1/metrics"), id="a NIM's own path"
        ),
        pytest.param(
            served("python3 -m dynamo.vllm --model m", env=[{"name": "DYN_SYSTEM_PORT", "value": "9091"}]),
            (9091, "/metrics"),
            id="a worker of Dynamo on its system port",
        ),
    ],
)
def test_every_engines_page_has_its_port_and_path(container: dict[str, Any], place: tuple[int, str]) -> None:
    endpoint = found(pod(container=container)).replicas[0].engines[0].endpoint
    assert endpoint is not None
    assert (endpoint.port, endpoint.path) == place


SETTINGS = "return_perf_metrics: true\nenable_iter_perf_stats: true\n"
TRTLLM = f"cat > /c.yml <<EOF\n{SETTINGS}EOF\ntrtllm-serve m --config /c.yml --host 0.0.0.0"


@pytest.mark.parametrize("path", [None, "/metrics", "/perf_metrics"])
def test_a_page_of_tensorrt_llm_that_reading_empties_is_never_asked_for(path: str | None) -> None:
    container = {"command": ["bash", "-c", TRTLLM], "args": []}
    endpoint = found(pod(container=container), metrics_path=path).replicas[0].engines[0].endpoint
    assert endpoint is not None
    assert endpoint.path == "/prometheus/metrics"


@pytest.mark.parametrize("module", ["dynamo.frontend", "dynamo.planner"])
def test_what_executes_no_model_is_never_scraped_whatever_its_image(module: str) -> None:
    container = {
        "image": "nvcr.io/nvidia/ai-dynamo/sglang-runtime:1.6.1",
        "command": ["bash", "-c", f"exec python3 -m {module}"],
        "args": [],
        "resources": {},
    }
    fleet = found(pod(container=container), pod("web-1"))
    assert [replica.pod.name for replica in fleet.replicas] == ["web-1"]
    assert fleet.problems == ()
    held = {**container, "resources": {"limits": {"nvidia.com/gpu": "1"}}}
    assert [engine.endpoint for engine in found(pod(container=held)).replicas[0].engines] == [None]


@pytest.mark.parametrize(
    ("env", "port"),
    [
        ({}, None),
        ({"DYN_KVBM_METRICS": "true"}, 6880),
        ({"DYN_KVBM_METRICS": "false"}, None),
        ({"DYN_KVBM_METRICS": "1", "DYN_KVBM_METRICS_PORT": "6900"}, 6900),
    ],
)
def test_the_page_of_kvbm_is_read_where_it_is_switched_on(env: dict[str, str], port: int | None) -> None:
    variables = [{"name": name, "value": value} for name, value in env.items()]
    engine = found(pod(container={"env": variables})).replicas[0].engines[0]
    assert (engine.side.port if engine.side else None) == port


@pytest.mark.parametrize(
    ("container", "fix"),
    [
        (served("python3 -m sglang.launch_server --model-path m"), "add --enable-metrics"),
        (served("trtllm-serve m"), "set return_perf_metrics: true"),
        (served("python3 -m dynamo.vllm --model m"), "set DYN_SYSTEM_PORT=9090"),
    ],
)
def test_metrics_that_are_off_are_named_with_what_turns_them_on(container: dict[str, Any], fix: str) -> None:
    fleet = found(pod(container=container))
    assert [(item.reason, fix in item.message) for item in fleet.problems] == [
        (FleetReason.METRICS_DISABLED, True)
    ]
    assert fleet.replicas[0].engines[0].endpoint is None


@pytest.mark.parametrize(
    "sidecar",
    [
        {"name": "istio-proxy", "image": "docker.io/istio/proxyv2:1"},
        {
            "name": "routing-proxy",
            "image": "ghcr.io/llm-d/llm-d-routing-sidecar:1",
            "args": ["--vllm-port=8200"],
        },
        {"name": "nvidia-exporter", "image": "x:1", "resources": {"limits": {"nvidia.com/gpu": "1"}}},
        {"name": "logs", "image": "fluent:1"},
    ],
)
def test_a_sidecar_is_no_engine(sidecar: dict[str, Any]) -> None:
    main = {"name": "vllm", "image": "vllm/vllm-openai:1", "resources": {"limits": {"nvidia.com/gpu": "8"}}}
    assert len(found(pod(containers=[sidecar, main])).replicas[0].engines) == 1


def test_disabled_metrics_are_named_by_their_flag() -> None:
    fleet = found(pod(container={"args": ["--disable_log_stats"]}))
    assert [(item.reason, "--disable-log-stats" in item.message) for item in fleet.problems] == [
        (FleetReason.METRICS_DISABLED, True)
    ]
    assert fleet.replicas[0].engines[0].endpoint is None


def test_a_switch_that_is_taken_back_is_off() -> None:
    assert found(pod(container={"args": ["--disable-log-stats", "--no-disable-log-stats"]})).problems == ()


@pytest.mark.parametrize(
    "container",
    [
        {"args": ["--headless"]},
        {"command": ["sh", "-c", "bash /x/multi-node-serving.sh worker --ray_address=1"], "args": []},
        {"command": ["sh", "-c", "ray start --block --address=$A"], "args": []},
    ],
)
def test_a_follower_holds_gpus_without_a_page_and_without_a_problem(container: dict[str, Any]) -> None:
    fleet = found(pod(container=container))
    engine = fleet.replicas[0].engines[0]
    assert (engine.role, engine.endpoint, engine.problem) == (Role.WORKER, None, None)
    assert (fleet.replicas[0].gpus, fleet.problems) == (8.0, ())


@pytest.mark.parametrize(
    ("label", "role"), [("prefill", Role.PREFILL), ("decode", Role.DECODE), ("x", Role.AGGREGATED)]
)
def test_the_role_that_llm_d_gives_a_pod(label: str, role: Role) -> None:
    labels = {"app": "web", "llm-d.ai/role": label}
    assert found(pod(metadata={"labels": labels})).replicas[0].engines[0].role is role


def test_a_pod_on_the_host_network_is_read_only_where_the_platform_allows_it() -> None:
    refused = found(pod(**ON_HOST))
    assert reasons(refused) == [FleetReason.HOST_NETWORK_REFUSED]
    assert refused.replicas[0].engines[0].endpoint is None
    allowed = look(
        pool(),
        replace(TERMS, telemetry=TelemetryTerms(allow_host_network=True)),
        Shelf([pod(**ON_HOST)], exporters=[exporter()]),
    )
    endpoint = allowed.replicas[0].engines[0].endpoint
    assert endpoint is not None
    assert endpoint.node_network


def test_more_than_ten_thousand_pods_are_cut_and_said_so() -> None:
    one = pod()
    many = [replace(one, name=f"p{number:05}", uid=str(number)) for number in range(MOST_PODS + 1)]
    fleet = found(*many)
    assert len(fleet.replicas) == MOST_PODS
    assert reasons(fleet) == [FleetReason.TARGETS_TRUNCATED]


def test_pods_of_two_pools_name_the_other_and_not_themselves() -> None:
    same, other = LabelSelector((("app", "web"),)), LabelSelector((("app", "db"),))
    neighbours = [("web", same), ("zed", same), ("db", other), ("alt", same)]
    fleet = look(pool(), TERMS, Shelf([pod()], exporters=[exporter()]), neighbours=neighbours)
    assert fleet.replicas[0].shared_with == ("alt", "zed")
    assert [problem.message.split(":")[0] for problem in fleet.problems] == [
        "pods of this pool are also selected by alt, zed"
    ]


def test_the_exporter_of_each_node_is_found_even_on_the_host_network() -> None:
    endpoint = found(pod()).exporters[0].endpoint
    assert (endpoint.ip, endpoint.port, endpoint.node_network) == ("192.168.0.7", 9400, True)


@pytest.mark.parametrize(
    "missing",
    [
        pytest.param([], id="none at all"),
        pytest.param([exporter(node_name="node-z")], id="only on another node"),
        pytest.param([exporter(status={"phase": "Pending"})], id="not running"),
        pytest.param([exporter(status={"podIP": ""})], id="without an address"),
    ],
)
def test_gpus_without_an_exporter_are_said(missing: list[Pod]) -> None:
    fleet = found(pod(), exporters=missing)
    assert reasons(fleet) == [FleetReason.DCGM_MISSING]
    assert "1 of the 1 nodes" in fleet.problems[0].message


def test_a_lone_pod_that_wears_the_exporters_label_does_not_replace_the_daemonset() -> None:
    fake = exporter("a", metadata={"namespace": "aaa", "uid": "f", "labels": {"app": "nvidia-dcgm-exporter"}})
    fake = replace(fake, ip="10.6.6.6")
    fleet = found(pod(), exporters=[fake, exporter(), exporter("dcgm-b", "node-b")])
    assert [item.endpoint.ip for item in fleet.exporters] == ["192.168.0.7"]


def test_gpus_that_dcgm_can_not_see_need_no_exporter() -> None:
    fleet = found(pod(container={"resources": {"limits": {"amd.com/gpu": "8"}}}), exporters=[])
    assert fleet.problems == ()


def test_an_unknown_node_leaves_the_product_unknown() -> None:
    shelf = Shelf([pod()], nodes=[node("elsewhere")], exporters=[exporter()])
    assert look(pool(), TERMS, shelf).replicas[0].product is None


def test_a_pod_whose_status_shows_a_nodes_address_counts_as_on_the_host_network() -> None:
    forged = pod("a", status={"phase": "Running", "podIP": "10.0.0.9"})
    shelf = Shelf([forged], nodes=[replace(node(), addresses=("10.0.0.9",))])
    (engine,) = look(pool(), Terms(factory=Factory()), shelf).replicas[0].engines
    assert (engine.endpoint, engine.problem) == (None, FleetReason.HOST_NETWORK_REFUSED)


def test_a_withheld_fleet_keeps_its_gpus_and_has_nothing_to_scrape() -> None:
    fleet = look(pool(), Terms(factory=Factory()), Shelf([pod("a")], exporters=[exporter()]))
    held = withhold(fleet, "too many pools")
    assert [replica.gpus for replica in held.replicas] == [replica.gpus for replica in fleet.replicas]
    assert all(engine.endpoint is None for replica in held.replicas for engine in replica.engines)
    assert held.exporters == ()
    assert held.problems[0] == FleetProblem(FleetReason.TARGETS_TRUNCATED, "too many pools")


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param({"app": "nvidia-dcgm-exporter"}, id="the GPU operator's"),
        pytest.param({"app": "nvidia-dcgm-exporter-dra"}, id="the GPU operator's with claims"),
        pytest.param({"app.kubernetes.io/name": "dcgm-exporter"}, id="the Helm chart's"),
    ],
)
def test_every_installers_exporter_is_known(labels: dict[str, str]) -> None:
    fleet = found(pod(), exporters=[exporter(metadata={"namespace": "gpu-operator", "labels": labels})])
    assert len(fleet.exporters) == 1
