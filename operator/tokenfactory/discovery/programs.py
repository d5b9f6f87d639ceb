"""Which server a container runs, from its command and image.

The command line outranks the image. Nothing is guessed: a program that is not listed has no kind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from tokenfactory.model import Container, EngineKind

SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh"})
VLLM_MODULE = "vllm.entrypoints.openai.api_server"

PROGRAMS: Mapping[str, EngineKind] = MappingProxyType(
    {
        VLLM_MODULE: EngineKind.VLLM,
        "sglang.launch_server": EngineKind.SGLANG,
        "trtllm-serve": EngineKind.TENSORRT_LLM,
        "text-generation-launcher": EngineKind.TGI,
        "tritonserver": EngineKind.TRITON,
        "nim-serve": EngineKind.NIM,
        "nim-run": EngineKind.NIM,
    }
)
SERVE_PROGRAMS: Mapping[str, EngineKind] = MappingProxyType(
    {"vllm": EngineKind.VLLM, "sglang": EngineKind.SGLANG}
)
WRAPPED: Mapping[str, EngineKind] = MappingProxyType(
    {
        "dynamo.vllm": EngineKind.VLLM,
        "dynamo.sglang": EngineKind.SGLANG,
        "dynamo.trtllm": EngineKind.TENSORRT_LLM,
    }
)
DYNAMO = "dynamo"
VLLM_SERVER_IMAGES = ("vllm-openai", "vllm-cpu", "vllm-tpu", "vllm-cuda", "vllm-rocm")
OTHER_IMAGES = (
    ("sglang", EngineKind.SGLANG),
    ("tensorrt-llm", EngineKind.TENSORRT_LLM),
    ("tensorrtllm", EngineKind.TENSORRT_LLM),
    ("text-generation-inference", EngineKind.TGI),
    ("tritonserver", EngineKind.TRITON),
)
SIDECAR_NAMES = frozenset(
    {"istio-proxy", "envoy", "linkerd-proxy", "routing-proxy", "queue-proxy", "vault-agent", "otel-collector"}
)
SIDECAR_MARKS = ("exporter", "routing-sidecar", "envoyproxy", "istio/proxyv2")

END = ";"
_SHELL_MARKS = str.maketrans(dict.fromkeys(";&|\n", f" {END} ") | dict.fromkeys("`\"'\\", " "))


@dataclass(frozen=True, slots=True)
class Program:
    """A server in a command line. `words` follow it; `wrapper` is what runs the engine inside of itself.

    `by_image`: no word names it, the image does.
    """

    kind: EngineKind
    words: tuple[str, ...]
    wrapper: str = ""
    worker: bool = False
    by_image: bool = False


def find_program(container: Container) -> Program | None:
    """The server that the container runs, None when none is known."""
    words = tuple(split(container.command + container.args))
    for position, word in enumerate(words):
        name = word.rsplit("/", 1)[-1]
        if name in PROGRAMS:
            return Program(PROGRAMS[name], _arguments(words, position + 1))
        if name in SERVE_PROGRAMS and words[position + 1 : position + 2] == ("serve",):
            return Program(SERVE_PROGRAMS[name], _arguments(words, position + 2))
        if name in WRAPPED and position and words[position - 1] == "-m":
            return Program(WRAPPED[name], _arguments(words, position + 1), wrapper=DYNAMO)
    found = _by_image(container, words)
    return replace(found, by_image=True) if found else None


def is_sidecar(container: Container) -> bool:
    """Whether the container only helps a server: proxies and exporters are never engines."""
    if container.name in SIDECAR_NAMES or container.name.endswith("-exporter"):
        return True
    repository = repository_of(container.image)
    return any(mark in repository for mark in SIDECAR_MARKS)


def repository_of(image: str) -> str:
    """The image's name without tag and digest."""
    name = image.split("@", 1)[0]
    path, slash, last = name.rpartition("/")
    return path + slash + last.split(":", 1)[0]


def split(words: Sequence[str]) -> Iterator[str]:
    """The words, a shell script among them cut at blanks and shell marks: good enough to find a program."""
    scripted = any(word.rsplit("/", 1)[-1] in SHELLS for word in words[:3])
    for word in words:
        if scripted and (" " in word or "\n" in word):
            yield from word.replace("\\\n", " ").translate(_SHELL_MARKS).split()
        else:
            yield word


def _arguments(words: tuple[str, ...], start: int) -> tuple[str, ...]:
    """Words up to the end of the shell command that they belong to."""
    end = words.index(END, start) if END in words[start:] else len(words)
    return words[start:end]


def _by_image(container: Container, words: tuple[str, ...]) -> Program | None:
    """What the image's own entrypoint runs. A command that is not a shell script replaces the entrypoint."""
    repository = repository_of(container.image)
    basename = repository.rsplit("/", 1)[-1]
    shell = bool(container.command) and container.command[0].rsplit("/", 1)[-1] in SHELLS
    if "/nim/" in f"/{repository}":
        return Program(EngineKind.NIM, words)
    if basename.startswith(VLLM_SERVER_IMAGES):
        if _is_ray_worker(words):
            return Program(EngineKind.VLLM, words, worker=True)
        return Program(EngineKind.VLLM, words) if shell or not container.command else None
    if container.command and not shell:
        return None
    return next((Program(kind, words) for mark, kind in OTHER_IMAGES if mark in repository), None)


def _is_ray_worker(words: tuple[str, ...]) -> bool:
    """A Ray node without a server of its own: a follower of a multi-node engine."""
    if "worker" in words and any(word.endswith("multi-node-serving.sh") for word in words):
        return True
    return "ray" in words and "start" in words and "--head" not in words
