"""TLS certificates by ACME (RFC 8555) through certbot."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from typing_extensions import override

from hubrun.control_characters import CONTROL
from hubrun.desired.diagnosis import BY_CERTBOTS_EXIT
from hubrun.desired.resource import Action, Resource, facts
from hubrun.errors import BadInput
from hubrun.redaction.secret import Secret
from hubrun.resources.acme_dns import AWS, CREDENTIALS, DROP_IN, DnsChallenge
from hubrun.shell import one_line, quote

LETSENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
WEBROOT = "/var/www/letsencrypt"
ACME_CA = "/etc/letsencrypt/acme-ca.pem"
_DROP_IN = "/etc/systemd/system/certbot.service.d/hubrun-acme-ca.conf"
# certbot speaks HTTPS through requests, which reads this variable; certbot has no option for it.
_DROP_IN_TEXT = f"# Written by hubrun: the CA that signed the ACME server's own certificate.\n[Service]\nEnvironment=REQUESTS_CA_BUNDLE={ACME_CA}\n"
_AWS_TEXT = f"# Written by hubrun: where certbot finds the credentials of Route 53.\n[Service]\nEnvironment={AWS}\n"
# Renew when a third of the lifetime is left: letsencrypt.org/docs/integration-guide, "When to Renew".
_LEFT = 1 / 3

# Credentials are compared by a digest with a salt that is new each time: nothing of them leaves the server.
_PROBE = """
domain={} credentials={}
cd /etc/letsencrypt 2>/dev/null || exit 0
if [ -e "$credentials" ]; then
    salt=$(head -c 16 /dev/urandom | od -An -v -tx1 | tr -d ' \\n')
    echo "salt=$salt"
    echo "credentials=$({ printf %s "$salt"; cat "$credentials"; } | sha256sum | cut -d' ' -f1)"
    stat -c 'closed=%a|%U' "$credentials"
    [ ! -e "$credentials.before" ] || echo half=yes
fi
conf=renewal/$domain.conf live=live/$domain
[ -e "$conf" ] || [ -e "$live" ] || [ -e "archive/$domain" ] || exit 0
echo there=yes
for part in cert chain fullchain privkey; do
    read=x509; [ $part = privkey ] && read='pkey -passin pass:'
    [ -L "$live/$part.pem" ] && openssl $read -in "$live/$part.pem" -noout || echo "damaged=/etc/letsencrypt/$live/$part.pem"
done
[ -s "$conf" ] || echo "damaged=/etc/letsencrypt/$conf"
sed -n 's/^\\(server\\|authenticator\\|webroot_path\\|dns_[a-z0-9]*_credentials\\|dns_[a-z0-9]*_propagation_seconds\\) = \\([^,]*\\),*$/\\1=\\2/p' "$conf"
openssl x509 -in "$live/fullchain.pem" -noout -checkhost "$domain" | grep -q 'does match' && echo covers=yes
openssl x509 -in "$live/fullchain.pem" -noout -checkhost "any.$domain" | grep -q 'does match' && echo wildcard=yes
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
# New credentials take effect with a certificate, or a trial, that they brought; else those before them come back.
_PUT_CREDENTIALS = """
credentials={}
umask 077
IFS= read -r line
[ ! -e "$credentials" ] || [ -e "$credentials.before" ] || cp -p "$credentials" "$credentials.before"
printf %s "$line" | base64 -d > "$credentials.new"
mv -f "$credentials.new" "$credentials"
umask 022
"""
_TAKE_BACK = """
if [ -e "$credentials.before" ]; then mv -f "$credentials.before" "$credentials"; else rm -f "$credentials"; fi
"""
_WRITE = """
path={}
mkdir -p "$(dirname "$path")"
cat > "$path.new"
mv -f "$path.new" "$path"
"""
_KEEP = """
rm -f "$credentials.before"
"""
# certbot's own last lines are its forum's address, or counts; the reason stands above them.
CERTBOT = """
if out=$({command} 2>&1); then printf '%s\\n' "$out"; else
    {otherwise}
    printf '%s\\n' "$out" | sed '/^Ask for help/d; /^Saving debug log/d; /^Some challenges/d; /^- - -/d; /^All .*renewals failed/d; /(failure)$/d; /^[0-9]* renew failure/d; /^$/d'
    case $out in
        *"Another instance of Certbot"*) exit 31;;
{dns}        *rateLimited*|*"too many certificates"*|*"too many failed"*) exit 32;;
        *externalAccountRequired*|*"external account"*|*"xternal account binding"*|*"'kid' references"*) exit 33;;
        *CERTIFICATE_VERIFY_FAILED*|*"certificate verify failed"*) exit 34;;
        *NXDOMAIN*|*"DNS problem"*|*"no valid A records"*) exit 35;;
        *accountDoesNotExist*) exit 37;;
        *unauthorized*|*"Timeout during connect"*|*"urn:ietf:params:acme:error:connection"*|*"Certificate Authority failed to"*) exit 36;;
    esac
    exit 1
fi
"""
# What certbot's DNS plugins say (certbot_dns_*/_internal), dnspython (dns/tsig.py) and, of the record, the CA.
_DNS_FAULTS = """\
        *"peer didn't"*|*BADKEY*|*BADSIG*|*NOTAUTH*|*"server: REFUSED"*|*"Unable to authenticate"*|*"valid API token"*|*"ncorrect padding"*) exit 38;;
        *"Error determining zone_id"*|*"Zone:DNS:Edit"*|*"Unable to locate credentials"*|*InvalidClientTokenId*|*AccessDenied*|*SignatureDoesNotMatch*) exit 38;;
        *"credentials configuration"*|*"Error parsing credentials"*|*invalid_grant*|*"HttpError 403"*|*"HttpError 401"*) exit 38;;
        *"Unable to determine base domain"*|*"Unable to determine zone_id"*|*"Unable to determine managed zone"*|*"Unable to find a Route53 hosted zone"*) exit 40;;
        *"error when making query"*|*"adding TXT record"*|*"the DigitalOcean API"*|*"the Cloudflare API"*|*"the Google Cloud DNS API"*|*"finding managed zone"*) exit 39;;
        *"host='api."*|*"Could not connect to the endpoint"*|*"Unable to find the server"*) exit 39;;
        *"TXT record"*|*"TXT for _acme-challenge"*) exit 43;;
"""


@dataclass(frozen=True)
class AcmeCertificate(Resource):
    """A certificate for `domain` in /etc/letsencrypt/live/DOMAIN, from the ACME server at `directory`.

    The challenge (http-01) is answered from `webroot`, which port 80 of the domain must serve already. One that is
    damaged, of another ACME server (staging, say), for another name, not its key's, expired, or in the last third of
    its lifetime is replaced. With `dns` the challenge is answered in DNS (dns-01) in its place, and with `wildcard` the
    certificate is for all names one below the domain too. email: for the CA's notices ("" is none). trusted: the ACME server's CA is in ACME_CA
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
    dns: DnsChallenge | None = None
    wildcard: bool = False

    @property
    @override
    def label(self) -> str:
        return f"certificate for {self._names}"

    @property
    def _names(self) -> str:
        return f"{self.domain} and *.{self.domain}" if self.wildcard else self.domain

    @override
    def probe(self) -> str:
        return quote(_PROBE, self.domain, CREDENTIALS)

    @override
    def plan(self, found: str) -> list[Action]:
        now = facts(found)
        return [*self._certificate(now), *self._credentials(now)]

    def _certificate(self, now: dict[str, str]) -> list[Action]:
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

    def _credentials(self, now: dict[str, str]) -> list[Action]:
        """What becomes of the DNS service's credentials on the server when the certificate is as it should be."""
        if self.dns is None:
            gone = quote("rm -f {} {}", CREDENTIALS, f"{CREDENTIALS}.before")
            return [Action(f"remove {CREDENTIALS}", gone)] if "credentials" in now else []
        if "there" not in now or self._reason(now):
            return []  # they come with the certificate
        text = now.get("salt", "") + self.dns.credentials.reveal()
        if now.get("credentials") != hashlib.sha256(text.encode()).hexdigest() or "half" in now:
            words = ("certbot", "renew", "--dry-run", "--cert-name", self.domain, "--no-random-sleep-on-renew")
            trial = quote("{}", words)
            script = quote(_PUT_CREDENTIALS, CREDENTIALS) + self._environment() + self._run(trial, _TAKE_BACK) + _KEEP
            title = f"put new credentials for {self.dns.service} in place, if a trial renewal succeeds"
            return [Action(title, script, trial, self.dns.line, seconds=900, exit_codes=BY_CERTBOTS_EXIT)]
        if now.get("closed") != "600|root":
            script = quote("chown root {}\nchmod 0600 {}", CREDENTIALS, CREDENTIALS)
            return [Action(f"close {CREDENTIALS} to others", script)]
        return []

    def _reason(self, now: dict[str, str]) -> str:
        if "damaged" in now:
            return f"{now['damaged']} is missing, unreadable, or not certbot's"
        if now.get("server") != self.directory:
            return f"it is from {now.get('server')}"
        renewal = self.dns.renewal if self.dns else {"authenticator": "webroot", "webroot_path": self.webroot}
        if any(now.get(name) != value for name, value in renewal.items()):
            return "it renews in another way"
        if "covers" not in now:
            return "it is for another name"
        if self.wildcard != ("wildcard" in now):
            return f"it is {'not ' if self.wildcard else ''}for *.{self.domain}{'' if self.wildcard else ' too'}"
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
        way = self.dns.options if self.dns else ("--webroot", "-w", self.webroot)
        names = ("-d", self.domain, *(("-d", f"*.{self.domain}") if self.wildcard else ()))
        words = (
            "certbot", "certonly", *way, *names, "--cert-name", self.domain, "--server", self.directory,
            "--preferred-challenges", "dns" if self.dns else "http", "--non-interactive", "--agree-tos", *contact, *options,
        )  # fmt: skip
        command, data, before = quote("{}", words), b"", ""
        otherwise = _BRING_BACK if damaged else ""
        if self.dns:
            data, before, otherwise = self.dns.line, quote(_PUT_CREDENTIALS, CREDENTIALS), otherwise + _TAKE_BACK
        if self.eab_kid and self.eab_hmac:
            command += ' -c "$config"'
            data += f"eab-kid = {one_line(self.eab_kid)}\neab-hmac-key = {self._hmac(self.eab_hmac)}\n".encode()
            before += _CONFIG
        before += quote("install -d -m 0755 {}\n", self.webroot) + self._environment()
        if damaged:
            before += _SET_ASIDE
        run = self._run(command, otherwise) + (_KEEP if self.dns else "")
        # certbot runs its deploy hooks, one of which reloads nginx, when it renews a certificate that it knows.
        writes = (f"/etc/letsencrypt/live/{self.domain}/fullchain.pem", *(("service:nginx",) if options else ()))
        return Action(
            f"{title} {self._names}", quote("domain={}\n", self.domain) + before + run, quote("{}", words), data,
            seconds=1200 if self.dns else 600, exit_codes=BY_CERTBOTS_EXIT, writes=writes,
        )  # fmt: skip

    @staticmethod
    def _hmac(hmac: Secret) -> str:
        """The key, which must be one line of certbot's configuration: a second one could be any option."""
        if CONTROL.search(hmac.reveal()):
            raise BadInput("the HMAC key is more than one line", "parameter acme_eab_hmac_env or acme_eab_hmac_file")
        return hmac.reveal()

    def _run(self, command: str, otherwise: str) -> str:
        return certbot(command, otherwise, self.dns is not None)

    def _environment(self) -> str:
        names = [f"REQUESTS_CA_BUNDLE={ACME_CA}"] if self.trusted else []
        names += [self.dns.environment] if self.dns and self.dns.environment else []
        return "".join(f"export {name}\n" for name in names)


def certbot(command: str, otherwise: str = "", dns: bool = False) -> str:
    """Shell that runs certbot; when it fails, `otherwise`, and then an exit code of BY_CERTBOTS_EXIT. dns: it asks a DNS service."""
    text = CERTBOT.replace("{command}", command).replace("{otherwise}", otherwise)
    return text.replace("{dns}", _DNS_FAULTS if dns else "")


@dataclass(frozen=True)
class AcmeTrust(Resource):
    """The CA (PEM) that signed the ACME server's own certificate, for certbot alone, by hand and by its timer.

    "" is none: then the usual authorities hold, and what an earlier run left goes. aws: certbot's timer finds the
    credentials for Route 53.
    """

    pem: str = ""
    aws: bool = False

    label_format = "CA of the ACME server, for certbot"

    @override
    def probe(self) -> str:
        return quote(
            """for path in {} {} {}; do [ ! -e "$path" ] || echo "$path=$(base64 -w0 < "$path")"; done
            systemctl show certbot.service -p NeedDaemonReload""",
            ACME_CA, _DROP_IN, DROP_IN,
        )  # fmt: skip

    @override
    def plan(self, found: str) -> list[Action]:
        now = facts(found)
        actions = []
        wanted = {
            ACME_CA: self.pem,
            _DROP_IN: _DROP_IN_TEXT if self.pem else "",
            DROP_IN: _AWS_TEXT if self.aws else "",
        }
        for path, text in wanted.items():
            if not text and path in now:
                actions.append(Action(f"remove {path}", quote("rm -f {}", path)))
            elif text and base64.b64decode(now.get(path, "")).decode(errors="replace") != text:
                script = quote(_WRITE, path)
                actions.append(Action(f"write {path}", script, f"editor {path}", text.encode()))
        if actions or now.get("NeedDaemonReload") == "yes":
            actions.append(Action("read the unit files again", "systemctl daemon-reload"))
        return actions
