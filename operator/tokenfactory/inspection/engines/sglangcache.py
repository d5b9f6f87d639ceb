"""KV-cache offloading of SGLang: HiCache, LMCache, FlexKV (engines: SGLang)."""

from __future__ import annotations

from tokenfactory.inspection.command import Command
from tokenfactory.inspection.engines import sentences
from tokenfactory.inspection.engines.declaring import S, say
from tokenfactory.inspection.engines.words import is_zero, switched_on
from tokenfactory.model import Declaration, OptimizationName

HICACHE = "--enable-hierarchical-cache"
SWITCHES = ("enable-hierarchical-cache", "enable-hicache")
STORES = ("enable-lmcache", "enable-flexkv", "enable-unified-cache-external-linker")
DECODE_STORE = "disaggregation-decode-enable-offload-kvcache"
DECODE_RADIX = "disaggregation-decode-enable-radix-cache"
FORCED_MISS = "SGLANG_RADIX_FORCE_MISS"


def check_offloading(command: Command) -> Declaration:
    """A store of KV blocks outside of the GPU, and whether the radix cache lets it work."""
    flags = command.flags
    asked = next((name for name in (*SWITCHES, *STORES) if flags.switch(name)), None)
    decoding = (flags.text("disaggregation-mode") or "").lower() == "decode"
    if decoding and flags.switch(DECODE_STORE):
        return _say(S.DECLARED, "the decode side stores KV blocks", source=f"--{DECODE_STORE}")
    if asked is None:
        return _without(command)
    why_not = _conflict(command, decoding=decoding, hierarchical=asked in SWITCHES)
    if why_not:
        return _say(S.INVALID, why_not, source=f"--{asked}")
    if switched_on(command.env, FORCED_MISS):
        return _say(S.SIMULATED, "the prefix cache is forced to miss: a benchmark switch", source=FORCED_MISS)
    return _say(S.DECLARED, _told(command, asked), source=f"--{asked}")


def _conflict(command: Command, *, decoding: bool, hierarchical: bool) -> str:
    flags = command.flags
    if flags.switch("enable-radix-cache") is False:
        return "--disable-radix-cache excludes it: the engine refuses to start"
    if decoding and not flags.switch(DECODE_RADIX):
        return f"a decode server has no radix cache without --{DECODE_RADIX}: nothing is offloaded"
    if (flags.text("kv-cache-dtype") or "").lower() == "nvfp4":
        return "an NVFP4 KV cache rejects it"
    if hierarchical and is_zero(flags.text("hicache-ratio")) and is_zero(flags.text("hicache-size") or "0"):
        return "both --hicache-size and --hicache-ratio are 0"
    return ""


def _told(command: Command, asked: str) -> str:
    if asked in SWITCHES and is_zero(command.flags.text("hicache-size")):
        return "HiCache is on: --hicache-size 0 is not off, the ratio (2 by default) sizes it"
    if asked in SWITCHES:
        return "HiCache keeps KV blocks in host memory"
    return "a store keeps KV blocks outside of the GPU"


def _without(command: Command) -> Declaration:
    values = command.flags.values
    if any(name.startswith("hicache-") for name in values):
        return _say(S.INVALID, f"flags of HiCache do nothing without {HICACHE}", source=HICACHE)
    if "cpu-offload-gb" in values:
        return _say(S.NOT_DECLARED, sentences.WEIGHTS_NOT_KV)
    return _say(S.NOT_DECLARED, sentences.NO_OFFLOADING)


def _say(state: S, explanation: str, *, source: str = "") -> Declaration:
    return say(OptimizationName.KV_CACHE_OFFLOADING, state, explanation, source=source)
