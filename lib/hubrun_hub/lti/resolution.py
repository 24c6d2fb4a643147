"""Finding the person of a launch, within one transaction of the file of who is who. The order is that of `people`."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from functools import cache

from . import user_names
from .people import (
    EXACT_KEYS,
    KEYS,
    UNWRITABLE,
    Found,
    HubUsers,
    Rules,
    Seen,
    Unusable,
    can_be_kept,
    compared,
    mark,
)
from .presets import is_vouched

# When somebody came last is written down once a day: a launch that says nothing new writes nothing.
_SEEN_S = 86400


def marks_of(db: sqlite3.Connection, person: int) -> dict[str, str]:
    """Digest → kind of each thing by which a person is known again, for the hub's database."""
    asks = "SELECT consumer, 'id ' || version || ' ' || field, value FROM stable_id WHERE person = ?"
    found = {mark(consumer, kind, value): kind for consumer, kind, value in db.execute(asks, (person,))}
    asks = "SELECT consumer, 'field ' || field, compared FROM field WHERE person = ? AND vouched"
    return found | {
        mark(consumer, kind, form): f"{kind} {consumer}" for consumer, kind, form in db.execute(asks, (person,))
    }


class Resolution:
    """Finding the person of one launch, within a transaction."""

    def __init__(self, db: sqlite3.Connection, seen: Seen, rules: Rules, hub: HubUsers, now: float) -> None:
        self.db, self.seen, self.rules, self.hub, self.now = db, seen, rules, hub, now
        self.notes: list[str] = []
        self.value = compared(seen.key, seen.fields.get(seen.key, ""))
        if not can_be_kept(self.value):
            self.value = ""
        known = {**dict(db.execute("SELECT name, prefix FROM consumer")), **rules.prefixes, seen.consumer: seen.prefix}
        others = sorted(name for name, prefix in known.items() if prefix == seen.prefix and name != seen.consumer)
        self.consumers = [seen.consumer, *others]
        self._kept: dict[str, set[str]] | None = None
        self._exists = cache(hub.exists)

    def found(self) -> tuple[Found, dict[str, str]]:
        person = self._by_ids() or self._by_value() or self._new()
        ((user,),) = self.db.execute("SELECT user FROM person WHERE number = ?", (person,)).fetchall()
        self._check_of_one_day(person, user)
        self._write(person)
        self._compare(person, user)
        return Found(user, self._administers(person, user), self.notes), marks_of(self.db, person)

    # -- who it is

    def _by_ids(self) -> int | None:
        seen = self.seen
        # The last one first: where an LMS's preset names another field than user_id, whoever makes a link may write that
        # (openedx/xblock-lti-consumer, lti_1p1/consumer.py: custom parameters go over LTI_PARAMETERS), and never user_id.
        for name, value in reversed(seen.ids):
            if person := self._with_id(seen.version, name, value):
                return person
        if seen.id_11:
            return self._with_id("1.1", "user_id", seen.id_11)
        person = self._with_id(*self._other_id())
        return person if person and not self._has_id(person) else None

    def _other_id(self) -> tuple[str, str, str]:
        """Version, field and value of the id, should the other version say the same."""
        value = next((value for name, value in self.seen.ids if name in UNWRITABLE), "")
        return ("1.3", "sub", value) if self.seen.version == "1.1" else ("1.1", "user_id", value)

    def _with_id(self, version: str, name: str, value: str) -> int | None:
        return self._noted_with_id(version, name, value) or self._marked(f"id {version} {name}", value)

    def _noted_with_id(self, version: str, name: str, value: str) -> int | None:
        asks = "SELECT person FROM stable_id WHERE (consumer, version, field, value) = (?, ?, ?, ?)"
        for consumer in self.consumers:
            if row := self.db.execute(asks, (consumer, version, name, value)).fetchone():
                return int(row[0])
        return None

    def _marked(self, kind: str, value: str) -> int | None:
        """The person of whom the hub's database has this mark: the file was lost, or is an older one."""
        for consumer in self.consumers:
            if len(users := self._owners(mark(consumer, kind, value))) == 1:
                return self._person_of(*users)
        return None

    def _owners(self, wanted: str) -> set[str]:
        """The users whose people have a mark of this launch. The hub's database is asked once, for all of them."""
        if self._kept is None:
            seen = self.seen
            known = [(f"id {seen.version} {name}", value) for name, value in seen.ids]
            known += [(f"id {version} {name}", value) for version, name, value in [self._other_id()]]
            known.append(("id 1.1 user_id", seen.id_11))
            known.append((f"field {seen.key}", self.value))
            self._kept = self.hub.owners({mark(each, kind, value) for each in self.consumers for kind, value in known})
        return self._kept.get(wanted, set())

    def _has_id(self, person: int, version: str = "", name: str = "") -> bool:
        """Whether an id of the person is known, of the launch's own kind where no other is named."""
        version, name = version or self.seen.version, name or self.seen.ids[0][0]
        places = ", ".join("?" * len(self.consumers))
        asks = f"SELECT 1 FROM stable_id WHERE person = ? AND version = ? AND field = ? AND consumer IN ({places})"  # nosec B608
        if self.db.execute(asks, (person, version, name, *self.consumers)).fetchone():
            return True
        ((user,),) = self.db.execute("SELECT user FROM person WHERE number = ?", (person,)).fetchall()
        return f"id {version} {name}" in self.hub.kinds(user)

    def _by_value(self) -> int | None:
        seen = self.seen
        if not self.value or not is_vouched(seen.lms, seen.key, seen.version):
            return None
        holders = self._holders(vouched=True)
        if not holders:
            return self._by_mark_or_name()
        possible = [each for each in holders if not self._is_another(each)]
        if len(possible) > 1:
            # A SIS id that was given to somebody else, or that a link said: who else they are must fit.
            possible = [each for each in possible if self.agrees(each)]
        return possible[0] if len(possible) == 1 else None

    def _is_another(self, person: int) -> bool:
        """Whether the ids say that the person is not that of the launch."""
        return self._has_id(person) or (bool(self.seen.id_11) and self._has_id(person, "1.1", "user_id"))

    def agrees(self, person: int) -> bool:
        """Whether what is known of the person is what the launch says, of each field that both have."""
        rows = self.db.execute("SELECT field, compared FROM field WHERE person = ?", (person,)).fetchall()
        both = [(compared(name, self.seen.fields[name]), value) for name, value in rows if name in self.seen.fields]
        return all(one == other for one, other in both)

    def _holders(self, vouched: bool = False) -> list[int]:
        """The people of whom lti_username_key said the launch's value last; who had it first comes first."""
        return self.with_value(self.seen.key, self.value, vouched)

    def with_value(self, name: str, value: str, vouched: bool = False) -> list[int]:
        """The people of whom the field `name` said `value` (`compared`) last; who had it first comes first."""
        places = ", ".join("?" * len(self.consumers))
        asks = (
            "SELECT person, min(since) FROM field WHERE field = ? AND compared = ? AND vouched >= ?"  # nosec B608
            f" AND consumer IN ({places}) GROUP BY person ORDER BY 2, 1"
        )
        return [int(row[0]) for row in self.db.execute(asks, (name, value, vouched, *self.consumers))]

    def _by_mark_or_name(self) -> int | None:
        """Of whom the file knows nothing: the hub's database knows them, or has a user of theirs whom nobody owns."""
        marked = self._marked_by_value()
        if marked:
            possible = [each for each in map(self._person_of, sorted(marked)) if not self._is_another(each)]
            return possible[0] if len(possible) == 1 else None
        names = [user_names.hub_name(self.value, self.seen.prefix, exact=self.seen.key in EXACT_KEYS)]
        # On a hub that was set up by the guide the name was what the LMS said, in lower case.
        names += [self.value.lower()] if self.rules.adopt and not self.seen.prefix else []
        for name in names:
            if self._exists(name) and not self._owned(name) and self._may_take(name):
                self.db.execute("DELETE FROM unclaimed WHERE user = ?", (name,))
                self.notes.append(f"{name} was nobody's, and is now the person whose {self.seen.key} has this value")
                return self._person_of(name)
        return None

    def _marked_by_value(self) -> set[str]:
        kind = f"field {self.seen.key}"
        return {user for each in self.consumers for user in self._owners(mark(each, kind, self.value))}

    def _may_take(self, name: str) -> bool:
        kinds = set(self.hub.kinds(name))
        if kinds == {"unclaimed"} or self.db.execute("SELECT 1 FROM unclaimed WHERE user = ?", (name,)).fetchone():
            return True
        # Who never came left nothing: a name in admin_users or in load_groups.
        return not kinds and (self.rules.adopt or not self.hub.came(name))

    def _check_of_one_day(self, person: int, user: str) -> None:
        """Raise Unusable where the hub's database knows somebody else as this user: who of them has left the files?

        So it is where a user was deleted, another person got the name, and one of the two was restored from before that.
        """
        ids = {digest: kind for digest, kind in marks_of(self.db, person).items() if kind.startswith("id ")}
        if any(user in users for users in self.hub.owners(ids).values()):
            return  # as nearly always: one question for each launch
        if self._exists(user) and set(self.hub.kinds(user)) & set(ids.values()):
            raise Unusable(
                f"{user} is one person in it and another in the hub's database, so one of the two is of another day. "
                "Restore both of one day; or delete this user, whose volume stays, and who is next to have the name has it"
            )

    # -- a new person

    def _new(self) -> int:
        seen = self.seen
        identity, name, said = "", "", ""
        wanted = [(key, seen.fields[key]) for key in dict.fromkeys([seen.key, *KEYS]) if key in seen.fields]
        for key, value in [*wanted, ("user_id", seen.ids[0][1])]:
            with suppress(user_names.NoIdentity):
                identity, said = value, key
                name = user_names.hub_name(value, seen.prefix, exact=key in EXACT_KEYS)
                break
        if not name:
            identity, name = "person", ""
        if said != seen.key and name in self.rules.admins:
            # Administrators are named as in lti_username_key. Another field may be an address that its owner writes.
            self.notes.append(f"{name} is an administrator's, and is not given by {said}")
            name = ""
        number = 0
        while not name or self._owned(name) or self._exists(name):
            if name and not number:
                self.notes.append(f"{name} is another person's, or nobody's whom this launch may take")
            number += 1
            which = "\0".join((seen.consumer, seen.version, *seen.ids[0], str(number)))
            name = user_names.apart(identity, seen.prefix, which)
        return self._person_of(name)

    def _owned(self, name: str) -> bool:
        return self.db.execute("SELECT 1 FROM person WHERE user = ?", (name,)).fetchone() is not None

    def _person_of(self, user: str) -> int:
        self.db.execute("INSERT OR IGNORE INTO person (user, since) VALUES (?, ?)", (user, self.now))
        ((number,),) = self.db.execute("SELECT number FROM person WHERE user = ?", (user,)).fetchall()
        return int(number)

    # -- what is kept

    def _write(self, person: int) -> None:
        seen, db = self.seen, self.db
        row = (seen.consumer, seen.prefix)
        if not db.execute("SELECT 1 FROM consumer WHERE (name, prefix) = (?, ?)", row).fetchone():
            db.execute("INSERT OR REPLACE INTO consumer VALUES (?, ?)", row)
        for name, value in seen.ids:
            # A second one that a link's maker may have written would be somebody else's.
            if name in UNWRITABLE or not self._has_id(person, seen.version, name):
                self._write_id(person, seen.version, name, value)
        if seen.id_11:
            self._write_id(person, "1.1", "user_id", seen.id_11)
        rows = db.execute(
            "SELECT field, value, vouched, seen FROM field WHERE (person, consumer) = (?, ?)", (person, seen.consumer)
        )
        known = {name: rest for name, *rest in rows}
        for name, value in seen.fields.items():
            if not can_be_kept(value) or (name == "user_id" and name != seen.key):
                continue  # a stable id is kept as one
            vouched, form = is_vouched(seen.lms, name, seen.version), compared(name, value)
            if name in known and known[name][0] == value and bool(known[name][1]) >= vouched:
                if self.now - known[name][2] > _SEEN_S:
                    db.execute(
                        "UPDATE field SET seen = ? WHERE (person, consumer, field) = (?, ?, ?)",
                        (self.now, person, seen.consumer, name),
                    )
                continue
            db.execute(
                "INSERT OR REPLACE INTO field VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (person, seen.consumer, name, value, form, vouched, self.now, self.now),
            )

    def _write_id(self, person: int, version: str, name: str, value: str) -> None:
        there = self._noted_with_id(version, name, value)
        if there is None or there == person:
            row = (self.seen.consumer, version, name, value, person)
            if not self.db.execute(
                "SELECT 1 FROM stable_id WHERE (consumer, version, field, value, person) = (?, ?, ?, ?, ?)", row
            ).fetchone():
                self.db.execute("INSERT OR IGNORE INTO stable_id VALUES (?, ?, ?, ?, ?)", row)

    def _compare(self, person: int, user: str) -> None:
        """Say it when the id and lti_username_key name different people: the id counts."""
        others = [each for each in self._holders() if each != person] if self.value else []
        for other in others:
            ((name,),) = self.db.execute("SELECT user FROM person WHERE number = ?", (other,)).fetchall()
            self.notes.append(
                f"{user} came with the {self.seen.key} of {name}: the LMS's own id counts (./hubrun people)"
            )

    def _administers(self, person: int, user: str) -> bool:
        """Whether admin_users names them: by their hub user, or by the value of lti_username_key, where nobody else had it."""
        if user in self.rules.admins:
            return True
        try:
            name = user_names.hub_name(self.value, self.seen.prefix, exact=self.seen.key in EXACT_KEYS)
        except user_names.NoIdentity:
            return False
        if name not in self.rules.admins or self._owned(name) or self.hub.kinds(name):
            return False
        return self._holders()[:1] == [person] and self._marked_by_value() <= {user}
