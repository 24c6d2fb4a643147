"""TLS certificates by ACME (RFC 8555) through certbot."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from hubrun.control import CONTROL
from hubrun.errors import BadInput
from hubrun.plan import Action, Resource, facts, one_line, quote
from hubrun.secret import Secret

LETSENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
WEBROOT = "/var/www/letsencrypt"
ACME_CA = "/etc/letsencrypt/acme-ca.pem"
_DROP_IN = "/etc/systemd/system/certbot.service.d/hubrun-acme-ca.conf"
# certbot speaks HTTPS through requests, which reads this variable; certbot has no option for it.
_DROP_IN_TEXT = f"# Written by hubrun: the CA that signed the ACME server's own certificate.\n[Service]\nEnvironment=REQUESTS_CA_BUNDLE={ACME_CA}\n"
# Renew when a third of the lifetime is left: letsencrypt.org/docs/integration-guide, "When to Renew".
_LEFT = 1 / 3

_PROBE = """
domain={}
cd /etc/letsencrypt 2>/dev/null || exit 0
conf=renewal/$domain.conf live=live/$domain
[ -e "$conf" ] || [ -e "$live" ] || [ -e "archive/$domain" ] || exit 0
echo there=yes
for part in cert chain fullchain privkey; do
    read=x509; [ $part = privkey ] && read='pkey -passin pass:'
    [ -L "$live/$part.pem" ] && openssl $read -in "$live/$part.pem" -noout || echo "damaged=/etc/letsencrypt/$live/$part.pem"
done
[ -s "$conf" ] || echo "damaged=/etc/letsencrypt/$conf"
sed -n 's/^\\(server\\|authenticator\\|webroot_path\\) = \\([^,]*\\),*$/\\1=\\2/p' "$conf"
openssl x509 -in "$live/fullchain.pem" -noout -checkhost "$domain" | grep -q 'does match' && echo covers=yes
[ "$(openssl x509 -in "$live/fullchain.pem" -noout -pubkey)" = "$(openssl pkey -in "$live/privkey.pem" -passin pass: -pubout)" ] && echo pair=yes
seconds() { date -d "$(openssl x509 -in "$live/fullchain.pem" -noout "-$1" | cut -d= -f2)" +%s; }
echo "from=$(seconds startdate)"
echo "until=$(seconds enddate)"
echo "now=$(date +%s)"
"""

# A lineage that certbot would not read is set aside whole, and comes back when no new one can be had: nginx may be
# using its files. Without this certbot refuses ("live directory exists") or names the new one DOMAIN-0001.
_SET_ASIDE = """
aside=/etc/letsencrypt/set-aside/$domain-$(date -u +%Y%m%dT%H%M%SZ)
mkdir -p -m 0700 "$aside"
for part in "live/$domain" "archive/$domain" "renewal/$domain.conf"; do
    [ ! -e "/etc/letsencrypt/$part" ] || { mkdir -p "$aside/${part%%/*}"; mv "/etc/letsencrypt/$part" "$aside/$part"; }
done
echo "the damaged files are now in $aside"
"""
_BRING_BACK = """
for part in "live/$domain" "archive/$domain" "renewal/$domain.conf"; do
    [ ! -e "$aside/$part" ] || { rm -rf "/etc/letsencrypt/$part"; mv "$aside/$part" "/etc/letsencrypt/$part"; }
done
echo "the damaged files are back"
"""
# An HMAC key goes through a file that root alone can read, in memory (/run): arguments can be read by everyone.
_CONFIG = """
umask 077
config=$(mktemp /run/hubrun-certbot.XXXXXX)
trap 'rm -f "$config"' EXIT
trap 'exit 143' HUP INT TERM
cat > "$config"
umask 022
"""
# certbot's own last lines are its forum's address, or counts; the reason stands above them.
CERTBOT = """
if out=$({command} 2>&1); then printf '%s\\n' "$out"; else
    {otherwise}
    printf '%s\\n' "$out" | sed '/^Ask for help/d; /^Saving debug log/d; /^Some challenges/d; /^- - -/d; /^All .*renewals failed/d; /(failure)$/d; /^[0-9]* renew failure/d; /^$/d'
    case $out in
        *"Another instance of Certbot"*) exit 31;;
        *rateLimited*|*"too many certificates"*|*"too many failed"*) exit 32;;
        *externalAccountRequired*|*"external account"*|*"xternal account binding"*|*"'kid' references"*) exit 33;;
        *CERTIFICATE_VERIFY_FAILED*|*"certificate verify failed"*) exit 34;;
        *NXDOMAIN*|*"DNS problem"*|*"no valid A records"*) exit 35;;
        *accountDoesNotExist*) exit 37;;
        *unauthorized*|*"Timeout during connect"*|*"urn:ietf:params:acme:error:connection"*|*"Certificate Authority failed to"*) exit 36;;
    esac
    exit 1
fi
"""
ANSWERS = {
    31: ("certbot is at work already", "certbot.timer may be renewing; run it again in a minute"),
    32: ("the certificate authority's rate limit is reached", "Wait as long as it says; try with its staging directory (acme_directory) meanwhile"),
    33: ("the certificate authority refused the external account binding", "Set acme_eab_kid and acme_eab_hmac_env or acme_eab_hmac_file to what it gave you"),
    34: ("the ACME server's own HTTPS certificate is not trusted", "Set acme_ca_file to the CA that signed it"),
    35: ("the certificate authority finds no DNS record of the domain", "Set the domain's A record to this server's public address; new records take minutes"),
    36: ("the certificate authority could not fetch the challenge from this server", "Its port 80 must be reachable from the internet: check the provider's firewall, and that A and AAAA records are this server's"),
    37: ("the ACME server no longer knows this server's account", "Remove its folder below /etc/letsencrypt/accounts and run it again"),
}  # fmt: skip


@dataclass(frozen=True)
class AcmeCertificate(Resource):
    """A certificate for `domain` in /etc/letsencrypt/live/DOMAIN, from the ACME server at `directory`.

    The challenge (http-01) is answered from `webroot`, which port 80 of the domain must serve already. One that is
    damaged, of another ACME server (staging, say), for another name, not its key's, expired, or in the last third of
    its lifetime is replaced. email: for the CA's notices ("" is none). trusted: the ACME server's CA is in ACME_CA
    (see AcmeTrust). eab_kid, eab_hmac: external account binding (RFC 8555, 7.3.4); a CA looks at it once, when the
    account is made.
    """

    domain: str
    directory: str = LETSENCRYPT
    email: str = ""
    trusted: bool = False
    eab_kid: str = ""
    eab_hmac: Secret | None = None
    webroot: str = WEBROOT

    @property
    def label(self) -> str:
        return f"certificate for {self.domain}"

    def probe(self) -> str:
        return quote(_PROBE, self.domain)

    def plan(self, found: str) -> list[Action]:
        now = facts(found)
        if "there" not in now:
            return [self._obtain("obtain a certificate for", ())]
        reason = self._reason(now)
        if not reason:
            return []
        if "damaged" in now:
            return [self._obtain(f"replace the certificate ({reason}) for", (), damaged=True)]
        # break-my-certs: acme_directory decides, also when a test CA replaces a real one.
        again = ("--force-renewal", "--renew-with-new-domains", "--break-my-certs")
        return [self._obtain(f"replace the certificate ({reason}) for", again)]

    def _reason(self, now: dict[str, str]) -> str:
        if "damaged" in now:
            return f"{now['damaged']} is missing, unreadable, or not certbot's"
        if now.get("server") != self.directory:
            return f"it is from {now.get('server')}"
        if now.get("authenticator") != "webroot" or now.get("webroot_path") != self.webroot:
            return "it renews in another way"
        if "covers" not in now:
            return "it is for another name"
        if "pair" not in now:
            return "its key is another"
        begin, end, today = (int(now[name] or 0) for name in ("from", "until", "now"))
        if end <= today:
            return f"it expired {(today - end) // 86400} days ago"
        if end - today < (end - begin) * _LEFT:
            return f"it ends in {(end - today) // 86400} days"
        return ""

    def _obtain(self, title: str, options: tuple[str, ...], damaged: bool = False) -> Action:
        contact = ("--email", self.email, "--no-eff-email") if self.email else ("--register-unsafely-without-email",)
        words = (
            "certbot", "certonly", "--webroot", "-w", self.webroot, "-d", self.domain, "--cert-name", self.domain,
            "--server", self.directory, "--preferred-challenges", "http", "--non-interactive", "--agree-tos", *contact, *options,
        )  # fmt: skip
        command, data, before = quote("{}", words), b"", ""
        if self.eab_kid and self.eab_hmac:
            command += ' -c "$config"'
            data = f"eab-kid = {one_line(self.eab_kid)}\neab-hmac-key = {self._hmac(self.eab_hmac)}\n".encode()
            before = _CONFIG
        before += quote("install -d -m 0755 {}\n", self.webroot)
        if self.trusted:
            before += f"export REQUESTS_CA_BUNDLE={ACME_CA}\n"
        if damaged:
            before += _SET_ASIDE
        run = CERTBOT.replace("{command}", command).replace("{otherwise}", _BRING_BACK if damaged else "")
        # certbot runs its deploy hooks, one of which reloads nginx, when it renews a certificate that it knows.
        writes = (f"/etc/letsencrypt/live/{self.domain}/fullchain.pem", *(("service:nginx",) if options else ()))
        return Action(
            f"{title} {self.domain}", quote("domain={}\n", self.domain) + before + run, quote("{}", words), data,
            seconds=600, answers=ANSWERS, writes=writes,
        )  # fmt: skip

    @staticmethod
    def _hmac(hmac: Secret) -> str:
        """The key, which must be one line of certbot's configuration: a second one could be any option."""
        if CONTROL.search(hmac.reveal()):
            raise BadInput("the HMAC key is more than one line", "parameter acme_eab_hmac_env or acme_eab_hmac_file")
        return hmac.reveal()


@dataclass(frozen=True)
class AcmeTrust(Resource):
    """The CA (PEM) that signed the ACME server's own certificate, for certbot alone, by hand and by its timer.

    "" is none: then the usual authorities hold, and what an earlier run left goes.
    """

    pem: str = ""

    @property
    def label(self) -> str:
        return "CA of the ACME server, for certbot"

    def probe(self) -> str:
        return quote(
            """for path in {} {}; do [ ! -e "$path" ] || echo "$path=$(base64 -w0 < "$path")"; done
            systemctl show certbot.service -p NeedDaemonReload""",
            ACME_CA, _DROP_IN,
        )  # fmt: skip

    def plan(self, found: str) -> list[Action]:
        now = facts(found)
        actions = []
        for path, text in ((ACME_CA, self.pem), (_DROP_IN, _DROP_IN_TEXT if self.pem else "")):
            if not text and path in now:
                actions.append(Action(f"remove {path}", quote("rm -f {}", path)))
            elif text and _decode(now.get(path, "")) != text:
                script = quote(
                    'path={}\nmkdir -p "$(dirname "$path")"\ncat > "$path.new"\nmv -f "$path.new" "$path"', path
                )
                actions.append(Action(f"write {path}", script, f"editor {path}", text.encode()))
        if actions or now.get("NeedDaemonReload") == "yes":
            actions.append(Action("read the unit files again", "systemctl daemon-reload"))
        return actions


def _decode(text: str) -> str:
    return base64.b64decode(text).decode(errors="replace")
