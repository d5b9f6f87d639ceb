"""A page that a Prometheus scraped comes back as it stood: one moment, its own labels, never a mixture."""

from __future__ import annotations

from typing import Any

import pytest

from tokenfactory.telemetry.rebuild import Target, Unreadable, rebuild

FIRST = b"# as scraped by Prometheus\n"
ATTACHED = {
    "job": "serving/vllm",
    "instance": "10.0.0.7:8000",
    "namespace": "serving",
    "pod": "chat-0",
    "container": "vllm",
}


def series(name: str, *values: tuple[float, str], **labels: str) -> dict[str, Any]:
    return {"metric": {"__name__": name, **ATTACHED, **labels}, "values": [list(item) for item in values]}


def only(*items: dict[str, Any]) -> Target:
    (target,) = rebuild(items, pod_label="pod")
    return target


def test_a_page_has_the_values_of_the_last_scrape_and_its_time() -> None:
    target = only(
        series("up", (100.5, "1"), (115.5, "1")),
        series("a_total", (100.5, "1"), (115.5, "7"), model_name="m"),
        series("b", (100.5, "2"), (115.5, "NaN")),
    )
    assert (target.at, target.page) == (115.5, FIRST + b'a_total{model_name="m"} 7\nb NaN\n')
    assert (target.pod, target.instance, target.container) == ("chat-0", "10.0.0.7:8000", "vllm")


def test_a_scrape_that_the_store_holds_half_of_is_left_for_the_one_before() -> None:
    target = only(
        series("up", (100.0, "1"), (115.0, "1")),
        series("a_total", (100.0, "1"), (115.0, "7")),
        series("b_total", (100.0, "2")),
    )
    assert (target.at, target.page) == (100.0, FIRST + b"a_total 1\nb_total 2\n")


def test_a_series_that_ended_holds_the_page_back_by_one_scrape_only() -> None:
    target = only(
        series("a_total", (100.0, "1"), (115.0, "7"), (130.0, "8")),
        series("b_total", (100.0, "2")),
    )
    assert (target.at, target.page) == (130.0, FIRST + b"a_total 8\n")


def test_after_a_failed_scrape_the_last_good_page_stays_with_its_own_time() -> None:
    target = only(series("up", (100.0, "1"), (115.0, "0")), series("a_total", (100.0, "1")))
    assert (target.at, target.page, target.up) == (100.0, FIRST + b"a_total 1\n", False)


def test_a_target_without_a_page_says_whether_it_was_reached() -> None:
    assert only(series("up", (115.0, "0"))).up is False
    assert only(series("up", (115.0, "1"))).up is True
    assert only(series("up", (115.0, "1"))).page is None


def test_labels_that_the_page_itself_had_get_their_names_back() -> None:
    """As of dcgm-exporter behind a ServiceMonitor with honorLabels false."""
    target = only(
        series("up", (115.0, "1")),
        series("P", (115.0, "90"), UUID="GPU-1", exported_pod="w", exported_namespace="n"),
        series("P", (115.0, "70"), UUID="GPU-2"),
    )
    assert target.page == FIRST + b'P{UUID="GPU-1",namespace="n",pod="w"} 90\nP{UUID="GPU-2"} 70\n'


def test_labels_are_known_as_attached_from_up_and_not_by_their_names() -> None:
    """Without a `container` of the target the page's own keeps its place."""
    attached = {"job": "j", "instance": "i", "k8s_pod": "e"}
    metric = {**attached, "pod": "w", "container": "c", "UUID": "GPU-1"}
    found = rebuild(
        [
            {"metric": {"__name__": "up", **attached}, "values": [[115.0, "1"]]},
            {"metric": {"__name__": "P", **metric}, "values": [[115.0, "9"]]},
        ],
        pod_label="k8s_pod",
    )
    assert found[0].page == FIRST + b'P{UUID="GPU-1",container="c",pod="w"} 9\n'


def test_without_up_the_usual_labels_are_taken_off() -> None:
    target = only(series("P", (115.0, "9"), exported_pod="w", UUID="GPU-1"))
    assert target.page == FIRST + b'P{UUID="GPU-1",pod="w"} 9\n'


def test_two_jobs_that_scrape_one_pod_are_two_targets() -> None:
    found = rebuild(
        [series("a_total", (115.0, "1")), series("a_total", (116.0, "1"), job="other")], pod_label="pod"
    )
    assert sorted(target.at for target in found) == [115.0, 116.0]


def test_replicas_of_a_prometheus_are_never_mixed_in_one_page() -> None:
    found = rebuild(
        [
            series("a_total", (115.0, "7"), prometheus_replica="0"),
            series("a_total", (113.0, "6"), prometheus_replica="1"),
            series("up", (115.0, "1"), prometheus_replica="0"),
            series("up", (113.0, "1"), prometheus_replica="1"),
        ],
        pod_label="pod",
    )
    assert sorted((target.at, target.page) for target in found) == [
        (113.0, FIRST + b"a_total 6\n"),
        (115.0, FIRST + b"a_total 7\n"),
    ]


def test_replicas_that_scrape_at_the_very_same_time_are_not_added_up() -> None:
    """vmagents of a pair do: their copies differ in one label that no page ever had."""
    copies = [
        series(name, (115.0, value), replica=replica)
        for replica in ("a", "b")
        for name, value in (("up", "1"), ("a_total", "7"), ("b_total", "3"))
    ]
    first, second = rebuild(copies, pod_label="pod")
    assert first.page == second.page == FIRST + b"a_total 7\nb_total 3\n"


def test_copies_of_replicas_without_up_are_one_line() -> None:
    copies = [series("a_total", (115.0, "7"), prometheus_replica=name) for name in ("0", "1")]
    assert only(*copies).page == FIRST + b"a_total 7\n"


def test_a_target_whose_labels_were_changed_is_read_by_its_new_ones() -> None:
    found = rebuild(
        [
            series("up", (100.0, "1"), version="1"),
            series("a_total", (100.0, "5"), version="1"),
            series("up", (115.0, "1"), version="2"),
            series("a_total", (115.0, "7"), version="2"),
        ],
        pod_label="pod",
    )
    assert max((target.at, target.page) for target in found) == (115.0, FIRST + b"a_total 7\n")


def test_a_label_value_can_not_write_a_line_of_its_own() -> None:
    target = only(series("up", (1.0, "1")), series("a_total", (1.0, "1"), x='"} 9\nvllm:b 7\n#\\'))
    assert target.page == FIRST + b'a_total{x="\\"} 9\\nvllm:b 7\\n#\\\\"} 1\n'


def test_what_prometheus_itself_says_of_a_series_is_no_label_of_the_page() -> None:
    """As with its feature type-and-unit-labels."""
    told = {"__type__": "counter", "__unit__": "tokens"}
    assert only(series("a_total", (1.0, "1"), **told)).page == FIRST + b"a_total 1\n"


def test_a_label_that_the_text_format_has_no_spelling_for_is_left_out() -> None:
    assert only(series("a_total", (1.0, "1"), **{"foo.bar": "x"})).page == FIRST + b"a_total 1\n"


@pytest.mark.parametrize(
    "item",
    [
        {},
        [],
        "x",
        None,
        {"metric": [], "values": []},
        {"metric": {"__name__": 1}, "values": [[1, "1"]]},
        {"metric": {}, "values": [[1]]},
        {"metric": {}, "values": [["x", "1"]]},
        {"metric": {}, "values": [[1, 1]]},
        {"metric": {}, "values": [[float("nan"), "1"]]},
        {"metric": {}, "values": 7},
    ],
    ids=repr,
)
def test_what_no_prometheus_answers_is_unreadable(item: Any) -> None:
    with pytest.raises(Unreadable):
        rebuild([item], pod_label="pod")


def test_a_series_of_native_histograms_only_is_passed_over() -> None:
    assert rebuild([{"metric": {"__name__": "a"}, "histograms": []}], pod_label="pod") == ()
