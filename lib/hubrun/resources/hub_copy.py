"""A copy of the hub as it works: its software, configuration and databases, from which it can be put back."""

from __future__ import annotations

from dataclasses import dataclass

from typing_extensions import override

from hubrun.desired.resource import Action, Resource
from hubrun.shell import quote

# The databases while the hub writes to them: https://docs.python.org/3/library/sqlite3.html, Connection.backup.
_KEEP = """
folder={} state={}
rm -rf "$folder.new"
install -d -m 0700 "$(dirname "$folder")" "$folder.new" "$folder.new/databases"
for path in {}; do
    [ ! -e "$path" ] || cp -a --reflink=auto --parents "$path" "$folder.new"
done
for database in "$state"/*.sqlite; do
    /usr/bin/python3 -I -c 'import sqlite3, sys
with sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True) as old, sqlite3.connect(sys.argv[2]) as new: old.backup(new)' \\
        "$database" "$folder.new/databases/${database##*/}"
done
mv -T "$folder.new" "$folder"
"""
# A database goes back only where its tables are others now: what people did meanwhile is in the one that is there.
_PUT_BACK = """set -eu
folder={} state={} owner={}
schema() {
    /usr/bin/python3 -I -c 'import sqlite3, sys
with sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True) as database:
    tables = sorted(database.execute("SELECT name, sql FROM sqlite_master"))
    print(tables, *(database.execute("SELECT * FROM alembic_version") if "alembic_version" in dict(tables) else ()))' "$1"
}
systemctl stop jupyterhub jupyterhub-proxy
for path in {}; do
    [ -e "$folder$path" ] || continue
    rm -rf "$path.failed"
    [ ! -e "$path" ] || mv -T "$path" "$path.failed"
    cp -a --reflink=auto "$folder$path" "$path"
    rm -rf "$path.failed"
done
for kept in "$folder"/databases/*.sqlite; do
    database=$state/${kept##*/}
    [ "$(schema "$kept")" != "$(schema "$database" 2> /dev/null)" ] || continue
    install -m 0600 -o "${owner%:*}" -g "${owner#*:}" "$kept" "$database.restored"
    rm -f "$database-journal"
    mv -T "$database.restored" "$database"
done
systemctl daemon-reload
systemctl reset-failed jupyterhub jupyterhub-proxy hubrun-docker-filter 2> /dev/null || true
systemctl restart hubrun-docker-filter jupyterhub-proxy jupyterhub
"""


@dataclass(frozen=True)
class HubCopy(Resource):
    """A copy of `paths` and of the databases in the folder `state` is in `folder`, for root alone; one that is there stays.

    It is there as long as an upgrade is not finished: of one that was killed half-way it is still the hub as it worked.
    """

    folder: str
    state: str
    paths: tuple[str, ...]

    label_format = "a copy of the hub as it works"

    @override
    def probe(self) -> str:
        return quote("[ ! -d {} ] || echo there", self.folder)

    @override
    def plan(self, found: str) -> list[Action]:
        if found.strip() == "there":
            return []
        script = quote(_KEEP, self.folder, self.state, self.paths)
        return [Action(f"keep the hub and its database in {self.folder}", script, "", seconds=600)]

    def put_back(self, owner: str) -> str:
        """Shell that puts the hub back as it is in the copy, and starts it. owner: of its databases, USER:GROUP."""
        return quote(_PUT_BACK, self.folder, self.state, owner, self.paths)

    def forget(self) -> str:
        """Shell that removes the copy."""
        return quote("rm -rf {}", self.folder)
