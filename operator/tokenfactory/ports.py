"""Protocols for everything that does I/O: the line is written against these, the shell fills them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from tokenfactory.model import Claim, ConfigText, Endpoint, Failure, FleetReason, LabelSelector, Node, Pod


@dataclass(frozen=True, slots=True)
class Page:
    """A metrics page as it came over the wire. `at` is the Unix time at which it was rendered, best known."""

    body: bytes
    at: float


class PageSource(Protocol):
    """Gives metrics pages. Several callers that want one endpoint at about one time share one fetch."""

    async def page(self, endpoint: Endpoint, *, max_age: float, timeout: float) -> Page | Failure:
        """The endpoint's page, at most `max_age` seconds old; a Failure instead of any exception."""
        ...


class Inventory(Protocol):
    """Pods and nodes as the informers know them now. Answers come from memory and are sorted by name."""

    def pods(self, namespace: str, selector: LabelSelector) -> tuple[Pod, ...]: ...

    def exporters(self, selectors: tuple[LabelSelector, ...]) -> tuple[Pod, ...]: ...

    def node(self, name: str) -> Node | None: ...

    def is_node_address(self, ip: str) -> bool:
        """Whether a node has this address: no pod of its own network can."""
        ...


@dataclass(frozen=True, slots=True)
class ReferencedPool:
    """The parts of a Gateway API Inference Extension pool that are used: selector and target ports."""

    selector: LabelSelector
    ports: tuple[int, ...]


class PoolReferences(Protocol):
    """Looks up Gateway API Inference Extension pools, read-only, in the referring pool's namespace."""

    async def find(self, namespace: str, name: str) -> ReferencedPool | FleetReason:
        """POOL_REF_NOT_FOUND or POOL_REF_KIND_MISSING when it is not there. Raises Unavailable."""
        ...


class ConfigMapReader(Protocol):
    """Reads the ConfigMaps that serving pods mount or take variables from, and no others."""

    async def read(self, namespace: str, name: str) -> ConfigText | None:
        """Its text, which may be some minutes old; None when it is not there or may not be read.

        Raises Unavailable when the API server can't be asked and nothing is known from before.
        """
        ...


class ClaimReader(Protocol):
    """Reads the ResourceClaims that pods of a pool use, and no others."""

    async def read(self, namespace: str, wanted: Mapping[str, frozenset[str]]) -> Mapping[str, Claim]:
        """The claims of these names; `wanted` holds the UIDs of the pods that are seen to use each.

        One that is not there, or may not be read, is left out, and so are all where the API is not served.
        Raises Unavailable when the API server can't be asked and nothing is known from before.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """What an administrator mounted for one server: a bearer token, the path of a CA bundle, or both."""

    token: str = field(default="", repr=False)
    ca_file: str = ""


class Credentials(Protocol):
    """Credentials by the name that a TokenFactory gives. Reads files: not to be called in the event loop."""

    def find(self, name: str) -> Credential | None:
        """None when nothing usable is mounted under this name."""
        ...
