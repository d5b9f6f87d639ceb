"""Every spelling of a place that is not a pod is refused; addresses that pods really have are not."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from tokenfactory.telemetry.address import AddressRules, LoopbackPolicy, Reach, refuse, refuse_path

RULES = AddressRules(
    denied_networks=(ip_network("10.96.0.0/12"), ip_network("172.20.0.1/32"), ip_network("fd00:10:96::/112")),
    node_networks=(ip_network("192.168.8.0/24"), ip_network("fd00:aa::/64")),
    denied_endpoints=((ip_address("10.20.0.7"), 6443),),
)

REFUSED = {
    "loopback": "127.0.0.1",
    "loopback further up": "127.8.9.10",
    "IPv6 loopback": "::1",
    "IPv6 loopback in full": "0:0:0:0:0:0:0:1",
    "loopback name": "localhost",
    "loopback shortened": "127.1",
    "loopback as dword": "2130706433",
    "loopback as hex dword": "0x7f000001",
    "loopback as hex bytes": "0x7f.0x0.0x0.0x1",
    "loopback in octal": "0177.0.0.1",
    "loopback with leading zeros": "127.000.000.001",
    "loopback in full-width digits": "\uff11\uff12\uff17.0.0.1",
    "loopback with a blank": " 127.0.0.1",
    "loopback with a line end": "127.0.0.1\n",
    "loopback in brackets": "[::1]",
    "a port inside the address": "10.1.2.3:80",
    "user info before the address": "a@10.1.2.3",
    "a network": "10.1.2.3/32",
    "a host name": "metadata.google.internal",
    "a rebinding name": "10.1.2.3.nip.io",
    "empty": "",
    "unspecified": "0.0.0.0",
    "zero": "0",
    "this network": "0.1.2.3",
    "IPv6 unspecified": "::",
    "metadata": "169.254.169.254",
    "metadata as dword": "2852039166",
    "metadata as hex": "0xa9fea9fe",
    "metadata in octal": "0251.0376.0251.0376",
    "metadata mapped into IPv6": "::ffff:169.254.169.254",
    "metadata mapped, in hex": "::ffff:a9fe:a9fe",
    "metadata through NAT64": "64:ff9b::169.254.169.254",
    "metadata through local NAT64": "64:ff9b:1::a9fe:a9fe",
    "metadata through 6to4": "2002:a9fe:a9fe::1",
    "metadata through Teredo": "2001:0:a9fe:a9fe::1",
    "metadata, IPv4-compatible": "::169.254.169.254",
    "metadata, IPv4-translated": "::ffff:0:169.254.169.254",
    "task metadata": "169.254.170.2",
    "metadata of AWS over IPv6": "fd00:ec2::254",
    "metadata of AWS over IPv6 in capitals": "FD00:EC2::254",
    "metadata of GCP over IPv6": "fd20:ce::254",
    "metadata of Alibaba": "100.100.100.200",
    "wire server of Azure": "168.63.129.16",
    "a pod mapped into IPv6": "::ffff:10.1.2.3",
    "link-local": "fe80::1",
    "link-local with a zone": "fe80::1%eth0",
    "a pod with a zone": "fd12::1%1",
    "site-local": "fec0::1",
    "multicast": "224.0.0.1",
    "IPv6 multicast": "ff02::1",
    "broadcast": "255.255.255.255",
    "reserved": "240.0.0.1",
    "a Service": "10.96.0.1",
    "an IPv6 Service": "fd00:10:96::1",
    "the API server": "172.20.0.1",
    "a node": "192.168.8.20",
    "an IPv6 node": "fd00:aa::5",
}

ALLOWED = {
    "a pod in 10/8": "10.244.3.7",
    "a pod in 172.16/12": "172.16.9.1",
    "a pod in 192.168/16": "192.168.9.20",
    "a pod in carrier-grade NAT space": "100.64.12.9",
    "a pod in benchmark space": "198.19.4.4",
    "a pod with a public address": "34.118.2.9",
    "a pod with a unique local address": "fd00:10:244::1f",
    "a pod with a global address": "2600:1f18:1:2::9",
}


@pytest.mark.parametrize("ip", REFUSED.values(), ids=REFUSED.keys())
def test_it_is_refused(ip: str) -> None:
    assert refuse(ip, 8000, RULES)


@pytest.mark.parametrize("ip", ALLOWED.values(), ids=ALLOWED.keys())
def test_it_is_allowed(ip: str) -> None:
    assert refuse(ip, 8000, RULES) is None


@pytest.mark.parametrize("port", [-1, 0, 65536, 2**40])
def test_a_port_outside_the_range_is_refused(port: int) -> None:
    assert refuse("10.244.3.7", port, RULES)


def test_every_port_of_a_pod_is_allowed() -> None:
    assert all(refuse("10.244.3.7", port, RULES) is None for port in (1, 22, 6443, 10250, 65535))


def test_a_node_is_allowed_to_those_that_may_use_its_network() -> None:
    assert refuse("192.168.8.20", 9400, RULES, reach=Reach.NODE) is None


def test_a_service_is_refused_even_to_those_that_may_use_the_node_network() -> None:
    assert refuse("10.96.0.1", 9400, RULES, reach=Reach.NODE)


def test_the_api_server_on_a_shared_node_is_refused_by_its_port() -> None:
    assert refuse("10.20.0.7", 6443, RULES, reach=Reach.NODE)
    assert refuse("10.20.0.7", 9400, RULES, reach=Reach.NODE) is None


def test_the_sandbox_allows_ipv4_loopback_and_nothing_more() -> None:
    rules = AddressRules(loopback=LoopbackPolicy.SANDBOX, denied_networks=(ip_network("127.0.0.1/32"),))
    assert refuse("127.10.0.3", 8000, rules) is None
    refused = ("127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0", "169.254.169.254", "localhost")
    assert all(refuse(ip, 8000, rules) for ip in refused)


def test_loopback_is_refused_unless_asked_for() -> None:
    assert refuse("127.10.0.3", 8000, AddressRules())


@pytest.mark.parametrize("path", ["/metrics", "/v1/metrics", "/prometheus/metrics.txt", "/a-b_c/d"])
def test_a_plain_path_is_allowed(path: str) -> None:
    assert refuse_path(path) is None


@pytest.mark.parametrize(
    "path",
    [
        "",
        "metrics",
        "http://10.0.0.1/",
        "/a?b=c",
        "/a#b",
        "/a b",
        "/a\r\nHost: x",
        "/%2e%2e",
        "/" + "a" * 65,
        "/a\n",
    ],
)
def test_a_path_that_could_say_more_than_a_path_is_refused(path: str) -> None:
    assert refuse_path(path)
