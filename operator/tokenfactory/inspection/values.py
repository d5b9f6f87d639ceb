"""Declarations for values that can't be read."""

from __future__ import annotations

from tokenfactory.inspection.flags import Broken
from tokenfactory.model import Declaration, DeclarationState, OptimizationName

FROM_A_VARIABLE = "its value comes from a variable that the pod does not say"
NOT_AN_OBJECT = "its value is not a JSON object: the engine refuses to start"


def broken_value(name: OptimizationName, broken: Broken, *, source: str) -> Declaration:
    """OPAQUE for a value that the pod does not say, INVALID for one that is no JSON object."""
    state = DeclarationState.OPAQUE if broken.unknown else DeclarationState.INVALID
    explanation = FROM_A_VARIABLE if broken.unknown else NOT_AN_OBJECT
    return Declaration(optimization=name, state=state, source=source, explanation=explanation)
