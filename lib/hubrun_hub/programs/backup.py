"""The command hubrun-backup, for its unit, runbooks 10 and 11, and a person on the server; run by root.

run                             make a backup, as the timer does each night
key                             show what a restore on another server needs: keep it in a safe place
list                            the days of which there is a backup
look                            whether the repository can be used
make                            make the repository, where there is none
accept [new]                    other settings and secrets, if they lead to a repository; new: or one can be made there
password [given]                another password; given: the one in the first line of standard input
find|restore person USER DAY [PATH]    into restored-DAY in their home; DAY: YYYY-MM-DD, or latest
find|restore course ID DAY      into restored-DAY in the course's folder
find|restore site DAY [over]    all of it, onto a server that was just installed; over: though people are there
"""

from __future__ import annotations

import sqlite3
import subprocess
import sys

from hubrun_hub.backup import access, give_back, password, repository, site, state, take
from hubrun_hub.failed import Failed
from hubrun_hub.homes.places import HomeError

# When the key was shown last.
_SHOWN = state.FOLDER / "backup-key-shown"


def main(command: str = "", *words: str) -> str:
    """What is said of it. Raises Failed."""
    if command not in ("run", "key", "list", "look", "make", "accept", "password", "find", "restore"):
        raise Failed((__doc__ or "").strip())
    if command == "accept":
        access.accept(sys.stdin.read(), new=words == ("new",))
        return "accepted"
    kept = repository.Repository(repository.load())
    if command == "key":
        return _key(kept)
    if command == "list":
        return "\n".join(f"{each.day}  {each.id[:8]}{'  without a home' * each.empty}" for each in kept.snapshots())
    if command == "look":
        return kept.look(new=words == ("new",))
    if command == "find":
        return _given_back(kept, command, *words)
    # Whoever began it has lost their connection, mostly, and waits for its end; the nightly one comes again.
    with state.alone(0 if command == "run" else float("inf")):
        if command == "make":
            kept.make()
            return "made"
        if command == "password":
            password.renew(kept, sys.stdin.readline().rstrip("\n") if words == ("given",) else "")
            return "the repository has another password"
        if command == "run":
            known = take.run(kept)
            return f"{known['homes']} homes, {known['added'] // 1000} kB added, {known['seconds']} s"
        return _given_back(kept, command, *words)


def _key(kept: repository.Repository) -> str:
    lines = repository.PASSWORD.read_text().splitlines()
    value = next(line.partition("=")[2] for line in lines if line.startswith("RESTIC_PASSWORD="))
    state.FOLDER.mkdir(exist_ok=True)
    _SHOWN.touch()
    return (
        f"repository  {kept.settings.repository}\npassword    {value}\n\n"
        "Without this password nobody can read the backups. Keep it where it is safe and this server is not: a password\n"
        "manager, or on paper in an envelope. To restore on another server, name it by backup_password_file."
    )


def _given_back(kept: repository.Repository, command: str, *words: str) -> str:
    return _site(kept, command, *words[1:]) if words[:1] == ("site",) else _files(kept, command, *words)


def _files(kept: repository.Repository, command: str, kind: str, whose: str, day: str, name: str = "") -> str:
    folder, source = {"person": give_back.person, "course": give_back.course}[kind](whose)
    wanted = give_back.find(kept, folder, day, name)
    there = give_back.is_there(wanted, source)
    if command == "restore" and not there:
        give_back.give_back(kept, wanted, source)
    return _facts(wanted.snapshot, there, wanted.into)


def _site(kept: repository.Repository, command: str, day: str, over: str = "") -> str:
    if there := site.restored(kept, day):
        return _facts(there, there=True)
    snapshot = site.chosen(kept, day, over == "over")
    if command == "restore":
        unwritten = site.restore(kept, snapshot)
        if unwritten:
            said = ", ".join(map(ascii, unwritten[:3]))
            print(f"{len(unwritten)} files or folders of people could not be written: {said}")
    return _facts(snapshot, there=False)


def _facts(snapshot: repository.Snapshot, there: bool, into: str = "") -> str:
    return f"snapshot={snapshot.id[:8]}\nday={snapshot.day}\nthere={'yes' if there else 'no'}\ninto={into}"


if __name__ == "__main__":
    try:
        print(main(*sys.argv[1:]))
    except (
        Failed,
        HomeError,
        OSError,
        ValueError,
        KeyError,
        TypeError,
        sqlite3.Error,
        subprocess.SubprocessError,
    ) as error:
        sys.exit(f"error: {error}")
