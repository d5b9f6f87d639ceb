"""A dcgm page read in any order, with any number of copies per pod, says the same; bytes never raise."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tokenfactory.model import ExporterReading, Failure
from tokenfactory.telemetry import dcgm, vllm
from tokenfactory.telemetry.layouts import Layouts

UUIDS = st.sampled_from(["GPU-1", "GPU-2", "GPU-3"])
INSTANCES = st.sampled_from(["", "7", "8"])
PODS = st.sampled_from(["", "a", "b", "c"])
NAMES = st.sampled_from(sorted(dcgm.FIELDS))
ROWS = st.dictionaries(
    st.tuples(NAMES, UUIDS, INSTANCES, PODS), st.integers(0, 10**6), min_size=1, max_size=40
)


def render(key: tuple[str, str, str, str], value: int) -> str:
    name, uuid, instance, pod = key
    labels = f'UUID="{uuid}"' + (f',GPU_I_ID="{instance}"' if instance else "")
    return f"{name}{{{labels}" + (f',namespace="ns",pod="{pod}"' if pod else "") + f"}} {value}\n"


def read(lines: list[str]) -> ExporterReading:
    reading = dcgm.parse("".join(lines).encode(), at=0.0, node_name="n")
    assert isinstance(reading, ExporterReading), reading
    return reading


@given(rows=ROWS, random=st.randoms(use_true_random=False))
def test_the_order_of_lines_changes_nothing(
    rows: dict[tuple[str, str, str, str], int], random: object
) -> None:
    lines = [render(key, value) for key, value in rows.items()]
    shuffled = list(lines)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert read(lines) == read(shuffled)


@given(rows=ROWS)
def test_every_gpu_of_the_page_is_there_and_no_holder_twice(
    rows: dict[tuple[str, str, str, str], int],
) -> None:
    gpus = read([render(key, value) for key, value in rows.items()]).gpus
    identities = [(gpu.uuid, gpu.instance, gpu.pod) for gpu in gpus]
    assert len(set(identities)) == len(identities)
    assert {(gpu.uuid, gpu.instance) for gpu in gpus} == {(uuid, part) for _, uuid, part, _ in rows}
    assert {gpu.pod for gpu in gpus} - {""} == {pod for *_, pod in rows} - {""}


@given(watts=st.lists(st.integers(1, 10**6), min_size=1, max_size=4), pods=st.integers(1, 5))
def test_copies_of_a_boards_power_per_pod_never_add_to_it(watts: list[int], pods: int) -> None:
    lines = [
        render(("DCGM_FI_DEV_POWER_USAGE", f"GPU-{board}", "", f"p{pod}"), power)
        for board, power in enumerate(watts)
        for pod in range(pods)
    ]
    once = {gpu.uuid: gpu.watts for gpu in read(lines).gpus}
    assert sum(power or 0.0 for power in once.values()) == sum(watts)


@given(
    page=st.binary(max_size=400)
    | st.text(st.sampled_from(list('DCGM_FIvl:{}=", \n\\1.eN#')), max_size=200).map(str.encode)
)
def test_any_bytes_are_a_reading_or_a_failure(page: bytes) -> None:
    assert isinstance(dcgm.parse(page, at=0.0, node_name="n"), ExporterReading | Failure)
    vllm.parse(page, at=0.0, layouts=Layouts())
