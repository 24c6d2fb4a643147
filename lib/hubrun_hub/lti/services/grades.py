"""Columns and scores in an LMS's gradebook by LTI 1.3: Assignment and Grade Services 2.0."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, TypeGuard

from .calls import Calls, ServiceError, Unclear, below, with_query
from .claims import LINEITEM, LINEITEM_READ, RESULT_READ, SCORE
from .tokens import Tokens, Tool

_COLUMN = "application/vnd.ims.lis.v2.lineitem+json"
_COLUMNS = "application/vnd.ims.lis.v2.lineitemcontainer+json"
_RESULTS = "application/vnd.ims.lis.v2.resultcontainer+json"
_SCORE = "application/vnd.ims.lis.v1.score+json"


@dataclass(frozen=True)
class Column:
    """A line item. `url` is its id; `maximum` is what the LMS scales scores to."""

    url: str
    label: str
    maximum: float


@dataclass(frozen=True)
class Score:
    """Points of `maximum` for the LMS's `user`, as they were `at` a time (seconds since 1970); None takes them back."""

    user: str
    points: float | None
    maximum: float
    at: float


class Gradebook:
    """The gradebook of one course in an LMS. scopes: those that the LMS offers there. All methods raise ServiceError."""

    def __init__(self, tool: Tool, scopes: Iterable[str], tokens: Tokens, calls: Calls) -> None:
        self._tool, self._scopes, self._tokens, self._calls = tool, frozenset(scopes), tokens, calls

    async def find_column(self, columns: str, resource: str) -> Column | None:
        """The column that the hub, or what a teacher chose, made for `resource`; None for none.

        `columns` is the address of the course's line items. An LMS need not look at what the query asks for (3.2.9).
        """
        scope = LINEITEM if LINEITEM in self._scopes else LINEITEM_READ
        url = with_query(columns, resource_id=resource, limit="100")
        async for page in self._pages(scope, url, _COLUMNS):
            for each in page if isinstance(page, list) else ():
                if isinstance(each, dict) and each.get("resourceId") == resource:
                    return _column(each)
        return None

    async def column(self, columns: str, resource: str, label: str, maximum: float) -> Column:
        """That column; it is made where there is none (3.2.4)."""
        if found := await self.find_column(columns, resource):
            return found
        made = {"scoreMaximum": maximum, "label": label, "resourceId": resource, "tag": "hubrun"}
        headers = {"Content-Type": _COLUMN, "Accept": _COLUMN}
        try:
            answer = await self._ask(LINEITEM, "POST", columns, headers, made, twice=False)
        except Unclear:
            # Of an answer that was lost on its way the column is left.
            if found := await self.find_column(columns, resource):
                return found
            raise
        return _column(answer.json())

    async def send(self, column: str, score: Score) -> None:
        """Say what somebody has (3.4). A score that is sent again with its time is the same one."""
        said: dict[str, Any] = {
            "userId": score.user, "timestamp": _iso(score.at),
            "activityProgress": "Completed" if score.points is not None else "Initialized",
            "gradingProgress": "FullyGraded" if score.points is not None else "NotReady",
        }  # fmt: skip
        if score.points is not None:
            said |= {"scoreGiven": score.points, "scoreMaximum": score.maximum}
        await self._ask(SCORE, "POST", below(column, "scores"), {"Content-Type": _SCORE}, said)

    async def results(self, column: str) -> dict[str, float]:
        """What the LMS has, of each person who has something: its id of them → the part of the whole, 1 for all points (3.3)."""
        found = {}
        async for page in self._pages(RESULT_READ, with_query(below(column, "results"), limit="100"), _RESULTS):
            for each in page if isinstance(page, list) else ():
                score = each.get("resultScore") if isinstance(each, dict) else None
                if not _is_number(score) or not isinstance(each.get("userId"), str):
                    continue
                maximum = each.get("resultMaximum", 1)
                found[each["userId"]] = score / (maximum if _is_number(maximum) and maximum > 0 else 1)
        return found

    def _pages(self, scope: str, url: str, accept: str) -> Any:
        return self._calls.pages(lambda page: self._ask(scope, "GET", page, {"Accept": accept}), url)

    async def _ask(
        self, scope: str, method: str, url: str, headers: dict[str, str], body: Any = None, **how: Any
    ) -> Any:
        if scope not in self._scopes:
            raise ServiceError(f"the LMS does not offer this course's tool {scope.rpartition('/')[2]}", 403)
        data = None if body is None else json.dumps(body).encode()
        # One token for all that the LMS offers: a class is one question for it.
        known = self._scopes & {LINEITEM, LINEITEM_READ, RESULT_READ, SCORE}
        return await self._tokens.ask(self._tool, known, method, url, headers, data, **how)


def _column(said: Any) -> Column:
    url, maximum = (said.get("id"), said.get("scoreMaximum")) if isinstance(said, dict) else (None, None)
    if not isinstance(url, str) or not url:
        raise ServiceError("the LMS answered what is not a column")
    return Column(url, str(said.get("label", ""))[:200], float(maximum) if _is_number(maximum) else 0.0)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _iso(at: float) -> str:
    """ISO 8601 with fractions of a second (3.4.6)."""
    return datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="milliseconds")  # noqa: UP017 - Python 3.10
