"""What a system's page is made of: families, what they mean to us, and how its ranks are told apart.

A signal has alternatives in order of preference; the first one that the page carries is read, and its terms
are summed. Counters are written with and without `_total`; both are matched, never both added.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from tokenfactory.model import Histogram, Level, Signal
from tokenfactory.telemetry.layouts import Facts
from tokenfactory.telemetry.shapes import Labels, Shape

Scales = tuple[tuple[str, float | None], ...]

ABSENT = ""
"""Among the values of a term: samples that do not have the label at all count, too."""


@dataclass(frozen=True, slots=True)
class Term:
    """One family. With `label`, only samples whose label has one of `values` count; `x*` is a prefix.

    `part` is empty for a counter, "_sum", "_count" or "_bucket" for that part of a histogram. Of a family
    that every tensor-parallel rank repeats one rank is read; `every_shard`: each rank counts its own share.
    """

    family: str
    label: str = ""
    values: tuple[str, ...] = ()
    part: str = ""
    every_shard: bool = False

    @property
    def samples(self) -> tuple[str, ...]:
        """Names as they stand on sample lines, the preferred one first."""
        return (self.family + self.part,) if self.part else (f"{self.family}_total", self.family)

    @property
    def types(self) -> tuple[str, ...]:
        """Names as they stand on `# TYPE` lines."""
        return (self.family,) if self.part else (f"{self.family}_total", self.family)

    def admits(self, labels: Labels) -> bool:
        """Whether a sample with these labels counts."""
        if not self.label:
            return True
        said = next((value for label, value in labels if label == self.label), ABSENT)
        return any(
            said == value or (value[-1:] == "*" and said.startswith(value[:-1])) for value in self.values
        )


Choices = tuple[tuple[Term, ...], ...]
Families = Mapping[Signal | Histogram, Choices]


def sum_of(family: str, label: str = "", values: tuple[str, ...] = ()) -> tuple[Term, ...]:
    """The sum of a histogram's observations."""
    return (Term(family, label, values, part="_sum"),)


def count_of(family: str) -> tuple[Term, ...]:
    """The number of a histogram's observations."""
    return (Term(family, part="_count"),)


def buckets_of(family: str) -> tuple[Term, ...]:
    return (Term(family, part="_bucket"),)


@dataclass(frozen=True, slots=True)
class Ranks:
    """Which labels tell ranks apart. `own` ranks are summed; of those that differ in `shards` one is read."""

    own: str
    shards: tuple[str, ...] = ()


def _no_scales(_page: bytes, _shape: Shape, _facts: Facts) -> Scales:
    return ()


def _never(_page: bytes) -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """One system's page.

    `facts` pairs labels of the gauges `infos` with the names under which they are passed on; `fixed` hold
    for every page. A page without the `required` signals is refused: with `lacking` when a line names the
    system, with `advice` otherwise. A system that creates its families with their first sample is `lazy`:
    a line that begins so says whose page it is, and the `zeros` that are absent are zero, unless `worked`
    finds signs of finished work where a required one is: `signs` are the
    samples by which both are told. `scales` gives factors for families whose unit
    the page tells; None: it does not, so the family is not read.
    """

    name: str
    families: Families
    levels: Mapping[Level, tuple[str, ...]]
    ranks: Ranks
    advice: str
    lacking: str = ""
    infos: tuple[str, ...] = ()
    facts: Facts = ()
    fixed: Facts = ()
    required: frozenset[Signal] = frozenset({Signal.PROMPT_TOKENS, Signal.OUTPUT_TOKENS})
    zeros: frozenset[Signal] = frozenset({Signal.PROMPT_TOKENS, Signal.OUTPUT_TOKENS})
    lazy: tuple[bytes, ...] = ()
    worked: Callable[[bytes], bool] = _never
    signs: tuple[str, ...] = ()
    scales: Callable[[bytes, Shape, Facts], Scales] = _no_scales

    @property
    def terms(self) -> tuple[Term, ...]:
        return tuple(term for choices in self.families.values() for terms in choices for term in terms)

    @property
    def sample_names(self) -> frozenset[str]:
        gauges = [name for names in self.levels.values() for name in names]
        return frozenset([name for term in self.terms for name in term.samples] + gauges + list(self.infos))

    @property
    def asked_names(self) -> frozenset[str]:
        """What a page in parts has to hold to be read like the whole one."""
        return self.sample_names.union(self.signs)

    @property
    def type_names(self) -> frozenset[bytes]:
        return frozenset(name.encode() for term in self.terms for name in term.types)

    def with_families(self, more: Families) -> System:
        """The same page with families of a second system on it: its alternatives go first."""
        merged = {**self.families}
        for signal, choices in more.items():
            merged[signal] = (*choices, *merged.get(signal, ()))
        return replace(self, families=MappingProxyType(merged))
