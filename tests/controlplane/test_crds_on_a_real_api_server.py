"""The API server takes the CRDs, the examples and whole statuses, and refuses bad resources by field."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.examples import CRDS, expected_rejection, list_examples, load_example, sentence
from tests.support.statuses import full_factory_status, full_pool_status
from tokenfactory.sandbox.assets import Assets
from tokenfactory.sandbox.controlplane import ControlPlane

pytestmark = pytest.mark.controlplane

THEIRS = Path(__file__).parents[1] / "support" / "crds" / "inference.networking.k8s.io_inferencepools.yaml"
NAMESPACE = "serving"
POOL_HEADERS = "NAME $/MTOK TOK/S/GPU GPUS OPTIMIZED OF-REF DENOMINATOR AGE"
POOL_WIDE_HEADERS = f"{POOL_HEADERS} $/H TOK/S TOK/S/MW ENGINE MODEL COVERAGE CURRENCY PRICE-SOURCE UPDATED"
FACTORY_HEADERS = "NAME POOLS GPUS TOK/S $/H $/MTOK TOK/S/MW COLLAPSED AGE"
SELECTOR = {"selector": {"matchLabels": {"app": "chat"}}}
ESTABLISHED = ("--for=condition=Established", "--timeout=60s")


def succeed(cluster: ControlPlane, *arguments: str, input: str = "") -> str:
    answer = cluster.kubectl(*arguments, input=input)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def install(cluster: ControlPlane) -> None:
    succeed(cluster, "apply", "--server-side", "-k", str(CRDS))
    for name in ("inferencepools.tokenfactory.dev", "tokenfactories.tokenfactory.dev"):
        succeed(cluster, "wait", *ESTABLISHED, f"crd/{name}")


def pool_named(name: str, **spec: Any) -> str:
    return json.dumps(
        {
            "apiVersion": "tokenfactory.dev/v1alpha1",
            "kind": "InferencePool",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {**SELECTOR, **spec},
        }
    )


def theirs_named(name: str) -> str:
    return json.dumps(
        {
            "apiVersion": "inference.networking.k8s.io/v1",
            "kind": "InferencePool",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {**SELECTOR, "targetPorts": [{"number": 8000}]},
        }
    )


def wait_until_listed(cluster: ControlPlane, resource: str) -> None:
    """Discovery lists a new kind a moment after it is established."""
    deadline = time.monotonic() + 60
    while resource not in cluster.kubectl("api-resources", "--cached=false", "-o", "name").stdout.split():
        assert time.monotonic() < deadline, f"{resource} is not listed"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def cluster(assets: Assets) -> Iterator[ControlPlane]:
    """A control plane of this module's own: it installs a neighbour's CRD, too."""
    with ControlPlane(assets) as running:
        install(running)
        succeed(running, "create", "namespace", NAMESPACE)
        wait_until_listed(running, "inferencepools.tokenfactory.dev")
        yield running


@pytest.fixture
def both(cluster: ControlPlane) -> Iterator[ControlPlane]:
    """Our InferencePool and the Gateway API Inference Extension's, side by side, a pool of each."""
    succeed(cluster, "apply", "-f", str(THEIRS))
    succeed(cluster, "wait", *ESTABLISHED, "crd/inferencepools.inference.networking.k8s.io")
    wait_until_listed(cluster, "inferencepools.inference.networking.k8s.io")
    succeed(cluster, "apply", "-f", "-", input=theirs_named("their-pool"))
    succeed(cluster, "apply", "-f", "-", input=pool_named("our-pool"))
    yield cluster
    succeed(cluster, "delete", "inferencepools.tokenfactory.dev", "our-pool", "-n", NAMESPACE)
    succeed(cluster, "delete", "-f", str(THEIRS), "--wait")
    succeed(cluster, "api-resources", "--cached=false")


@pytest.mark.parametrize("path", list_examples("valid"), ids=sentence)
def test_the_api_server_accepts_the_valid_example(cluster: ControlPlane, path: Path) -> None:
    succeed(cluster, "create", "--dry-run=server", "-f", str(path))


@pytest.mark.parametrize("path", list_examples("invalid"), ids=sentence)
def test_the_api_server_refuses_the_invalid_example_by_field_and_fix(
    cluster: ControlPlane, path: Path
) -> None:
    answer = cluster.kubectl("create", "--dry-run=server", "-f", str(path))
    assert answer.returncode != 0
    assert expected_rejection(path) in answer.stderr


@pytest.mark.parametrize("kind", ["pool", "factory"])
def test_server_side_apply_takes_the_example_of_everything_twice(cluster: ControlPlane, kind: str) -> None:
    (path,) = (path for path in list_examples("valid") if path.stem == f"{kind}-everything")
    for _ in range(2):
        succeed(cluster, "apply", "--server-side", "-f", str(path))
    stored = yaml.safe_load(succeed(cluster, "get", "-f", str(path), "-o", "yaml"))
    assert stored["spec"] == load_example(path)["spec"], "nothing was pruned, nothing was filled in"
    succeed(cluster, "delete", "-f", str(path))


def test_a_factory_with_the_most_entries_is_accepted_and_one_more_is_refused(cluster: ControlPlane) -> None:
    body = {"apiVersion": "tokenfactory.dev/v1alpha1", "kind": "TokenFactory", "metadata": {"name": "large"}}
    entry = {"match": {"nodeSelector": {"matchLabels": {"a": "b"}}}, "perGPUHour": "2.65"}
    accepted = json.dumps({**body, "spec": {"prices": [entry] * 128}})
    refused = json.dumps({**body, "spec": {"prices": [entry] * 129}})
    succeed(cluster, "create", "--dry-run=server", "-f", "-", input=accepted)
    answer = cluster.kubectl("create", "--dry-run=server", "-f", "-", input=refused)
    assert "spec.prices: Too many: 129: must have at most 128 items" in answer.stderr


def test_a_pool_gets_no_default_that_a_factory_could_set(cluster: ControlPlane) -> None:
    created = succeed(
        cluster, "create", "--dry-run=server", "-o", "json", "-f", "-", input=pool_named("plain")
    )
    assert json.loads(created)["spec"] == {**SELECTOR, "suspend": False}


def test_the_columns_show_a_whole_status_and_stay_blank_without_one(cluster: ControlPlane) -> None:
    for name in ("measured", "unknown"):
        succeed(cluster, "apply", "-f", "-", input=pool_named(name))
    patch = json.dumps({"status": full_pool_status()})
    succeed(cluster, "patch", "tfpool", "measured", "-n", NAMESPACE, "--subresource=status",
            "--type=merge", "-p", patch)  # fmt: skip
    stored = json.loads(succeed(cluster, "get", "tfpool", "measured", "-n", NAMESPACE, "-o", "json"))
    assert stored["status"] == full_pool_status(), "the API server pruned a field"
    header, measured, unknown = succeed(cluster, "get", "tfpools", "-n", NAMESPACE).splitlines()
    assert " ".join(header.split()) == POOL_HEADERS
    assert measured.split()[:7] == ["measured", "0.1228", "6000", "64", "4/5", "0.48", "Healthy"]
    assert unknown.split()[0] == "unknown"
    assert len(unknown.split()) == 2, "name and age only"
    wide, row, _ = succeed(cluster, "get", "tfpools", "-n", NAMESPACE, "-o", "wide").splitlines()
    assert " ".join(wide.split()) == POOL_WIDE_HEADERS
    assert row.split()[8:16] == [
        "169.6", "384000", "2800000", "vllm", "deepseek-ai/DeepSeek-R1", "7/8", "USD", "Factory",
    ]  # fmt: skip
    succeed(cluster, "delete", "tfpool", "measured", "unknown", "-n", NAMESPACE)


def test_the_columns_of_a_factory_show_its_fleet(cluster: ControlPlane) -> None:
    succeed(cluster, "apply", "-f", str(CRDS / "examples" / "valid" / "factory-minimal.yaml"))
    patch = json.dumps({"status": full_factory_status()})
    succeed(cluster, "patch", "tfactory", "default", "--subresource=status", "--type=merge", "-p", patch)
    header, row = succeed(cluster, "get", "tfactories").splitlines()
    assert " ".join(header.split()) == FACTORY_HEADERS
    assert row.split()[:8] == ["default", "12", "96.5", "1400000", "255.7", "0.0507", "2800000", "3"]
    succeed(cluster, "delete", "tfactory", "default")


def test_an_empty_fleet_has_an_explicit_zero_for_collapsed_pools(cluster: ControlPlane) -> None:
    succeed(cluster, "apply", "-f", str(CRDS / "examples" / "valid" / "factory-minimal.yaml"))
    patch = json.dumps({"status": {"pools": 0, "verdicts": {"throughputCollapsed": 0}}})
    succeed(cluster, "patch", "tfactory", "default", "--subresource=status", "--type=merge", "-p", patch)
    row = succeed(cluster, "get", "tfactories", "--no-headers").split()
    assert row[:3] == ["default", "0", "0"]
    succeed(cluster, "delete", "tfactory", "default")


def test_the_category_lists_both_kinds(cluster: ControlPlane) -> None:
    succeed(cluster, "apply", "-f", "-", input=pool_named("listed"))
    listed = succeed(cluster, "get", "tokenfactory", "-n", NAMESPACE, "-o", "name")
    assert "inferencepool.tokenfactory.dev/listed" in listed.split()
    succeed(cluster, "delete", "tfpool", "listed", "-n", NAMESPACE)


def test_alone_the_bare_name_shows_our_pools(cluster: ControlPlane) -> None:
    succeed(cluster, "apply", "-f", "-", input=pool_named("alone"))
    rows = succeed(cluster, "get", "inferencepools", "-n", NAMESPACE).splitlines()
    assert " ".join(rows[0].split()) == POOL_HEADERS
    assert rows[1].split()[0] == "alone"
    succeed(cluster, "delete", "inferencepools", "alone", "-n", NAMESPACE)


def test_beside_theirs_the_bare_name_stays_theirs(both: ControlPlane) -> None:
    names = succeed(both, "get", "inferencepools", "-n", NAMESPACE, "-o", "name").split()
    assert names == ["inferencepool.inference.networking.k8s.io/their-pool"]


@pytest.mark.parametrize("name", ["tfpools", "tfpool", "inferencepools.tokenfactory.dev"])
def test_beside_theirs_our_own_names_show_our_pools(both: ControlPlane, name: str) -> None:
    names = succeed(both, "get", name, "-n", NAMESPACE, "-o", "name").split()
    assert names == ["inferencepool.tokenfactory.dev/our-pool"]


def test_every_field_is_explained_by_kubectl(cluster: ControlPlane) -> None:
    text = succeed(cluster, "explain", "tfpool.spec.collapse.fractionOfBaseline")
    assert "from 0.1 to 0.7" in " ".join(text.split())
