"""Due dates in formgrader: what a teacher types is the time on their own clock, on that day."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from hubrun_student.nbgrader import due_dates

WINTER = datetime.fromisoformat("2026-12-01T09:00:00+00:00")
SUMMER = datetime.fromisoformat("2026-07-01T09:00:00+00:00")


def offset(due: str | None, typed: str, now: datetime, zone: str = "Europe/Zurich") -> Any:
    sent = {"duedate_notimezone": due, "duedate_timezone": typed}
    return due_dates.at_its_date(sent, zone, now)["duedate_timezone"]


@pytest.mark.parametrize(
    ("due", "typed", "now", "expected"),
    [
        ("2026-12-24T12:00", "+0100", WINTER, "+0100"),
        # the clocks change between today and the due date
        ("2027-06-01T12:00", "+0100", WINTER, "+0200"),
        ("2026-12-24T12:00", "+0200", SUMMER, "+0100"),
        ("2026-12-24T12:00:08", "+0200", SUMMER, "+0100"),
        # somebody wrote another offset there
        ("2027-06-01T12:00", "+0000", WINTER, "+0000"),
        (None, "+0100", WINTER, "+0100"),
    ],
)
def test_a_due_date_has_the_offset_of_its_own_day(due: str | None, typed: str, now: datetime, expected: str) -> None:
    assert offset(due, typed, now) == expected


def test_a_site_without_a_time_zone_stays_at_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TZ", raising=False)
    assert due_dates.zone() == ""
    assert offset("2027-06-01T12:00", "+0000", WINTER, "") == "+0000"
    monkeypatch.setenv("TZ", "Nowhere/Nothing")
    assert due_dates.zone() == ""
    monkeypatch.setenv("TZ", "Europe/Zurich")
    assert due_dates.zone() == "Europe/Zurich"


def test_what_is_no_date_is_left_to_nbgrader(monkeypatch: pytest.MonkeyPatch) -> None:
    class Body:
        sent: Any = None

        def get_json_body(self) -> Any:
            return self.sent

    class Handler(due_dates.DueDates, Body):
        pass

    monkeypatch.setenv("TZ", "Europe/Zurich")
    handler, today = Handler(), datetime.now().astimezone(due_dates.gettz("Europe/Zurich")).strftime("%z")
    for handler.sent in (
        None,
        [],
        {"duedate_notimezone": "soon", "duedate_timezone": today},
        {"duedate_notimezone": 3, "duedate_timezone": today},
    ):
        assert handler.get_json_body() == handler.sent
    handler.sent = {"duedate_notimezone": "2027-01-10T12:00", "duedate_timezone": today}
    assert handler.get_json_body()["duedate_timezone"] == "+0100"
