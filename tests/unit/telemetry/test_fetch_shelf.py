"""Shared pages are kept for a bounded time and in a bounded amount."""

from __future__ import annotations

from tokenfactory.model import Endpoint
from tokenfactory.ports import Page
from tokenfactory.telemetry.limits import FetchLimits
from tokenfactory.telemetry.shelf import Shelf


def endpoint(number: int) -> Endpoint:
    return Endpoint(ip=f"10.0.0.{number}", port=9400, path="/metrics")


def page(size: int) -> Page:
    return Page(b"x" * size, 0.0)


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
    shelf = Shelf(FetchLimits(share_bytes=10), lambda: 0.0)
    kept = page(6)
    shelf.put(endpoint(1), page(5))
    shelf.put(endpoint(2), kept)
    assert shelf.find(endpoint(1), max_age=1) is None
    assert shelf.find(endpoint(2), max_age=1) is kept


def test_a_page_put_again_counts_once() -> None:
    shelf = Shelf(FetchLimits(share_bytes=10), lambda: 0.0)
    other = page(4)
    shelf.put(endpoint(1), other)
    for _ in range(5):
        shelf.put(endpoint(2), page(6))
    assert shelf.find(endpoint(1), max_age=1) is other


def test_a_page_larger_than_the_shelf_is_not_kept() -> None:
    shelf = Shelf(FetchLimits(share_bytes=10), lambda: 0.0)
    shelf.put(endpoint(1), page(11))
    assert shelf.find(endpoint(1), max_age=1) is None
