"""Renames people, in steps that the operator sees; puts everything back when one of them fails. See the package."""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import subprocess
from typing import Any, NamedTuple

from hubrun_hub.renaming import next_names, pieces, tables
from hubrun_hub.renaming.look import Failed, Places, look, places_of
from hubrun_hub.renaming.pieces import Piece

HUB = "jupyterhub.service"
_ERRORS = (Failed, sqlite3.Error, OSError, subprocess.SubprocessError, ValueError)


class Journal(NamedTuple):
    """A renaming that is under way. mark: its number. placing: everything is aside, and is being put to its new place.

    people: old name, new name. merged: old → the user who goes for it. unknown: who is left as they are.
    """

    mark: int
    placing: bool
    people: list[tuple[str, str]]
    pieces: list[Piece]
    merged: dict[str, str]
    unknown: list[str]


def begin(settings: dict[str, Any], people: list[tuple[str, str]]) -> str:
    """Stop the hub and these people's servers, and take what is theirs aside. people: old name, new name.

    Raises Failed, with the hub as it was before, when something is in the way.
    """
    places = places_of(settings)
    # Pieces that an interrupted renaming took aside are nobody's.
    restore(places)
    _stop_hub()
    try:
        seen = look(settings, counting_s=0)
        if seen.problems or sorted(seen.found.names.items()) != sorted(people):
            raise Failed("the hub's people changed meanwhile: run it again")
        stopped = pieces.stop_servers([old for old, _ in people])
        for path in tables.gradebooks(places):
            tables.check_gradebook(path, dict(people))
        journal = Journal(
            secrets.randbelow(2**31 - 1) + 1, False, people, pieces.pieces(places, people),
            next_names.merged(seen.found, seen.users), seen.found.unknown,
        )  # fmt: skip
        pieces.make_hold(journal.pieces)
        _write(places, journal)
        for piece in journal.pieces:
            pieces.move_aside(piece, people[piece.person][0])
        _write(places, journal._replace(placing=True))
    except BaseException as error:
        raise _given_up(places, error) from error
    return f"people: {len(people)}, of which servers ran: {stopped}. The hub is stopped"


def move(settings: dict[str, Any], old: str) -> str:
    """Put what is aside of the user `old` to the place of their new name. Raises Failed after everything is back."""
    places = places_of(settings)
    journal = _under_way(places)
    try:
        number, new = next((number, new) for number, (name, new) in enumerate(journal.people) if name == old)
        for piece in journal.pieces:
            if piece.person == number:
                pieces.move_in(piece, new)
    except BaseException as error:
        raise _given_up(places, error) from error
    return f"places moved: {sum(piece.person == number for piece in journal.pieces)}"


def finish(settings: dict[str, Any]) -> str:
    """Write the new names into gradebooks, the notes and the hub's database. Raises Failed after everything is back."""
    places = places_of(settings)
    journal = _under_way(places)
    people = dict(journal.people)
    try:
        for path in tables.gradebooks(places):
            tables.rename_students(path, people, journal.mark)
        tables.rename_users(places, people, journal.merged, journal.unknown, settings["key"], journal.mark)
    except BaseException as error:
        raise _given_up(places, error) from error
    _tidy(places, journal)
    return f"new names: {len(people)}. The hub is still stopped"


def restore(places: Places) -> str:
    """After a renaming that did not come to its end: put everything back, or tidy up when the new names count already."""
    journal = _read(places)
    if journal is None:
        return "nothing to put back"
    if tables.is_done(places.people, journal.mark):
        _tidy(places, journal)
        return "the new names count already"
    for path in tables.gradebooks(places):
        tables.rename_students(path, dict(journal.people), journal.mark, back=True)
    pieces.make_hold(journal.pieces)
    if journal.placing:
        for piece in journal.pieces:
            if not pieces.is_aside(piece):
                pieces.move_aside(piece, journal.people[piece.person][1])
        journal = journal._replace(placing=False)
        _write(places, journal)
    for piece in journal.pieces:
        if pieces.is_aside(piece):
            pieces.move_in(piece, journal.people[piece.person][0])
    _tidy(places, journal)
    return "everything is where it was"


def put_back(settings: dict[str, Any]) -> str:
    """Put back what an interrupted renaming has moved, and start the hub if it still has the old names."""
    places = places_of(settings)
    journal = _read(places)
    done = journal is not None and tables.is_done(places.people, journal.mark)
    said = restore(places)
    if not done:
        _start_hub()
    return said


def leave(settings: dict[str, Any], people: dict[str, str]) -> str:
    """Note that these people (user → next name) are left as they are, so that no later run asks again."""
    tables.leave(places_of(settings), people)
    return f"people who are left as they are: {len(people)}"


def run(step: Any, *arguments: Any) -> int:
    """Carry out one of these steps, and say in a line how it went; 0, or 1 when it failed."""
    try:
        print(step(*arguments))
    except _ERRORS as error:
        print(error)
        return 1
    return 0


def _given_up(places: Places, error: BaseException) -> Failed:
    try:
        restore(places)
        _start_hub()
    except _ERRORS as another:
        return Failed(f"{error}. Not everything could be put back ({another}), and the hub is stopped: run it again")
    return Failed(f"{error}. Everything is where it was, and the hub runs")


def _tidy(places: Places, journal: Journal) -> None:
    for path in tables.gradebooks(places):
        tables.unmark_gradebook(path, journal.mark)
    pieces.remove_hold(journal.pieces)
    # In this order: while there is a journal, the mark says whether the new names count.
    places.journal.unlink()
    tables.unmark(places.people, journal.mark)


def _under_way(places: Places) -> Journal:
    journal = _read(places)
    if journal is None:
        raise Failed("no renaming is under way: run it again")
    return journal


def _read(places: Places) -> Journal | None:
    try:
        mark, placing, people, theirs, merged, unknown = json.loads(places.journal.read_text())
    except FileNotFoundError:
        return None
    return Journal(
        mark, placing, [(old, new) for old, new in people], [Piece(*each) for each in theirs], merged, unknown
    )


def _write(places: Places, journal: Journal) -> None:
    candidate = places.journal.with_suffix(".new")
    with open(os.open(candidate, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "w") as file:
        json.dump(journal, file)
        file.flush()
        os.fsync(file.fileno())
    candidate.replace(places.journal)


def _stop_hub() -> None:
    """Stop the hub, and see that no boot starts it meanwhile; a hub that is no service of the server is not ours."""
    if _systemctl("cat", HUB).returncode == 0 and (done := _systemctl("disable", "--now", HUB)).returncode:
        raise Failed(f"systemctl disable --now {HUB}: {done.stderr.strip()[-300:]}")


def _start_hub() -> None:
    if _systemctl("cat", HUB).returncode == 0 and (done := _systemctl("enable", "--now", HUB)).returncode:
        raise Failed(f"systemctl enable --now {HUB}: {done.stderr.strip()[-300:]}")


def _systemctl(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemctl", *args], stdin=subprocess.DEVNULL, capture_output=True, text=True)
