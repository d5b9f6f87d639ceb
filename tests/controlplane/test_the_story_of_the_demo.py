"""The demo's story as it is shown: a rollout that loses an optimization, found, priced, explained, mended.

What `tokenfactory demo --story` shows, without the pauses for reading: about seven minutes.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console

from tests.support.typed import mask
from tokenfactory.cli.demo import tell
from tokenfactory.sandbox.assets import Assets
from tokenfactory.sandbox.fleet import GB300, H200, NAMESPACE
from tokenfactory.sandbox.pager import Pager
from tokenfactory.sandbox.scene import Scene
from tokenfactory.sandbox.story import COST_JUMP, Story

pytestmark = pytest.mark.controlplane

GOLDEN = Path(__file__).parents[1] / "golden" / "story" / "described.txt"
CAUSE = r"MultiTokenPrediction\s+disappeared\s+in\s+the\s+rollout\s+\(--speculative-config\s+is\s+gone\)"


@dataclass(frozen=True)
class Told:
    """What was printed to the end of the story, and `kubectl describe` while the pool was worst."""

    shown: str
    described: str


class Witness(Story):
    """Asks kubectl to describe the pool when the collapse has been told."""

    described = ""

    def advance(self) -> None:
        lines = len(self.log)
        super().advance()
        if len(self.log) == 2 > lines:
            self.described = self.scene.kubectl("describe", "tfpool", "-n", NAMESPACE, GB300.name)


@pytest.fixture(scope="module")
def told(assets: Assets) -> Told:
    page = io.StringIO()
    console = Console(file=page, width=200)
    with Pager() as pager, Scene(assets, (GB300, H200), alertmanagers=(pager.url,)) as scene:
        scene.start_operator()
        story = Witness(scene, pager, linger=0.0)
        went_well = tell(console, scene, story)
    assert went_well, page.getvalue()[-6000:]
    return Told(page.getvalue(), story.described)


def costs(text: str) -> list[float]:
    """The column $/MTOK of the story's pool, as kubectl showed it over time; blanks left out."""
    found: list[float] = []
    start = end = 0
    for line in text.splitlines():
        if line.startswith("NAMESPACE"):
            start, end = line.index("$/MTOK"), line.index("TOK/S/GPU")
        elif line.startswith(NAMESPACE) and GB300.name in line and line[start:end].strip():
            found.append(float(line[start:end]))
    return found


def excerpt(described: str) -> str:
    """The words on the denominator and the Events, in order, numbers and revisions masked."""
    lines = [line for line in mask(described).splitlines() if "likely cause" in line or "Normal  " in line]
    words = [re.sub(r"\b[0-9a-f]{8}\b", "<revision>", " ".join(line.split())) for line in lines]
    return "".join(re.sub(r"\d+(\.\d+)?", "#", line) + "\n" for line in sorted(words))


def test_it_comes_to_its_end(told: Told) -> None:
    assert "the end: found, priced, explained, mended" in told.shown


def test_the_cost_jumps_on_screen_and_comes_back(told: Told) -> None:
    seen = costs(told.shown)
    assert max(seen) >= COST_JUMP * seen[0]
    assert seen[-1] < COST_JUMP * seen[0]


def test_the_verdict_and_its_event_name_the_cause_and_the_price(told: Told) -> None:
    assert re.search(rf"the operator: ThroughputCollapsed: .*?{CAUSE}", told.shown, re.DOTALL)
    assert re.search(
        rf"Event: Warning ThroughputCollapsed: .*?{CAUSE}.*?USD\s+an\s+hour", told.shown, re.DOTALL
    )


def test_the_pager_names_the_cause_and_is_resolved(told: Told) -> None:
    assert re.search(rf"the pager: FIRING \S*ThroughputCollapsed .*?{CAUSE}", told.shown, re.DOTALL)
    assert re.search(r"the pager: resolved \S*ThroughputCollapsed", told.shown)


def test_the_recovery_is_told_too(told: Told) -> None:
    assert "Event: Normal Healthy" in told.shown


def test_kubectl_describe_reads_like_a_colleagues_explanation(told: Told) -> None:
    assert excerpt(told.described) == GOLDEN.read_text()
