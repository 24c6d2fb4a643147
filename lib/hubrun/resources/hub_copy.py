"""A copy of the hub as it works, its software, configuration and image, from which it is put back; its database with it."""

from __future__ import annotations

from dataclasses import dataclass

from typing_extensions import override

from hubrun.desired.resource import Action, Resource
from hubrun.shell import quote

_KEEP = """
folder={}
rm -rf "$folder.new"
install -d -m 0700 "$(dirname "$folder")" "$folder.new"
for path in {}; do
    [ -e "$path" ] || continue
    install -d "$folder.new${path%/*}"
    cp -a --reflink=auto "$path" "$folder.new$path"
done
docker tag {} {} 2> /dev/null || true  # there may be no image yet
touch "$folder.new/kept"
mv -T "$folder.new" "$folder"
"""
# JupyterHub copies its database before it changes its tables (jupyterhub/dbutil.py, backup_db_file); each try that fails
# does so again, and the first copy is the one that the hub of before can read. Without one nothing was changed, and what
# people did meanwhile stays.
_MIGRATED = """find "$state" -maxdepth 1 -name 'jupyterhub.sqlite.2*' -newer "$folder/kept" """
# What is put back is whole before it takes the place of the other: killed at any moment, the hub has one of the two.
_PUT_BACK = f"""set -eu
folder={{}} state={{}}
for path in {{}}; do
    rm -rf "$path.failed" "$path.before"
    [ ! -e "$folder$path" ] || cp -a --reflink=auto "$folder$path" "$path.before"
done
systemctl stop jupyterhub jupyterhub-proxy
for path in {{}}; do
    [ -e "$path.before" ] || continue
    [ ! -e "$path" ] || mv -T "$path" "$path.failed"
    mv -T "$path.before" "$path"
    rm -rf "$path.failed"
done
before=$({_MIGRATED} | sort | head -n 1)
if [ -n "$before" ]; then
    chown --reference="$state/jupyterhub.sqlite" "$before"
    chmod --reference="$state/jupyterhub.sqlite" "$before"
    rm -f "$state/jupyterhub.sqlite-journal"
    mv -T "$before" "$state/jupyterhub.sqlite"
fi
docker tag {{}} {{}} 2> /dev/null || true
systemctl daemon-reload
systemctl reset-failed jupyterhub jupyterhub-proxy hubrun-docker-filter 2> /dev/null || true
systemctl restart hubrun-docker-filter jupyterhub-proxy jupyterhub
systemctl reload nginx 2> /dev/null || true  # which may be what did not work
"""
_FORGET = f"""
folder={{}} state={{}}
{_MIGRATED} -delete
docker image rm {{}} > /dev/null 2>&1 || true
rm -rf "$folder"
"""


@dataclass(frozen=True)
class HubCopy(Resource):
    """A copy of `paths` in `folder`, for root alone; one that is there stays. state: the folder with the hub's database.
    image: with which servers start; kept_image: its other name meanwhile.

    It is there as long as an upgrade is not finished: of one that was killed half-way it is still the hub as it worked.
    """

    folder: str
    state: str
    image: str
    kept_image: str
    paths: tuple[str, ...]

    label_format = "a copy of the hub as it works"

    @override
    def probe(self) -> str:
        return quote("[ ! -d {} ] || echo there", self.folder)

    @override
    def plan(self, found: str) -> list[Action]:
        if found.strip() == "there":
            return []
        return [
            Action(
                f"keep the hub in {self.folder}",
                quote(_KEEP, self.folder, self.paths, self.image, self.kept_image),
                seconds=600,
            )
        ]

    def put_back(self) -> str:
        """Shell that puts the hub back as it is in the copy, with its database, and starts it."""
        return quote(_PUT_BACK, self.folder, self.state, self.paths, self.paths, self.kept_image, self.image)

    def forget(self) -> str:
        """Shell that removes the copy, and the copies of the database that the upgrade made."""
        return quote(_FORGET, self.folder, self.state, self.kept_image)
