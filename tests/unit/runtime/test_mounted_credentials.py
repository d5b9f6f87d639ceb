"""Credentials come from sub-folders of one folder, and from nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tokenfactory.ports import Credential
from tokenfactory.runtime.credentials import MountedCredentials


def mount(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)


def test_a_token_and_a_ca_are_found_by_the_name_of_their_folder(tmp_path: Path) -> None:
    mount(tmp_path / "prometheus", token="s3cret\n", ca_crt="pem")
    assert MountedCredentials(tmp_path).find("prometheus") == Credential(
        token="s3cret", ca_file=str(tmp_path / "prometheus" / "ca.crt")
    )


def test_a_token_that_changed_is_read_anew(tmp_path: Path) -> None:
    mount(tmp_path / "prometheus", token="old")
    credentials = MountedCredentials(tmp_path)
    credentials.find("prometheus")
    (tmp_path / "prometheus" / "token").write_text("new")
    assert credentials.find("prometheus") == Credential(token="new")


@pytest.mark.parametrize(
    "name", ["..", "../other", "a/b", "/etc", "", "Prometheus", "a" * 64, "prometheus\n"]
)
def test_a_name_that_is_a_path_finds_nothing(tmp_path: Path, name: str) -> None:
    mount(tmp_path / "other", token="s3cret")
    mount(tmp_path / "in" / "a" / "b", token="s3cret")
    (tmp_path / "in" / "token").write_text("s3cret")
    assert MountedCredentials(tmp_path / "in").find(name) is None


@pytest.mark.parametrize(
    "token",
    ["", " \n", "two words", "a\nX-Header: b", "schlüssel", "x" * 20000],
    ids=lambda text: repr(text[:8]),
)
def test_a_token_that_no_header_can_carry_is_none(tmp_path: Path, token: str) -> None:
    mount(tmp_path / "prometheus", token=token)
    assert MountedCredentials(tmp_path).find("prometheus") is None


def test_a_token_is_not_in_the_text_of_a_credential() -> None:
    assert "s3cret" not in repr(Credential(token="s3cret"))
