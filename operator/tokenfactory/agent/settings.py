"""Everything that can be set about the agent's process, in one typed place.

Each field is a flag of `tokenfactory agent` and an environment variable `TOKENFACTORY_AGENT_<FIELD>`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class AgentSettings(BaseSettings):
    """Settings of one agent process. Times are seconds."""

    model_config = SettingsConfigDict(env_prefix="TOKENFACTORY_AGENT_", frozen=True, extra="ignore")

    bind_address: str = Field(default="0.0.0.0", description="address of /metrics and /healthz")  # noqa: S104
    port: int = Field(default=9400, ge=0, le=65535, description="port of /metrics and /healthz")
    interval_seconds: float = Field(default=5.0, ge=0.1, le=60, description="time between two samples")
    node_name: str = Field(
        default="", max_length=253, description="value of the label hostname; empty: the host's name"
    )
    pod_resources_socket: str = Field(
        default="/var/lib/kubelet/pod-resources/kubelet.sock",
        max_length=100,
        description="the kubelet's PodResources socket; empty: no pod labels",
    )
    ignored_claim_namespaces: tuple[str, ...] = Field(
        default=("gpu-operator", "nvidia-gpu-operator", "kube-system", "nvidia-dra-driver-gpu"),
        description="namespaces whose resource claims hold nothing: monitors claim GPUs with adminAccess",
    )
    log_format: Literal["auto", "text", "json"] = Field(default="auto", description="auto, text or json")
    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="log level")
