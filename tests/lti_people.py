"""A hub's door without a hub: launches go to the file of who is who, and the hub's database is played."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hubrun_hub.lti.people import Rules, Seen
from hubrun_hub.lti.people_file import People

SIS, LOGIN, MAIL = "lis_person_sourcedid", "custom_canvas_user_login_id", "lis_person_contact_email_primary"
NOW = 1_800_000_000.0


@dataclass
class FakeHub:
    """Users with whether they ever came, and marks: (digest, user) → kind."""

    users: dict[str, bool] = field(default_factory=dict)
    kept: dict[tuple[str, str], str] = field(default_factory=dict)

    def names(self) -> Iterable[str]:
        return list(self.users)

    def exists(self, name: str) -> bool:
        return name in self.users

    def came(self, name: str) -> bool:
        return self.users.get(name, False)

    def owners(self, marks: Collection[str]) -> dict[str, set[str]]:
        return {mark: {user for digest, user in self.kept if digest == mark and user in self.users} for mark in marks}

    def kinds(self, name: str) -> Collection[str]:
        return {kind for (_, user), kind in self.kept.items() if user == name}

    def keep(self, name: str, new: dict[str, str]) -> None:
        fields = {kind for kind in new.values() if kind.startswith("field ")}
        self.kept = {
            key: kind for key, kind in self.kept.items() if key[1] != name or kind not in fields or key[0] in new
        }
        self.kept |= {(mark, name): kind for mark, kind in new.items()}


class Door:
    """What the authenticator does with a launch, and the hub after it."""

    def __init__(self, path: Path, hub: FakeHub | None = None, key: str = SIS, **rules: Any) -> None:
        self.path, self.hub, self.key = path, hub or FakeHub(), key
        self.people = People(path)
        self.prefixes = {"default": ""}
        self.rules = rules
        self.now = NOW
        self.lms = "canvas"
        self.notes: list[str] = []
        self.administers = False

    def launch(
        self, id: str, version: str = "1.1", consumer: str = "default", id_11: str = "", key: str = "", **fields: str
    ) -> str:
        said = {SIS: fields.pop("sis", ""), LOGIN: fields.pop("login", ""), MAIL: fields.pop("mail", ""), **fields}
        name = "user_id" if version == "1.1" else "sub"
        username = [("lis_person_sourcedid", fields.pop("username"))] if "username" in fields else []
        seen = Seen(
            consumer, self.prefixes[consumer], version, [*username, (name, id)], {k: v for k, v in said.items() if v},
            key or self.key, id_11, self.lms,
        )  # fmt: skip
        self.now += 1
        found = self.people.resolve(seen, Rules(self.prefixes, **self.rules), self.hub, self.now)
        self.hub.users[found.user] = True
        for user, theirs in self.people.pending.items():
            self.hub.keep(user, theirs)
        self.people.pending = {}
        self.notes, self.administers = found.notes, found.administers
        return found.user
