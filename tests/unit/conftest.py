"""Property tests are not timed: the machines they run on are busy with other things."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("unit", deadline=None)
settings.load_profile("unit")
