"""Where a scrape may go: IP literals of pods only. A tenant can write any address into a pod's status."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network

_LOOPBACK_V4 = IPv4Network("127.0.0.0/8")
_REFUSED: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("unspecified", ("0.0.0.0/8", "::/128")),
    ("loopback", ("127.0.0.0/8", "::1/128")),
    ("link-local", ("169.254.0.0/16", "fe80::/10", "fec0::/10")),
    ("metadata service", ("100.100.100.200/32", "168.63.129.16/32", "fd00:ec2::/32", "fd20:ce::/32")),
    ("multicast", ("224.0.0.0/4", "ff00::/8")),
    ("reserved", ("240.0.0.0/4", "192.0.0.0/24", "100::/64", "::/96")),
    ("IPv4 inside IPv6", ("::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48")),
    ("tunnel", ("2002::/16", "2001::/32", "192.88.99.0/24")),
)
_REFUSED_NETWORKS: tuple[tuple[str, Network], ...] = tuple(
    (kind, ip_network(network)) for kind, networks in _REFUSED for network in networks
)
_PATH = re.compile(r"/[A-Za-z0-9._/-]{1,64}")


class LoopbackPolicy(Enum):
    """SANDBOX lets 127.0.0.0/8 through: a setting of the sandbox, out of reach of any custom resource."""

    REFUSED = "refused"
    SANDBOX = "sandbox"


class Reach(Enum):
    """POD: a serving pod with an address of its own. NODE: a pod that may use its node's address."""

    POD = "pod"
    NODE = "node"


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressRules:
    """What an installation refuses beyond the fixed list.

    `denied_networks` (Service ranges, API server addresses) hold for everybody, `node_networks` for serving
    pods only, `denied_endpoints` are single `(ip, port)` pairs such as the API server on a shared node.
    """

    denied_networks: tuple[Network, ...] = ()
    node_networks: tuple[Network, ...] = ()
    denied_endpoints: tuple[tuple[IPv4Address | IPv6Address, int], ...] = ()
    loopback: LoopbackPolicy = LoopbackPolicy.REFUSED


def refuse(ip: str, port: int, rules: AddressRules, *, reach: Reach = Reach.POD) -> str | None:
    """Why this address must not be connected to; None when it may be. Never raises."""
    if not 1 <= port <= 65535:
        return "the port is not between 1 and 65535"
    if "%" in ip:
        return "the address has a zone"
    try:
        address = ip_address(ip)
    except ValueError:
        return "not an IP address in its usual spelling"
    if (address, port) in rules.denied_endpoints:
        return "the address and port are denied by the installation"
    if any(address in network for network in rules.denied_networks):
        return "the address is in a network denied by the installation"
    if reach is Reach.POD and any(address in network for network in rules.node_networks):
        return "the address is a node's"
    if rules.loopback is LoopbackPolicy.SANDBOX and address in _LOOPBACK_V4:
        return None
    for kind, network in _REFUSED_NETWORKS:
        if address in network:
            return f"the address is not a pod's: {kind}"
    return None


def refuse_path(path: str) -> str | None:
    """Why this path must not be asked for; None when it may be."""
    if _PATH.fullmatch(path):
        return None
    return "the path is not one of letters, digits, dots, dashes and slashes"
