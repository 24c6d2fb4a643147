"""`./hubrun people`: who is who on a site, and two homes of one person made one."""

from __future__ import annotations

import csv
import io
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hubrun import atomic_write, params
from hubrun.control_characters import in_one_line
from hubrun.errors import BadInput, CommandFailed
from hubrun.terminal import echo

if TYPE_CHECKING:
    from hubrun.desired.server import Server

# The columns of the CSV behind user and dates: field, and version of LTI where that says different things.
COLUMNS = {
    "lti_user_id": ("user_id", "1.1"), "lti_sub": ("sub", "1.3"), "sis_id": ("lis_person_sourcedid", ""),
    "login": ("custom_canvas_user_login_id", ""), "email": ("lis_person_contact_email_primary", ""),
    "canvas_user_id": ("custom_canvas_user_id", ""), "canvas_sis_id": ("custom_canvas_user_sis_id", ""),
}  # fmt: skip


@click.command()
@click.argument("site_file", metavar="params/SITE.yaml", type=click.Path(path_type=Path))
@click.argument("words", metavar="[FIND | join ONE INTO]", nargs=-1)
@click.option("--csv", "csv_file", type=click.Path(path_type=Path, dir_okay=False), help="Write them to this file.")
@click.option("--apply", is_flag=True, help="Join them; without it, only what would be done is shown.")
def people(site_file: Path, words: tuple[str, ...], csv_file: Path | None, apply: bool) -> int:
    """Say who is who: the hub user of each person, and what the LMS calls them.

    \b
    ./hubrun people params/bio.yaml                       everybody
    ./hubrun people params/bio.yaml ada@example.edu       whoever has this in a name or an id
    ./hubrun people params/bio.yaml --csv people.csv      as a table, with SIS and Canvas ids
    ./hubrun people params/bio.yaml join ada--x7 ada      what making two homes one would do (--apply does it)
    """
    from hubrun.desired.server import Server  # slow to import: `hubrun --help` must not wait for it

    joins = words[:1] == ("join",)
    if len(words) not in ((3,) if joins else (0, 1)) or (apply and not joins) or (csv_file and joins):
        raise BadInput("what is wanted is not clear", "./hubrun people", "See ./hubrun people --help")
    if csv_file and not csv_file.parent.is_dir():
        raise BadInput("the folder does not exist", str(csv_file.parent), "Name a file in a folder that is there")
    with Server.connect(params.load(site_file)) as server:
        if joins:
            return _join(server, words[1], words[2], apply)
        found = ask(server, "list")
    chosen = [each for each in found["people"] if not words or _has(each, words[0])]
    unowned = [user for user in found["unowned"] if not words or words[0].lower() in user]
    if csv_file:
        try:
            # Names of people: for the account alone that asked.
            atomic_write.write(csv_file, table(chosen).encode(), 0o600)
        except OSError as error:
            raise CommandFailed(f"the table cannot be written: {error.strerror}", str(csv_file)) from None
        echo(f"{csv_file}: {len(chosen)} people")
        return 0
    for line in lines(chosen, found["people"]):
        echo(line)
    if unowned:
        echo(f"users whom nobody owns: {', '.join(unowned)}")
    if not chosen and not unowned:
        echo(f"nobody has {words[0]} in a name or an id" if words else "nobody came in yet", err=True)
    return 0 if chosen or unowned or not words else 1


def ask(server: Server, *words: str) -> dict[str, Any]:
    """What the program on the server says. Raises CommandFailed."""
    from hubrun import server_paths
    from hubrun.shell import quote

    places = (
        f"{server_paths.STATE}/lti_people.sqlite",
        f"{server_paths.STATE}/jupyterhub.sqlite",
        server_paths.COURSES,
    )
    command = quote(f"{server_paths.program('people')} {{}} {{}} {{}} {{}}", *places, list(words))
    answer = server.run(command, seconds=900) if words[0] == "join" else server.probe(command)[0]
    try:
        said: dict[str, Any] = json.loads(answer.stdout)
    except ValueError:
        raise CommandFailed(
            "the server does not say who is who", server.site.host, "Run 02 first", answer.stderr
        ) from None
    if "error" in said:
        raise CommandFailed(said["error"], server.site.host)
    return said


def _join(server: Server, one: str, into: str, apply: bool) -> int:
    seen = ask(server, "look", one, into)
    moving = "moves" if apply and not seen["problems"] else "would move"
    for move in seen["moves"]:
        echo(f"{moving}: {move}")
    for problem in seen["problems"]:
        echo(f"in the way: {problem}", err=True)
    if seen["problems"]:
        echo("nothing was changed", err=True)
        return 1
    if not apply:
        echo("Meanwhile the hub and both servers are stopped, for seconds. Run it again with --apply.")
        return 2
    ask(server, "join", one, into)
    echo(f"{one} and {into} are one: {into}")
    return 0


def _has(person: dict[str, Any], text: str) -> bool:
    values = [person["user"], *(row[3] for row in person["ids"]), *(row[2] for row in person["fields"])]
    return any(text.lower() in value.lower() for value in values)


def lines(chosen: list[dict[str, Any]], everybody: list[dict[str, Any]]) -> list[str]:
    """A line for each person, and one for each value that another person has too."""
    holders: dict[tuple[str, str, str], set[str]] = {}
    for each in everybody:
        for consumer, field, _, compared, _ in each["fields"]:
            holders.setdefault((consumer, field, compared), set()).add(each["user"])
    found = []
    for each in chosen:
        said = [f"{field}={value}" for _, field, value, _, _ in each["fields"]]
        said += [f"{field}={value}" for _, _, field, value in each["ids"]]
        # What an LMS says of somebody may have any character in it, and makes no second line.
        found.append(in_one_line(f"{each['user']}  {'  '.join(dict.fromkeys(said))}"))
        for consumer, field, _, compared, _ in each["fields"]:
            others = holders[consumer, field, compared] - {each["user"]}
            if others and field != "lis_person_contact_email_primary":
                found.append(f"    the same {field}: {', '.join(sorted(others))} (the LMS's own id tells them apart)")
    return found


def table(everybody: list[dict[str, Any]]) -> str:
    """The people as CSV, a line each; several values of one thing are joined by blanks."""
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(["user", "since", "seen", *COLUMNS])
    for each in everybody:
        row = [each["user"], _day(each["since"]), _day(max((row[4] for row in each["fields"]), default=each["since"]))]
        for field, version in COLUMNS.values():
            ids = [value for _, of, name, value in each["ids"] if (name, of) == (field, version)]
            said = [value for _, name, value, _, _ in each["fields"] if name == field]
            row.append(" ".join(dict.fromkeys(ids if version else said)))
        rows.writerow([_harmless(value) for value in row])
    return text.getvalue()


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))


def _harmless(value: str) -> str:
    """A spreadsheet takes some beginnings for a formula, and people may choose their login (OWASP, "CSV Injection")."""
    return f"'{value}" if value[:1] in tuple("=+-@\t\r\n") and value else value
