"""Credentials that an administrator mounts at install: one sub-folder each, with `token` and `ca.crt`.

A TokenFactory names a sub-folder and nothing else. The files are read at each use: a Secret that changes
is renewed in place by the kubelet.
"""

from __future__ import annotations

import re
from pathlib import Path

from tokenfactory.ports import Credential

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_TOKEN = re.compile(r"[!-~]{1,16384}")
TOKEN_FILE = "token"
CA_FILE = "ca.crt"


class MountedCredentials:
    """Fills `ports.Credentials` from one fixed folder, a setting of the installation."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, name: str) -> Credential | None:
        """What is mounted under this name; None when there is neither a usable token nor a CA."""
        if not _NAME.fullmatch(name):
            return None
        folder = self._folder / name
        token, authority = _read_token(folder / TOKEN_FILE), folder / CA_FILE
        found = Credential(token=token, ca_file=str(authority) if authority.is_file() else "")
        return found if found.token or found.ca_file else None


def _read_token(path: Path) -> str:
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
    return text if _TOKEN.fullmatch(text) else ""
