"""Clients that stream completions and write down each token when they get it: the truth of a run."""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from array import array
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp

PHRASES = (
    "the operator reads metrics from every pod and reports cache hits ",
    "prefill decode prefill decode prefill decode ",
    "every request waits in the queue of the engine ",
    "tokens requests queue speculative draft accepted offload ",
)
THINKING_SECONDS = 0.05
OUTPUT_TOKENS = (32, 64, 96, 128)


class Target(Protocol):
    """A server: `name` tells its lives apart."""

    @property
    def name(self) -> str: ...

    @property
    def url(self) -> str: ...


@dataclass(slots=True)
class Received:
    """What came back from one life of one server. `steps` and `accepted` are from the responses."""

    at: array[float] = field(default_factory=lambda: array("d"))
    tokens: array[int] = field(default_factory=lambda: array("q"))
    requests: int = 0
    broken: int = 0
    running: int = 0
    prompt: int = 0
    output: int = 0
    drafts: list[tuple[float, int, int]] = field(default_factory=list)

    def add(self, prompt: int, output: int) -> None:
        self.at.append(time.time())
        self.tokens.append(prompt + output)
        self.prompt += prompt
        self.output += output

    @property
    def total(self) -> int:
        return self.prompt + self.output

    def between(self, start: float, end: float) -> int:
        """Tokens that arrived in (start, end]."""
        return sum(n for at, n in zip(self.at, self.tokens, strict=True) if start < at <= end)

    def acceptance(self, start: float, end: float) -> tuple[int, int]:
        """Accepted tokens and draft steps of the requests that ended in (start, end]."""
        rows = [row for row in self.drafts if start < row[0] <= end]
        return sum(accepted for _, accepted, _ in rows), sum(steps for _, _, steps in rows)


class Clients:
    """`count` clients, each with one request after the other to a target. Use as a context manager."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="clients", daemon=True)
        self._working = True
        self._done: Any = None
        self.targets: tuple[Target, ...] = ()
        self.received: dict[str, Received] = {}

    def __enter__(self) -> Clients:
        self._thread.start()
        self._done = asyncio.run_coroutine_threadsafe(self._work(), self._loop)
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def finish(self) -> None:
        """Lets every request end, starts no new one. Raises what a client died of."""
        self._working = False
        self._done.result()

    def of(self, life: Target) -> Received:
        return self.received.setdefault(life.name, Received())

    async def _work(self) -> None:
        timeout = aiohttp.ClientTimeout(total=120)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            await asyncio.gather(*(self._client(session, number) for number in range(self._count)))

    async def _client(self, session: aiohttp.ClientSession, number: int) -> None:
        dice = random.Random(number)
        while self._working:
            targets = self.targets
            if targets:
                await self._ask(session, targets[number % len(targets)], dice)
            await asyncio.sleep(THINKING_SECONDS)

    async def _ask(self, session: aiohttp.ClientSession, life: Target, dice: random.Random) -> None:
        received = self.of(life)
        body = {
            "model": "tiny",
            "prompt": dice.choice(PHRASES) * dice.randint(1, 12),
            "max_tokens": dice.choice(OUTPUT_TOKENS),
            "ignore_eos": True,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True, "continuous_usage_stats": True},
        }
        received.running += 1
        try:
            async with session.post(f"{life.url}/v1/completions", json=body) as answer:
                answer.raise_for_status()
                await self._listen(answer.content, received)
            received.requests += 1
        except (aiohttp.ClientError, TimeoutError):
            received.broken += 1
        finally:
            received.running -= 1

    async def _listen(self, stream: aiohttp.StreamReader, received: Received) -> None:
        """Adds what each chunk's running usage has more than the one before."""
        prompt = output = 0
        async for line in stream:
            if not line.startswith(b"data: {"):
                continue
            chunk = json.loads(line[6:])
            usage = chunk["usage"]
            received.add(usage["prompt_tokens"] - prompt, usage["completion_tokens"] - output)
            prompt, output = usage["prompt_tokens"], usage["completion_tokens"]
            told = ((chunk.get("metrics") or {}).get("speculative_decoding")) or {}
            if told.get("num_spec_steps"):
                row = (time.time(), told["num_accepted_draft_tokens"], told["num_spec_steps"])
                received.drafts.append(row)
