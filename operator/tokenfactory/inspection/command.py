"""From a container to the command line of its vLLM server, where it can be read without running anything."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tokenfactory.inspection.flags import Flags, parse
from tokenfactory.inspection.variables import UNKNOWN, environment, expand
from tokenfactory.model import Container

SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh"})
SERVER_MODULE = "vllm.entrypoints.openai.api_server"
ANY_VARIABLE = "*"

IN_A_SCRIPT = "the command is a shell script, which is not read yet"
IN_A_VARIABLE = (
    "an argument is not in the pod: a variable without a value there, or a command line over the limits"
)
NOT_READABLE = "the command does not name vLLM's server"

_MODEL = re.compile(r"[A-Za-z0-9./][A-Za-z0-9._/-]{0,255}", re.ASCII)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]{1,15}://", re.ASCII)


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


def read_command(container: Container) -> Command | str:
    """The command line, or in one sentence why it is opaque."""
    words = container.command + container.args
    if any(word.rsplit("/", 1)[-1] in SHELLS for word in words[:3]):
        return IN_A_SCRIPT
    env = environment(container.env)
    arguments = _arguments([expand(word, env) for word in words], own_command=bool(container.command))
    if arguments is None:
        return NOT_READABLE
    flags = parse(arguments)
    if flags.stray_unknown:
        return IN_A_VARIABLE
    written = flags.first or flags.text("model") or ""
    unknown = set(container.opaque_env) | {name for name, _ in container.env if name not in env}
    return Command(
        flags=flags,
        env=env,
        unknown_env=frozenset(unknown),
        model=written if UNKNOWN in written else _shown(written),
        remote=bool(_SCHEME.match(written)),
    )


def _arguments(words: Sequence[str], *, own_command: bool) -> Sequence[str] | None:
    """The words after `vllm serve` or the server's module; all of them for the image's own entrypoint."""
    for position, word in enumerate(words):
        name = word.rsplit("/", 1)[-1]
        if name == "vllm" and words[position + 1 : position + 2] == ["serve"]:
            return words[position + 2 :]
        if name == SERVER_MODULE:
            return words[position + 1 :]
    return None if own_command else words


def _shown(model: str) -> str:
    """The model when it is a plain name or path: anything else may hide a credential and is not kept."""
    return model if _MODEL.fullmatch(model) and ".." not in model else ""
