"""Who may talk to the embedded API server: bearer tokens, the key that signs tokens, kubeconfigs."""

from __future__ import annotations

import base64
import csv
import io
import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field

# SEC 1 (C.4) ECPrivateKey of P-256 without the optional public key, which readers compute themselves.
_EC_KEY_HEAD = bytes.fromhex("30310201010420")
_EC_KEY_TAIL = bytes.fromhex("a00a06082a8648ce3d030107")
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@dataclass(frozen=True, slots=True)
class User:
    """Somebody with a bearer token of their own. `name` is what RBAC and the audit log see."""

    name: str
    groups: tuple[str, ...] = ()
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)


def create_admin() -> User:
    """A user who may do everything (group system:masters)."""
    return User("sandbox-admin", groups=("system:masters",))


def create_service_account(namespace: str, name: str) -> User:
    """A user whom RBAC treats as the ServiceAccount `name` of `namespace`; the object need not exist."""
    return User(
        f"system:serviceaccount:{namespace}:{name}",
        groups=(
            "system:serviceaccounts",
            f"system:serviceaccounts:{namespace}",
            "system:authenticated",
        ),
    )


def render_token_file(users: Iterable[User]) -> str:
    """The CSV of kube-apiserver's --token-auth-file: token, user, uid, groups."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for user in users:
        writer.writerow((user.token, user.name, user.name, ",".join(user.groups)))
    return text.getvalue()


def render_signing_key() -> str:
    """A fresh P-256 private key in PEM, for --service-account-signing-key-file."""
    scalar = 1 + secrets.randbelow(_P256_ORDER - 1)
    encoded = base64.b64encode(_EC_KEY_HEAD + scalar.to_bytes(32, "big") + _EC_KEY_TAIL).decode()
    lines = "\n".join(encoded[start : start + 64] for start in range(0, len(encoded), 64))
    return f"-----BEGIN EC PRIVATE KEY-----\n{lines}\n-----END EC PRIVATE KEY-----\n"


def render_kubeconfig(*, server: str, authority: bytes, user_name: str, token: str) -> str:
    """A kubeconfig (JSON is YAML) for one user of the API server at the URL `server`.

    `authority` is the PEM of the certificates to trust.
    """
    cluster = {"server": server, "certificate-authority-data": base64.b64encode(authority).decode()}
    context = {"cluster": "sandbox", "user": user_name, "namespace": "default"}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "sandbox", "cluster": cluster}],
        "users": [{"name": user_name, "user": {"token": token}}],
        "contexts": [{"name": "sandbox", "context": context}],
        "current-context": "sandbox",
    }
    return json.dumps(document, indent=2) + "\n"
