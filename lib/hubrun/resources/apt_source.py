"""Apt repositories other than the distribution's."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from hubrun.control import one_line
from hubrun.plan import Action, Resource, facts, quote
from hubrun.resources.packages import UPDATE

_FINGERPRINT = (
    "gpg --batch --no-keyring --trust-model always --show-keys --with-colons {} | awk -F: '/^fpr/ {print $10; exit}'"
)

# The key is looked at before apt may trust it; when apt then refuses the repository, nothing of it stays.
_ADD = """
keyring={} source={} wanted={}
install -d -m 0755 /etc/apt/keyrings
candidate=$(mktemp)
export GNUPGHOME=$(mktemp -d)
trap 'rm -rf "$candidate" "$GNUPGHOME"' EXIT
curl -fsSL --retry 3 --max-time 60 -o "$candidate" {} || { echo "the key cannot be fetched from" {}; exit 1; }
got=$(gpg --batch --show-keys --with-colons "$candidate" | awk -F: '/^fpr/ {print $10; exit}')
if [ -n "$wanted" ] && [ "$got" != "$wanted" ]; then
    echo "the key there is $got, expected is $wanted"
    exit 66
fi
install -m 0644 "$candidate" "$keyring"
cat > "$source"
chmod 0644 "$source"
fetch() (
""" + UPDATE + """
)
if ! fetch; then
    rm -f "$keyring" "$source"
    exit 1
fi
"""  # fmt: skip


@dataclass(frozen=True)
class AptSource(Resource):
    """An apt repository that is trusted with its own key alone (`Signed-By`, sources.list(5)).

    name: of the files. url, suite, components: as in sources.list(5). key_url: where its armored key is.
    fingerprint: of that key, 40 hex digits; another key is refused. Empty: the key that key_url holds is taken.
    """

    name: str
    url: str
    suite: str
    components: str
    key_url: str
    fingerprint: str = ""

    @property
    def label(self) -> str:
        return f"apt source {self.name}"

    @property
    def keyring(self) -> str:
        return f"/etc/apt/keyrings/{self.name}.asc"

    @property
    def path(self) -> str:
        return f"/etc/apt/sources.list.d/{self.name}.sources"

    @property
    def content(self) -> str:
        fields = {
            "Types": "deb", "URIs": self.url, "Suites": self.suite, "Components": self.components, "Signed-By": self.keyring,
        }  # fmt: skip
        return "".join(one_line(f"{name}: {value}") + "\n" for name, value in fields.items())

    def probe(self) -> str:
        # GNUPGHOME=/nonexistent: gpg must not make a ~/.gnupg while we only look. It insists on one for keyring or trust.
        return quote(
            "export GNUPGHOME=/nonexistent\necho \"source=$(sha256sum < {} | cut -d' ' -f1)\"\n"
            f'echo "key=$({_FINGERPRINT})"',
            self.path, self.keyring,
        )  # fmt: skip

    def plan(self, found: str) -> list[Action]:
        now = facts(found)
        key_is_right = now.get("key") == self.fingerprint if self.fingerprint else bool(now.get("key"))
        if now.get("source") == hashlib.sha256(self.content.encode()).hexdigest() and key_is_right:
            return []
        return [
            Action(
                f"add the apt repository {self.url} {self.suite}",
                quote(_ADD, self.keyring, self.path, self.fingerprint, self.key_url, self.key_url),
                f"curl -fsSL {self.key_url} -o {self.keyring}; editor {self.path}; apt-get update",
                self.content.encode(),
                seconds=900,
                answers={
                    66: (
                        f"the key at {self.key_url} is not the one that is expected",
                        "Do not go on: check docker_apt_url, or ask who runs the mirror",
                    )
                },
            )
        ]
