"""The informers' stores: what the line sees of pods and nodes, through changes and re-lists."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tokenfactory.model import LabelSelector, Node, Pod, SelectorOperator, SelectorRule
from tokenfactory.runtime.inventory import Inventory, NodeStore, PodStore

LABELS = st.dictionaries(st.sampled_from("ab"), st.sampled_from("xyz"), max_size=2)
PODS = st.lists(
    st.builds(
        lambda uid, namespace, labels: Pod(namespace=namespace, name=f"p{uid}", uid=str(uid), labels=labels),
        st.integers(0, 8),
        st.sampled_from(["one", "two"]),
        LABELS,
    ),
    max_size=30,
)
RULES = st.lists(
    st.builds(
        lambda key, operator: SelectorRule(key, operator, ("x", "y")),
        st.sampled_from("ab"),
        st.sampled_from(list(SelectorOperator)),
    ),
    max_size=2,
)


@given(pods=PODS, dropped=st.sets(st.integers(0, 8).map(str)), wanted=LABELS, rules=RULES)
def test_the_index_answers_as_a_look_at_every_pod_would(
    pods: list[Pod], dropped: set[str], wanted: dict[str, str], rules: list[SelectorRule]
) -> None:
    store = PodStore()
    for pod in pods:
        store.put(pod.uid, pod)
    for uid in dropped:
        store.drop(uid)
    alive = {pod.uid: pod for pod in pods if pod.uid not in dropped}
    selector = LabelSelector(tuple(sorted(wanted.items())), tuple(rules))
    for namespace in ("one", "two"):
        expected = sorted(
            (pod for pod in alive.values() if pod.namespace == namespace and selector.matches(pod.labels)),
            key=lambda pod: pod.name,
        )
        assert store.select(namespace, selector) == tuple(expected)
    assert len(store) == len(alive)


def test_a_relist_forgets_what_is_no_longer_listed() -> None:
    store = PodStore()
    store.put("1", Pod(namespace="one", name="a", uid="1", labels={"app": "x"}))
    store.replace([("2", Pod(namespace="one", name="b", uid="2", labels={"app": "x"}))])
    found = store.select("one", LabelSelector((("app", "x"),)))
    assert [pod.uid for pod in found] == ["2"]


def test_an_empty_namespace_never_selects_over_all_of_them() -> None:
    pods = PodStore()
    pods.put("1", Pod(namespace="one", name="a", uid="1", labels={"app": "x"}))
    assert Inventory(pods, NodeStore()).pods("", LabelSelector((("app", "x"),))) == ()


def test_a_node_replaced_under_its_name_leaves_the_new_one() -> None:
    nodes = NodeStore()
    nodes.put("old", Node(name="n", addresses=("10.0.0.1",)))
    nodes.put("new", Node(name="n", addresses=("10.0.0.2",)))
    nodes.drop("old")
    inventory = Inventory(PodStore(), nodes)
    assert inventory.node("n") == Node(name="n", addresses=("10.0.0.2",))
    assert not inventory.is_node_address("10.0.0.1")
    assert inventory.is_node_address("10.0.0.2")


def test_an_address_that_two_nodes_show_stays_a_nodes_address_until_both_are_gone() -> None:
    nodes = NodeStore()
    nodes.replace(
        [("1", Node(name="a", addresses=("10.0.0.1",))), ("2", Node(name="b", addresses=("10.0.0.1",)))]
    )
    nodes.drop("1")
    assert nodes.has_address("10.0.0.1")
    nodes.drop("2")
    assert not nodes.has_address("10.0.0.1")
