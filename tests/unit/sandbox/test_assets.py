"""Where the embedded control plane's executables are looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tokenfactory.sandbox.assets import PROVIDER, AssetsMissing, locate_assets, provide_assets


def fill(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in names:
        (folder / name).touch(mode=0o755)
    return folder


def write_provider(path: Path, body: str) -> Path:
    path.write_text(f"import sys\n{body}\n")
    return path


def test_the_provider_of_this_checkout_exists() -> None:
    assert PROVIDER.is_file()


def test_a_complete_folder_in_kubebuilder_assets_needs_no_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fill(tmp_path / "given", "kube-apiserver", "etcd", "kubectl")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(folder))
    found = provide_assets(provider=tmp_path / "absent.py")
    assert (found.kube_apiserver, found.etcd, found.kubectl) == (
        folder / "kube-apiserver",
        folder / "etcd",
        folder / "kubectl",
    )


def test_an_incomplete_folder_in_kubebuilder_assets_names_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(fill(tmp_path / "given", "etcd")))
    with pytest.raises(AssetsMissing, match="lacks kube-apiserver, kubectl"):
        locate_assets()


@pytest.mark.parametrize("search", [locate_assets, provide_assets], ids=["locating", "providing"])
def test_outside_a_checkout_the_error_names_both_ways_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, search: object
) -> None:
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    assert callable(search)
    with pytest.raises(AssetsMissing, match=r"run it from a checkout, or set KUBEBUILDER_ASSETS"):
        search(provider=tmp_path / "absent.py")


def test_what_is_not_built_yet_is_not_located_but_provided(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    provider = write_provider(
        tmp_path / "provide.py",
        f"if '--print-path' in sys.argv: sys.exit(1)\nprint('building')\nprint({str(tmp_path / 'built')!r})",
    )
    assert locate_assets(provider=provider) is None
    assert provide_assets(provider=provider).etcd == tmp_path / "built" / "etcd"


def test_a_failed_build_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    provider = write_provider(tmp_path / "provide.py", "sys.exit(1)")
    with pytest.raises(AssetsMissing, match="exited with 1"):
        provide_assets(provider=provider)
