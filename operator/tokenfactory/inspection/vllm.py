"""vLLM's five declarations, and what overrides them all."""

from __future__ import annotations

from dataclasses import replace

from tokenfactory.inspection.command import Command
from tokenfactory.inspection.speculation import check_mtp, check_speculation
from tokenfactory.inspection.transfer import check_disaggregation, check_offloading
from tokenfactory.inspection.weights import check_fp4
from tokenfactory.model import Declaration, DeclarationState

DUMMY = "--load-format"
CONFIG_FILE = "--config"
ASKED_FOR = frozenset(
    {DeclarationState.DECLARED, DeclarationState.BY_CHECKPOINT, DeclarationState.BY_DEFAULT}
)


def declare(command: Command) -> tuple[Declaration, ...]:
    """One declaration for each optimization, in the order of OptimizationName."""
    speculation = check_speculation(command)
    found = (
        check_fp4(command),
        speculation,
        check_offloading(command),
        check_mtp(command, speculation),
        check_disaggregation(command),
    )
    return tuple(_in_context(command, declaration) for declaration in found)


def _in_context(command: Command, declaration: Declaration) -> Declaration:
    """Dummy weights make every claim fiction; a configuration file may ask for what no flag does."""
    if (command.flags.text("load-format") or "").lower() == "dummy" and declaration.state in ASKED_FOR:
        return replace(
            declaration,
            state=DeclarationState.SIMULATED,
            source=DUMMY,
            explanation="the weights are dummies: a benchmark switch is set",
        )
    if command.has_config_file and declaration.state is DeclarationState.NOT_DECLARED:
        return replace(
            declaration,
            state=DeclarationState.OPAQUE,
            source=CONFIG_FILE,
            explanation="no flag asks for it; vLLM reads a file as --config FILE only, not as --config=FILE",
        )
    return declaration
