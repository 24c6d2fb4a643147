"""Due dates in the site's time zone, in summer and in winter.

nbgrader keeps them in UTC, and shows them in `NbGraderAPI.timezone`. Its dialog for an assignment has the time and, in a
field of its own, the offset that the zone has today (nbgrader 0.9.6, utils.py, to_numeric_tz): a due date behind the next
change of the clocks would be an hour off, and one that is there would move by an hour each time the dialog is saved.
"""

# mypy: disable-error-code="import-untyped,misc"
from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from dateutil.tz import gettz


def zone() -> str:
    """The site's time zone, which the hub gives to each container; "" where there is none, or none that is known."""
    name = os.environ.get("TZ", "")
    return name if name and gettz(name) else ""


def at_its_date(data: Mapping[str, Any], zone: str, now: datetime) -> dict[str, Any]:
    """What the dialog sends, with the offset of `zone` at the due date in place of the one of today, `now`.

    An offset that somebody wrote there stays. Raises ValueError for a date that is none.
    """
    due, offset, place = data.get("duedate_notimezone"), data.get("duedate_timezone"), gettz(zone)
    if not (due and place) or offset != now.astimezone(place).strftime("%z"):
        return dict(data)
    return {**data, "duedate_timezone": datetime.fromisoformat(due).replace(tzinfo=place).strftime("%z")}


class DueDates:
    """For formgrader's handlers: comes before nbgrader's among the base classes."""

    def get_json_body(self: Any) -> Any:
        data = super().get_json_body()
        if not isinstance(data, dict):
            return data
        try:
            return at_its_date(data, zone(), datetime.now().astimezone())
        except (TypeError, ValueError):  # nbgrader says what is wrong with it
            return data
