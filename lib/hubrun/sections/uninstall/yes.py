"""The two yeses of 16_uninstall, and what it shows before and after."""

from __future__ import annotations

from hubrun.desired.cards import Card, ProgressLine, Row
from hubrun.desired.resource import facts
from hubrun.desired.server import Server
from hubrun.errors import BadInput
from hubrun.params import Site
from hubrun.sections.uninstall import traces
from hubrun.server_paths import BEFORE, COURSES, FILES_UNIT, HOMES, KEPT, STATE

# The second yes was given, and what it is about may be half gone.
GIVEN = f"{KEPT}/uninstall-files"
_LOOK = f"""
# What a node has of these is the site's server's, and stays.
people={HOMES}/people courses={COURSES}
[ ! -e /etc/systemd/system/{FILES_UNIT} ] || people=/nowhere courses=/nowhere
{{ docker volume ls -q 2> /dev/null | sed -nE 's/^jupyterhub-(user|old)-//p'; ls "$people" 2> /dev/null; }} |
    grep -v '^hubruntest' | sort -u | wc -l | sed 's/^/people=/'
echo "courses=$(ls "$courses" 2> /dev/null | wc -l)"
echo "size=$(timeout 60 du -shc /var/lib/docker/volumes/jupyterhub-* "$people" "$courses" 2> /dev/null | tail -n 1 | cut -f1)"
echo "given=$(cat {GIVEN} 2> /dev/null)"
[ ! -e {STATE} ] || echo state=there
[ -e {BEFORE} ] && sed -n 's/^noted /noted=/p' {BEFORE}
sed -nE 's/^ "last_ok": "([^"]*)".*/backup=\\1/p' {KEPT}/backup.json 2> /dev/null
true
"""
# What no uninstall takes back, or is not hubrun's to take.
_STAYS = (
    ("updates of packages", "an older version is not brought back"),
    ("packages that were here before, or that others need", "apt decides which others need"),
    (
        "sudo, and the account of admin_user with its SSH key",
        "you may be logged in by it: userdel --remove NAME; rm /etc/sudoers.d/hubrun-admin",
    ),
    (
        "two limits in /etc/nginx/nginx.conf, if nginx was here before",
        "worker_connections and worker_rlimit_nofile: see the record of 03",
    ),
    ("logs, apt's lists, notes of apt, debconf, ucf and systemd", "logs name hub users, and rotate away"),
    ("rules of Docker in iptables, until the next boot", "Docker leaves them"),
    ("backups, and the records here", "both are elsewhere, and yours to keep or remove"),
    ("the tool in the LMS, and the names in DNS", "delete them there"),
)


def show(server: Server) -> None:
    """Show how much is there, and how to say yes. Raises BadInput for a yes to something else."""
    site, seen = server.site, _seen(server)
    people, backup = seen["people"], seen.get("backup") or "none"
    rows = [
        Row("students", f"{people} people have files, and there are {seen['courses']} courses: {seen['size'] or 'nothing'}"),
        Row("last backup", backup),
        Row("before hubrun", f"noted {seen['noted']}" if "noted" in seen else "not noted: packages, swap and time zone stay"),
        Row("first yes", f"--set uninstall_confirm={site.domain}: the hub and all of hubrun; students' files stay"),
        Row("second yes", f"--set uninstall_files={people}: students' files too, with their grades; Docker; the keys of LMSs"),
    ]  # fmt: skip
    ProgressLine().finish(Card(f"what goes from {site.host}", rows, {"people": people}, ("about", "what", "")))
    if site.uninstall_confirm not in ("", site.domain):
        raise BadInput(
            f"it says yes to {site.uninstall_confirm}, and this is {site.domain}", "parameter uninstall_confirm"
        )
    if site.uninstall_files and not _is_given(site, seen):
        what = f"it says yes to the files of {site.uninstall_files} people, and {people} people have some"
        raise BadInput(what, "parameter uninstall_files", "Look at the plan once more")
    if not (site.uninstall_confirm or server.check_mode):
        remedy = f"After looking at the plan (--check), say yes: --set uninstall_confirm={site.domain}"
        remedy += f"; for students' files, too, --set uninstall_files={people} besides"
        raise BadInput("nothing was removed yet", "parameter uninstall_confirm", remedy)


def show_left(server: Server) -> None:
    """Show what stays, and why; with it what on the server still has a name of hubrun's."""
    rows = [Row(what, why) for what, why in _STAYS]
    found = [] if server.pending else server.probe(traces.LEFT)[0].stdout.splitlines()
    rows += [Row("on the server", path) for path in found]
    ProgressLine().finish(Card("what stays", rows, {"stays": found}, ("what", "why, or what to do", "")))


def files_go(server: Server) -> bool:
    """Whether the second yes is given."""
    return _is_given(server.site, _seen(server))


def _is_given(site: Site, seen: dict[str, str]) -> bool:
    wanted = (seen["people"], seen["given"]) if seen["given"] else (seen["people"],)
    return (
        bool(site.uninstall_files) and site.uninstall_files in wanted or ("state" not in seen and seen["people"] == "0")
    )


def _seen(server: Server) -> dict[str, str]:
    return facts(server.probe(_LOOK)[0].stdout)
