"""The link with which an LMS registers the hub (LTI Dynamic Registration), for as long as it is needed."""

from __future__ import annotations

from dataclasses import dataclass

from typing_extensions import override

from hubrun.desired.resource import Action, Resource, facts
from hubrun.shell import quote

DAYS = 7

# What the hub wrote is looked for with its own rights: it could have put a link to anything there.
_PROBE = """
link={} known={} registered={} url={}
if runuser -u {} -- test -f "$registered" 2>/dev/null; then echo registered=yes; fi
if [ -e "$link" ] || [ -e "$known" ]; then echo there=yes; fi
if [ -f "$link" ] && [ -f "$known" ]; then
    echo "modes=$(stat -c '%a %U:%G' "$link" "$known" | tr '\\n' ' ')"
    ends=$(sed -n 's/.*"expires": \\([0-9]*\\).*/\\1/p' "$known")
    [ "${ends:-0}" -gt "$(date +%s)" ] || echo expired=yes
    token=$(sed -n 's/.*[?]token=\\([0-9a-f]\\{64\\}\\)$/\\1/p' "$link")
    [ "$(cat "$link")" = "$url?token=$token" ] && grep -qF "$(printf %s "$token" | sha256sum | cut -d' ' -f1)" "$known" || echo differs=yes
fi
"""
# The token is in no argument of a process: printf is the shell's own.
_MAKE = """
link={} known={} url={} group={}
umask 077
folder=$(dirname "$link")
new=$(mktemp -d "$folder/.hubrun.XXXXXX")
trap 'rm -rf "$new"' EXIT
token=$(head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \\n')
[ ${#token} -eq 64 ] || exit 1
printf '%s?token=%s\\n' "$url" "$token" > "$new/link"
printf '{"sha256": "%s", "expires": %s}\\n' "$(printf %s "$token" | sha256sum | cut -d' ' -f1)" "$(($(date +%s) + {}))" > "$new/known"
chown "root:$group" "$new/known"
chmod 0640 "$new/known"
mv -fT "$new/link" "$link"
mv -fT "$new/known" "$known"
"""


@dataclass(frozen=True)
class RegistrationLink(Resource):
    """The link for the consumer `name`, in `folder`: NAME.link with the whole of it, which root alone can read, and
    NAME.json with its digest, for the hub. It is good for DAYS days, and gone when `registered` is there, which the hub
    (`account`) writes once the link has served.

    The folder is the hub's to read (see `Directory`). url: of the page that registers, without the token.
    """

    name: str
    folder: str
    registered: str
    url: str
    account: str

    @property
    def link(self) -> str:
        """The file with the link."""
        return f"{self.folder}/{self.name}.link"

    @property
    def _known(self) -> str:
        return f"{self.folder}/{self.name}.json"

    @property
    @override
    def label(self) -> str:
        return f"registration link {self.link}"

    @override
    def probe(self) -> str:
        return quote(_PROBE, self.link, self._known, self.registered, self.url, self.account)

    @override
    def plan(self, found: str) -> list[Action]:
        now = facts(found)
        if "registered" in now:
            if "there" not in now:
                return []
            return [Action(f"remove {self.link}, which has served", quote("rm -f {} {}", self.link, self._known))]
        script = quote(_MAKE, self.link, self._known, self.url, self.account, DAYS * 86400)
        if "modes" not in now:
            return [Action(f"make {self.link}, good for {DAYS} days", script)]
        if "expired" in now:
            return [Action(f"make a new {self.link}, as the old one has expired", script)]
        if "differs" in now or now["modes"].split() != ["600", "root:root", "640", f"root:{self.account}"]:
            return [Action(f"make a new {self.link}, as the old one was changed or is open to others", script)]
        return []
