"""Looks in the hub's database, with the share and the tokens that belong to each; what a server is told of its own.

They are rows of the hub's own database, and so go with either person's user (ON DELETE CASCADE, which JupyterHub switches on).
"""

# mypy: disable-error-code="import-not-found,misc,no-any-return,no-any-unimported"
from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from jupyterhub import orm
from sqlalchemy import Column, DateTime, ForeignKey, Integer, Unicode
from sqlalchemy.orm import relationship

from ..courses import exam_changes
from ..courses import exam_schedule as schedule
from ..courses.exam_schedule import Group
from ..docker_filter import settings
from . import who_may

# Where a server takes note of its looks, below its own address; and where it then asks the hub for them.
TOLD = "hubrun-looks"
_TOLD_S = 5
# Why a look ended, for the log.
OVER = "its time is over"
# A look that is over is told of for so long when its server's page opens.
_TELL_OF = timedelta(days=7)


class Look(orm.Base):
    """`viewer` may open the server called `server` of `owner` from `began` until `until`; `ended`: when that was over.

    Times are UTC without a zone, as in the hub's other tables.
    """

    __tablename__ = "hubrun_looks"
    id = Column(Integer, primary_key=True)
    viewer_id = Column(Integer, ForeignKey("users.id", ondelete="CASCADE"), nullable=False)
    owner_id = Column(Integer, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True)
    server = Column(Unicode(255), nullable=False)
    began = Column(DateTime, nullable=False)
    until = Column(DateTime, nullable=False)
    ended = Column(DateTime, index=True)
    viewer = relationship(orm.User, foreign_keys=[viewer_id], lazy="joined")
    owner = relationship(orm.User, foreign_keys=[owner_id], lazy="joined")

    def said(self) -> dict[str, Any]:
        """What its server is told; times in seconds since 1970."""
        over = self.ended or self.until
        times = {"began": self.began, "until": self.until, "over": over}
        return {
            "id": self.id, "viewer": self.viewer.name, "on": self.ended is None,
            **{name: int(time.replace(tzinfo=timezone.utc).timestamp()) for name, time in times.items()},  # noqa: UP017 - Python 3.10
        }  # fmt: skip


def now() -> datetime:
    """The time, with its zone."""
    return datetime.now(timezone.utc)  # noqa: UP017 - Python 3.10


def _stored(moment: datetime) -> datetime:
    return moment.astimezone(timezone.utc).replace(tzinfo=None, microsecond=0)  # noqa: UP017 - Python 3.10


def groups_of(user: Any) -> list[Group]:
    """The groups of a user of the hub (or orm.User)."""
    return [(group.name, group.properties or {}) for group in user.groups]


def read_site(path: Path) -> dict[str, Any]:
    """What the site's file says now, with exams that staff moved. Raises docker_filter.settings.Refused where it is not whole."""
    return schedule.with_changes(settings.read(path), exam_changes.read())


def why_not(site: dict[str, Any], viewer: Any, owner: Any) -> str:
    """Why one user of the hub may not look at the servers of another now; "" where they may. site: `read_site`."""
    reason = who_may.why_not(site, groups_of(viewer), groups_of(owner), owner.name, now())
    return reason or ("is an administrator" if owner.admin else "")


def on(db: Any, owner: Any, server: str | None = None, viewer: Any = None) -> list[Look]:
    """The looks that are on at this person's servers, or at this one; of everybody, or of `viewer`."""
    found = db.query(Look).filter(Look.owner_id == owner.id, Look.ended.is_(None))
    if server is not None:
        found = found.filter(Look.server == server)
    return (found if viewer is None else found.filter(Look.viewer_id == viewer.id)).all()


def of_server(db: Any, owner: Any, server: str) -> list[dict[str, Any]]:
    """What a server is told: the looks at it that are on, and those of the last days."""
    late = _stored(now() - _TELL_OF)
    found = db.query(Look).filter(Look.owner_id == owner.id, Look.server == server, Look.began > late)
    return [look.said() for look in found.order_by(Look.id)]


def begin(spawner: Any, viewer: Any, site: dict[str, Any]) -> Look:
    """Write down that `viewer` (orm.User) looks at this server; it is not shared yet (`share`)."""
    db, owner, began = spawner.db, spawner.user.orm_user, now()
    until = who_may.until(site, groups_of(owner), owner.name, began)
    look = Look(viewer=viewer, owner=owner, server=spawner.name, began=_stored(began), until=_stored(until))
    db.add(look)
    db.commit()
    return look


def share(spawner: Any, look: Look, log: logging.Logger) -> None:
    """Let the viewer in. The line in the log is the operator's."""
    orm.Share.grant(spawner.db, spawner.orm_spawner, look.viewer)
    log.warning("look: %s looks at the server of %s until %s UTC", look.viewer.name, _called(look), look.until)


def end(spawner: Any, look: Look, why: str, log: logging.Logger) -> None:
    """Take back what the viewer was given for this server: the share, and what their browsers got for it."""
    db = spawner.db
    if (shared := orm.Share.find(db, spawner.orm_spawner, look.viewer)) is not None:
        db.delete(shared)
    for kind in (orm.APIToken, orm.OAuthCode):
        for each in db.query(kind).filter_by(user_id=look.viewer_id, client_id=spawner.oauth_client_id):
            db.delete(each)
    look.ended = _stored(now())
    db.commit()
    log.warning("look: %s looks no more at the server of %s: %s", look.viewer.name, _called(look), why)


def _called(look: Look) -> str:
    """The server in the log: its owner, and its name if it has one."""
    return f"{look.owner.name}/{look.server}".rstrip("/")


def is_over(look: Look) -> bool:
    """Whether its time is over."""
    return _stored(now()) >= look.until


async def tell(spawner: Any) -> bool:
    """Have a server ask the hub for its looks; whether it did, so that its page shows them.

    Whatever program is there in its place may answer what it likes: a line is read, and no redirect followed.
    """
    server = spawner.server
    ask = (
        f"POST {server.base_url}{TOLD} HTTP/1.1\r\nHost: {server.ip}:{server.port}\r\n"
        "Content-Length: 0\r\nConnection: close\r\n\r\n"
    )
    writer = None
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection(server.ip, server.port), _TOLD_S)
        writer.write(ask.encode())
        return (await asyncio.wait_for(reader.read(13), _TOLD_S))[9:12] == b"204"
    except (OSError, asyncio.TimeoutError):  # noqa: UP041 - Python 3.10
        return False
    finally:
        if writer is not None:
            writer.close()
