"""Documents to pods: kinds, followers, variables and files of ConfigMaps; hostile documents never raise."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenfactory.discovery.manifests import PodTemplate, flatten, passed_over, read_templates
from tokenfactory.discovery.orchestrators import Orchestrators
from tokenfactory.model import Role
from tokenfactory.model.capabilities import capability_of


def read(text: str) -> tuple[PodTemplate, ...]:
    return read_templates([body for document in yaml.safe_load_all(text) for _, body in flatten(document)])


SPEC = "{containers: [{name: c, image: i, args: [--x]}]}"
GROUP = (
    f"kind: LeaderWorkerSet\nspec: {{leaderWorkerTemplate: {{size: %d, workerTemplate: {{spec: {SPEC}}}}}}}"
)
REQUIRED = (
    "affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: %s}}}"
)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        pytest.param(f"kind: Pod\nspec: {SPEC}", [""], id="a pod"),
        pytest.param(f"kind: Deployment\nspec: {{template: {{spec: {SPEC}}}}}", [""], id="a Deployment"),
        pytest.param(
            f"kind: CronJob\nspec: {{jobTemplate: {{spec: {{template: {{spec: {SPEC}}}}}}}}}",
            [""],
            id="a CronJob",
        ),
        pytest.param(
            f"kind: List\nitems: [{{kind: Pod, spec: {SPEC}}}, {{kind: Pod, spec: {SPEC}}}]",
            ["", ""],
            id="a List",
        ),
        pytest.param(f"kind: PodList\nitems: [{{spec: {SPEC}}}]", [""], id="a list that names its kind once"),
        pytest.param(
            f"kind: Rollout\nspec: {{template: {{spec: {SPEC}}}}}", [""], id="a kind that nobody listed"
        ),
        pytest.param(
            f"kind: PodCliqueSet\nspec: {{template: {{cliques: [{{name: p, spec: {{podSpec: {SPEC}}}}}, "
            f"{{name: d, spec: {{podSpec: {SPEC}}}}}]}}}}",
            ["p", "d"],
            id="named parts of a kind that nobody listed",
        ),
        pytest.param(
            GROUP % 4,
            ["leader", "worker"],
            id="a group whose template serves as leader and worker",
        ),
        pytest.param(
            GROUP % 1,
            ["leader"],
            id="a group of one",
        ),
        pytest.param(
            "kind: NIMService\nspec: {image: {repository: r, tag: t}, multiNode: {size: 2}}",
            ["leader", "worker"],
            id="a NIM over several nodes",
        ),
        pytest.param(
            f"kind: InferenceService\nspec: {{predictor: {SPEC}, transformer: {SPEC}}}", ["", ""], id="KServe"
        ),
        pytest.param(
            f"kind: RayService\nspec: {{rayClusterConfig: {{headGroupSpec: {{template: {{spec: {SPEC}}}}}, "
            f"workerGroupSpecs: [{{groupName: gpu, template: {{spec: {SPEC}}}}}]}}}}",
            ["head", "gpu"],
            id="Ray",
        ),
        pytest.param("kind: Service\nspec: {ports: [{port: 80}]}", [], id="no pod"),
        pytest.param("kind: Pod\nspec: {containers: [hello]}", [], id="containers that are none"),
        pytest.param("- 1\n- 2", [], id="no object"),
    ],
)
def test_the_pods_of_a_document(text: str, parts: list[str]) -> None:
    assert [template.part for template in read(text)] == parts


MOUNTING = """
kind: ConfigMap
metadata: {name: conf}
data: {a.yaml: "alpha", b.yaml: "beta"}
---
kind: Pod
metadata: {name: p}
spec:
  volumes: [{name: v, %s}]
  containers: [{name: c, image: i, volumeMounts: [{name: v, mountPath: /etc/conf%s}]}]
"""


@pytest.mark.parametrize(
    ("volume", "mount", "files"),
    [
        (
            "configMap: {name: conf}",
            "",
            {"/etc/conf/a.yaml": "alpha", "/etc/conf/b.yaml": "beta"},
        ),
        (
            "configMap: {name: conf, items: [{key: a.yaml, path: x/y.yaml}]}",
            "",
            {"/etc/conf/x/y.yaml": "alpha"},
        ),
        ("configMap: {name: conf}", "/one.yaml, subPath: b.yaml", {"/etc/conf/one.yaml": "beta"}),
        (
            "configMap: {name: conf, items: [{key: a.yaml, path: x/y.yaml}]}",
            ", subPath: x",
            {"/etc/conf/y.yaml": "alpha"},
        ),
        (
            "projected: {sources: [{secret: {name: s}}, "
            "{configMap: {name: conf, items: [{key: a.yaml, path: a}]}}]}",
            "",
            {"/etc/conf/a": "alpha"},
        ),
        ("configMap: {name: other}", "", {}),
        ("secret: {secretName: conf}", "", {}),
        ("configMap: {name: conf}", ", subPathExpr: $(X)", {}),
    ],
)
def test_the_files_of_a_container(volume: str, mount: str, files: dict[str, str]) -> None:
    (template,) = read(MOUNTING % (volume, mount))
    assert template.files["c"] == files


def environment(container: str, extra: str = "") -> tuple[dict[str, str], set[str]]:
    maps = "kind: ConfigMap\nmetadata: {name: m}\ndata: {A: one, B: two}\n---\n" + extra
    (template,) = read(f"{maps}kind: Pod\nspec: {{containers: [{{name: c, image: i, {container}}}]}}")
    (found,) = template.pod.containers
    return dict(found.env), set(found.opaque_env)


@pytest.mark.parametrize(
    ("container", "known", "opaque"),
    [
        pytest.param(
            "envFrom: [{configMapRef: {name: m}}]", {"A": "one", "B": "two"}, set(), id="all of a map"
        ),
        pytest.param(
            "envFrom: [{prefix: P_, configMapRef: {name: m}}]",
            {"P_A": "one", "P_B": "two"},
            set(),
            id="prefixed",
        ),
        pytest.param(
            "env: [{name: X, valueFrom: {configMapKeyRef: {name: m, key: B}}}]",
            {"X": "two"},
            set(),
            id="one key",
        ),
        pytest.param(
            "env: [{name: X, valueFrom: {configMapKeyRef: {name: m, key: Z}}}]", {}, {"X"}, id="no such key"
        ),
        pytest.param(
            "env: [{name: X, valueFrom: {secretKeyRef: {name: m, key: A}}}]", {}, {"X"}, id="a Secret's key"
        ),
        pytest.param("envFrom: [{secretRef: {name: m}}]", {}, {"*"}, id="all of a Secret"),
        pytest.param(
            "envFrom: [{configMapRef: {name: m}}], env: [{name: A, value: own}]",
            {"A": "own", "B": "two"},
            set(),
            id="an own value wins",
        ),
        pytest.param(
            "envFrom: [{configMapRef: {name: m}}, {secretRef: {name: s}}]",
            {},
            {"*", "A", "B"},
            id="a later Secret may win",
        ),
        pytest.param(
            "envFrom: [{secretRef: {name: s}}, {configMapRef: {name: m}}]",
            {"A": "one", "B": "two"},
            {"*"},
            id="an earlier Secret can't win",
        ),
    ],
)
def test_the_variables_of_a_container(container: str, known: dict[str, str], opaque: set[str]) -> None:
    assert environment(container) == (known, opaque)


def test_a_config_map_of_another_namespace_is_another_one() -> None:
    text = (
        "kind: ConfigMap\nmetadata: {name: m, namespace: other}\ndata: {A: one}\n---\n"
        "kind: Pod\nmetadata: {namespace: here}\n"
        "spec: {containers: [{name: c, image: i, envFrom: [{configMapRef: {name: m}}]}]}"
    )
    (template,) = read(text)
    assert template.pod.containers[0].env == ()


def test_a_dynamo_service_gets_what_its_operator_adds() -> None:
    text = """
kind: DynamoGraphDeployment
metadata: {name: g}
spec:
  envs: [{name: SHARED, value: s}]
  services:
    Decode:
      componentType: worker
      subComponentType: decode
      envs: [{name: OWN, value: o}]
      resources: {limits: {gpu: "4"}}
      multinode: {nodeCount: 2}
      extraPodSpec: {mainContainer: {image: i, command: [x]}}
"""
    leader, follower = read(text)
    (container,) = leader.pod.containers
    assert dict(container.env) == {"DYN_SYSTEM_PORT": "9090", "SHARED": "s", "OWN": "o"}
    assert container.gpu_limits == (("nvidia.com/gpu", 4.0),)
    assert leader.pod.labels["nvidia.com/dynamo-sub-component-type"] == "decode"
    assert leader.pod.labels["grove.io/podclique"].endswith("-ldr")
    assert follower.pod.labels["grove.io/podclique"].endswith("-wkr")


@pytest.mark.parametrize(
    ("spec", "capability"),
    [
        ("nodeSelector: {nvidia.com/gpu.product: NVIDIA-GB300}", 10),
        ("nodeSelector: {nvidia.com/gpu.compute.major: '9'}", 9),
        ("nodeSelector: {cloud.google.com/gke-accelerator: nvidia-h100-80gb}", 9),
        (
            REQUIRED
            % "[{matchExpressions: [{key: nvidia.com/gpu.product, operator: In, values: [NVIDIA-B200]}]}]",
            10,
        ),
        (
            REQUIRED
            % "[{matchExpressions: [{key: nvidia.com/gpu.product, operator: In, values: [B200, H200]}]}]",
            None,
        ),
        ("nodeSelector: {pool: gold}", None),
    ],
)
def test_the_gpu_that_a_pod_asks_for(spec: str, capability: int | None) -> None:
    (template,) = read(f"kind: Pod\nspec: {{{spec}, containers: [{{name: c, image: i}}]}}")
    assert template.capability_major == capability


@pytest.mark.parametrize(
    ("product", "major"),
    [
        ("NVIDIA-GB300", 10),
        ("NVIDIA-H100-80GB-HBM3", 9),
        ("NVIDIA L40S", 8),
        ("GH200", 9),
        ("H1000", None),
        (None, None),
    ],
)
def test_the_capability_of_a_product(product: str | None, major: int | None) -> None:
    assert capability_of(product) == major


def test_an_address_that_both_sides_have_gives_no_role() -> None:
    text = (
        "kind: ConfigMap\nmetadata: {name: o}\ndata: {d.yaml: \"context_servers: {urls: ['a:1', 'b:1']}\\n"
        "generation_servers: {urls: ['http://a.ns.svc:1']}\\n\"}\n---\n"
        f"kind: Pod\nmetadata: {{name: a}}\nspec: {SPEC}\n---\n"
        f"kind: Pod\nmetadata: {{name: b}}\nspec: {SPEC}\n"
    )
    documents = list(yaml.safe_load_all(text))
    a, b = read_templates(documents)
    orchestrators = Orchestrators(documents)
    assert orchestrators.role_of(a.pod, 1) is None
    assert orchestrators.role_of(b.pod, 1) is Role.PREFILL
    assert orchestrators.role_of(b.pod, 2) is None


KEYS = st.sampled_from(
    [
        "kind",
        "metadata",
        "name",
        "namespace",
        "labels",
        "spec",
        "template",
        "containers",
        "env",
        "envFrom",
        "value",
        "valueFrom",
        "configMapRef",
        "configMapKeyRef",
        "volumes",
        "volumeMounts",
        "mountPath",
        "subPath",
        "data",
        "services",
        "components",
        "podTemplate",
        "extraPodSpec",
        "mainContainer",
        "leaderWorkerTemplate",
        "roles",
        "workerTemplate",
        "size",
        "predictor",
        "model",
        "storageUri",
        "args",
        "command",
        "image",
        "resources",
        "limits",
        "multiNode",
        "multinode",
        "nodeCount",
        "selector",
        "urls",
        "worker",
        "prefill",
        "annotations",
    ]
)
KINDS = st.sampled_from(
    [
        "Pod",
        "ConfigMap",
        "LeaderWorkerSet",
        "DynamoGraphDeployment",
        "DynamoComponentDeployment",
        "RayCluster",
        "NIMService",
        "NIMPipeline",
        "InferenceService",
        "LLMInferenceService",
        "DisaggregatedSet",
        "List",
        "Node",
        "ServingRuntime",
        "Service",
        "Unheard",
    ]
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | KEYS
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=25,
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(KINDS, st.dictionaries(KEYS, VALUES, max_size=6)), max_size=4))
def test_no_document_raises(bodies: list[tuple[str, dict[str, Any]]]) -> None:
    documents = [{**body, "kind": kind} for kind, body in bodies]
    flat = [item for document in documents for _, item in flatten(document)]
    templates = read_templates(flat)
    passed_over(flat, templates)
    orchestrators = Orchestrators(flat)
    for template in templates:
        orchestrators.role_of(template.pod, 1)
