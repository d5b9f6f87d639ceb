"""/explain: on the pod's own loopback, for pools that have numbers, on the leader only."""

from __future__ import annotations

import aiohttp

from tokenfactory.runtime import http


def explain(namespace: str, pool: str) -> dict[str, object] | None:
    return {"pool": f"{namespace}/{pool}"} if pool == "known" else None


async def test_a_known_pool_is_explained_and_another_is_not_found_on_loopback_only() -> None:
    runner = await http.serve_explanations(explain, 0)
    try:
        (address, port) = runner.addresses[0][:2]
        assert address == "127.0.0.1"
        base = f"http://127.0.0.1:{port}"
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{base}/explain?namespace=a&pool=known") as answer:
                assert await answer.json() == {"pool": "a/known"}
            async with session.get(f"{base}/explain?namespace=a&pool=other") as answer:
                assert answer.status == 404
            async with session.get(f"{base}/metrics") as answer:
                assert answer.status == 404
            async with session.post(f"{base}/explain?namespace=a&pool=known") as answer:
                assert answer.status == 405
    finally:
        await runner.cleanup()
