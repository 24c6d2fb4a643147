"""The hub's database: one that was lost is put back, or begun again."""

from __future__ import annotations

from dataclasses import dataclass

from typing_extensions import override

from hubrun.desired.resource import Action, Resource, facts
from hubrun.server_paths import program
from hubrun.shell import quote

# Of a running hub: what it has open of a database that was removed is still there, proc(5), /proc/PID/fd. It is stopped
# meanwhile, so that nothing is half written, and then ended: what it notes from here on would be lost. systemd starts it.
_RESTORE = """
path={} owner={}
process=$(systemctl show jupyterhub -p MainPID --value)
for file in /proc/"$process"/fd/*; do
    case $(readlink "$file") in
        "$path (deleted)") [ "$(head -c 15 "$file")" = "SQLite format 3" ] || continue
            kill -STOP "$process"
            cp "$file" "$path.restored"
            chown "$owner" "$path.restored"
            chmod 0600 "$path.restored"
            mv -T "$path.restored" "$path"
            kill -KILL "$process"
            exit 0 ;;
    esac
done
if [ -s "$path" ]; then mv -T "$path" "$path.damaged"; fi
rm -f "$path" "$path-journal"
{make} "$path"
chown "$owner" "$path"
chmod 0600 "$path"
systemctl --no-block try-restart jupyterhub 2> /dev/null || true
"""


@dataclass(frozen=True)
class HubDatabase(Resource):
    """The hub's database, on a server where the hub was at work: one that was removed or damaged is noticed.

    witness: a file of the hub's that is there as long as it had a database. While the hub runs, a database that was removed
    is put back from what it has open; otherwise the hub makes a new one at its start, and a damaged one is put aside.
    """

    path: str
    witness: str
    owner: str

    label_format = "the hub's database"
    event = "{path}"

    @override
    def probe(self) -> str:
        return quote(
            """path={}
            [ -e {} ] || exit 0
            [ "$(head -c 15 "$path" 2> /dev/null)" = "SQLite format 3" ] && exit 0
            if [ -s "$path" ]; then echo state=damaged; else echo state=missing; fi
            process=$(systemctl show jupyterhub -p MainPID --value 2> /dev/null)
            for file in /proc/"$process"/fd/*; do
                if [ "$(readlink "$file")" = "$path (deleted)" ]; then echo open=yes; fi
            done""",
            self.path, self.witness,
        )  # fmt: skip

    @override
    def plan(self, found: str) -> list[Action]:
        now = facts(found)
        if not now:
            return []
        title = f"put {self.path} back from the hub that runs"
        if "open" not in now:
            title = (
                f"let the hub begin a new database ({self.path} is {now['state']}): people get their users and files again "
                "at their next launch"
            )
        return [Action(title, quote(_RESTORE.replace("{make}", program("new_database")), self.path, self.owner))]
