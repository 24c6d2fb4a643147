"""What 15_remove is to remove, from its parameters: shown first, removed after a yes, and the receipt."""

from __future__ import annotations

import getpass
from typing import Any

from hubrun.desired.cards import Card, ProgressLine, Row
from hubrun.desired.checks import Test
from hubrun.desired.diagnosis import last_line
from hubrun.desired.resource import Resource
from hubrun.desired.server import Server
from hubrun.errors import BadInput
from hubrun.params import Site
from hubrun.resources.removed import CourseArchive, Removed, answer, look, size
from hubrun.sections.hub import config
from hubrun.server_paths import HUB_CODE

_COLUMNS = ("what", "how much", "")


def asked(site: Site) -> tuple[str, str]:
    """Kind and name of what is to go. Raises BadInput where the parameters do not say one thing."""
    said = {"person": site.remove_person, "course": site.remove_course, "consumer": site.remove_consumer}
    found = [(kind, name) for kind, name in said.items() if name]
    if len(found) != 1:
        raise BadInput(
            "what is to be removed is one thing", "parameters",
            "Add --set remove_person=NAME, --set remove_course=ID or --set remove_consumer=NAME",
        )  # fmt: skip
    return found[0]


def code_test() -> Test:
    """A test that the server has the program of this version, which 02 brings."""
    return Test(
        "the server has the program that removes", f"[ -e {HUB_CODE}/removing ] && echo there", prints="^there$",
        remedy="Run ./hubrun install first: the server was set up by a version before",
    )  # fmt: skip


def show(server: Server) -> None:
    """Show what would go, or went, and how to say yes. Raises BadInput where nobody, or more than one, is meant, and for a
    yes to something else.
    """
    kind, name = asked(server.site)
    seen = _seen(server)
    if seen["state"] == "done":
        return ProgressLine().finish(
            Card(f"the {kind} {name} is gone already", _receipt(seen["receipt"]), columns=_COLUMNS)
        )
    yes = f"--set remove_confirm={seen['confirm']}"
    if server.site.remove_confirm not in ("", seen["confirm"]):
        raise BadInput(
            f"it says yes to {server.site.remove_confirm}, and not to what would go",
            "parameter remove_confirm",
            f"After looking at the plan: {yes}",
        )
    rows = [Row(f"{part['what']} ({part['where']})", size(part)) for part in seen["parts"]]
    more = {"begun": "It was begun before, and goes on."}.get(
        seen["state"], f"Backups have it {seen.get('backups', '')}."
    )
    note = "" if server.site.remove_confirm else f" To remove it: {yes}"
    title, nothing = f"{kind} {seen['name']}: what goes for good", [Row("nothing but the name", "")]
    ProgressLine().finish(Card(title, rows or nothing, {"parts": seen["parts"]}, _COLUMNS, more + note))


def archived(site: Site) -> list[Resource]:
    """The archive of a course; nothing for people. With a yes the removal makes it, when nobody can change the course any more."""
    kind, name = asked(site)
    return [CourseArchive(name)] if kind == "course" and not site.remove_confirm else []


def removed(server: Server) -> list[Resource]:
    """What was asked for is gone. Without a yes a course stays: its archive was made. Raises BadInput for people without one."""
    kind, name = asked(server.site)
    confirm, seen = server.site.remove_confirm, _seen(server)
    if not confirm and kind == "course":
        return []
    if not (confirm or server.check_mode or seen["state"] == "done"):
        raise BadInput(
            "nothing was removed yet",
            "parameter remove_confirm",
            f"After looking at the plan, say yes: --set remove_confirm={seen['confirm']}",
        )
    return [Removed(kind, name, confirm, getpass.getuser())]


def show_receipt(server: Server) -> None:
    """Show what was removed where, by whom, and until when backups have it; of a course that stays, where its archive is."""
    seen = _seen(server) if not server.pending else {}
    if seen.get("state") == "done":
        receipt = {name: value for name, value in seen["receipt"].items() if name != "file"}
        note = f"On the server, without anybody's name: {seen['receipt']['file']}"
        ProgressLine().finish(Card("receipt", _receipt(seen["receipt"]), {"receipt": receipt}, _COLUMNS, note))
    elif seen.get("archive"):
        rows = _file(seen["archive"])
        ProgressLine().finish(
            Card("the course stays; its archive is on the server", rows, {"archive": seen["archive"]}, _COLUMNS)
        )


def tests(site: Site) -> list[Test]:
    """A test that the hub is well."""
    return [config.health_test()]


def _seen(server: Server) -> dict[str, Any]:
    found = server.probe(look(*asked(server.site)))[0]
    seen = answer(found.stdout)
    if found.exit_code or not seen:
        raise BadInput(last_line(found.stdout) or "the server does not say what there is", server.site.host)
    return seen


def _receipt(receipt: dict[str, Any]) -> list[Row]:
    rows = [Row(f"removed: {part['what']} ({part['where']})", size(part)) for part in receipt["removed"]]
    rows += [Row("when, and by whom", f"{receipt['at']}, {receipt['by']}"), Row("backups have it", receipt["backups"])]
    rows += [Row("logs name the hub's user", receipt["logs"])]
    if receipt["named_in"] is None:
        rows += [Row("files of others that name them", "not known: somebody has too many files in a course")]
    elif receipt["named_in"]:
        rows += [Row("files of others that name them", f"{receipt['named_in']}, which the log of the removal lists")]
    return rows + (_file(receipt["archive"]) if receipt["archive"] else [])


def _file(archive: dict[str, Any]) -> list[Row]:
    return [Row("archive", f"{archive['file']}, {archive['size'] / 1e6:.1f} MB"), Row("SHA-256", archive["sha256"])]
