"""Everything that can be set about the operator's process, in one typed place.

Each field is a flag of `tokenfactory run` and an environment variable `TOKENFACTORY_<FIELD>`.
No custom resource reaches any of these.
"""

from __future__ import annotations

from ipaddress import ip_network
from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

LogFormat = Literal["auto", "text", "json"]
"""`auto` is text on a terminal and JSON otherwise."""

Election = Literal["lease", "off"]
"""Whether replicas elect a leader through a Lease. `off` is for one local process only."""

Loopback = Literal["refused", "sandbox"]
"""`sandbox` lets pods live on 127.0.0.0/8, as in the demo and the tests. Never set it on a cluster."""


class Settings(BaseSettings):
    """Settings of one operator process. Times are seconds."""

    model_config = SettingsConfigDict(env_prefix="TOKENFACTORY_", frozen=True, extra="ignore")

    kubeconfig: str = Field(
        default="", description="path of a kubeconfig; empty: KUBECONFIG, else in-cluster"
    )
    context: str = Field(default="", description="context of the kubeconfig; empty: its current one")
    bind_address: str = Field(default="0.0.0.0", description="address of /metrics, /healthz and /readyz")  # noqa: S104
    port: int = Field(default=8080, ge=0, le=65535, description="port of /metrics, /healthz and /readyz")
    explain_port: int = Field(
        default=8081, ge=0, le=65535, description="port of /explain on the pod's own loopback, never beyond"
    )
    log_format: LogFormat = Field(default="auto", description="auto, text or json")
    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="log level")
    election: Election = Field(default="lease", description="lease or off")
    lease_name: str = Field(default="tokenfactory-operator", description="name of the leader Lease")
    lease_namespace: str = Field(
        default="tokenfactory-system", description="namespace of the leader Lease and the operator's own"
    )
    identity: str = Field(default="", description="identity in the Lease; empty: host name and a random part")
    pod_selector: str = Field(
        default="",
        max_length=1024,
        description="server-side label selector for the pods to watch; empty: all",
    )
    denied_networks: tuple[str, ...] = Field(
        default=(),
        description="networks never scraped: the Service CIDR and the API servers' addresses (JSON list)",
    )
    loopback: Loopback = Field(default="refused", description="refused, or sandbox for local tests")
    page_size: int = Field(default=500, ge=10, le=5000, description="objects per page of a list request")
    concurrent_cycles: int = Field(
        default=64, ge=1, le=256, description="pools that are cycled at the same time"
    )
    max_pools_per_namespace: int = Field(
        default=200, ge=1, description="pools of one namespace that are scraped; the others say so"
    )
    max_targets: int = Field(
        default=20_000, ge=1, description="serving pods scraped in all; pools beyond it say so"
    )

    credentials_directory: str = Field(
        default="/etc/tokenfactory/credentials",
        description="folder of mounted credentials: <credentialsName>/token and <credentialsName>/ca.crt",
    )

    guard_directory: str = Field(
        default="/etc/tokenfactory/guard",
        description="folder of the workload guard's certificate, tls.crt and tls.key; without them it is off",
    )
    guard_port: int = Field(default=9443, ge=0, le=65535, description="port of the workload guard, HTTPS")

    @field_validator("denied_networks")
    @classmethod
    def _are_networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        for network in networks:
            ip_network(network)
        return networks
