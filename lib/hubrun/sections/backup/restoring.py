"""What 11_restore is to bring back, from its parameters."""

from __future__ import annotations

from hubrun.desired.checks import Test
from hubrun.desired.resource import Resource
from hubrun.errors import BadInput
from hubrun.params import Site
from hubrun.resources.backups import Restored
from hubrun.sections.hub import config
from hubrun.server_paths import BACKUP
from hubrun.shell import quote


def words(site: Site) -> tuple[str, ...]:
    """What the server's command is asked for. Raises BadInput where no parameter says it."""
    day = site.restore_date or "latest"
    if site.restore_person:
        return ("person", site.restore_person, day, *([site.restore_path] if site.restore_path else []))
    if site.restore_course:
        return ("course", site.restore_course, day)
    if site.restore_site:
        return ("site", site.restore_site, *(["over"] if site.restore_over_people else []))
    raise BadInput(
        "nothing says what is to be restored", "parameters",
        "Add --set restore_person=USER (with restore_path and restore_date), --set restore_course=ID, or --set restore_site=latest",
    )  # fmt: skip


def is_there(site: Site) -> Test:
    """A test that the backups hold what is asked for, and that it may come to this server."""
    return Test(
        "it is in the backups, and may be restored here", quote(f"{BACKUP} find {{}}", words(site)), prints="^day=20",
        remedy="sudo hubrun-backup list, on the server, says of which days there are backups",
    )  # fmt: skip


def restored(site: Site) -> list[Resource]:
    """What is asked for is there."""
    return [Restored(words(site))]


def tests(site: Site) -> list[Test]:
    """Tests after it: what was asked for is there, and the hub is well."""
    there = Test("it is there", quote(f"{BACKUP} find {{}}", words(site)), prints="^there=yes$")
    return [there, config.health_test(), config.settings_test(site)]
