"""What an installation consists of: the objects of manifests/, keyed so that two renderings compare."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import yaml

from tokenfactory.sandbox.assets import provide_assets

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "manifests"
Objects = dict[tuple[str, str], dict[str, Any]]


def kustomize(folder: Path) -> str:
    """What `kubectl kustomize` renders of a folder."""
    command = [str(provide_assets().kubectl), "kustomize", str(folder)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def read_objects(text: str) -> Objects:
    """The objects of a YAML stream by kind and name."""
    bodies = [body for body in yaml.safe_load_all(text) if body]
    objects = {(body["kind"], body["metadata"]["name"]): body for body in bodies}
    assert len(objects) == len(bodies), "an object is rendered twice"
    return objects
