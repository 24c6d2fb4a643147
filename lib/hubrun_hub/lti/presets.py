"""What each LMS does in its own way: where it says who somebody is, and what it is called.

Only the standard library: the runbooks import this too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .consumers import Consumer


@dataclass(frozen=True)
class Preset:
    """One LMS. `title` is what people call it, `stable_id` the field of LTI 1.1 that is the same person for life.

    In LTI 1.3 the stable id is always `sub` (IMS Security Framework 1.0, 5.1.2: never reassigned).
    """

    name: str
    title: str
    stable_id: str = "user_id"


PRESETS = {preset.name: preset for preset in (Preset("canvas", "Canvas"),)}


def preset_of(consumer: Consumer) -> Preset:
    """The ways of a consumer's LMS."""
    return PRESETS[consumer.lms]
