"""The sites of others in nginx: found in what nginx reads, left alone, and named where they do not go together with ours."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from hubrun.params import Site
from hubrun.sections.https import other_sites
from hubrun.sections.https.nginx import Nginx, http_tests, https_tests
from hubrun.sections.https.other_sites import (
    DEFAULT_SITE,
    HTTP_FILE,
    NoDistributionDefault,
    OtherSites,
    bucket_for,
)
from hubrun.sections.server.preflight import preflight

SITE = Site(site="x", domain="hub.example.edu")
DEPT = "/etc/nginx/sites-enabled/dept"


def others(text: str, file: str = DEPT, main: str = "") -> OtherSites:
    """As nginx -T shows it."""
    return OtherSites.read(
        f"# configuration file /etc/nginx/nginx.conf:\nhttp {{ {main} }}\n# configuration file {file}:\n{text}\n"
    )


def listens(found: OtherSites, port: int = 80, ipv6: bool = False, site: Site = SITE) -> list[str]:
    nginx = Nginx((1, 22, 1), ipv6, found)
    text = nginx.http_site(site) if port == 80 else nginx.https_site(site)
    return [line.strip() for line in text.splitlines() if line.strip().startswith("listen")]


ALONE = ["listen 80;", "listen 80 default_server;"]


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("", ALONE),
        ("server { listen 80; server_name dept.example.edu; }", ALONE),
        ("server { server_name dept.example.edu; }", ALONE),
        ("server { listen 8080 default_server; }", ALONE),
        ("server { listen; server_name a; }", ALONE),  # what nginx refuses
        ("server { listen unix:/run/x.sock default_server; server_name a; }", ALONE),
        ("# server { listen 80 default_server; }", ALONE),
        ("server { listen 80 default_server; server_name _; }", ["listen 80;"]),
        ("server { listen *:80 default_server; }", ["listen 80;"]),
        ("server { listen 0.0.0.0:80 default; }", ["listen 80;"]),
        ("server { server_name a.example.edu; listen\n 10.0.0.5:80; }", ["listen 80;", "listen 10.0.0.5:80;", "listen 80 default_server;", "listen 10.0.0.5:80 default_server;"]),
        ("server { listen 10.0.0.5 default_server; }", ["listen 80;", "listen 10.0.0.5:80;", "listen 80 default_server;"]),
        ("server { listen '127.0.0.1:80'; server_name localhost; location / { stub_status; } }", ["listen 80;", "listen 127.0.0.1:80;", "listen 80 default_server;", "listen 127.0.0.1:80 default_server;"]),
        ("server { listen [2001:DB8::5]:80; server_name a; }", ["listen 80;", "listen [2001:db8::5]:80;", "listen 80 default_server;", "listen [2001:db8::5]:80 default_server;"]),
        ("server { listen [::1]; server_name a; }", ["listen 80;", "listen [::1]:80;", "listen 80 default_server;", "listen [::1]:80 default_server;"]),
        # What is said in a string or a location says nothing of a server.
        ("""server { server_name a; location ~ "^/x{2}$" { return 200 "} server { listen 80 default_server; } #"; } }""", ALONE),
        ("upstream u { server 10.0.0.9:80; } server { server_name a; proxy_pass http://u${x}; }", ALONE),
    ],
)  # fmt: skip
def test_ours_listens_where_others_do_and_is_the_default_only_where_nobody_else_is(
    theirs: str, ours: list[str]
) -> None:
    assert listens(others(theirs)) == ours
    assert others(theirs).problems(SITE) == []


def test_an_ipv6_socket_of_another_that_takes_ipv4_too_is_shared() -> None:
    found = others("server { listen [::]:80 ipv6only=off; server_name dept.example.edu; }")
    assert listens(found, ipv6=True) == ["listen [::]:80;", "listen [::]:80 default_server;"]


def test_port_443_is_shared_likewise() -> None:
    found = others("server { listen 443 ssl default_server; listen 10.0.0.5:443 ssl; server_name dept.example.edu; }")
    assert listens(found, 443) == ["listen 443 ssl http2;", "listen 10.0.0.5:443 ssl http2;", "listen 10.0.0.5:443 ssl http2 default_server;"]  # fmt: skip
    assert listens(found) == ALONE
    of = Nginx((1, 22, 1), False, found)
    assert len(https_tests(SITE, of)) == len(https_tests(SITE)) - 1
    assert len(http_tests(SITE, of)) == len(http_tests(SITE))


@pytest.mark.parametrize(
    ("theirs", "what", "do"),
    [
        ("server { listen 80; root /var/www/dept; }", f"{DEPT} has no name that others can ask for", "listen 80 default_server;"),
        ("server { listen 443 ssl; server_name _; }", "the first site of 443", "listen 443 default_server;"),
        ("server { root /srv; }", "the first site of 80", "listen 80 default_server;"),
        ('server { listen 10.0.0.5:80; server_name ""; }', "the first site of 10.0.0.5:80", "listen 10.0.0.5:80 default_server;"),
        ("server { listen 80; server_name www.example.edu HUB.example.edu; }", f"{DEPT} serves hub.example.edu too", f"rm {DEPT}"),
        ("server { listen 8080; server_name hub.example.edu; }", "", ""),
        ("server { listen 80; server_name a; } server { listen 80; root /srv; }", "", ""),
    ],
)  # fmt: skip
def test_what_would_be_taken_off_line_is_named_with_what_to_do(theirs: str, what: str, do: str) -> None:
    problems = others(theirs).problems(SITE)
    assert len(problems) == bool(what)
    assert all(what in said and do in remedy for said, remedy in problems)


def test_a_server_of_streams_that_has_the_port_is_named() -> None:
    found = OtherSites.read("# configuration file /etc/nginx/nginx.conf:\nstream { server { listen 443; } }\n")
    ((what, _),) = found.problems(SITE)
    assert "`stream` has 443" in what and found.sockets(443, False) == {"443": True}


FILES = """
# configuration file /etc/nginx/nginx.conf:
http { include /etc/nginx/sites-enabled/*; }
stream { include "/etc/nginx/streams.d/*.conf"; }
# configuration file /etc/nginx/sites-enabled/dept:
server { include snippets/listens.conf; server_name dept.example.edu; # listen 8080;
}
# configuration file /etc/nginx/snippets/listens.conf:
listen 443 ssl default_server;
include /etc/nginx/snippets/more[0-9].conf;
# configuration file /etc/nginx/snippets/more1.conf:
listen 10.0.0.5:443 ssl;
# configuration file /etc/nginx/streams.d/sni.conf:
server { listen 443; ssl_preread on; }
"""


def test_what_a_server_includes_is_its_own_and_a_file_of_streams_holds_streams() -> None:
    dept, sni = OtherSites.read(FILES).servers
    assert dept.sockets == {"443": ("ssl", "default_server"), "10.0.0.5:443": ("ssl",)} and not dept.stream
    assert sni.file.endswith("sni.conf") and sni.stream


def test_a_name_with_a_dot_before_it_is_the_name_itself_too() -> None:
    """Seen with nginx 1.22: the file that comes first has the name, and the other one is passed over as a whole."""
    ((what, _),) = others("server { listen 80; server_name .hub.example.edu; }").problems(SITE)
    assert "serves .hub.example.edu too" in what


def test_a_site_that_is_named_localhost_is_reached_as_the_first_one_unless_it_listens_there() -> None:
    """nginx.org's package brings it so, and who writes their site into it leaves the name."""
    local = "/etc/nginx/conf.d/default.conf"
    found = others("server { listen 80; server_name localhost; root /srv/dept; }", local)
    ((what, do),) = found.problems(SITE)
    assert f"{local} has no name that others can ask for" in what and "listen 80 default_server;" in do
    for socket in ("127.0.0.1:80", "[::1]:80"):
        assert others(f"server {{ listen {socket}; server_name localhost; }}").problems(SITE) == []


def test_names_below_the_domain_are_ours_with_subdomains_alone() -> None:
    found = others("server { listen 80; server_name *.hub.example.edu; }")
    with_names = SITE.model_copy(update={"subdomains": True})
    assert found.problems(SITE) == [] and "*.hub.example.edu" in found.problems(with_names)[0][0]


def test_our_own_files_and_the_untouched_default_are_nobody_elses() -> None:
    text = f"# configuration file {HTTP_FILE}:\nserver {{ listen 80 default_server; server_name hub.example.edu; }}\n"
    text += f"# configuration file {DEFAULT_SITE}:\nserver {{ listen 80 default_server; server_name _; }}\n"
    assert OtherSites.read(f"distribution={DEFAULT_SITE}\n{text}") == OtherSites()
    (theirs,) = OtherSites.read(text).servers
    assert theirs.file == DEFAULT_SITE


def site_of(length: int) -> Site:
    name = f"{'a' * 60}.{'b' * 60}.{'c' * 60}.{'d' * 60}.edu"[-length:]
    return Site(site="x", domain=name if name[0] != "." else f"x{name[1:]}")


# 64 is what nginx has; seen with nginx 1.22: a name of 47 characters and more keeps it from starting.
@pytest.mark.parametrize(("length", "size"), [(46, 64), (47, 128), (110, 128), (111, 256), (238, 256), (239, 512)])
def test_nginx_is_told_of_a_long_name_once(length: int, size: int) -> None:
    site = site_of(length)
    line = f"server_names_hash_bucket_size {size};"
    assert bucket_for(site.domain) == size
    assert (line in Nginx((1, 22, 1), True).http_site(site)) == (size > 64)
    enough = others("", main=line)
    assert "bucket_size" not in Nginx((1, 22, 1), True, enough).http_site(site) and enough.problems(site) == []
    if size > 64:
        ((what, do),) = others("", main="server_names_hash_bucket_size 64;").problems(site)
        assert "is 64" in what and f"Set it to {size}" in do


def test_it_is_looked_at_before_anything_is_changed() -> None:
    (test,) = (test for test in preflight(SITE) if "other sites" in test.title)
    text = f"# configuration file {DEPT}:\nserver {{ listen 80; }}\n"
    check = test.judge(0, text)
    assert not check.ok and DEPT in check.came and "default_server" in check.cause
    assert test.judge(0, "").ok and test.judge(0, text.replace("80", "80 default_server")).ok
    assert other_sites.test(SITE) == test


@pytest.mark.parametrize(("text", "goes"), [("the package's", True), ("the department's", False), (None, False)])
def test_the_distributions_default_goes_only_while_nobody_has_changed_it(
    text: str | None, goes: bool, tmp_path: Path
) -> None:
    default = tmp_path / "default"
    if text:
        default.write_text(text)
    digest = subprocess.run(["md5sum"], input=b"the package's", capture_output=True, check=True).stdout.split()[0]
    dpkg = tmp_path / "dpkg-query"
    dpkg.write_text(f"#!/bin/sh\necho ' /etc/nginx/sites-available/default {digest.decode()}'\n")
    dpkg.chmod(0o755)
    script = NoDistributionDefault().probe().replace(DEFAULT_SITE, str(default))
    done = subprocess.run(
        ["sh", "-c", script],
        capture_output=True,
        text=True,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        check=False,
    )
    assert bool(NoDistributionDefault().plan(done.stdout)) == goes


def test_a_plan_foresees_the_default_of_the_package_that_will_come() -> None:
    resource = NoDistributionDefault()
    assert resource.plan(resource.foresee("", [DEFAULT_SITE])) and not resource.plan(resource.foresee("", []))


def test_what_nginx_cannot_read_is_read_without_it(tmp_path: Path) -> None:
    for folder in ("conf.d", "sites-enabled"):
        (tmp_path / folder).mkdir()
    (tmp_path / "nginx.conf").write_text("http {}")
    (tmp_path / "sites-enabled" / "dept").write_text("server { listen 80 default_server; }")
    nginx = tmp_path / "nginx"
    nginx.write_text("#!/bin/sh\nexit 1\n")
    nginx.chmod(0o755)
    script = other_sites.READ.replace("/etc/nginx", str(tmp_path))
    done = subprocess.run(
        ["sh", "-c", script], capture_output=True, text=True, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, check=True
    )
    (server,) = OtherSites.read(done.stdout).servers
    assert server.file.endswith("sites-enabled/dept") and server.sockets == {"80": ("default_server",)}
