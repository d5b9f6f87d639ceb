"""Which words start a server, a helper or a question to the system; and the Program that they make."""

from __future__ import annotations

from types import MappingProxyType

from tokenfactory.inspection.shell.process import Program
from tokenfactory.inspection.shell.state import ANY, State
from tokenfactory.inspection.shell.wrappers import Started, base, is_python
from tokenfactory.inspection.variables import UNKNOWN

SERVER_PREFIXES = (
    "vllm", "sglang", "sgl", "trtllm", "tritonserver", "dynamo", "nim-", "nim_", "lmdeploy", "tgi",
    "text-generation", "text-embeddings", "ollama", "llama-server", "lmcache", "mooncake", "infinity",
)  # fmt: skip
HELPER_MODULES = frozenset(
    {
        "pip",
        "venv",
        "ensurepip",
        "json.tool",
        "http.server",
        "site",
        "compileall",
        "timeit",
        "zipfile",
        "tarfile",
    }
    | {
        "huggingface_hub",
        "huggingface_hub.commands.huggingface_cli",
        "pytest",
        "ray",
        "torch.utils.collect_env",
    }
)
HELPER_WORDS = """
echo printf cat sleep mkdir rm cp mv ln chmod chown touch tee date apt apt-get apk yum dnf dpkg pip
pip3 uv git tar unzip gzip hf huggingface-cli aws gsutil gcloud az s5cmd rclone rsync modelscope
sysctl ldconfig mount umount ulimit wait kill pkill killall hostname uname env seq head tail sort
uniq cut tr wc basename dirname readlink realpath nproc free df du ip ifconfig ss netstat lscpu
numastat printenv xargs envsubst install truncate dd service ssh sshd ssh-keygen
nvidia-cuda-mps-control dcgmi umask trap alias shopt let disown jobs logger sync nvidia-smi rocm-smi
curl wget ibstat ibv_devinfo ls stat find awk sed jq yq kubectl expr bc nslookup dig host id
"""
PROBE_WORDS = "grep egrep fgrep rg which type hash pgrep pidof lspci lsmod diff cmp ping nc getent mountpoint"
PROBES = frozenset(PROBE_WORDS.split())
"""Commands that ask the system something: what follows `&&` is no surer than what follows `||`."""

HELPERS = PROBES | frozenset(HELPER_WORDS.split())
"""Commands that are never a server: they are followed for their files and their output only."""

MUTATORS = frozenset(
    {"sed", "perl", "cp", "mv", "rm", "install", "ln", "patch", "awk", "truncate", "dd", "curl", "wget", "yq"}
    | {"python", "python3", "rsync", "tar", "unzip", "git", "aws", "gsutil", "tee"}
)


def may_serve(words: tuple[str, ...]) -> bool:
    """Whether the words may start an inference server: by name, as a Python module, or not known at all."""
    if not words:
        return False
    name = base(words[0])
    if UNKNOWN in words[0] or name.startswith(SERVER_PREFIXES):
        return True
    if is_python(name) and words[1:2] == ("-m",):
        return not words[2:3] or words[2] not in HELPER_MODULES
    return is_python(name) and any(UNKNOWN in word for word in words[1:2])


def program_of(started: Started, state: State, assigned: dict[str, str]) -> Program:
    """The process as it sees itself, with the files as they are now."""
    env, unknown = state.environment({**assigned, **started.assigned})
    gone = started.dropped - set(started.assigned)
    if started.alone:
        env = {name: value for name, value in env.items() if name in started.assigned}
        unknown = frozenset(name for name in unknown if name in started.assigned)
    known = {name: value for name, value in env.items() if name not in gone}
    return Program(
        words=started.words,
        env=MappingProxyType(known),
        unknown_env=frozenset(name for name in unknown if name not in gone or name == ANY),
        files=MappingProxyType(dict(state.files)),
    )
