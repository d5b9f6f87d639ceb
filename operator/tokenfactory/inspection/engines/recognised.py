"""What an engine module says of one process: first what it is, then what it was told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from tokenfactory.inspection.program import Program
from tokenfactory.model import (
    CompanionKind,
    Container,
    Declaration,
    EngineKind,
    MetricsEndpoint,
    MetricsState,
    OptimizationName,
    Role,
)

__all__ = ["Declare", "Declared", "MetricsEndpoint", "MetricsState", "Recognise", "Recognised"]

_NOTHING: Mapping[OptimizationName, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised:
    """One process that was recognised: what executes the model, what wraps it, and its own arguments.

    `arguments` are the words after the program's name. `why` is a sentence for a process that is set
    aside or opaque, empty for an engine that can be read.
    """

    kind: EngineKind
    program: Program
    container: Container
    labels: Mapping[str, str]
    arguments: tuple[str, ...] = ()
    wrapper: str = ""
    role: Role = Role.AGGREGATED
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What the process was told. `declarations` are five in the order of OptimizationName, or none.

    `companion`: it is no engine, and its page is read beside the engines'.
    """

    declarations: tuple[Declaration, ...]
    role: Role
    metrics: MetricsEndpoint
    model: str = ""
    fixes: Mapping[OptimizationName, str] = field(default_factory=lambda: _NOTHING)
    weight_only: bool = False
    companion: CompanionKind | None = None


Recognise = Callable[[Program, Container, Mapping[str, str]], Recognised | None]
Declare = Callable[[Recognised], Declared]
