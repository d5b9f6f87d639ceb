"""LMCache's multi-process server: it keeps KV blocks for the engines of its node and executes no model.

Its page is the HTTP frontend's where it has one (`lmcache server`), which listens on loopback unless told
otherwise; the bare module opens a port for metrics alone. Sources: config.py, http_server.py, otel_init.py of
0.5.6.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tokenfactory.inspection.engines import sentences
from tokenfactory.inspection.engines.declaring import S, all_five
from tokenfactory.inspection.engines.recognised import Declared, MetricsEndpoint, MetricsState, Recognised
from tokenfactory.inspection.engines.words import find_command, find_module, port_of
from tokenfactory.inspection.flags import Flags, parse
from tokenfactory.inspection.program import Program
from tokenfactory.model import CompanionKind, Container, EngineKind, Role

COMMAND = "lmcache server"
BARE = "lmcache.v1.multiprocess.server"
MODULES = frozenset({BARE, "lmcache.v1.multiprocess.http_server"})
PORTS: Mapping[bool, tuple[str, str]] = MappingProxyType(
    {True: ("prometheus-port", "9090"), False: ("http-port", "8080")}
)
PATH = "/metrics"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
OPEN = "add --http-host 0.0.0.0: the page is on loopback"
PUSHED = "remove --otlp-endpoint: metrics are pushed and not served"
DISABLED = "remove --disable-metrics and --disable-observability"


def recognise(program: Program, container: Container, labels: Mapping[str, str]) -> Recognised | None:
    """The server by its command or its module; images are not enough."""
    if program.opaque:
        return None
    found = find_module(program, MODULES.__contains__)
    found = found or find_command(program, lambda name, after: (name, after) == ("lmcache", "server"))
    if found is None:
        return None
    return Recognised(
        kind=EngineKind.NONE,
        program=program,
        container=container,
        labels=labels,
        arguments=(found.name, *found.rest),
        role=Role.NONE,
        why=sentences.A_CACHE_SERVER.format(name=COMMAND),
    )


def declare(recognised: Recognised) -> Declared:
    """Nothing of its own: the engines that use it declare offloading."""
    name, *rest = recognised.arguments
    return Declared(
        declarations=all_five(S.NOT_DECLARED, recognised.why),
        role=recognised.role,
        metrics=_page(parse(rest), bare=name == BARE),
        companion=CompanionKind.CACHE_SERVER,
    )


def _page(flags: Flags, *, bare: bool) -> MetricsEndpoint:
    name, default = PORTS[bare]
    port = port_of(flags.text(name), default)
    state, fix = MetricsState.ON, ""
    if False in (flags.switch("enable-metrics"), flags.switch("enable-observability")):
        state, fix = MetricsState.OFF, DISABLED
    elif flags.text("otlp-endpoint"):
        state, fix = MetricsState.OFF, PUSHED
    elif not bare and (flags.text("http-host") or "127.0.0.1") in LOOPBACK:
        state, fix = MetricsState.PARTIAL, OPEN
    return MetricsEndpoint(port=port, path=PATH, state=state, fix=fix)
