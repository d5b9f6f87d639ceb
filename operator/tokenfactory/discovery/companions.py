"""What stands beside the engines and has a page that tells what theirs can't: found here, read beside them.

They execute no model. They are no replicas, hold nothing of the pool's tokens, and their words only make a
candidate: inspection reads the command line and says what it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

from tokenfactory.discovery.programs import repository_of, split
from tokenfactory.model import (
    Beside,
    Companion,
    Container,
    Endpoint,
    Engine,
    EngineKind,
    Fleet,
    Inspected,
    MetricsState,
    Replica,
)

MODULES = frozenset(
    {
        "dynamo.frontend",
        "lmcache.v1.multiprocess.server",
        "lmcache.v1.multiprocess.http_server",
    }
)
COMMANDS = frozenset({("lmcache", "server")})
IMAGES = ("dynamo-frontend",)
MOST = 256

NO_PORT = "its port is not in the pod"
ON_THE_HOST = "the pod is on the host network"
NOT_RUNNING = "the pod is not running yet"
NO_ADDRESS = "the pod has no address yet"
TOO_MANY = f"more than {MOST} are selected"


def may_accompany(container: Container) -> bool:
    """Whether a word of the command, or the image, names a program that is read beside the engines."""
    words = [word.rsplit("/", 1)[-1] for word in split(container.command + container.args)]
    if not MODULES.isdisjoint(words) or not COMMANDS.isdisjoint(pairwise(words)):
        return True
    return not container.command and repository_of(container.image).rsplit("/", 1)[-1].startswith(IMAGES)


def is_alone(replica: Replica) -> bool:
    """Whether nothing of the pod makes it a replica: no GPU, and no engine."""
    if replica.gpus or replica.pod.mounts_claims:
        return False
    return all(engine.kind is EngineKind.NONE for engine in replica.engines)


def accompany(
    replica: Replica, engine: Engine, told: Inspected, *, host_network: bool
) -> tuple[Companion, ...]:
    """What runs in that container beside the engines, and where its page is."""
    return tuple(_locate(replica, engine, item, host_network=host_network) for item in told.beside)


def _locate(replica: Replica, engine: Engine, told: Beside, *, host_network: bool) -> Companion:
    pod, page = replica.pod, told.metrics
    found = Companion(kind=told.kind, pod=pod, container=engine.container)
    if page.port is None or page.state is MetricsState.OFF:
        return replace(found, why_not=page.fix or NO_PORT)
    if replica.on_node and not host_network:
        return replace(found, why_not=ON_THE_HOST)
    if pod.phase != "Running":
        return replace(found, why_not=NOT_RUNNING)
    if not pod.ip:
        return replace(found, why_not=NO_ADDRESS)
    endpoint = Endpoint(pod.ip, page.port, page.path, pod.namespace, node_network=replica.on_node)
    return replace(found, endpoint=endpoint, why_not=page.fix)


def join(fleet: Fleet, found: Iterable[Companion]) -> Fleet:
    """The fleet with these companions, each container's once; past 256 their pages are not read."""
    several = {(item.pod.uid, item.container.name, item.kind): item for item in found}
    kept = tuple(several[key] for key in sorted(several))
    beyond = tuple(replace(item, endpoint=None, why_not=TOO_MANY) for item in kept[MOST:])
    return replace(fleet, companions=(*kept[:MOST], *beyond))
