"""Record a real vLLM on a real GPU: its pages, the agent's pages, and what its clients and nvidia-smi saw.

    python -m tests.gpu.record FOLDER        in an environment with vLLM, on a machine with an idle GPU

The phases are rollouts of one pool: each starts a server of its own. FOLDER gets a folder of frames for each
(as for `tokenfactory once --metrics`), the last page of each server, and `truth.json`: the tokens that the
clients received and the joules under nvidia-smi's watts from the first frame to the last. The model is a
Llama of random weights: what is measured is the counting, not the model.
"""

from __future__ import annotations

import json
import socket as sockets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.engine.clients import Clients
from tests.gpu.station import NODE, agent, ask_smi, get, watch_power
from tests.unit.agent.fakes import kubelet, pod
from tokenfactory.sandbox.objects import GpuNode, ServingPod

PORT = 8000
EXPORTER_PORT = 9400
NAMESPACE = "inference"
CLIENTS = 64
WARM_UP_SECONDS = 15.0
PHASE_SECONDS = 75.0
EVERY_SECONDS = 5.0
LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-5,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "bos_token_id": 0,
    "eos_token_id": 1,
}
ARGUMENTS = (
    "--served-model-name=tiny",
    "--load-format=dummy",
    "--max-model-len=2048",
    "--max-num-seqs=64",
    "--gpu-memory-utilization=0.8",
    f"--port={PORT}",
    "--host=127.0.0.1",
)
SPECULATION = '{"method":"ngram","num_speculative_tokens":4,"prompt_lookup_max":4}'
OFFLOADING = (
    '{"kv_connector":"OffloadingConnector","kv_role":"kv_both",'
    '"kv_connector_extra_config":{"cpu_bytes_to_use":%d}}'
)


@dataclass(frozen=True, slots=True)
class Phase:
    """One rollout: the pod's name and what its command line has more."""

    name: str
    flags: tuple[str, ...] = ()


PHASES = (
    Phase("plain"),
    Phase("eager", ("--enforce-eager",)),
    Phase("ngram", (f"--speculative-config={SPECULATION}",)),
    Phase("fp8", ("--quantization=fp8",)),
    Phase(
        "offload",
        (
            "--num-gpu-blocks-override=600",
            "--kv-transfer-config=" + OFFLOADING % (8 * 2**30),
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Target:
    """A server as the clients see it."""

    name: str
    url: str = f"http://127.0.0.1:{PORT}"


def write_model(folder: Path) -> None:
    """A config and a tokenizer; the weights are vLLM's dummies."""
    from tests.engine.make_tiny_model import make_tokenizer

    vocabulary = (make_tokenizer(str(folder)) + 63) // 64 * 64
    (folder / "config.json").write_text(json.dumps(LLAMA | {"vocab_size": max(512, vocabulary)}))


@contextmanager
def serving(phase: Phase, model: Path, log: Path) -> Iterator[None]:
    """A vLLM that answers. Raises RuntimeError with the end of its log when it does not come up."""
    command = [sys.executable, "-m", "vllm.entrypoints.cli.main", "serve", str(model)]
    with log.open("wb") as out:
        process = subprocess.Popen([*command, *ARGUMENTS, *phase.flags], stdout=out, stderr=out)
    try:
        deadline = time.monotonic() + 240
        while True:
            try:
                get(f"http://127.0.0.1:{PORT}/health")
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(log.read_text(errors="replace")[-3000:]) from None
                time.sleep(0.5)
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()


def render_objects(phase: Phase, started_at: float) -> str:
    """The node, the agent's pod and the phase's pod, as the API server would have them."""
    product = "NVIDIA-" + ask_smi("name")[0].removeprefix("NVIDIA ").split()[0]
    node = GpuNode(name=NODE, product=product, gpus=1, exporter_ip="10.0.0.9", exporter_port=EXPORTER_PORT)
    serving_pod = ServingPod(
        name=f"llm-{phase.name}",
        namespace=NAMESPACE,
        node=NODE,
        ip="10.0.0.10",
        gpus=1,
        labels={"app": "llm"},
        image=f"vllm/vllm-openai:v{read_version()}",
        args=("--model=/models/llama", *ARGUMENTS, *phase.flags),
        started_at=started_at,
    )
    exporter: dict[str, Any] = {**node.exporter(), "status": node.exporter_status()}
    exporter["metadata"] = {
        "name": "tokenfactory-agent-x",
        "namespace": "tokenfactory-agent",
        "labels": {"app.kubernetes.io/name": "tokenfactory-agent"},
    }
    exporter["spec"]["containers"][0] |= {"name": "agent", "image": "tokenfactory-operator:0.1.0"}
    bodies = [node.body(), exporter, {**serving_pod.body(), "status": serving_pod.status()}]
    return str(yaml.safe_dump_all(bodies))


def read_version() -> str:
    import vllm

    return str(vllm.__version__)


def record(folder: Path, phases: tuple[Phase, ...]) -> None:
    """Runs the phases one after the other and writes down what each of them showed."""
    folder.mkdir(parents=True, exist_ok=True)
    truth: dict[str, dict[str, Any]] = {}
    (uuid,) = ask_smi("uuid")
    with tempfile.TemporaryDirectory() as scratch, watch_power() as power:
        model = Path(scratch) / "model"
        model.mkdir()
        write_model(model)
        socket = Path(scratch) / "k.sock"
        with sockets.create_server(("127.0.0.1", 0)) as taken:
            port = int(taken.getsockname()[1])
        with kubelet(socket) as pods, agent(socket, port=port, interval=1.0) as page:
            for phase in phases:
                pods[:] = [pod(f"llm-{phase.name}", uuid, namespace=NAMESPACE)]
                truth[phase.name] = _play(phase, model, folder, page)
                print(phase.name, json.dumps(truth[phase.name]), flush=True)
                time.sleep(EVERY_SECONDS)
    for row in truth.values():
        start = row.pop("start")
        row["joules"] = round(power.joules(start, start + row["seconds"]), 1)
    (folder / "truth.json").write_text(json.dumps(truth, indent=1) + "\n")


def _play(phase: Phase, model: Path, folder: Path, page: str) -> dict[str, Any]:
    """One phase: frames every 5 s under steady load, and what its clients received between them."""
    target = Target(f"llm-{phase.name}")
    with serving(phase, model, folder / f"{phase.name}.log"), Clients(CLIENTS) as clients:
        clients.targets = (target,)
        started_at = time.time()
        time.sleep(WARM_UP_SECONDS)
        frames: list[float] = []
        while not frames or frames[-1] - frames[0] < PHASE_SECONDS:
            at = time.time()
            frame = folder / phase.name / f"{at:.3f}"
            frame.mkdir(parents=True)
            if not frames:
                (frame / "objects.yaml").write_text(render_objects(phase, started_at))
            (frame / f"llm-{phase.name}_{PORT}.prom").write_bytes(get(f"http://127.0.0.1:{PORT}/metrics"))
            (frame / f"{NODE}_dcgm.prom").write_bytes(get(page))
            frames.append(at)
            time.sleep(max(0.0, EVERY_SECONDS - (time.time() - at)))
        received = clients.of(target)
        clients.targets = ()
        clients.finish()
        (folder / f"{phase.name}-final.prom").write_bytes(get(f"http://127.0.0.1:{PORT}/metrics"))
    return {
        "start": frames[0],
        "seconds": round(frames[-1] - frames[0], 3),
        "tokens": received.between(frames[0], frames[-1]),
        "requests": received.requests,
        "broken": received.broken,
        "prompt": received.prompt,
        "output": received.output,
    }


if __name__ == "__main__":
    wanted = sys.argv[2:]
    record(Path(sys.argv[1]), tuple(phase for phase in PHASES if not wanted or phase.name in wanted))
