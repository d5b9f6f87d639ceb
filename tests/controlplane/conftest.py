"""One embedded control plane per worker, started by the first test that asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tokenfactory.sandbox.accounts import User, create_service_account
from tokenfactory.sandbox.assets import Assets, provide_assets
from tokenfactory.sandbox.audit import Audit
from tokenfactory.sandbox.controlplane import ControlPlane


@pytest.fixture(scope="session")
def assets() -> Assets:
    """kube-apiserver, etcd and kubectl, built first if need be."""
    return provide_assets()


@pytest.fixture(scope="session")
def unprivileged_user() -> User:
    """Somebody with a valid token to whom nothing is granted."""
    return create_service_account("nowhere", "nobody")


@pytest.fixture(scope="session")
def control_plane(assets: Assets, unprivileged_user: User) -> Iterator[ControlPlane]:
    """Shared by the tests of one worker; a test that stops the API server brings it back."""
    with ControlPlane(assets, users=(unprivileged_user,), audit=Audit.METADATA) as running:
        yield running
