"""Two hundred secrets planted wherever a tenant can write: none reaches anything that inspection returns."""

from __future__ import annotations

import json

from tests.unit.inspection.engines_of import engine, fleet_of
from tokenfactory.inspection.fleet import inspect
from tokenfactory.model import Engine, EngineKind

SECRETS = tuple(f"s3cr3t-{number:03}-canary" for number in range(200))
SHAPES = (
    lambda s: engine("--model", "org/m", "--api-key", s),
    lambda s: engine("--model", "org/m", f"--hf-token={s}"),
    lambda s: engine("--model", f"https://user:{s}@host/m"),
    lambda s: engine("--model", f"s3://key:{s}@bucket/m"),
    lambda s: engine("--model", "org/m", s),
    lambda s: engine("--model", "org/m", "--quantization", s),
    lambda s: engine("--model", "org/m", f"--{s}", s),
    lambda s: engine("--model", "org/m", "--speculative-config", json.dumps({"method": s, "model": s, s: s})),
    lambda s: engine("--model", "org/m", "--speculative-config", s),
    lambda s: engine("--model", "org/m", f"--speculative-config.{s}", s),
    lambda s: engine("--spec-method", s, "--spec-model", s, "--spec-tokens", s),
    lambda s: engine("--kv-transfer-config", json.dumps({"kv_connector": s, "kv_role": s})),
    lambda s: engine(
        "--kv-transfer-config",
        json.dumps(
            {
                "kv_connector": "OffloadingConnector",
                "kv_role": "kv_both",
                "kv_connector_extra_config": {"cpu_bytes_to_use": s},
            }
        ),
    ),
    lambda s: engine("--kv-offloading-size", s, "--load-format", s, "--config", s),
    lambda s: engine("--moe-backend", s, "--kernel-config", json.dumps({"moe_backend": s})),
    lambda s: engine("--model", "org/m", env=(("HF_TOKEN", s), (s, s)), opaque_env=(s,)),
    lambda s: engine("--model", "org/m", "--api-key", "$(T)", env=(("T", s),)),
    lambda s: engine(command=("sh", "-c", f"export T={s}; vllm serve m --api-key {s}")),
    lambda s: engine(command=(s,), args=(s, "--port", s)),
    lambda s: engine(
        command=("bash", "-c", f"A=(m --api-key {s}); X='{s}' bash /{s}.sh; eval vllm serve \"${{A[@]}}\"")
    ),
    lambda s: engine(
        command=("sh", "-c", f"cat <<E > /{s}\n{s}\nE\nif {s}; then vllm serve m --api-key {s}; fi")
    ),
    lambda s: engine(command=("sh", "-c", f"'{s}"), env=((s, s),)),
    lambda s: engine("--key", s, kind=EngineKind.OTHER, image=f"registry/{s}:{s}"),
)


def test_no_planted_secret_leaves_inspection() -> None:
    engines: list[Engine] = [SHAPES[index % len(SHAPES)](secret) for index, secret in enumerate(SECRETS)]
    found = inspect(fleet_of(*engines))
    assert len(found) == len(SECRETS)
    shown = repr(found)
    assert "canary" not in shown
    assert not [secret for secret in SECRETS if secret in shown]


def test_the_model_is_shown_only_as_a_plain_name_or_path() -> None:
    names = {
        "org/m": "org/m",
        "/models/r1": "/models/r1",
        "a b": "",
        "m?token=1": "",
        "../../etc": "",
        "x" * 400: "",
    }
    found = inspect(fleet_of(*(engine("--model", name) for name in names)))
    assert [item.model for item in found] == list(names.values())
