"""Shared pages are kept for a bounded time and in a bounded amount."""

from __future__ import annotations

import random

import pytest

from tokenfactory.model import Endpoint
from tokenfactory.ports import Page
from tokenfactory.telemetry.limits import FetchLimits
from tokenfactory.telemetry.shelf import PACKED_UP_TO, Shelf


def endpoint(number: int) -> Endpoint:
    return Endpoint(ip=f"10.0.0.{number}", port=9400, path="/metrics")


def page(size: int) -> Page:
    """A page that can't be made shorter, so that it takes on the shelf what it takes here (and a little)."""
    return Page(random.Random(size).randbytes(size), 0.0)


def test_pages_older_than_the_horizon_are_forgotten_even_if_nobody_asks_for_them() -> None:
    now = 0.0
    shelf = Shelf(FetchLimits(share_seconds=10), lambda: now)
    shelf.put(endpoint(1), page(5))
    now = 10.0
    assert shelf.find(endpoint(1), max_age=99) is not None
    now = 10.5
    assert shelf.find(endpoint(2), max_age=99) is None
    now = 5.0
    assert shelf.find(endpoint(1), max_age=99) is None


def test_the_oldest_pages_make_room_for_new_ones() -> None:
    shelf = Shelf(FetchLimits(share_bytes=1000), lambda: 0.0)
    kept = page(600)
    shelf.put(endpoint(1), page(500))
    shelf.put(endpoint(2), kept)
    assert shelf.find(endpoint(1), max_age=1) is None
    assert shelf.find(endpoint(2), max_age=1) == kept


def test_a_page_put_again_counts_once() -> None:
    shelf = Shelf(FetchLimits(share_bytes=1000), lambda: 0.0)
    other = page(300)
    shelf.put(endpoint(1), other)
    for _ in range(5):
        shelf.put(endpoint(2), page(600))
    assert shelf.find(endpoint(1), max_age=1) == other


def test_a_page_larger_than_the_shelf_is_not_kept() -> None:
    shelf = Shelf(FetchLimits(share_bytes=1000), lambda: 0.0)
    shelf.put(endpoint(1), page(1001))
    assert shelf.find(endpoint(1), max_age=1) is None


@pytest.mark.parametrize("size", [1, PACKED_UP_TO, PACKED_UP_TO + 1])
def test_a_page_comes_back_as_it_was(size: int) -> None:
    shelf = Shelf(FetchLimits(), lambda: 0.0)
    put = Page(b"metric 1\n" * size, 7.5)
    shelf.put(endpoint(1), put)
    assert shelf.find(endpoint(1), max_age=1) == put


def test_pages_of_exporters_take_a_tenth_of_their_length() -> None:
    shelf = Shelf(FetchLimits(share_bytes=20_000), lambda: 0.0)
    line = 'DCGM_FI_DEV_GPU_UTIL{gpu="0",UUID="GPU-4b1d",modelName="NVIDIA H200",pod="engine-0"} 97\n'
    for number in range(10):
        shelf.put(endpoint(number), Page(line.encode() * 200, 0.0))
    assert all(shelf.find(endpoint(number), max_age=1) is not None for number in range(10))
