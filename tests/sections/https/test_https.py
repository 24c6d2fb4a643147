"""Section 03: plans as tables of state → actions, nginx's sites for each system, and what is said about DNS."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import subprocess

import pytest

from hubrun.desired.supported_systems import SYSTEMS
from hubrun.params import Site
from hubrun.redaction.secret import Secret
from hubrun.resources.certificate import ACME_CA, LETSENCRYPT, AcmeCertificate, AcmeTrust
from hubrun.resources.files import File
from hubrun.resources.firewall import FirewallRule
from hubrun.resources.renewal import RenewalProof, ServedCertificate
from hubrun.sections.https import dns, site_certificate
from hubrun.sections.https.nginx import HTTPS_FILE, Nginx, NoDeadHttpsSite, http_tests, https_tests

DAY = 86400
DIRECTORY = "https://acme.example.edu/dir"
SITE = Site(site="x", domain="hub.example.edu")
GOOD = {
    "there": "yes", "server": DIRECTORY, "authenticator": "webroot", "webroot_path": "/var/www/letsencrypt",
    "covers": "yes", "pair": "yes", "from": 0, "until": 90 * DAY, "now": 10 * DAY,
}  # fmt: skip
CERTIFICATE = AcmeCertificate("hub.example.edu", DIRECTORY, email="it@example.edu")


def found(**state: object) -> str:
    return "\n".join(f"{name}={value}" for name, value in state.items() if value is not None)


# -- certificate -----------------------------------------------------------------------------------------------


def test_a_good_certificate_is_left_alone():
    assert CERTIFICATE.plan(found(**GOOD)) == []


def test_a_fresh_server_gets_its_first_certificate_without_force():
    (action,) = CERTIFICATE.plan("")
    assert action.title == "obtain a certificate for hub.example.edu"
    assert "--force-renewal" not in action.shown


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"server": "https://acme-staging-v02.api.letsencrypt.org/directory"}, "it is from https://acme-staging"),
        ({"authenticator": "nginx"}, "it renews in another way"),
        ({"webroot_path": "/srv/www"}, "it renews in another way"),
        ({"covers": None}, "it is for another name"),
        ({"pair": None}, "its key is another"),
        ({"now": 93 * DAY}, "it expired 3 days ago"),
        ({"now": 61 * DAY}, "it ends in 29 days"),
        ({"until": 6 * DAY, "now": 5 * DAY}, "it ends in 1 days"),
    ],
)
def test_a_certificate_that_will_not_do_is_replaced_and_the_reason_is_said(change, reason):
    (action,) = CERTIFICATE.plan(found(**GOOD | change))
    assert action.title.startswith(f"replace the certificate ({reason}")
    assert "--force-renewal" in action.shown
    assert "set-aside" not in action.script


@pytest.mark.parametrize("until, now", [(90 * DAY, 59 * DAY), (6 * DAY, 3 * DAY)])
def test_a_certificate_with_more_than_a_third_of_its_life_left_stays(until, now):
    assert CERTIFICATE.plan(found(**GOOD | {"until": until, "now": now})) == []


def test_damaged_files_are_set_aside_and_come_back_when_no_new_certificate_can_be_had():
    (action,) = CERTIFICATE.plan(found(**GOOD | {"damaged": "/etc/letsencrypt/renewal/hub.example.edu.conf"}))
    aside, certbot, back = (action.script.index(t) for t in ("are now in", "certbot certonly", "files are back"))
    assert aside < certbot < back
    assert "--force-renewal" not in action.shown


def test_the_hmac_key_goes_to_standard_input_and_nowhere_else():
    key = Secret("hmac-key-of-the-test", "acme_eab_hmac")
    bound = dataclasses.replace(CERTIFICATE, eab_kid="kid-1", eab_hmac=key)
    (action,) = bound.plan("")
    assert action.data == b"eab-kid = kid-1\neab-hmac-key = hmac-key-of-the-test\n"
    seen = action.script + action.shown + action.title + repr(bound) + bound.probe()
    assert "hmac-key-of-the-test" not in seen
    assert '-c "$config"' in action.script


def test_without_a_binding_certbot_gets_no_config_file():
    (action,) = CERTIFICATE.plan("")
    assert not action.data
    assert "$config" not in action.script


@pytest.mark.parametrize(
    ("says", "code"),
    [
        ("Another instance of Certbot is already running.", 31),
        ("urn:ietf:params:acme:error:rateLimited :: too many certificates already issued", 32),
        ("the field 'kid' references a key that is not known", 33),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed", 34),
        ("DNS problem: NXDOMAIN looking up A for hub.example.edu", 35),
        ("Type: unauthorized\nDetail: Invalid response from http://hub.example.edu/: 404", 36),
        ("something new", 1),
    ],
)
def test_what_certbot_says_becomes_a_cause_with_a_remedy(says, code, tmp_path):
    fake = tmp_path / "certbot"
    fake.write_text(f"#!/bin/sh\ncat <<'X'\n{says}\nAsk for help or search for solutions\nX\nexit 1\n")
    fake.chmod(0o755)
    (action,) = dataclasses.replace(CERTIFICATE, webroot=str(tmp_path / "www")).plan("")
    done = subprocess.run(
        ["sh", "-c", "set -eu\n" + action.script],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == code
    assert done.stdout.strip() == says
    assert code == 1 or all(action.exit_codes[code])


# -- trust, renewal, serving -----------------------------------------------------------------------------------

PEM = "-----BEGIN CERTIFICATE-----\nMAo=\n-----END CERTIFICATE-----\n"
DROP_IN = "/etc/systemd/system/certbot.service.d/hubrun-acme-ca.conf"


def as_found(**files: str) -> str:
    return found(**{path: base64.b64encode(text.encode()).decode() for path, text in files.items()})


def trust_titles(pem: str, state: str) -> list[str]:
    return [action.title.removesuffix(" again") for action in AcmeTrust(pem).plan(state)]


def test_the_acme_servers_ca_reaches_certbot_and_its_service():
    first = AcmeTrust(PEM).plan("NeedDaemonReload=no")
    assert [a.title for a in first] == [f"write {ACME_CA}", f"write {DROP_IN}", "read the unit files again"]
    assert f"REQUESTS_CA_BUNDLE={ACME_CA}" in first[1].data.decode()
    there = as_found(**{ACME_CA: PEM, DROP_IN: first[1].data.decode()})
    assert AcmeTrust(PEM).plan(there) == []
    assert trust_titles(PEM, there + "\nNeedDaemonReload=yes") == ["read the unit files"]
    assert trust_titles(PEM.replace("MAo", "MAs"), there)[0] == f"write {ACME_CA}"


def test_a_ca_that_is_no_longer_named_goes_since_it_would_break_renewal():
    there = as_found(**{ACME_CA: PEM, DROP_IN: "x"})
    assert trust_titles("", there) == [f"remove {ACME_CA}", f"remove {DROP_IN}", "read the unit files"]
    assert AcmeTrust("").plan("NeedDaemonReload=no") == []


@pytest.mark.parametrize(
    ("state", "renews"),
    [("digest=a\nproven=a", False), ("digest=a\nproven=", True), ("digest=b\nproven=a", True), ("", True)],
)
def test_renewal_is_proven_once_for_each_set_up(state, renews):
    assert bool(RenewalProof("hub.example.edu", DIRECTORY).plan(state)) is renews


RENEWAL = """# renew_before_expiry = 30 days
version = 2.1.0
[renewalparams]
account = 2945
server = https://acme.example.edu/dir
authenticator = webroot
webroot_path = /var/www/letsencrypt,
key_type = ecdsa
[[webroot_map]]
"""
MAPPED = RENEWAL + "hub.example.edu = /var/www/letsencrypt\n"


@pytest.mark.parametrize(
    ("now", "same"),
    [
        (RENEWAL, True),  # certbot leaves the entry out when it renews, and writes it the next time
        (MAPPED.replace("2.1.0", "3.0"), True),
        (RENEWAL.replace("/var/www/letsencrypt,", "/old, /var/www/letsencrypt,"), True),  # the last one holds
        (RENEWAL.replace("/var/www", "/srv"), False),
        (MAPPED.replace("hub.example.edu = /var/www", "hub.example.edu = /srv"), False),
        (MAPPED.replace("2945", "1"), False),
        (MAPPED.replace("webroot\n", "nginx\n"), False),
        ("", False),
    ],
)
def test_renewal_is_proven_again_when_it_would_go_another_way_and_only_then(now, same, tmp_path):
    fake = tmp_path / "systemctl"
    fake.write_text("#!/bin/sh\necho Environment=\n")
    fake.chmod(0o755)
    conf = tmp_path / "renewal/hub.example.edu.conf"
    conf.parent.mkdir()
    probe = RenewalProof("hub.example.edu", DIRECTORY).probe().replace("/etc/letsencrypt", str(tmp_path))

    def digest(text):
        conf.write_text(text)
        done = subprocess.run(
            ["sh", "-c", probe], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True
        )
        return next(line for line in done.stdout.splitlines() if line.startswith("digest="))

    assert (digest(MAPPED) == digest(now)) is same


def test_lets_encrypt_is_spared_a_forced_renewal():
    (real,) = RenewalProof("hub.example.edu", LETSENCRYPT).plan("")
    (other,) = RenewalProof("hub.example.edu", DIRECTORY).plan("")
    assert "--dry-run" in real.script and "--force-renewal" not in real.script
    assert "--force-renewal" in other.script and "--dry-run" not in other.script
    assert "--no-random-sleep-on-renew" in real.script


# What nginx serves at each connection: "openssl s_client" of the test takes the next word.
@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ("new new", 0),
        ("old new new", 0),
        ("new old new", 0),  # a worker of before took one more connection while it was told to end
        ("old", 42),
    ],
)
def test_a_renewal_is_proven_by_one_answer_with_the_new_certificate(answers, code, tmp_path):
    (tmp_path / "answers").write_text(answers.replace(" ", "\n") + "\n")
    (tmp_path / "kept").write_text("old\n")
    fakes = {
        "certbot": f"echo new > {tmp_path}/kept",
        "sleep": ":",
        "systemctl": "echo Environment=",
        "openssl": f"""case "$*" in
            s_client*) head -n 1 {tmp_path}/answers; [ "$(wc -l < {tmp_path}/answers)" = 1 ] || sed -i 1d {tmp_path}/answers ;;
            *-in*) cat {tmp_path}/kept ;;
            *) cat ;;
        esac""",
    }
    for name, body in fakes.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    (action,) = RenewalProof("hub.example.edu", DIRECTORY).plan("")
    script = action.script.replace("/etc/letsencrypt", str(tmp_path)).replace("/usr/bin/certbot", "certbot")
    done = subprocess.run(
        ["sh", "-eu", "-c", script], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert (tmp_path / "hubrun-renewal-proven").exists() is (code == 0)


@pytest.mark.parametrize(
    ("state", "reloads"),
    [
        ("kept=sha256 Fingerprint AA\nserved=sha256 Fingerprint AA", False),
        ("kept=sha256 Fingerprint AA\nserved=sha256 Fingerprint BB", True),
        ("kept=\nserved=", True),
    ],
)
def test_nginx_is_reloaded_when_it_serves_another_certificate_than_the_one_on_disk(state, reloads):
    assert bool(ServedCertificate("hub.example.edu", "/x.pem").plan(state)) is reloads


@pytest.mark.parametrize(
    ("state", "reloads"),
    [
        ("", True),  # a first certificate: no hook runs
        (found(**GOOD | {"damaged": "/etc/letsencrypt/live/hub.example.edu/fullchain.pem"}), True),
        (found(**GOOD | {"now": 93 * DAY}), False),  # renewed: certbot's hook reloads nginx
    ],
)
def test_a_plan_foresees_whether_nginx_must_be_told_of_the_new_certificate(state, reloads):
    (action,) = CERTIFICATE.plan(state)
    served = ServedCertificate("hub.example.edu", site_certificate.paths(SITE)[0])
    for now in ("kept=a\nserved=a", "kept=\nserved=a", "kept=b\nserved=a"):
        assert bool(served.plan(served.foresee(now, action.writes))) is reloads
    assert served.plan(served.foresee("kept=\nserved=", [*action.writes, "service:nginx"])) == []


# -- firewall --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "state", "commands"),
    [
        (FirewallRule(80), "", []),
        (FirewallRule(80), "status=inactive", []),
        (FirewallRule(80), "status=active", ["ufw allow 80/tcp"]),
        (FirewallRule(80), "status=active\nrule:allow 80/tcp", []),
        (FirewallRule(80), "status=active\nrule:allow 80/tcp comment 'web'", []),
        (FirewallRule(80), "status=active\nrule:allow 8080/tcp\nrule:deny 80/tcp", ["ufw allow 80/tcp"]),
        (
            FirewallRule(8081, "172.29.0.0/16", "172.29.0.1"),
            "status=active\nrule:allow 8081/tcp",
            ["ufw allow from 172.29.0.0/16 to 172.29.0.1 port 8081 proto tcp"],
        ),
        (
            FirewallRule(8081, "172.29.0.0/16", "172.29.0.1"),
            "status=active\nrule:allow from 172.29.0.0/16 to 172.29.0.1 port 8081 proto tcp",
            [],
        ),
    ],
)
def test_an_active_firewall_lets_the_port_in(rule, state, commands):
    assert [action.script for action in rule.plan(state)] == commands


# -- nginx -----------------------------------------------------------------------------------------------------


def directives(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]


@pytest.mark.parametrize("system", SYSTEMS.values(), ids=lambda system: system.codename)
@pytest.mark.parametrize("ipv6", [True, False])
def test_http2_and_unknown_names_are_said_as_each_systems_nginx_understands(system, ipv6):
    lines = directives(Nginx(system.nginx, ipv6).https_site(SITE))
    modern = system.codename == "trixie"
    assert lines.count("http2 on;") == (2 if modern else 0)
    assert ("listen 443 ssl;" if modern else "listen 443 ssl http2;") in lines
    assert ("ssl_reject_handshake on;" in lines) == (system.codename != "jammy")
    assert any(line.startswith("listen [::]:443") for line in lines) == ipv6
    assert sum("default_server" in line for line in lines) == (2 if ipv6 else 1)
    assert "".join(lines).count("{") == "".join(lines).count("}")


def test_the_hub_is_told_what_the_browser_sees_and_nothing_that_a_client_can_forge():
    text = Nginx((1, 26, 3), True).https_site(SITE)
    assert "proxy_set_header Host $http_host;" in text
    assert "$proxy_add_x_forwarded_for" not in text
    for header in (
        "X-Real-IP $remote_addr",
        "X-Forwarded-For $remote_addr",
        "X-Forwarded-Proto https",
        'Forwarded ""',
        "X-Scheme https",
    ):
        assert f"proxy_set_header {header};" in text


def test_the_parameters_reach_the_https_site():
    site = SITE.model_copy(update={"hsts_seconds": 300, "upload_limit_mb": 7})
    text = Nginx((1, 22, 1), False).https_site(site)
    assert 'add_header Strict-Transport-Security "max-age=300" always;' in text
    assert "client_max_body_size 7m;" in text
    assert 'ssl_certificate "/etc/letsencrypt/live/hub.example.edu/fullchain.pem";' in text
    silent = Nginx((1, 22, 1), False).https_site(SITE.model_copy(update={"hsts_seconds": 0}))
    assert "Strict-Transport-Security" not in silent


def test_an_institutions_certificate_is_used_where_it_lies():
    site = Site(
        site="x", domain="hub.example.edu", tls="files", tls_certificate="/etc/ssl/hub.pem", tls_key="/etc/ssl/hub.key"
    )
    text = Nginx((1, 22, 1), False).https_site(site)
    assert 'ssl_certificate "/etc/ssl/hub.pem";' in text
    assert 'ssl_certificate_key "/etc/ssl/hub.key";' in text
    assert "letsencrypt" not in text


@pytest.mark.parametrize(("port", "url"), [(443, "https://hub.example.edu"), (8443, "https://hub.example.edu:8443")])
def test_port_80_answers_challenges_and_leads_to_the_public_https_port(port, url):
    lines = directives(Nginx((1, 22, 1), False).http_site(SITE.model_copy(update={"https_port": port})))
    assert f"return 301 {url.replace('hub.example.edu', '$host')}$request_uri;" in lines
    assert "server_name hub.example.edu;" in lines, "so that $host is that name alone"
    assert "location ^~ /.well-known/acme-challenge/ {" in lines
    assert "listen 80 default_server;" in lines and "return 444;" in lines


@pytest.mark.parametrize("version", sorted({system.nginx for system in SYSTEMS.values()}))
def test_the_sites_hold_no_gap_of_a_template(version):
    nginx = Nginx(version, True)
    for text in (nginx.http_site(SITE), nginx.https_site(SITE)):
        assert "{{" not in text and "{%" not in text and text.endswith("}\n")


def test_each_test_of_the_section_is_valid_shell():
    for test in [*http_tests(SITE), *https_tests(SITE), *site_certificate.tests(SITE)]:
        assert subprocess.run(["sh", "-n", "-c", test.script]).returncode == 0, test.title


def test_port_80_is_tested_by_itself_and_a_broken_nginx_is_found_at_the_end():
    assert not any("nginx -t" in test.script for test in http_tests(SITE))
    assert any("nginx -t" in test.script for test in https_tests(SITE))


# -- the certificate's files -----------------------------------------------------------------------------------


def openssl(*args: object) -> None:
    subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A CA, a certificate that it signed for hub.example.edu, and another's key."""
    folder = tmp_path_factory.mktemp("tls")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl(
        "req", "-x509", *key, "-keyout", folder / "ca.key", "-out", folder / "ca.pem", "-subj", "/CN=CA", "-days", 30
    )
    sign = ("-CA", folder / "ca.pem", "-CAkey", folder / "ca.key", "-addext", "subjectAltName=DNS:hub.example.edu")
    for name, days in (("hub", 30), ("short", 5), ("other", 30)):
        openssl(
            "req",
            "-x509",
            *key,
            "-keyout",
            folder / f"{name}.key",
            "-out",
            folder / f"{name}.pem",
            "-subj",
            "/CN=hub",
            "-days",
            days,
            *sign,
        )
    openssl("pkey", "-in", folder / "hub.key", "-aes256", "-passout", "pass:secret", "-out", folder / "locked.key")
    for name, parts in (("good", "hub ca"), ("backwards", "ca hub"), ("stranger", "hub other")):
        (folder / f"{name}.pem").write_text("".join((folder / f"{part}.pem").read_text() for part in parts.split()))
    return folder


@pytest.mark.parametrize(
    ("certificate", "key", "domain", "failing"),
    [
        ("good", "hub", "hub.example.edu", []),
        ("good", "other", "hub.example.edu", ["the key is"]),
        ("good", "hub", "www.example.edu", ["the certificate is for"]),
        ("backwards", "hub", "hub.example.edu", ["the key is", "the certificate is for", "the chain is"]),
        ("stranger", "hub", "hub.example.edu", ["the chain is"]),
        ("short", "short", "hub.example.edu", ["the certificate is valid"]),
        ("good", "locked", "hub.example.edu", ["the key has no passphrase", "the key is"]),
    ],
)
def test_a_certificate_that_would_not_work_is_refused_before_nginx_gets_it(files, certificate, key, domain, failing):
    site = Site(
        site="x", domain=domain, tls="files", tls_certificate=f"{files}/{certificate}.pem", tls_key=f"{files}/{key}.key"
    )
    failed = []
    for test in site_certificate.tests(site):
        done = subprocess.run(["sh", "-c", "exec 2>&1\n" + test.script], capture_output=True, text=True)
        if not test.judge(done.returncode, done.stdout).ok:
            failed.append(test.title)
    assert len(failed) == len(failing)
    assert all(title.startswith(start) for title, start in zip(failed, failing, strict=True))


@pytest.mark.parametrize(
    ("certificate", "key", "runs", "goes"),
    [
        ("good", "hub", False, False),
        ("good", "other", False, True),
        ("good", "other", True, False),  # it goes on with the certificate that it has read
        ("empty", "hub", False, True),
        ("cut", "hub", False, True),
        ("good", "empty", False, True),
        ("none", "none", False, True),
        ("none", "none", True, False),
    ],
)
def test_only_a_site_that_keeps_nginx_from_starting_goes(files, tmp_path, certificate, key, runs, goes):
    (files / "empty.pem").write_text("")
    (files / "empty.key").write_text("")
    (files / "cut.pem").write_text((files / "good.pem").read_text()[:-80])
    fake, site = tmp_path / "systemctl", tmp_path / "https.conf"
    fake.write_text(f"#!/bin/sh\nexit {0 if runs else 3}\n")
    fake.chmod(0o755)
    resource = NoDeadHttpsSite(f"{files}/{certificate}.pem", f"{files}/{key}.key")

    def titles():
        probe = resource.probe().replace(HTTPS_FILE, str(site))
        done = subprocess.run(
            ["sh", "-c", probe], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True
        )
        return [action.title for action in resource.plan(done.stdout)]

    assert titles() == []  # a fresh server has no such site
    site.touch()
    assert bool(titles()) is goes


def test_a_plan_foresees_that_the_site_which_goes_comes_back():
    site = File(HTTPS_FILE, "x")
    there = f"kind=regular file\nmode=644\nowner=root:root\nsha256={hashlib.sha256(b'x').hexdigest()}"
    assert site.plan(site.foresee(there, ["/etc/other"])) == []
    assert [action.title for action in site.plan(site.foresee(there, NoDeadHttpsSite("a", "b").writes))] == [
        f"create {HTTPS_FILE}"
    ]


# -- DNS -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "there", "here", "ok", "says"),
    [
        (["203.0.113.5"], ["203.0.113.5"], ["203.0.113.5"], True, "this server's own"),
        (["10.0.0.4"], ["198.51.100.7"], ["198.51.100.7"], True, "right behind a provider's NAT"),
        (["10.0.0.4"], [], ["198.51.100.7"], True, "198.51.100.7"),
        (["10.0.0.4"], [], [], False, "no address"),
        (["10.0.0.4"], ["127.0.1.1"], [], False, "no address"),  # its own /etc/hosts, not DNS
        (["10.0.0.4"], ["127.0.1.1"], None, False, "no address"),
    ],
)
def test_only_a_domain_that_leads_nowhere_fails_the_first_look(own, there, here, ok, says):
    check = dns.resolved(SITE, own, there, here)
    assert check.ok is ok
    assert says in check.came
    assert bool(check.cause) is not ok


@pytest.mark.parametrize(
    ("seen", "ok", "cause"),
    [
        ({"8.8.8.8 from here": "T", "8.8.8.8 from the server": ""}, True, ""),
        ({"8.8.8.8 from here": "", "8.8.8.8 from the server": "T"}, True, ""),
        ({"8.8.8.8 from here": "a login page", "8.8.8.8 from the server": "T"}, True, ""),  # an office's proxy
        ({"8.8.8.8 from here": "", "8.8.8.8 from the server": ""}, False, "Open TCP port 80"),
        ({}, False, "Open TCP port 80"),
        ({"8.8.8.8 from here": "It works!"}, False, "8.8.8.8 is another machine"),
        ({"8.8.8.8 from here": "T", "2001:db8::1 from here": "parked"}, False, "2001:db8::1 is another machine"),
        ({"8.8.8.8 from here": "T", "2001:db8::1 from here": ""}, True, ""),
    ],
)
def test_the_domain_leads_here_when_the_file_arrives_from_somewhere_and_no_address_gives_another(seen, ok, cause):
    check = dns.reached(SITE, "T", seen, ["8.8.8.8"])
    assert check.ok is ok
    assert check.cause.startswith(cause)


@pytest.mark.parametrize(
    ("domain", "own", "says"),
    [
        (
            "hub.example.edu",
            ["8.8.8.8"],
            "Set the A record to 8.8.8.8, for hub.example.edu, where the DNS of example.edu is kept",
        ),
        ("hub.example.edu", ["8.8.8.8", "2600::1"], "A record to 8.8.8.8 and AAAA record to 2600::1"),
        ("hub.example.edu", ["10.0.0.4"], "A record to this server's public IPv4 address"),
        ("mine.duckdns.org", ["8.8.8.8"], "at www.duckdns.org"),
        ("mine.github.io", ["8.8.8.8"], "Use another domain"),
    ],
)
def test_the_remedy_names_the_record_and_the_place_where_it_is_set(domain, own, says):
    assert says in dns.record_to_set(domain, own)


# -- what parameters leave out -----------------------------------------------------------------------------------

FILES = Site(site="x", domain="hub.example.edu", tls="files", tls_certificate="/etc/ssl/hub.pem", tls_key="/etc/ssl/hub.key")  # fmt: skip


class Asked:
    """A server of which only what is required of it is of interest."""

    def __init__(self, site: Site, *pending: str) -> None:
        self.site, self.pending = site, list(pending)
        self.required: list[tuple[object, ...]] = []

    def require(self, *checks: object) -> None:
        self.required.append(checks)


def test_a_certificate_of_the_institutions_own_takes_no_certbot_and_no_renewal() -> None:
    assert (
        site_certificate.acme(FILES) == site_certificate.renewal(FILES) == site_certificate.renewal_proof(FILES) == []
    )
    assert site_certificate.acme(SITE) and site_certificate.renewal(SITE)
    (proof,) = site_certificate.renewal_proof(SITE)
    assert isinstance(proof, RenewalProof) and not proof.dns
    assert site_certificate.served(FILES) == ServedCertificate("hub.example.edu", "/etc/ssl/hub.pem")


@pytest.mark.parametrize("site", [FILES, SITE.model_copy(update={"acme_dns": "cloudflare", "acme_dns_env": "X"})])
def test_whether_the_domain_leads_here_is_asked_only_when_the_authority_asks_so(site: Site) -> None:
    server = Asked(site)
    said = dns.require_reached(server)  # type: ignore[arg-type]
    assert said is not None and said.data.startswith("*Not asked: with `")
    assert server.required == []


def test_in_a_plan_what_follows_from_changes_is_shown_as_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Asked(SITE, "nginx")
    assert dns.require_reached(server) is None  # type: ignore[arg-type]
    assert server.required == [()]
    assert site_certificate.browser_checks(server) == []  # type: ignore[arg-type]
    monkeypatch.setattr(dns, "reach_checks", lambda _: ["a finding"])
    server = Asked(SITE)
    assert dns.require_reached(server) is None  # type: ignore[arg-type]
    assert server.required == [("a finding",)]
