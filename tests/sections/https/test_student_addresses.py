"""An address for each person: names of hosts, what hub, proxy and nginx are told, certificates by DNS."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubrun.errors import BadInput
from hubrun.lms.browser import Browser
from hubrun.lms.connect_to import Route
from hubrun.params import Site
from hubrun.redaction.redact import HERE
from hubrun.redaction.secret import Secret
from hubrun.resources.acme_dns import AWS, CREDENTIALS, DROP_IN, challenge
from hubrun.resources.certificate import AcmeCertificate, AcmeTrust
from hubrun.sections.https import dns, site_certificate, student_addresses
from hubrun.sections.https.nginx import Nginx
from hubrun.sections.hub import config
from hubrun.sections.server.preflight import preflight
from hubrun_hub.lti.user_hosts import host, label
from hubrun_hub.lti.user_names import NoIdentity, hub_name

DAY = 86400
DIRECTORY = "https://acme.example.edu/dir"
INI = "dns_rfc2136_server = 192.0.2.1\ndns_rfc2136_name = hub\ndns_rfc2136_secret = c2VjcmV0LXNlY3JldA=="
DNS = challenge("rfc2136", Secret(INI), 5)
CERTIFICATE = AcmeCertificate("hub.example.edu", DIRECTORY, dns=DNS, wildcard=True)
GOOD: dict[str, object] = {
    "there": "yes", "server": DIRECTORY, "authenticator": "dns-rfc2136", "dns_rfc2136_credentials": CREDENTIALS,
    "dns_rfc2136_propagation_seconds": 5, "covers": "yes", "wildcard": "yes", "pair": "yes",
    "from": 0, "until": 90 * DAY, "now": 10 * DAY,
    "salt": "abc", "credentials": hashlib.sha256(b"abc" + DNS.credentials.reveal().encode()).hexdigest(), "closed": "600|root",
}  # fmt: skip


def site(**values: Any) -> Site:
    return Site(site="x", domain="hub.example.edu", **values)


ON = site(subdomains=True, acme_dns="rfc2136", acme_dns_file="dns.ini")


def found(**state: object) -> str:
    return "\n".join(f"{name}={value}" for name, value in state.items() if value is not None)


# -- names -----------------------------------------------------------------------------------------------------

LABEL = re.compile(r"(?!..--)(?!\d+$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
NAMES = st.one_of(
    st.text(st.characters(), min_size=1, max_size=80),
    st.text("aAbu1.-_@", min_size=1, max_size=70),
    st.text("ab-1", min_size=1, max_size=70).map(label),
)


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("ada", "ada"), ("o-brien-2", "o-brien-2"), ("x" * 63, "x" * 63),
        ("o.brien", "u-o-brien--"), ("bio__ada", "u-bio-ada--"), ("12345", "u-12345--"), ("x" * 64, f"u-{'x' * 24}--"),
        ("ab--cd", "u-ab-cd--"), ("-a", "u-a--"), ("a-", "u-a--"), ("Ada", "u-ada--"), ("張", "u-x--"), ("u-x--" + "a" * 26, "u-u-x--"),
        (hub_name("ada@example.edu"), "u-ada-example-edu--"),
    ],
)  # fmt: skip
def test_a_name_is_its_own_label_where_it_can_be_and_else_one_with_a_digest(name: str, start: str) -> None:
    assert label(name).startswith(start)
    assert (label(name) == name) == (start == name)


def test_labels_never_change() -> None:
    assert label("o.brien") == "u-o-brien--tbzkbybqe4mraqamh4al2fmuyu"


@settings(max_examples=200, deadline=None)
@given(NAMES, NAMES)
def test_two_names_never_share_a_host_and_every_host_is_one(one: str, other: str) -> None:
    assert LABEL.fullmatch(label(one))
    assert (label(one) == label(other)) == (one == other)
    assert host(one, "hub.example.edu") != host(other, "hub.example.edu", "service")


@settings(max_examples=100, deadline=None)
@given(st.text(min_size=1, max_size=60), st.sampled_from(["", "bio"]))
def test_whoever_may_come_in_has_a_host(identity: str, prefix: str) -> None:
    try:
        name = hub_name(identity, prefix)
    except NoIdentity:
        return
    assert LABEL.fullmatch(label(name))


# -- what the parameters ask for ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"subdomains": True}, "subdomains need a certificate for *.domain"),
        ({"acme_dns": "cloudflare"}, "acme_dns: cloudflare needs acme_dns_env or acme_dns_file"),
        ({"acme_dns": "google", "acme_dns_file": "x", "acme_ca_file": "ca.pem"}, "use ca_certificates"),
    ],
)
def test_what_cannot_work_together_is_refused(values: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        site(**values)


def test_a_certificate_of_ones_own_needs_no_dns_service() -> None:
    assert site(subdomains=True, tls="files", tls_certificate="/a", tls_key="/b").subdomains


@pytest.mark.parametrize(
    ("service", "given", "written"),
    [
        ("digitalocean", "dop_v1_0123456789\n", "dns_digitalocean_token = dop_v1_0123456789\n"),
        ("cloudflare", "abc-def_0123456789", "dns_cloudflare_api_token = abc-def_0123456789\n"),
        ("cloudflare", "dns_cloudflare_email = a@b.c\ndns_cloudflare_api_key = 01234567", None),
        ("route53", "aws_access_key_id = AKIA0\naws_secret_access_key = 0123456789", "[default]\naws_access_key_id = AKIA0\naws_secret_access_key = 0123456789\n"),
        ("google", '{"client_email": "a@b", "private_key": "0123456789"}', None),
        ("rfc2136", INI, None),
    ],
)  # fmt: skip
def test_credentials_are_a_token_or_the_plugins_own_file(service: str, given: str, written: str | None) -> None:
    made = challenge(service, Secret(given))
    assert made.credentials.reveal() == (written or given + "\n")
    assert base64.b64decode(made.line) == made.credentials.reveal().encode()
    assert made.package == f"python3-certbot-dns-{service}"
    # A line of it that some program shows is without the secret.
    secret = re.findall(r"[\w-]*[0-9]{8,}|c2VjcmV0LXNlY3JldA==", given)[-1]
    assert secret not in HERE.text(f"Invalid line: {secret}")


@pytest.mark.parametrize(
    ("service", "given", "says"),
    [
        ("digitalocean", "two words", "lack dns_digitalocean_token"),
        ("cloudflare", "dns_digitalocean_token = x", "lack dns_cloudflare_api_token"),
        ("route53", "AKIA0", "lack aws_access_key_id, aws_secret_access_key"),
        ("google", "{}", "lack client_email, private_key"),
        ("google", "[", "lack client_email, private_key"),
        ("rfc2136", "dns_rfc2136_server = 192.0.2.1", "lack dns_rfc2136_name, dns_rfc2136_secret"),
        ("rfc2136", INI.replace("192.0.2.1", "ns.example.edu"), "must be an address"),
        ("rfc2136", INI + "\ndns_rfc2136_port = x", "a number"),
        ("rfc2136", "", "lack dns_rfc2136_server"),
    ],
)
def test_credentials_that_cannot_work_are_refused_before_anything_is_touched(
    service: str, given: str, says: str
) -> None:
    with pytest.raises(BadInput, match=says) as caught:
        challenge(service, Secret(given))
    assert not given or given not in str(caught.value)


@pytest.mark.parametrize(
    ("service", "given", "reached"),
    [
        ("digitalocean", "token", "api.digitalocean.com"),
        ("cloudflare", "token", "api.cloudflare.com"),
        ("rfc2136", INI, "192.0.2.1"),
    ],
)
def test_the_server_must_reach_the_dns_service(service: str, given: str, reached: str, tmp_path: Path) -> None:
    (tmp_path / "dns").write_text(given)
    tests = preflight(site(acme_dns=service, acme_dns_file=str(tmp_path / "dns")))
    assert f"the server reaches {reached}" in [test.title for test in tests]


# -- the certificate -------------------------------------------------------------------------------------------


def test_a_good_wildcard_certificate_is_left_alone() -> None:
    assert CERTIFICATE.plan(found(**GOOD)) == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"wildcard": None}, "it is not for *.hub.example.edu"),
        ({"authenticator": "webroot"}, "it renews in another way"),
        ({"authenticator": "dns-cloudflare"}, "it renews in another way"),
        ({"dns_rfc2136_credentials": "/root/x.ini"}, "it renews in another way"),
        ({"dns_rfc2136_propagation_seconds": 60}, "it renews in another way"),
    ],
)
def test_a_certificate_for_one_name_is_replaced_by_one_for_all(change: dict[str, object], reason: str) -> None:
    (action,) = CERTIFICATE.plan(found(**GOOD | change))
    assert action.title == f"replace the certificate ({reason}) for hub.example.edu and *.hub.example.edu"
    for words in ("-d hub.example.edu -d '*.hub.example.edu'", "--dns-rfc2136-propagation-seconds 5", "challenges dns"):
        assert words in action.shown


def test_and_back_and_the_credentials_go() -> None:
    single = AcmeCertificate("hub.example.edu", DIRECTORY)
    replace, remove = single.plan(found(**GOOD))
    assert replace.title == "replace the certificate (it renews in another way) for hub.example.edu"
    assert "*" not in replace.shown and "--webroot" in replace.shown
    assert remove.title == f"remove {CREDENTIALS}"
    kept = dataclasses.replace(CERTIFICATE, wildcard=False)
    (action,) = kept.plan(found(**GOOD))
    assert action.title == "replace the certificate (it is for *.hub.example.edu too) for hub.example.edu"


@pytest.mark.parametrize("change", [{"credentials": "0" * 64}, {"credentials": None, "salt": None}, {"half": "yes"}])
def test_new_credentials_stay_only_when_a_trial_renewal_succeeds(change: dict[str, object]) -> None:
    (action,) = CERTIFICATE.plan(found(**GOOD | change))
    assert action.title == "put new credentials for rfc2136 in place, if a trial renewal succeeds"
    assert "certbot renew --dry-run" in action.shown


def test_credentials_that_others_could_read_are_closed() -> None:
    (action,) = CERTIFICATE.plan(found(**GOOD | {"closed": "644|root"}))
    assert action.title == f"close {CREDENTIALS} to others"


def test_the_credentials_go_to_standard_input_and_nowhere_else() -> None:
    bound = dataclasses.replace(CERTIFICATE, eab_kid="kid-1", eab_hmac=Secret("hmac-key-of-the-test", "eab"))
    (action,) = bound.plan("")
    line, _, rest = action.data.partition(b"\n")
    assert base64.b64decode(line).decode() == INI + "\n"
    assert rest == b"eab-kid = kid-1\neab-hmac-key = hmac-key-of-the-test\n"
    seen = action.script + action.shown + action.title + repr(bound) + bound.probe()
    assert "c2VjcmV0" not in seen and line.decode() not in seen


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    return tmp_path / "etc"


def certbot(etc: Path, script: str, data: bytes, exit_code: int, says: str = "") -> subprocess.CompletedProcess[bytes]:
    fake = etc.parent / "certbot"
    fake.write_text(f"#!/bin/sh\ncat <<'X'\n{says}\nX\ncp {etc}/hubrun-dns-credentials {etc}/seen; exit {exit_code}\n")
    fake.chmod(0o755)
    script = script.replace("/etc/letsencrypt", str(etc)).replace("/var/www/letsencrypt", str(etc / "www"))
    path = {"PATH": f"{etc.parent}:/usr/bin:/bin"}
    return subprocess.run(["sh", "-c", "set -eu\n" + script], input=data, capture_output=True, env=path)


@pytest.mark.parametrize("state", ["", found(**GOOD | {"credentials": "0"}), found(**GOOD | {"wildcard": None})])
@pytest.mark.parametrize("old", [None, "old = 1\n"])
def test_certbot_reads_the_new_credentials_and_the_old_come_back_when_it_fails(
    etc: Path, state: str, old: str | None
) -> None:
    file = etc / "hubrun-dns-credentials"
    if old:
        file.write_text(old)
    (action,) = CERTIFICATE.plan(state)
    assert certbot(etc, action.script, action.data, 1).returncode == 1
    assert (etc / "seen").read_text() == INI + "\n"
    assert (file.read_text() if file.exists() else None) == old
    assert certbot(etc, action.script, action.data, 0).returncode == 0
    assert file.read_text() == INI + "\n" and file.stat().st_mode & 0o777 == 0o600
    assert not list(etc.glob("*.before")) + list(etc.glob("*.new"))


@pytest.mark.parametrize(
    ("says", "code"),
    [
        ("Encountered error adding TXT record: The peer didn't know the key we used.", 38),
        ("Encountered error when making query: The peer didn't like the signature we sent.", 38),
        ("Received response from server: REFUSED", 38),
        ("Error finding domain using the DigitalOcean API: Unable to authenticate you (Did you provide a valid API token?)", 38),
        ("Error determining zone_id: 6003 Invalid request headers. Please confirm that you have supplied valid Cloudflare API credentials.", 38),
        ("An error occurred (InvalidClientTokenId) when calling the ListHostedZones operation", 38),
        ("Unable to locate credentials", 38),
        ("Encountered error when making query: [Errno 111] Connection refused", 39),
        ("HTTPSConnectionPool(host='api.digitalocean.com', port=443): Max retries exceeded", 39),
        ("Unable to determine base domain for hub.example.edu using names: ['hub.example.edu'].", 40),
        ("Type: unauthorized\nDetail: No TXT record found at _acme-challenge.hub.example.edu", 43),
        ("Detail: DNS problem: NXDOMAIN looking up TXT for _acme-challenge.hub.example.edu", 43),
        ("Another instance of Certbot is already running.", 31),
        ("something new", 1),
    ],
)  # fmt: skip
def test_what_a_plugin_says_becomes_a_cause_with_a_remedy(etc: Path, says: str, code: int) -> None:
    (action,) = CERTIFICATE.plan("")
    done = certbot(etc, action.script, action.data, 1, says)
    assert done.returncode == code, done
    assert code == 1 or all(action.exit_codes[code])


def test_certbots_timer_finds_the_credentials_of_route_53() -> None:
    actions = AcmeTrust(aws=True).plan("NeedDaemonReload=no")
    assert [action.title for action in actions] == [f"write {DROP_IN}", "read the unit files again"]
    assert f"Environment={AWS}\n" in actions[0].data.decode()
    there = found(**{DROP_IN: base64.b64encode(actions[0].data).decode()})
    assert AcmeTrust(aws=True).plan(there) == []
    assert [action.title for action in AcmeTrust().plan(there)][0] == f"remove {DROP_IN}"
    made = challenge("route53", Secret("aws_access_key_id = a\naws_secret_access_key = b"))
    (action,) = dataclasses.replace(CERTIFICATE, dns=made).plan("")
    assert f"export {AWS}\n" in action.script and "--dns-route53-credentials" not in action.shown


def test_a_certificate_of_ones_own_must_name_all_below_the_domain() -> None:
    own = site(subdomains=True, tls="files", tls_certificate="/a", tls_key="/b")
    titles = [test.title for test in site_certificate.tests(own)]
    assert "the certificate is for *.hub.example.edu" in titles
    assert "the certificate is for *.hub.example.edu" not in [test.title for test in site_certificate.tests(site())]


# -- DNS, nginx, hub, proxy ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("domain", "below", "ok"),
    [
        ({"8.8.8.8"}, {"8.8.8.8"}, True),
        ({"8.8.8.8", "2600::1"}, {"8.8.8.8"}, True),
        ({"8.8.8.8"}, set(), False),
        ({"8.8.8.8"}, {"9.9.9.9"}, False),
        ({"127.0.0.1", "8.8.8.8"}, {"127.0.0.1"}, False),
    ],
)
def test_a_name_that_nobody_has_must_lead_where_the_domain_does(domain: set[str], below: set[str], ok: bool) -> None:
    check = dns.resolved_below(ON, domain, below)
    assert check.ok is ok
    assert (
        ok
        or "for *.hub.example.edu, with the same addresses as the domain's, where the DNS of example.edu is kept"
        in check.cause
    )


@pytest.mark.parametrize("on", [True, False])
def test_nginx_answers_to_the_names_below_the_domain_only_where_people_have_them(on: bool) -> None:
    nginx = Nginx((1, 22, 1), False)
    names = "server_name hub.example.edu *.hub.example.edu;"
    for text in (nginx.http_site(ON if on else site()), nginx.https_site(ON if on else site())):
        assert (names in text) == on
        assert ("server_name hub.example.edu;" in text) != on
        assert text.count("default_server") and "return 444;" in text
    assert ("jupyterhub_misplaced" in nginx.https_site(ON if on else site())) == on
    assert "proxy_set_header Host $http_host;" in nginx.https_site(ON)


def test_each_shell_of_the_section_is_valid() -> None:
    scripts = [test.script for test in student_addresses.tests(ON)]
    scripts += [resource.probe() for resource in [*student_addresses.on(ON), *student_addresses.off(site())]]
    for script in scripts:
        assert subprocess.run(["sh", "-n", "-c", script]).returncode == 0, script


def test_a_site_is_told_of_addresses_or_of_none() -> None:
    assert (
        student_addresses.off(ON) == [] and student_addresses.on(site()) == [] and student_addresses.tests(site()) == []
    )
    text = config.render("30-subdomains.py", ON.model_copy(update={"https_port": 8443}))
    assert 'subdomain_host = "https://hub.example.edu:8443"' in text
    assert "cookie_host_prefix_enabled = True" in text


def test_where_a_persons_server_is() -> None:
    far = ON.model_copy(update={"https_port": 8443})
    assert student_addresses.root(far, "ada") == "https://ada.hub.example.edu:8443"
    assert student_addresses.root(site(), "ada") == ""


def test_on_a_site_that_never_had_them_nothing_is_switched_off() -> None:
    part, drop_in, servers, *_ = student_addresses.off(site())
    assert part.plan("elsewhere=yes") == [] and drop_in.plan("") == [] and servers.plan("") == []


@pytest.mark.parametrize(
    ("containers", "stopped"),
    [
        ("", []),
        ("/jupyter-ada JUPYTERHUB_API_TOKEN=t JUPYTERHUB_OAUTH_CALLBACK_URL=/user/ada/oauth_callback X=y\n", []),
        (
            "/jupyter-ada A=b JUPYTERHUB_OAUTH_CALLBACK_URL=https://ada.hub/user/ada/oauth_callback T=token\n"
            "/jupyter-ben JUPYTERHUB_OAUTH_CALLBACK_URL=/user/ben/oauth_callback\n"
            "/jupyter-cy JUPYTERHUB_OAUTH_CALLBACK_URL=https://cy.hub/x\n",
            ["jupyter-ada", "jupyter-cy"],
        ),
    ],
)
def test_servers_that_know_an_address_of_their_own_are_stopped_when_it_goes(
    containers: str, stopped: list[str], tmp_path: Path
) -> None:
    docker = tmp_path / "docker"
    docker.write_text(f"#!/bin/sh\n[ $1 != ps ] || {{ echo 1; exit; }}\ncat <<'X'\n{containers}X\n")
    docker.chmod(0o755)
    servers = student_addresses.OneAddress()
    done = subprocess.run(
        ["sh", "-c", servers.probe()], capture_output=True, text=True, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}
    )
    assert "token" not in done.stdout
    plan = servers.plan(done.stdout)
    assert [action.script for action in plan] == ([f"docker stop --time 10 {' '.join(stopped)}"] if stopped else [])
    assert not stopped or plan[0].title.startswith("stop 2 students' servers")


def test_servers_on_nodes_are_stopped_there(tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    line = "/jupyter-$name JUPYTERHUB_OAUTH_CALLBACK_URL=https://x/"
    docker.write_text(
        f'#!/bin/sh\nname=${{DOCKER_HOST:-here}}; name=${{name%/*}}; name=${{name##*/}}\n[ "$name" != away ] || exit 1\n'
        f'[ "$1" != ps ] || {{ echo 1; exit; }}\necho "{line}"\n'
    )
    docker.chmod(0o755)
    servers = student_addresses.OneAddress(("away", "n1"))
    done = subprocess.run(
        ["sh", "-c", servers.probe()], capture_output=True, text=True, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}
    )
    (action,) = servers.plan(done.stdout)
    assert action.title.startswith("stop 2 students' servers")
    assert action.script.splitlines() == [
        "docker stop --time 10 jupyter-here",
        "env DOCKER_HOST=unix:///run/hubrun-nodes/n1/docker.sock docker stop --time 10 jupyter-n1",
    ]


# -- from outside ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://ada.hub.example.edu:8443/user/ada/", ("10.0.0.1", 8443)),
        ("https://a.b.hub.example.edu/", ("10.0.0.1", 443)),
        ("https://evilhub.example.edu/", ("evilhub.example.edu", 443)),
        ("https://hub.example.edu.evil.test/", ("hub.example.edu.evil.test", 443)),
    ],
)
def test_peoples_addresses_are_reached_where_the_site_is(url: str, target: tuple[str, int]) -> None:
    assert Route("https://hub.example.edu:8443", "10.0.0.1").target(url) == target


def test_a_browser_asks_at_the_hub_until_it_was_led_to_the_persons_address() -> None:
    with Browser(Route("https://hub.example.edu")) as browser:
        browser.user = "ada"
        assert browser.lab_url == "https://hub.example.edu/user/ada/lab"
        browser._server = "https://ada.hub.example.edu"
        assert browser.lab_url == "https://ada.hub.example.edu/user/ada/lab"
        assert browser._url("/user/ada/api/kernels") == "https://ada.hub.example.edu/user/ada/api/kernels"
        assert browser._url("/user/ben/lab") == "https://hub.example.edu/user/ben/lab"
        assert browser._url("/hub/home") == "https://hub.example.edu/hub/home"
