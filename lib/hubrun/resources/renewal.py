"""Renewal of certificates: the hook, the proof that it works, and that nginx serves the result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from typing_extensions import override

from hubrun.desired.diagnosis import BY_CERTBOTS_EXIT
from hubrun.desired.resource import Action, Resource, facts
from hubrun.resources.acme_dns import CREDENTIALS
from hubrun.resources.certificate import LETSENCRYPT, certbot
from hubrun.shell import quote

HOOK = "/etc/letsencrypt/renewal-hooks/deploy/hubrun-nginx"
HOOK_TEXT = """#!/bin/sh
# Written by hubrun. certbot runs this after each renewal: nginx goes on with the old certificate until it reloads.
set -e
nginx -t -q
systemctl reload nginx
"""
# What a renewal depends on: when none of it has changed since one succeeded, the next will too. The unit's Environment
# holds the drop-in; `account` the right to renew. Serial numbers and versions change with each renewal and stay out.
# certbot writes the domain's entry in [[webroot_map]] on one run and leaves it out on the next, as it needs none: without
# it the last webroot_path holds (certbot/_internal/plugins/webroot.py, _set_webroots). What counts is where that leads.
_INPUTS = """
domain={}
conf=/etc/letsencrypt/renewal/$domain.conf
inputs() {
    grep -E "^(server|account|authenticator) = " "$conf" 2>/dev/null
    if grep -qs "^authenticator = dns-" "$conf"; then
        grep "^dns_" "$conf"
        stat -c '%Y %s' {!credentials}
    fi
    awk -v domain="$domain" -F ' = ' '
        $1 == "webroot_path" { sub(/,$/, "", $2); count = split($2, paths, /, */); path = paths[count] }
        $1 == domain { mapped = $2 }
        END { print "webroot", mapped ? mapped : path }' "$conf" 2>/dev/null
    cat /etc/letsencrypt/acme-ca.pem /etc/letsencrypt/renewal-hooks/*/* 2>/dev/null
    systemctl show certbot.service -p Environment
}
digest=$(inputs | sha256sum | cut -d' ' -f1)
""".replace("{!credentials}", CREDENTIALS)
_STAMP = "/etc/letsencrypt/hubrun-renewal-proven"
_SERIAL = """
served() { openssl s_client -connect 127.0.0.1:443 -servername "$domain" < /dev/null 2>/dev/null | openssl x509 -noout -serial 2>/dev/null || true; }
kept() { openssl x509 -in "/etc/letsencrypt/live/$domain/cert.pem" -noout -serial; }
"""
_FORCED = """
old=$(kept)
{renew}
new=$(kept)
[ "$new" != "$old" ] || { echo "certbot renewed nothing: still $old"; exit 41; }
"""
# A dry run runs no deploy hook (certbot --help renew), so the hook is run by itself.
_DRY = """
{renew}
RENEWED_LINEAGE=/etc/letsencrypt/live/$domain RENEWED_DOMAINS=$domain {hook}
new=$(kept)
"""
# One answer counts: after a reload, workers of before may still take a connection beside the new ones.
_SEEN = """
for try in 1 2 3 4 5 6 7 8 9 10; do
    seen=$(served)
    [ "$seen" = "$new" ] && break
    sleep 1
done
[ "$seen" = "$new" ] || { echo "nginx serves $seen, the certificate on disk is $new"; exit 42; }
echo "nginx serves the certificate on disk, $new"
"""


# As the timer will run it: with what the drop-in sets, and only that.
_ENVIRONMENT = """
environment=$(systemctl show certbot.service -p Environment --value)
[ -z "$environment" ] || export $environment
"""


@dataclass(frozen=True)
class RenewalProof(Resource):
    """Renewal has been seen to work with the present set-up: certbot renewed, the hook ran, nginx serves the result.

    Done once for each set-up (ACME server, account, webroot or DNS service, hooks, environment of certbot.service), in that unit's
    environment. Let's Encrypt gives a set of names 5 certificates in 7 days (letsencrypt.org/docs/rate-limits, "New
    Certificates per Exact Set of Identifiers"), so with it the renewal is a dry run, against its staging server.
    """

    domain: str
    directory: str = LETSENCRYPT
    dns: bool = False

    label_format = "proof that the certificate for {domain} renews"

    @override
    def probe(self) -> str:
        return quote(_INPUTS, self.domain) + f'echo "digest=$digest"\necho "proven=$(cat {_STAMP})"\n'

    @override
    def plan(self, found: str) -> list[Action]:
        now = facts(found)
        if now.get("digest") and now.get("proven") == now.get("digest"):
            return []
        dry = self.directory == LETSENCRYPT
        mode = "--dry-run" if dry else "--force-renewal"
        # certbot renew waits up to eight minutes where it has no terminal (certbot/_internal/main.py, renew).
        command = quote("certbot renew {} --cert-name {} --no-random-sleep-on-renew", mode, self.domain)
        renew = _ENVIRONMENT + certbot(command, dns=self.dns)
        step = (_DRY if dry else _FORCED).replace("{renew}", renew).replace("{hook}", HOOK)
        script = quote(_INPUTS, self.domain) + _SERIAL + step + _SEEN + f'echo "$digest" > {_STAMP}\n'
        exit_codes = BY_CERTBOTS_EXIT | {
            41: ("certbot ran and renewed nothing", f"See certbot renew --cert-name {self.domain} -v"),
            42: ("nginx does not serve the renewed certificate", f"Run {HOOK} by hand, and see journalctl -u nginx"),
        }
        return [Action(f"renew the certificate once ({mode})", script, command, seconds=600, exit_codes=exit_codes)]


@dataclass(frozen=True)
class ServedCertificate(Resource):
    """nginx serves, for `domain` on this server's port 443, the certificate that the file `path` holds now.

    It reads certificates at its start and reload only: one that was replaced since needs a reload.
    """

    domain: str
    path: str

    label_format = "nginx serves {path}"

    @override
    def probe(self) -> str:
        return quote(
            """print() { openssl x509 -noout -fingerprint -sha256 | tr = ' '; }
            echo "kept=$(print < {})"
            echo "served=$(openssl s_client -connect 127.0.0.1:443 -servername {} < /dev/null | print)" """,
            self.path, self.domain,
        )  # fmt: skip

    @override
    def foresee(self, found: str, written: Sequence[str]) -> str:
        for event in reversed(written):
            if event in ("service:nginx", self.path):
                return "kept=new\nserved=" + ("new" if event == "service:nginx" else "old")
        return found

    @override
    def plan(self, found: str) -> list[Action]:
        now = facts(found)
        if now.get("kept") and now["kept"] == now.get("served"):
            return []
        # New connections reach the new workers a moment after the reload.
        script = "nginx -t -q\nsystemctl reload nginx\nsleep 1"
        return [Action("reload nginx, which has another certificate", script, "systemctl reload nginx")]
