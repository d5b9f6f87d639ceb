"""A tenant that writes secrets wherever it can: its pods, their ConfigMaps, its pages and its Deployment.

Every secret is made here, so that a test can look for all of them in whatever was said.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

COUNT = 200
SECRETS = tuple(f"s3cr3t-{number:03}-canary" for number in range(COUNT))
MARK = "canary"
"""A part of every secret: also a torn one is found by it."""

Body = dict[str, Any]
FOLDER = "/etc/engine"


def found_in(text: str) -> list[str]:
    """The secrets that are said in a text, and its pieces of secrets."""
    lowered = text.lower()
    whole = [secret for secret in SECRETS if secret in lowered or secret.replace("-", "_") in lowered]
    return whole or ([MARK] if MARK in lowered else [])


class Leaks:
    """The tenant's objects in one namespace; each secret is written at one place only."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self._left = iter(SECRETS)

    def take(self, count: int) -> list[str]:
        """Secrets that nothing holds yet."""
        return list(islice(self._left, count))

    def one(self) -> str:
        return next(self._left)

    def arguments(self) -> tuple[str, ...]:
        """A command line with secrets as values, as names of flags and in JSON."""
        speculation = {"method": self.one(), "model": f"https://u:{self.one()}@h/m"}
        words = ["--model", "org/model", "--api-key", self.one(), f"--hf-token={self.one()}"]
        words += ["--speculative-config", json.dumps(speculation)]
        words += ["--kv-transfer-config", json.dumps({"kv_connector": self.one(), "kv_role": "kv_both"})]
        words += ["--quantization", self.one(), "--served-model-name", "plain", "--load-format", self.one()]
        words += [f"--{self.one()}", self.one(), "--port", "8000", f"--middleware={self.one()}"]
        return tuple(words)

    def variables(self) -> list[Body]:
        pair = "\n".join(self.take(2))
        return [{"name": f"TOKEN_{n}", "value": self.one()} for n in range(12)] + [
            {"name": "LONG", "value": pair}
        ]

    def annotations(self) -> dict[str, str]:
        return {f"example.org/key-{n}": secret for n, secret in enumerate(self.take(12))}

    def page_lines(self) -> str:
        """Exposition with secrets as values of labels, as names and as help."""
        labels = [f'{name}="{self.one()}"' for name in ("token", "engine", "api_key", "reason", "extra")]
        lines = [f"vllm:request_success_total{{{','.join(labels)}}} 5"]
        lines += [f'vllm:prompt_tokens_total{{engine="{secret}"}} 0' for secret in self.take(4)]
        for secret in self.take(8):
            lines.append(f"# HELP vllm:made_up {secret}\nvllm:{secret.replace('-', '_')} 1")
        return "\n".join(lines) + "\n"

    def config_map(self, name: str, data: dict[str, str]) -> Body:
        """A ConfigMap of these entries with secrets in its annotations, too."""
        metadata = {"name": name, "namespace": self.namespace, "annotations": {"example.org/a": self.one()}}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}

    def containers(self) -> Iterator[tuple[str, Body, Body]]:
        """Pods by name that take everything from a ConfigMap: a piece of a container, and the ConfigMap."""
        yield self._of_file("by-file", ["--config", f"{FOLDER}/flags.yaml"], "flags.yaml", self._flags())
        yield self._of_file("broken-file", ["--config", f"{FOLDER}/x.yaml"], "x.yaml", self._no_yaml())
        yield self._of_file("by-script", ["bash", f"{FOLDER}/start.sh"], "start.sh", self._script())
        yield self._of_file("broken-script", ["bash", f"{FOLDER}/x.sh"], "x.sh", self._no_script())
        yield self._of_file(
            "by-trtllm",
            ["trtllm-serve", "org/model", "--extra_llm_api_options", f"{FOLDER}/t.yaml"],
            "t.yaml",
            self._trtllm(),
        )
        yield self._of_file(
            "by-sglang",
            ["python3", "-m", "sglang.launch_server", "--config", f"{FOLDER}/s.yaml"],
            "s.yaml",
            self._sglang(),
        )
        yield self._of_variables()
        yield self._of_files_that_nobody_asks_for()

    def secret(self) -> Body:
        """A Secret of all that is left: the operator has no right to read it."""
        data = {f"key-{number}": secret for number, secret in enumerate(self._left)}
        metadata = {"name": "leaky", "namespace": self.namespace}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data}

    def deployment(self, labels: dict[str, str]) -> Body:
        """A Deployment of the same kind, which is to be refused."""
        container = {
            "name": "vllm",
            "image": "vllm/vllm-openai:v0.32.0",
            "args": list(self.arguments()),
            "env": self.variables(),
        }
        template = {"metadata": {"labels": labels, "annotations": self.annotations()}}
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "leaky", "namespace": self.namespace},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {**template, "spec": {"containers": [container]}},
            },
        }

    def _of_file(self, name: str, words: list[str], key: str, content: str) -> tuple[str, Body, Body]:
        piece: Body = {
            "args": words,
            "volumeMounts": [{"name": "config", "mountPath": FOLDER}],
            "volumes": [{"name": "config", "configMap": {"name": name}}],
        }
        if words[0] != "--config":
            piece |= {"command": words, "args": []}
        return name, piece, self.config_map(name, {key: content, self.one(): self.one()})

    def _of_variables(self) -> tuple[str, Body, Body]:
        """Through envFrom and through single keys, used in the arguments."""
        data = {
            "QUANTIZATION": self.one(),
            "SPECULATION": json.dumps({"method": self.one(), "num_speculative_tokens": self.one()}),
            "BROKEN": f'{{"kv_connector": "{self.one()}", ',
            "VLLM_API_KEY": self.one(),
            "VLLM_NVFP4_GEMM_BACKEND": self.one(),
            "LMCACHE_REMOTE_URL": f"redis://u:{self.one()}@h:6379",
            self.one().replace("-", "_").upper(): self.one(),
            "key": self.one(),
        }
        piece = {
            "args": [
                *("--model=org/model", "--quantization=$(QUANTIZATION)", "--api-key=$(API_KEY)"),
                *("--speculative-config=$(SPECULATION)", "--kv-transfer-config=$(BROKEN)"),
            ],
            "envFrom": [
                {"configMapRef": {"name": "by-variable"}},
                {"prefix": "S_", "secretRef": {"name": "leaky"}},
            ],
            "env": [
                {"name": "API_KEY", "valueFrom": {"configMapKeyRef": {"name": "by-variable", "key": "key"}}}
            ],
        }
        return "by-variable", piece, self.config_map("by-variable", data)

    def _of_files_that_nobody_asks_for(self) -> tuple[str, Body, Body]:
        """Many keys, one of them mounted as a single file: a prompt, not a configuration."""
        data = {f"file-{number}": secret for number, secret in enumerate(self.take(30))}
        piece = {
            "args": ["--model=org/model", f"--chat-template={FOLDER}/template.jinja"],
            "volumeMounts": [
                {"name": "all", "mountPath": f"{FOLDER}/all"},
                {"name": "all", "mountPath": f"{FOLDER}/template.jinja", "subPath": "file-0"},
            ],
            "volumes": [{"name": "all", "projected": {"sources": [{"configMap": {"name": "prompts"}}]}}],
        }
        return "prompts", piece, self.config_map("prompts", data)

    def _flags(self) -> str:
        lines = ["model: org/model", f"api-key: {self.one()}", f"quantization: {self.one()}"]
        lines += [f"kv-offloading-size: {self.one()}", f"load-format: {self.one()}"]
        lines += [f'speculative-config: {{"method": "{self.one()}", "model": "{self.one()}"}}']
        lines += [f'kv-transfer-config: {{"kv_connector": "{self.one()}", "kv_role": "{self.one()}"}}']
        lines += [f"{self.one()}: {self.one()}", f"port: {self.one()}", f"# {self.one()}"]
        return "\n".join(lines) + "\n"

    def _no_yaml(self) -> str:
        return f"api-key: {self.one()}\n  {self.one()}: [{self.one()}\n\t{self.one()}"

    def _script(self) -> str:
        lines = ["#!/bin/bash", f"# {self.one()}", "set -euo pipefail", f"export VLLM_API_KEY={self.one()}"]
        lines += [f'SPEC=\'{{"method": "{self.one()}"}}\'', f"say() {{ echo {self.one()}; }}"]
        lines += ["cat > /tmp/c.yaml <<END", f"api-key: {self.one()}", f"quantization: {self.one()}", "END"]
        lines += [
            f"exec vllm serve org/model --speculative-config $SPEC --{self.one()} $(cat {self.one()}) \\"
        ]
        lines += ['  --config /tmp/c.yaml --api-key "$VLLM_API_KEY" --hf-token $(say)']
        return "\n".join(lines) + "\n"

    def _no_script(self) -> str:
        return f"export A='{self.one()}\nif {self.one()}; then exec vllm serve {self.one()} <<{self.one()}\n"

    def _trtllm(self) -> str:
        lines = [f"backend: {self.one()}", f"quant_config: {{quant_algo: {self.one()}}}"]
        lines += [f"speculative_config: {{decoding_type: {self.one()}, x: {self.one()}}}"]
        lines += [f"kv_cache_config: {{host_cache_size: {self.one()}, dtype: {self.one()}}}"]
        lines += [f"cache_transceiver_config: {{backend: {self.one()}}}"]
        return "\n".join(lines) + "\n"

    def _sglang(self) -> str:
        lines = ["model-path: org/model", f"quantization: {self.one()}", f"port: {self.one()}"]
        lines += [f"speculative-algorithm: {self.one()}", f"speculative-draft-model-path: {self.one()}"]
        lines += [f"disaggregation-mode: {self.one()}", f"api-key: {self.one()}"]
        lines += [f"hicache-storage-backend: {self.one()}", "enable-hierarchical-cache: true"]
        return "\n".join(lines) + "\n"
