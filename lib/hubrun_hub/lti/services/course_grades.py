"""The grades of one course: which assignments there are, where they go, what would be sent, and the sending."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..consumers import Consumer
from .assignments import Assignment, ask
from .calls import Calls, ServiceError
from .claims import LINEITEM, LINEITEM_READ
from .columns import AnyColumn, Column11, Column13, Place11, send_all
from .comparison import SENDING, Row, State, compare, digest
from .course_roster import CourseRoster, tool_of
from .grades import Gradebook
from .outcomes import Outcomes
from .service_file import Link, Sent, ServiceFile
from .tokens import Tokens


def resource_of(assignment: str) -> str:
    """What an assignment of nbgrader is called in the LMS (resourceId of a line item)."""
    return f"nbgrader/{assignment}"


@dataclass(frozen=True)
class Preview:
    """What would be sent of an assignment. `link` is the one whose column is used, "" for a column of its own; `digest`
    stands for the rows. `why`: why nothing can be sent, "" if it can."""

    assignment: Assignment
    link: str
    rows: list[Row] = field(default_factory=list)
    why: str = ""

    @property
    def digest(self) -> str:
        return digest(self.rows)


class CourseGrades:
    """The grades of `course`, with what the hub has: its consumers, the file of services, what asks LMSs, and who is in it."""

    def __init__(
        self,
        course: str,
        *,
        consumers: Iterable[Consumer],
        file: ServiceFile,
        tokens: Tokens,
        calls: Calls,
        socket: str,
        roster: CourseRoster,
    ) -> None:
        self.roster = roster
        self.course, self._file, self._tokens, self._calls, self._socket = course, file, tokens, calls, socket
        self._consumers: Mapping[str, Consumer] = {each.name: each for each in consumers}

    async def assignments(self) -> dict[str, Assignment]:
        """Those of nbgrader, by name. Raises NoGradebook."""
        return await ask(self._socket, self.course)

    def links(self) -> list[Link]:
        """The links whose column can be chosen."""
        return self._file.links(self.course)

    async def preview(self, assignment: Assignment, students: Collection[str]) -> Preview:
        """What would be sent now. `students`: the hub users of the course's students."""
        preview, _ = await self._look(assignment, students)
        return preview

    async def send(
        self, assignment: Assignment, students: Collection[str], shown: str, ticked: Iterable[str], sender: str
    ) -> list[Sent] | None:
        """Send what was shown, and of what was changed by hand the `ticked` users; return what came of each.

        None where it is not what was `shown` any more, and then nothing was sent. `sender` is the hub user who sends.
        Raises ServiceError.
        """
        preview, column = await self._look(assignment, students)
        if column is None:
            raise ServiceError(preview.why)
        if preview.digest != shown:
            return None
        ticked, at = frozenset(ticked), time.time()
        points = {
            row.user: row.points
            for row in preview.rows
            if row.points is not None and (row.state in SENDING or (row.state is State.BY_HAND and row.user in ticked))
        }
        came = await send_all(column, points, assignment.maximum, at)
        lines = [
            Sent(at, sender, assignment.name, user, points[user], assignment.maximum, failed)
            for user, failed in came.items()
        ]
        self._file.note_sent(self.course, lines)
        return lines

    async def _look(self, assignment: Assignment, students: Collection[str]) -> tuple[Preview, AnyColumn | None]:
        link = self._link(assignment.name)
        try:
            if not assignment.maximum > 0:
                raise ServiceError("the assignment has no points")
            column = self._column(assignment.name, link)
            there = await column.read()
        except ServiceError as error:
            return Preview(assignment, link, why=str(error)), None
        rows = compare(
            assignment, students, known=column.known, left=self.roster.left(students), there=there,
            sent=self._file.last_sent(self.course, assignment.name), capped=column.capped,
        )  # fmt: skip
        return Preview(assignment, link, rows), column

    def _link(self, assignment: str) -> str:
        """The link that was chosen; else the one that is called as the assignment is; else none."""
        chosen = self._file.chosen(self.course)
        if assignment in chosen:
            return chosen[assignment]
        return next((each.link for each in self.links() if each.title.strip() == assignment), "")

    def _column(self, assignment: str, link: str) -> AnyColumn:
        known, found = self._file.course(self.course), {each.link: each for each in self.links()}.get(link)
        if link and found is None:
            raise ServiceError("the link that was chosen is not known any more: choose again")
        if found and not found.lineitem:
            return Column11(self._places(link))
        if known is None or not (known.lineitems or found):
            raise ServiceError(
                "the LMS did not say where grades go: open a link of the course once, or, with LTI 1.1, one of an assignment "
                "with points, and choose it here"
            )
        if not found and not {LINEITEM, LINEITEM_READ} & set(known.scopes):
            raise ServiceError("the LMS lets the hub make no column: choose a link of an assignment with points")
        return Column13(
            Gradebook(tool_of(known, self._consumers), known.scopes, self._tokens, self._calls), self._file.lti_users(self.course),
            url=found.lineitem if found else "", columns=known.lineitems, resource=resource_of(assignment), label=assignment,
        )  # fmt: skip

    def _places(self, link: str) -> dict[str, Place11]:
        return {
            user: Place11(Outcomes(consumer.key, consumer.secret, self._calls), url, sourcedid)
            for user, (name, url, sourcedid) in self._file.outcomes(self.course, link).items()
            if (consumer := self._consumers.get(name)) and consumer.key
        }


def rows_for_page(preview: Preview, names: Mapping[str, str]) -> list[dict[str, Any]]:
    """The rows as a page shows them: what is sent first, then what needs a look. `names`: what the LMS calls people."""
    order = [
        State.BY_HAND,
        State.NEW,
        State.CHANGED,
        State.UNKNOWN,
        State.LEFT,
        State.MANUAL,
        State.MISSING,
        State.SAME,
    ]
    maximum = preview.assignment.maximum
    return [
        {
            "user": row.user, "name": names.get(row.user, "").replace("\t", " "), "state": row.state.name,
            "text": row.state.value, "points": "" if row.points is None else f"{row.points:g}",
            "there": "" if row.there is None else f"{round(row.there * maximum, 2):g}",
        }
        for row in sorted(preview.rows, key=lambda row: (order.index(row.state), row.user))
    ]  # fmt: skip
