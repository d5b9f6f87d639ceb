"""Every sentence that an engine module says of a declaration, and what to add for each engine."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tokenfactory.model import OptimizationName

FP4 = OptimizationName.FP4
SPEC = OptimizationName.SPECULATIVE_DECODING
OFFLOAD = OptimizationName.KV_CACHE_OFFLOADING
MTP = OptimizationName.MULTI_TOKEN_PREDICTION
PD = OptimizationName.DISAGGREGATED_SERVING

IN_A_VARIABLE = "an argument is not in the pod: a variable without a value there, or a line over the limits"
FROM_A_VARIABLE = "its value comes from a variable that the pod does not say"
OWN_SCRIPT = "the command is a script that is not in the pod"
NO_COMMAND = "the command is in the image, not in the pod"
NOT_KNOWN = "the container holds GPUs and runs a program that is not known here"
NOT_SUPPORTED = "this engine is recognised and not read: {name}"
FOLLOWER = "a follower of a multi-node engine: the leader's command line says what it was told"
HEADLESS = "a follower without a server"
A_ROUTER = "it routes requests and executes no model: {name}"
A_CACHE_SERVER = "it keeps KV blocks for other engines and executes no model: {name}"
A_PLANNER = "it scales or plans and executes no model: {name}"
A_SIMULATOR = "it simulates an engine and executes no model: {name}"
AN_EMBEDDER = "it serves embeddings and generates no tokens"
DUMMY = "the weights are dummies: a benchmark switch is set"
NO_SPECULATION = "no flag asks for speculation"
NO_OFFLOADING = "no flag asks for offloading"
NO_DISAGGREGATION = "no flag asks for disaggregation"
NOT_IN_THE_FILE = "the configuration does not ask for it"
FORCED_ACCEPTANCE = "acceptance is forced by {name}: a benchmark switch is set"
WEIGHTS_NOT_KV = "--cpu-offload-gb moves weights: it does not offload the KV cache"
RUNS_WITH = "speculation runs with method {method}"
ROLE_IS = "the engine's role is {role}"
WEIGHT_ONLY_GPU = (
    "{said}, but a GPU of capability {major} has no FP4 arithmetic: the weights are stored in four bits "
    "and multiplied wider"
)
WEIGHT_ONLY_KERNEL = "{said}, but a weight-only kernel or checkpoint is chosen: no FP4 arithmetic"

FIXES: Mapping[str, Mapping[OptimizationName, str]] = MappingProxyType(
    {
        "vllm": {
            FP4: "serve an NVFP4 or MXFP4 checkpoint (its own configuration turns FP4 on), on capability 10",
            SPEC: """add --speculative-config '{"method": ..., "num_speculative_tokens": ...}'""",
            OFFLOAD: "add --kv-offloading-size GIB, and keep prefix caching on",
            MTP: """add --speculative-config '{"method": "mtp", "num_speculative_tokens": 1}'""",
            PD: (
                "add --kv-transfer-config with a transfer connector such as NixlConnector, kv_role "
                "kv_producer on prefill and kv_consumer on decode"
            ),
        },
        "sglang": {
            FP4: "serve an NVFP4 or MXFP4 checkpoint, or add --quantization modelopt_fp4, on capability 10",
            SPEC: "add --speculative-algorithm (EAGLE3 with --speculative-draft-model-path, or NEXTN)",
            OFFLOAD: "add --enable-hierarchical-cache with --hicache-ratio or --hicache-size",
            MTP: "add --speculative-algorithm NEXTN for a checkpoint with MTP heads",
            PD: "add --disaggregation-mode prefill on one pool and decode on the other, and a PD router",
        },
        "trtllm": {
            FP4: "serve an NVFP4 checkpoint, on capability 10",
            SPEC: "set speculative_config.decoding_type and max_draft_len in the file of --config",
            OFFLOAD: "set kv_cache_config.host_cache_size (bytes) in the file of --config",
            MTP: "set speculative_config.decoding_type: MTP and max_draft_len in the file of --config",
            PD: "set cache_transceiver_config.backend: DEFAULT in the file of --config, and an orchestrator",
        },
        "dynamo-vllm": {
            PD: "add --disaggregation-mode prefill or decode with --kv-transfer-config (NixlConnector)",
            OFFLOAD: (
                "add --kv-transfer-config with DynamoConnector and set DYN_KVBM_CPU_CACHE_GB, "
                "or add --kv-offloading-size GIB"
            ),
        },
        "dynamo-trtllm": {
            SPEC: "set speculative_config in the file of --extra-engine-args",
            OFFLOAD: (
                "set kv_cache_config.host_cache_size in the file of --extra-engine-args, "
                "or add --connector kvbm and DYN_KVBM_CPU_CACHE_GB"
            ),
            MTP: "set speculative_config.decoding_type: MTP in the file of --extra-engine-args",
            PD: "add --disaggregation-mode prefill or decode and cache_transceiver_config.backend: DEFAULT",
        },
        "nim": {
            FP4: "choose an NVFP4 profile with NIM_MODEL_PROFILE (list-model-profiles shows them)",
            SPEC: "pass the engine's own flag by args or NIM_PASSTHROUGH_ARGS (--speculative-config ...)",
            OFFLOAD: "set NIM_ENABLE_KV_CACHE_REUSE=1 and NIM_ENABLE_KV_CACHE_HOST_OFFLOAD=1",
            MTP: "pass the engine's own flag by args or NIM_PASSTHROUGH_ARGS (--speculative-config ...)",
            PD: "pass the engine's own flag by args or NIM_PASSTHROUGH_ARGS (--kv-transfer-config ...)",
        },
    }
)
FEWER_BITS_HERE = "use FP8 on this GPU, or a GPU of capability 10 or more for FP4 arithmetic"
NATIVE_KERNEL = "remove the weight-only backend (marlin, emulation) and use a W4A4 checkpoint"
READ_IT = (
    "write the command and its configuration files into the pod (args, env, ConfigMaps), so it can be read"
)
REMOVE_SWITCH = "remove the benchmark switch: {source}"


def fix_for(family: str, name: OptimizationName) -> str:
    """What to add; a wrapper's own sentence goes before its engine's."""
    own = FIXES.get(family, {}).get(name)
    return own or FIXES.get(family.rsplit("-", 1)[-1], {}).get(name, "")
