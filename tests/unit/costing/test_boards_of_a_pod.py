"""What DCGM says of each pod's boards over the window: throttling, power caps, heat, clocks, XIDs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.unit.costing import synthetic
from tests.unit.costing.synthetic import T0, Sim, SimPod
from tokenfactory.model import BoardFigures, ExporterReading, GpuReading

END = T0 + 600
PODS = (SimPod(name="a", gpus=2.0), SimPod(name="b", gpus=2.0))
Told = Callable[[GpuReading, float], GpuReading]


def run(monkeypatch: pytest.MonkeyPatch, told: Told, pods: tuple[SimPod, ...] = PODS) -> list[BoardFigures]:
    """Two pods of two GPUs each for ten minutes; `told` says what the first pod's first GPU shows."""
    plain = synthetic.dcgm

    def page(pod: SimPod, t: float) -> ExporterReading:
        reading = plain(pod, t)
        if pod.name != "a":
            return reading
        return replace(reading, gpus=(told(reading.gpus[0], t), *reading.gpus[1:]))

    monkeypatch.setattr(synthetic, "dcgm", page)
    return list(Sim(pods).run(T0, END).boards)


@pytest.mark.parametrize(
    ("reasons", "throttled", "capped", "thermal"),
    [
        pytest.param(0x0, 0.0, 0.0, 0.0, id="nothing holds the clocks down"),
        pytest.param(0x1, 0.0, 0.0, 0.0, id="an idle GPU is not throttled"),
        pytest.param(0x4, 1.0, 1.0, 0.0, id="software power cap"),
        pytest.param(0x80, 1.0, 1.0, 0.0, id="power brake"),
        pytest.param(0x20, 1.0, 0.0, 1.0, id="software thermal slowdown"),
        pytest.param(0x40, 1.0, 0.0, 1.0, id="hardware thermal slowdown"),
        pytest.param(0x44, 1.0, 1.0, 1.0, id="both"),
    ],
)
def test_clock_event_reasons_are_told_apart(
    monkeypatch: pytest.MonkeyPatch, reasons: int, throttled: float, capped: float, thermal: float
) -> None:
    rows = run(monkeypatch, lambda gpu, t: replace(gpu, clock_event_reasons=reasons))
    assert [
        (row.pod_uid, row.throttled_share, row.power_capped_share, row.thermal_share) for row in rows
    ] == [("a", throttled, capped, thermal)]


def test_a_share_is_of_the_samples_in_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """Capped in the last 150 s of a window of 300 s; before the window all the time."""
    rows = run(
        monkeypatch,
        lambda gpu, t: replace(gpu, clock_event_reasons=0x4 if t > END - 150 or t < END - 310 else 0),
    )
    assert rows[0].power_capped_share == pytest.approx(0.5)


def test_what_is_not_exported_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = run(monkeypatch, lambda gpu, t: replace(gpu, sm_megahertz=1980.0))
    assert rows == [BoardFigures(pod_uid="a", sm_megahertz=1980.0)]


def test_nothing_told_makes_no_row(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, lambda gpu, t: gpu) == []


def xid_at(moment: float, code: int, *, before: int | None) -> Told:
    return lambda gpu, t: replace(gpu, xid=code if t >= moment else before)


@pytest.mark.parametrize("before", [0, None, 43], ids=["zero before", "absent before", "another one before"])
def test_an_xid_that_appears_in_the_window_is_seen(
    monkeypatch: pytest.MonkeyPatch, before: int | None
) -> None:
    rows = run(monkeypatch, xid_at(END - 100, 79, before=before))
    assert [(row.pod_uid, row.xids) for row in rows] == [("a", (79,))]


def test_an_xid_before_the_window_is_no_news(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, xid_at(END - 400, 79, before=0)) == []


def test_the_code_that_a_board_shows_at_the_first_look_is_no_news(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, lambda gpu, t: replace(gpu, xid=79)) == []


def test_a_page_that_leaves_the_xid_out_does_not_make_the_old_one_new(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert run(monkeypatch, lambda gpu, t: replace(gpu, xid=None if t == END - 90 else 79)) == []


def test_an_xid_belongs_to_the_pod_that_holds_the_board(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = run(monkeypatch, xid_at(END - 100, 94, before=0), (SimPod(name="b"), SimPod(name="a", uid="ua")))
    assert [(row.pod_uid, row.xids) for row in rows] == [("ua", (94,))]
