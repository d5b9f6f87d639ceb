"""The judge's memory outlives a restart, and garbage is as good as none."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.judgement.builders import Moment, play, states
from tests.unit.judgement.test_denominator_judge import LEARNED, OTHER, learned
from tokenfactory.judgement.baseline import level_at
from tokenfactory.judgement.judge import JudgeMemory, pause
from tokenfactory.judgement.memory_codec import LONGEST, decode, encode, is_worth_saving

POOR = Moment(100.0, 16.0, waiting=9.0)


def again(memory: JudgeMemory | None) -> JudgeMemory:
    assert memory is not None
    found = decode(encode(memory))
    assert found is not None
    return found


def test_levels_come_back_to_a_tenth_of_a_percent() -> None:
    before, after = learned(), again(learned())
    for concurrency in (4.0, 16.0, 22.0, 32.0, 64.0):
        expected = level_at(before.baselines[0], concurrency)
        assert level_at(after.baselines[0], concurrency) == pytest.approx(expected, rel=1e-3)


def test_what_was_written_is_written_again_word_for_word() -> None:
    text = encode(again(learned()))
    assert encode(again(learned())) == text
    assert len(text) < 4096


def test_an_open_collapse_outlives_a_restart_and_is_judged_again_after_one_window() -> None:
    memory, _ = play(lambda _: POOR, start=LEARNED, end=LEARNED + 600, memory=learned())
    memory, filling = play(
        lambda _: replace(POOR, full=False), start=LEARNED + 700, end=LEARNED + 1000, memory=again(memory)
    )
    assert states(filling) == ["WarmingUp"]
    _, verdicts = play(lambda _: POOR, start=LEARNED + 1000, end=LEARNED + 2000, memory=memory)
    assert states(verdicts) == ["ThroughputCollapsed"]


def test_a_lost_memory_means_warming_up() -> None:
    _, verdicts = play(lambda _: POOR, start=LEARNED, end=LEARNED + 600, memory=decode("garbage"))
    assert states(verdicts) == ["WarmingUp"]


def _document() -> dict[str, Any]:
    memory, _ = play(lambda _: POOR, start=LEARNED, end=LEARNED + 600, memory=learned())
    assert memory is not None
    document = json.loads(encode(memory))
    assert isinstance(document, dict)
    return document


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        '{"v":1}',
        '{"v":2,"j":{},"p":{},"b":[]}',
        '{"v":1,"j":[],"p":{},"b":[]}',
        '{"v":1,"j":{"c":"yesterday"},"p":{},"b":[]}',
        '{"v":1,"j":{"c":NaN},"p":{},"b":[]}',
        '{"v":1,"j":{"m":[1]},"p":{},"b":[]}',
        '{"v":1,"j":{},"p":{},"b":{}}',
        '{"v":1,"j":{},"p":{},"b":[' + ",".join(["{}"] * 13) + "]}",
        "[" * 100_000,
        "x" * (LONGEST + 1),
    ],
)
def test_garbage_is_as_good_as_none(text: str) -> None:
    assert decode(text) is None


@pytest.mark.parametrize(
    "damage",
    [
        {"e": "../../etc"},
        {"r": "router"},
        {"p": "\n"},
        {"n": -1},
        {"f": 1e300},
        {"k": [[1, 0, 1, "!!"]]},
        {"k": [[1, 0, 1, ""]]},
        {"k": [[1, 0, 0, "AAAAAA=="]]},
        {"k": [[1, 0, 1, "AAAAAA=="], [1, 0, 1, "AAAAAA=="]]},
        {"k": [[900, 0, 1, "AAAAAA=="]]},
        {"k": [["a", 0, 1, "AAAAAA=="]]},
        {"k": [[1, 0, 1, "AAAA" * 100]]},
    ],
)
def test_a_damaged_baseline_loses_the_memory(damage: dict[str, Any]) -> None:
    document = _document()
    assert decode(json.dumps(document)) is not None
    document["b"][0] |= damage
    assert decode(json.dumps(document)) is None


def test_random_damage_never_raises() -> None:
    text, chance = json.dumps(_document()), random.Random(5)
    for _ in range(2000):
        position = chance.randrange(len(text))
        damaged = text[:position] + chance.choice('0"[]{},:aZ\x00') + text[position + 1 :]
        decode(damaged[: chance.randrange(len(damaged))] if chance.random() < 0.3 else damaged)


def test_it_is_worth_a_write_when_something_opened_or_a_level_moved_and_not_for_more_samples() -> None:
    later, _ = play(lambda _: Moment(255.0, 16.0), start=LEARNED, end=LEARNED + 9000, memory=learned())
    better, _ = play(lambda _: Moment(310.0, 16.0), start=LEARNED, end=LEARNED + 90_000, memory=learned())
    poor, _ = play(lambda _: POOR, start=LEARNED, end=LEARNED + 600, memory=learned())
    new, _ = play(
        lambda _: Moment(250.0, 16.0, epoch=OTHER), start=LEARNED, end=LEARNED + 300, memory=learned()
    )

    def worth(memory: JudgeMemory | None, *, saved: JudgeMemory | None) -> bool:
        assert memory is not None
        return is_worth_saving(saved, memory)

    assert worth(learned(), saved=None)
    assert not worth(JudgeMemory(), saved=None)
    assert not worth(learned(), saved=learned())
    assert later != learned()
    assert not worth(later, saved=learned())
    assert worth(better, saved=learned())
    assert worth(poor, saved=learned())
    assert worth(new, saved=learned())


def test_a_pause_keeps_what_is_open_and_no_timer() -> None:
    doubtful, _ = play(lambda _: POOR, start=LEARNED, end=LEARNED + 100, memory=learned())
    after = pause(doubtful)
    assert after is not None
    assert after.baselines == learned().baselines
    assert after.watches.judged.collapse.bad_since is None
    opened, _ = play(lambda _: POOR, start=LEARNED, end=LEARNED + 900, memory=learned())
    after = pause(opened)
    assert after is not None
    assert after.watches.judged.collapse.open
    assert pause(None) is None
