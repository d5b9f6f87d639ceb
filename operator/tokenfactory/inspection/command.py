"""What the checks of an engine read: its parsed arguments and its environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tokenfactory.inspection.flags import Flags

ANY_VARIABLE = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What the checks read. `model` is the checkpoint's name or path, empty when it is not said."""

    flags: Flags
    env: Mapping[str, str]
    unknown_env: frozenset[str]
    model: str = ""
    remote: bool = False

    def may_set(self, name: str) -> bool:
        """Whether the variable may be set to something that the pod does not say."""
        return name in self.unknown_env or (ANY_VARIABLE in self.unknown_env and name not in self.env)

    @property
    def has_config_file(self) -> bool:
        """Whether `--config FILE` may add flags that the pod does not show."""
        return bool(self.flags.text("config"))
