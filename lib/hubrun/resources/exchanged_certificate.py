"""A certificate that a person got, and its key, put in the place of those that nginx serves."""

from __future__ import annotations

from dataclasses import dataclass

from typing_extensions import override

from hubrun.desired.resource import Action, Resource, facts
from hubrun.shell import quote

NEW = ".new"
# What is in the way of a start of nginx goes back. What a run that was killed half-way moved is known by a pair that does
# not match; copies that are there beside a pair that does are of no use.
_EXCHANGE = f"""
certificate={{}} key={{}}
matches() {{ [ "$(openssl x509 -in "$certificate" -noout -pubkey)" = "$(openssl pkey -in "$key" -passin pass: -pubout)" ]; }}
! matches || rm -f "$certificate.before" "$key.before"
for path in "$key" "$certificate"; do
    [ -e "$path{NEW}" ] || continue
    cp -a "$path" "$path.before"
    mv -fT "$path{NEW}" "$path"
done
if ! nginx -t -q 2>&1; then
    for path in "$key" "$certificate"; do
        [ -e "$path.before" ] || continue
        mv -fT "$path" "$path{NEW}"
        mv -fT "$path.before" "$path"
    done
    exit 1
fi
systemctl reload nginx
rm -f "$certificate.before" "$key.before"
"""


@dataclass(frozen=True)
class ExchangedCertificate(Resource):
    """`certificate` and `key` are what lay beside them as CERTIFICATE.new and KEY.new, and nginx has read them.

    Either may be new alone. When nginx does not take them, those before come back, and it goes on with them.
    """

    certificate: str
    key: str

    label_format = "the new certificate in {certificate}"
    event = "{certificate}"

    @override
    def probe(self) -> str:
        return quote(
            'for path in {}; do [ ! -e "$path" ] || echo "$path=new"; done',
            [f"{self.certificate}{NEW}", f"{self.key}{NEW}"],
        )

    @override
    def plan(self, found: str) -> list[Action]:
        new = list(facts(found))
        if not new:
            return []
        title = f"put {' and '.join(new)} in place, and reload nginx: nobody notices"
        return [Action(title, quote(_EXCHANGE, self.certificate, self.key), "mv; nginx -t; systemctl reload nginx")]
