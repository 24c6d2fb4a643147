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
    """What the server's command is asked for. Raises BadInput where the parameters do not say one thing."""
    asked = [each for each in (site.restore_person, site.restore_course, site.restore_site) if each]
    if len(asked) != 1 or (site.restore_path and not site.restore_person) or (site.restore_date and site.restore_site):
        raise BadInput(
            "what is to be restored is one thing", "parameters",
            "Add --set restore_person=USER (with restore_path and restore_date), --set restore_course=ID (with restore_date), "
            "or --set restore_site=latest (or a day)",
        )  # fmt: skip
    day = site.restore_date or "latest"
    if site.restore_person:
        return ("person", site.restore_person, day, *([site.restore_path] if site.restore_path else []))
    if site.restore_course:
        return ("course", site.restore_course, day)
    return ("site", site.restore_site, *(["over"] if site.restore_over_people else []))


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
