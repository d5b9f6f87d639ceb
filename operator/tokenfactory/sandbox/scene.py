"""A whole cluster on this machine: control plane, replayed fleet, and the operator under its own role."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tokenfactory.errors import TokenFactoryError
from tokenfactory.sandbox.assets import Assets
from tokenfactory.sandbox.audit import Audit
from tokenfactory.sandbox.cluster import Cluster
from tokenfactory.sandbox.controlplane import ControlPlane
from tokenfactory.sandbox.fleet import NAMESPACE, PoolPlan, ReplayedFleet, factory_body
from tokenfactory.sandbox.operator_process import OPERATOR_NAMESPACE, SERVICE_ACCOUNT, OperatorProcess
from tokenfactory.sandbox.site import Site, pick_network

MANIFESTS = Path(__file__).parents[3] / "manifests"


class SceneFailed(TokenFactoryError):
    """Something that the scene needs did not work; the message says what."""


class Scene:
    """Starts everything on `enter` but the operator; leaves no process and no file on `exit`.

    Its pods live in a loopback network of their own, so that two scenes can run at a time.
    """

    def __init__(
        self,
        assets: Assets,
        plans: tuple[PoolPlan, ...],
        *,
        window_seconds: int = 30,
        audit: Audit = Audit.OFF,
        alertmanagers: tuple[str, ...] = (),
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._stack = ExitStack()
        self._say = say
        self._operators = 0
        self._alertmanagers = alertmanagers
        self.window_seconds = window_seconds
        self.plane = ControlPlane(assets, audit=audit)
        self.fleet = ReplayedFleet(plans, network=pick_network())
        self.site = Site()
        self.cluster: Cluster

    def __enter__(self) -> Scene:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self) -> None:
        self._say("starting etcd and kube-apiserver")
        self._stack.enter_context(self.plane)
        self._say("applying manifests/: CRDs, namespace, ServiceAccount, RBAC, Deployment")
        self.kubectl("apply", "-k", str(MANIFESTS))
        self.kubectl(
            "wait",
            "--for=condition=Established",
            "crd/inferencepools.tokenfactory.dev",
            "crd/tokenfactories.tokenfactory.dev",
        )
        self._say("serving the metrics pages of the replayed fleet")
        self._stack.enter_context(self.site)
        self.fleet.serve(self.site)
        self.cluster = Cluster(self.plane.kubeconfig())
        self._stack.callback(self.cluster.close)
        self.cluster.add_namespace(NAMESPACE)
        for node in self.fleet.nodes:
            self.cluster.add_node(node)
        for engine in self.fleet.engines.values():
            self.cluster.add_pod(engine.pod)
        self.cluster.apply(factory_body(self.fleet.plans, alertmanagers=self._alertmanagers))
        for plan in self.fleet.plans:
            self.cluster.apply(plan.body(window_seconds=self.window_seconds))

    def start_operator(self, **environment: str) -> OperatorProcess:
        """A replica of the operator, ready, under the ServiceAccount's own token."""
        self._operators += 1
        self._say(f"starting the operator as {OPERATOR_NAMESPACE}/{SERVICE_ACCOUNT}, with its own token")
        operator = OperatorProcess(
            self.plane.issue_kubeconfig(namespace=OPERATOR_NAMESPACE, service_account=SERVICE_ACCOUNT),
            log=self.plane.folder / f"operator-{self._operators}.log",
            guardian=self.plane.guardian,
            environment=environment,
        )
        self._stack.enter_context(operator)
        operator.wait_ready()
        return operator

    def kubectl(self, *arguments: str) -> str:
        """kubectl's output as the admin. Raises SceneFailed with its error text."""
        done = self.plane.kubectl(*arguments)
        if done.returncode:
            raise SceneFailed(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return str(done.stdout)

    def status(self, name: str, namespace: str = NAMESPACE) -> dict[str, Any]:
        """The pool's status as the API server holds it; empty before the first."""
        return dict(self.cluster.pool(namespace, name).get("status") or {})

    def condition(self, name: str, kind: str) -> dict[str, Any]:
        """One condition of a pool; empty when it isn't there."""
        rows = self.status(name).get("conditions") or []
        return next((dict(row) for row in rows if row["type"] == kind), {})

    def wait_for(self, what: str, holds: Callable[[], Any], *, seconds: float = 60.0) -> Any:
        """The first truthy answer of `holds`. Raises SceneFailed naming `what` when none comes in time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            answer = holds()
            if answer:
                return answer
            time.sleep(0.25)
        raise SceneFailed(f"not within {seconds:.0f} s: {what}")
