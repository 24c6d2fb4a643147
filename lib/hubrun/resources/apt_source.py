"""Apt repositories other than the distribution's."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from typing_extensions import override

from hubrun.desired.resource import Action, Resource, facts
from hubrun.resources.packages import UPDATE
from hubrun.shell import one_line, quote

# The fingerprint of each key of a file, without those of its subkeys: a `fpr` belongs to the record before it
# (GnuPG, doc/DETAILS, "Format of the colon listings").
_PRIMARY = 'awk -F: \'$1 != "fpr" {kind = $1} $1 == "fpr" && kind == "pub" {print $10}\''
_FINGERPRINTS = "gpg --batch --no-keyring --trust-model always --show-keys --with-colons {} | " + _PRIMARY + " | xargs"

# The key is looked at before apt may trust it, and this one key alone is written, as GnuPG understood it: what else the
# file may hold is not passed on. When apt then refuses the repository, nothing of it stays.
_ADD = """
keyring={} source={} wanted={}
install -d -m 0755 /etc/apt/keyrings
candidate=$(mktemp)
export GNUPGHOME=$(mktemp -d)
trap 'rm -rf "$candidate" "$GNUPGHOME"' EXIT
curl -fsSL --retry 3 --max-time 60 -o "$candidate" {} || { echo "the key cannot be fetched from" {}; exit 1; }
got=$(gpg --batch --show-keys --with-colons "$candidate" | """ + _PRIMARY + """ | xargs)
case $got in *" "*) echo "there are several keys there: $got"; exit 66;; esac
if [ "$got" != "$wanted" ]; then
    echo "the key there is $got, expected is $wanted"
    exit 66
fi
# A minimal system has no agent, and for public keys none is needed.
alone="gpg --batch --quiet --no-autostart --no-default-keyring --keyring $GNUPGHOME/alone.gpg"
$alone --import "$candidate"
$alone --armor --output "$GNUPGHOME/alone.asc" --export "$got"
install -m 0644 "$GNUPGHOME/alone.asc" "$keyring"
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

    name: of the files. url, suite, components: as in sources.list(5), where a suite that ends with / has none. key_url: where its armored key is.
    fingerprint: of that key, 40 hex digits; another key is refused, and so is one more.
    """

    name: str
    url: str
    suite: str
    components: str
    key_url: str
    fingerprint: str

    label_format = "apt source {name}"

    @property
    def keyring(self) -> str:
        """The path of the key with which the repository signs."""
        return f"/etc/apt/keyrings/{self.name}.asc"

    @property
    def path(self) -> str:
        """The path of its file of sources."""
        return f"/etc/apt/sources.list.d/{self.name}.sources"

    @property
    def content(self) -> str:
        """Its file of sources, in the deb822 format: sources.list(5)."""
        fields = {
            "Types": "deb", "URIs": self.url, "Suites": self.suite, "Components": self.components, "Signed-By": self.keyring,
        }  # fmt: skip
        return "".join(one_line(f"{name}: {value}") + "\n" for name, value in fields.items() if value)

    @override
    def probe(self) -> str:
        # GNUPGHOME=/nonexistent: gpg must not make a ~/.gnupg while we only look. It insists on one for keyring or trust.
        return quote(
            "export GNUPGHOME=/nonexistent\necho \"source=$(sha256sum < {} | cut -d' ' -f1)\"\n"
            f'echo "keys=$({_FINGERPRINTS})"',
            self.path, self.keyring,
        )  # fmt: skip

    @override
    def plan(self, found: str) -> list[Action]:
        now = facts(found)
        # One key and no other: whatever else is in the keyring could sign packages too.
        key_is_right = now.get("keys", "").split() == [self.fingerprint]
        if now.get("source") == hashlib.sha256(self.content.encode()).hexdigest() and key_is_right:
            return []
        script = quote(_ADD, self.keyring, self.path, self.fingerprint, self.key_url, self.key_url)
        shown = f"curl -fsSL {self.key_url} -o {self.keyring}; editor {self.path}; apt-get update"
        other_key = (
            f"what is at {self.key_url} is not the one key that is expected",
            "Do not go on: check the address (of Docker's: docker_apt_url), or ask who runs the mirror",
        )
        title = f"add the apt repository {self.url} {self.suite}"
        return [Action(title, script, shown, self.content.encode(), seconds=900, exit_codes={66: other_key})]
