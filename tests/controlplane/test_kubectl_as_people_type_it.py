"""What people type and what they read, kept in tests/golden/kubectl.

After a wanted change of columns, messages or figures:
`python -c "from tests.controlplane.test_kubectl_as_people_type_it import refresh; refresh()"`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.typed import cells, mask, table_differences, text_differences, tidy_table
from tokenfactory.sandbox.assets import Assets, provide_assets
from tokenfactory.sandbox.fleet import DEMO, WRONG
from tokenfactory.sandbox.scene import Scene, SceneFailed

pytestmark = pytest.mark.controlplane

GOLDENS = Path(__file__).parents[1] / "golden" / "kubectl"
TABLES = {
    "get": "get inferencepools -n serving",
    "get-wide": "get inferencepools -n serving -o wide",
    "get-all-namespaces": "get tfpools -A",
    "get-one": "get tfpool llama-h200 -n serving",
    "get-factory": "get tokenfactories",
}
TEXTS = {
    "describe": "describe inferencepool llama-h200 -n serving",
    "describe-speculating": "describe inferencepool qwen-b200 -n serving",
    "describe-idle": "describe inferencepool mixtral-idle -n serving",
    "describe-wrong": "describe inferencepool wrong-poolref -n serving",
    "describe-factory": "describe tfactory default",
    "wait-ready": "wait --for=condition=Ready inferencepool/llama-h200 inferencepool/qwen-b200"
    " inferencepool/deepseek-gb300 inferencepool/mixtral-idle -n serving --timeout=60s",
    "wait-stalled": "wait --for=condition=Stalled inferencepools/wrong-poolref -n serving --timeout=60s",
    "wait-price": "wait --for=jsonpath={.status.cost.priceSource}=Factory tfpool/llama-h200 -n serving",
}


def settle(scene: Scene) -> None:
    """Waits for the numbers of every pool and of the fleet, and for the Event of the idle one."""
    scene.wait_for(
        "numbers", lambda: all(scene.status(plan.name).get("throughput") for plan in DEMO), seconds=90
    )
    scene.wait_for("Stalled", lambda: scene.condition(WRONG["metadata"]["name"], "Stalled"))
    scene.wait_for("the fleet's numbers", lambda: cells(scene.kubectl("get", "tfactory"))[1][4], seconds=60)
    scene.wait_for("the Event", lambda: "LowDemand" in scene.kubectl("get", "events", "-n", "serving"))


@pytest.fixture(scope="module")
def scene(assets: Assets) -> Iterator[Scene]:
    with Scene(assets, DEMO) as running:
        running.cluster.apply(WRONG)
        running.start_operator()
        settle(running)
        yield running


def refresh() -> None:
    """Writes the golden files anew, from a scene of its own."""
    with Scene(provide_assets(), DEMO) as running:
        running.cluster.apply(WRONG)
        running.start_operator()
        settle(running)
        for name, typed in TABLES.items():
            (GOLDENS / f"{name}.txt").write_text(tidy_table(running.kubectl(*typed.split())))
        for name, typed in TEXTS.items():
            (GOLDENS / f"{name}.txt").write_text(mask(running.kubectl(*typed.split())))


@pytest.mark.parametrize("name", TABLES)
def test_the_table_is_the_golden_one(scene: Scene, name: str) -> None:
    seen = tidy_table(scene.kubectl(*TABLES[name].split()))
    assert table_differences(seen, (GOLDENS / f"{name}.txt").read_text()) == []


@pytest.mark.parametrize("name", TEXTS)
def test_the_text_is_the_golden_one(scene: Scene, name: str) -> None:
    seen = mask(scene.kubectl(*TEXTS[name].split()))
    assert text_differences(seen, (GOLDENS / f"{name}.txt").read_text()) == []


def test_waiting_for_a_pool_that_cannot_be_served_times_out(scene: Scene) -> None:
    with pytest.raises(SceneFailed, match="timed out waiting for the condition on inferencepools"):
        scene.kubectl(
            *("wait", "--for=condition=Ready", "inferencepool/wrong-poolref", "-n", "serving"), "--timeout=1s"
        )


def test_every_golden_file_belongs_to_a_command() -> None:
    assert {path.stem for path in GOLDENS.iterdir()} == TABLES.keys() | TEXTS.keys()


def test_the_comparison_sees_a_cell_that_moved_to_another_column() -> None:
    golden = "NAME   $/MTOK   GPUS\na      1.5      8\n"
    assert table_differences("NAME   $/MTOK   GPUS\na               8\n", golden)
    assert table_differences("NAME   $/MTOK   GPUS\na      1.52     8\n", golden)
    assert not table_differences("NAME   $/MTOK   GPUS\na      1.51     8\n", golden)


def test_the_comparison_sees_a_word_an_indentation_and_a_number() -> None:
    golden = "Status:\n  Watts:  4200\n"
    assert text_differences("Status:\n  Watts:  4300\n", golden)
    assert text_differences("Status:\nWatts:  4200\n", golden)
    assert text_differences("Status:\n  Power:  4200\n", golden)
    assert not text_differences("Status:\n  Watts:  4201\n", golden)
