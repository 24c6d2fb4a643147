"""When systemd's timers run."""

from __future__ import annotations

import re
from dataclasses import dataclass

from typing_extensions import override

from hubrun.desired.resource import Action, Resource
from hubrun.shell import quote

# The first line takes away when it ran until now: systemd.timer(5), OnCalendar=.
_DROP_IN = """\
# Written by hubrun: changes here are put back.
[Timer]
OnCalendar=
OnCalendar=*-*-* {hour:02}:00:00
"""


@dataclass(frozen=True)
class TimerHour(Resource):
    """The timer `unit` ("apt-daily-upgrade.timer") runs each day at this hour, and at no other time.

    What else its unit says stays, such as a delay by chance.
    """

    unit: str
    hour: int

    label_format = "{unit} at {hour} o'clock"

    @override
    def probe(self) -> str:
        # What is in force, and not what a file says that nobody read.
        return quote("systemctl show {} -p TimersCalendar", self.unit)

    @override
    def plan(self, found: str) -> list[Action]:
        now = re.findall(r"OnCalendar=(\S+ \S+) ;", found)
        wanted = f"*-*-* {self.hour:02}:00:00"
        if now == [wanted]:
            return []
        folder = f"/etc/systemd/system/{self.unit}.d"
        script = quote(
            "mkdir -p {}\ncat > {}\nsystemctl daemon-reload\nsystemctl try-restart {}",
            folder, f"{folder}/hubrun.conf", self.unit,
        )  # fmt: skip
        title = f"let {self.unit} run at {wanted} (now {', '.join(now) or 'never'})"
        return [Action(title, script, f"systemctl edit {self.unit}", _DROP_IN.format(hour=self.hour).encode())]
