"""Where kube-apiserver, etcd and kubectl are: built once by hack/provide.py of the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tokenfactory.errors import TokenFactoryError

PROVIDER = Path(__file__).resolve().parents[3] / "hack" / "provide.py"


class AssetsMissing(TokenFactoryError):
    """There is no embedded control plane and no way to build one; the message names the fix."""


@dataclass(frozen=True, slots=True)
class Assets:
    """The three executables that a control plane is made of."""

    kube_apiserver: Path
    etcd: Path
    kubectl: Path


def locate_assets(*, provider: Path = PROVIDER) -> Assets | None:
    """The executables that are there now, or None when they have to be built first.

    Raises AssetsMissing when KUBEBUILDER_ASSETS is set but incomplete, and outside a checkout.
    """
    given = os.environ.get("KUBEBUILDER_ASSETS")
    if given:
        return _read_given(Path(given))
    answer = subprocess.run(
        [sys.executable, str(_require(provider)), "controlplane", "--print-path"],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    return _assets_in(Path(answer.stdout.strip())) if answer.returncode == 0 else None


def provide_assets(*, provider: Path = PROVIDER) -> Assets:
    """The executables, built first if need be (minutes, once; the progress goes to stderr).

    Raises AssetsMissing when they can't be had.
    """
    found = locate_assets(provider=provider)
    if found is not None:
        return found
    builder = subprocess.Popen(
        [sys.executable, str(provider), "controlplane"], stdout=subprocess.PIPE, text=True
    )
    try:
        out, _ = builder.communicate()
    except BaseException:
        builder.terminate()
        builder.wait()
        raise
    if builder.returncode != 0:
        raise AssetsMissing(f"{provider} controlplane exited with {builder.returncode}; see above")
    return _assets_in(Path(out.splitlines()[-1]))


def _assets_in(folder: Path) -> Assets:
    return Assets(kube_apiserver=folder / "kube-apiserver", etcd=folder / "etcd", kubectl=folder / "kubectl")


def _read_given(folder: Path) -> Assets:
    assets = _assets_in(folder.absolute())
    paths = (assets.kube_apiserver, assets.etcd, assets.kubectl)
    missing = [path.name for path in paths if not os.access(path, os.X_OK)]
    if missing:
        raise AssetsMissing(
            f"KUBEBUILDER_ASSETS={folder} lacks {', '.join(missing)}: unset it to have them built, "
            "or point it to a folder that holds kube-apiserver, etcd and kubectl"
        )
    return assets


def _require(provider: Path) -> Path:
    if not provider.is_file():
        raise AssetsMissing(
            "the embedded control plane is built from a checkout of the project and this is an installed "
            "package: run it from a checkout, or set KUBEBUILDER_ASSETS to a folder that holds "
            "kube-apiserver, etcd and kubectl"
        )
    return provider
