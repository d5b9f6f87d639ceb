"""NVIDIA NIM: the profile inside of the image decides most; arguments and NIM_* variables say the rest."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

from tokenfactory.inspection.command import Command
from tokenfactory.inspection.engines import sentences, sglang
from tokenfactory.inspection.engines.arguments import command_of
from tokenfactory.inspection.engines.declaring import (
    IN_EFFECT,
    NO_PAGE,
    S,
    fixes_of,
    role_or,
    say,
    unreadable,
)
from tokenfactory.inspection.engines.recognised import (
    Declared,
    MetricsEndpoint,
    MetricsState,
    Recognised,
)
from tokenfactory.inspection.engines.roles import is_follower, labelled_role
from tokenfactory.inspection.engines.vllm import kv_role
from tokenfactory.inspection.engines.words import (
    base_name,
    find_command,
    is_zero,
    may_set,
    port_of,
    repository_of,
    shown_model,
    switched_on,
)
from tokenfactory.inspection.program import Program
from tokenfactory.inspection.values import FROM_A_VARIABLE
from tokenfactory.inspection.variables import UNKNOWN
from tokenfactory.inspection.vllm import declare as declare_vllm
from tokenfactory.inspection.weights import named_fp4, weight_only_forced
from tokenfactory.model import Container, Declaration, EngineKind, OptimizationName, Role

PROGRAMS = frozenset({"nim-serve", "nim-run"})
MARK = "/nim/"
OWN_FOLDER = "/opt/nim/"
OPERATOR = (
    ("app.kubernetes.io/managed-by", "k8s-nim-operator"),
    ("app.kubernetes.io/part-of", "nim-service"),
)
PASSTHROUGH = "NIM_PASSTHROUGH_ARGS"
PROFILE = "NIM_MODEL_PROFILE"
OFFLOAD = "NIM_ENABLE_KV_CACHE_HOST_OFFLOAD"
REUSE = "NIM_ENABLE_KV_CACHE_REUSE"
FRACTION = "NIM_KV_CACHE_HOST_MEM_FRACTION"
MODEL_VARIABLES = ("NIM_MODEL_NAME", "NIM_MODEL_PATH", "NIM_FT_MODEL")
PORTS = ("NIM_SERVER_PORT", "NIM_HTTP_API_PORT")
DEFAULT_PORT = 8000
IN_THE_PROFILE = "the profile inside of the image decides it: nothing in the pod says so"
SAID = IN_EFFECT | {S.SIMULATED, S.INVALID, S.OFF}

_EMBEDDING = re.compile(r"embed|rerank|retriev", re.ASCII)
_OTHER_PRECISION = re.compile(r"(?:^|[-_])(?:fp8|bf16|fp16|int8|int4)(?:[-_]|$)", re.ASCII)


def recognise(program: Program, container: Container, labels: Mapping[str, str]) -> Recognised | None:
    """A NIM by its own program, or by its image when no other program is run."""
    found = find_command(program, lambda name, _: name in PROGRAMS)
    repository = repository_of(container.image)
    if found is None and (MARK not in f"/{repository}" or not _runs_itself(program, container)):
        return None
    embedder = bool(_EMBEDDING.search(base_name(repository)))
    role = Role.WORKER if _follows(program, labels) else labelled_role(labels)
    return Recognised(
        kind=EngineKind.NIM,
        program=program,
        container=container,
        labels=labels,
        arguments=found.rest if found else program.words,
        wrapper="nim-operator" if any(labels.get(key) == value for key, value in OPERATOR) else "",
        role=Role.NONE if embedder else role,
        why=sentences.AN_EMBEDDER if embedder else "",
    )


def declare(recognised: Recognised) -> Declared:
    """Arguments win over NIM_PASSTHROUGH_ARGS, those over NIM_* variables, those over the profile."""
    command = _passed(recognised)
    if isinstance(command, str):
        return unreadable(recognised, command, metrics=_page(recognised))
    passed = tuple(
        _stronger(pair) for pair in zip(declare_vllm(command), sglang.declare_command(command), strict=True)
    )
    found = tuple(_declare_one(recognised, command, item) for item in passed)
    return Declared(
        declarations=found,
        role=role_or(kv_role(command) or sglang.mode_of(command), recognised),
        metrics=_page(recognised),
        model=_model(recognised),
        fixes=fixes_of(found, "nim"),
        weight_only=weight_only_forced(command),
    )


def check_host_offload(program: Program) -> Declaration:
    """NIM's own switch, for its TensorRT-LLM profiles; it needs the reuse of KV blocks."""
    name, env = OptimizationName.KV_CACHE_OFFLOADING, program.env
    if OFFLOAD not in env:
        state = FROM_A_VARIABLE if may_set(program, OFFLOAD) else IN_THE_PROFILE
        return say(name, S.OPAQUE, state, source=OFFLOAD)
    if not switched_on(env, OFFLOAD):
        return say(name, S.OFF, "host offloading is switched off", source=OFFLOAD)
    if not switched_on(env, REUSE):
        if may_set(program, REUSE):
            return say(name, S.OPAQUE, FROM_A_VARIABLE, source=REUSE)
        return say(name, S.INVALID, f"it needs {REUSE}=1", source=OFFLOAD)
    if is_zero(env.get(FRACTION)):
        return say(name, S.INVALID, "the fraction of host memory is 0", source=FRACTION)
    return say(
        name, S.DECLARED, "host offloading is asked for; only TensorRT-LLM profiles do it", source=OFFLOAD
    )


def check_profile(program: Program, image: str) -> Declaration:
    """FP4 by the profile's name, the model's, or the image's; a hash says nothing."""
    name, env = OptimizationName.FP4, program.env
    profile = env.get(PROFILE, "").lower()
    if named_fp4(profile):
        return say(name, S.BY_CHECKPOINT, "the name of the profile says FP4", source=PROFILE)
    if _OTHER_PRECISION.search(profile):
        return say(name, S.NOT_DECLARED, "the name of the profile says another precision", source=PROFILE)
    for variable in MODEL_VARIABLES:
        if named_fp4(env.get(variable, "")):
            return say(name, S.BY_CHECKPOINT, "the name of the checkpoint says FP4", source=variable)
    if named_fp4(repository_of(image)):
        return say(name, S.BY_CHECKPOINT, "the name of the image says FP4", source="image")
    return say(name, S.OPAQUE, IN_THE_PROFILE, source=PROFILE)


def _declare_one(recognised: Recognised, command: Command, passed: Declaration) -> Declaration:
    if passed.state in SAID:
        return passed
    if passed.source.startswith("--") and passed.state is S.OPAQUE and passed.source != "--model":
        return passed
    if passed.optimization is OptimizationName.KV_CACHE_OFFLOADING:
        return check_host_offload(recognised.program)
    if passed.optimization is OptimizationName.FP4:
        if passed.source == "--quantization":
            return passed
        return check_profile(recognised.program, recognised.container.image)
    return say(passed.optimization, S.OPAQUE, IN_THE_PROFILE)


def _stronger(pair: tuple[Declaration, Declaration]) -> Declaration:
    """Of vLLM's and SGLang's reading of the same words, the one that found something."""
    first, second = pair
    return second if first.state not in SAID and second.state in SAID else first


def _passed(recognised: Recognised) -> Command | str:
    written = recognised.program.env.get(PASSTHROUGH, "")
    if UNKNOWN in written or may_set(recognised.program, PASSTHROUGH):
        return FROM_A_VARIABLE
    words = _split(written)
    if words is None:
        return f"{PASSTHROUGH} can't be split into arguments"
    return command_of(recognised, (*words, *recognised.arguments))


def _split(written: str) -> list[str] | None:
    """Words as a shell would split them; JSON without quotes around it is split at blanks alone."""
    if "{" in written and "'" not in written and "\\" not in written:
        return written.split()
    try:
        return shlex.split(written)
    except ValueError:
        return None


def _model(recognised: Recognised) -> str:
    env = recognised.program.env
    for variable in MODEL_VARIABLES:
        if shown_model(env.get(variable, "")):
            return env[variable]
    repository = repository_of(recognised.container.image)
    return shown_model(repository.partition(MARK)[2])


def _runs_itself(program: Program, container: Container) -> bool:
    """Whether the image's own entrypoint or one of NIM's own scripts is what runs."""
    if container.command:
        return container.command[0].startswith(OWN_FOLDER)
    return not program.opaque


def _follows(program: Program, labels: Mapping[str, str]) -> bool:
    return is_follower(program, labels) or program.env.get("NIM_LEADER_ROLE") in ("0", "false")


def _page(recognised: Recognised) -> MetricsEndpoint:
    if recognised.role is Role.WORKER:
        return NO_PAGE
    env = recognised.program.env
    port = port_of(*(env.get(name) for name in PORTS), str(DEFAULT_PORT))
    return MetricsEndpoint(port=port, path="/v1/metrics", state=MetricsState.ON)
