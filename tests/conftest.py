"""For all tests: hypothesis judges answers, never the time that they take on a loaded machine."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
