"""What all workers of Dynamo share: the system port and the words for their role."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tokenfactory.inspection.command import Command
from tokenfactory.inspection.engines.declaring import NO_PAGE
from tokenfactory.inspection.engines.recognised import MetricsEndpoint, MetricsState, Recognised
from tokenfactory.inspection.engines.roles import OF_DYNAMO
from tokenfactory.inspection.engines.words import may_set, port_of
from tokenfactory.inspection.variables import UNKNOWN
from tokenfactory.model import Role

PORT = "DYN_SYSTEM_PORT"
OPERATOR_PORT = 9090
SET_PORT = "set DYN_SYSTEM_PORT=9090"
MODE = "--disaggregation-mode"
MODES: Mapping[str, Role] = MappingProxyType(
    {
        "agg": Role.AGGREGATED,
        "aggregated": Role.AGGREGATED,
        "pd": Role.AGGREGATED,
        "prefill_and_decode": Role.AGGREGATED,
        "null": Role.AGGREGATED,
        "prefill": Role.PREFILL,
        "decode": Role.DECODE,
        "encode": Role.NONE,
    }
)


def mode_of(command: Command, variable: str) -> Role | None:
    """The role of the worker by flag, else by its variable; None when neither says one."""
    written = command.flags.text("disaggregation-mode")
    if written is None:
        written = command.env.get(variable)
    if written is not None:
        return MODES.get(written.strip().lower())
    if "is-prefill-worker" in command.flags.values:
        return Role.PREFILL
    return Role.DECODE if "is-decode-worker" in command.flags.values else None


def mode_is_hidden(command: Command, variable: str) -> bool:
    """Whether the role comes from a variable that the pod does not say."""
    written = command.flags.text("disaggregation-mode")
    if written is not None:
        return UNKNOWN in written
    return variable in command.unknown_env


def system_page(recognised: Recognised, state: MetricsState, *, fix: str = "") -> MetricsEndpoint:
    """The worker's page on its system port; off without one, `state` otherwise.

    Dynamo's own operator sets the port to 9090, so its labels say so.
    """
    if recognised.role is Role.WORKER:
        return NO_PAGE
    written = recognised.program.env.get(PORT)
    if written is None and may_set(recognised.program, PORT):
        return MetricsEndpoint(port=None, path="/metrics", state=state, fix=fix)
    if written is None and any(label in recognised.labels for label in OF_DYNAMO):
        written = str(OPERATOR_PORT)
    port = port_of(written)
    if port is None:
        return MetricsEndpoint(path="/metrics", state=MetricsState.OFF, fix=SET_PORT)
    return MetricsEndpoint(port=port, path="/metrics", state=state, fix=fix)
