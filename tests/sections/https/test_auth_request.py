"""The gate before people's servers, as values: how a request's target is read, and limits. No hub and no nginx."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

from hubrun.params import Site
from hubrun.sections.https.nginx import Nginx, WorkerLimits
from hubrun_hub.lti import auth_request, cross_site
from hubrun_hub.lti.refusals import RateLimit

SITE = Site(site="x", domain="hub.example.edu")
NGINX = Nginx((1, 22, 1), False).https_site(SITE)

# raw target → what nginx must call it, and whose server it is for
TARGETS = {
    "/": ("hub", None), "/?x": ("hub", None), "/hub": ("hub", None), "/hub/home": ("hub", None), "/hub/?next=/user/x/../y": ("hub", None),
    "/favicon.ico": ("hub", None), "/services/x/": ("hub", None), "/user": ("hub", None), "/user/": ("hub", None), "/user/?x": ("hub", None),
    "/hub/user/x/lab": ("hub", None), "/hub/gate/user/x/": ("hub", None), "/users/x": ("hub", None), "/USER/x": ("hub", None),
    "/user/ada": ("user", ("ada", "")), "/user/ada/": ("user", ("ada", "")), "/user/ada?x=1": ("user", ("ada", "")),
    "/user/ada/lab/tree/a%20b.ipynb?x=../y": ("user", ("ada", "lab")), "/user/ada/two/lab": ("user", ("ada", "two")),
    "/user/a%40b.edu/lab": ("user", ("a@b.edu", "lab")), "/user/a@b.edu/lab": ("user", ("a@b.edu", "lab")),
    "/user/%61da/x": ("user", ("ada", "x")), "/user/ada//two": ("user", ("ada", "")), "/user/ada/x%2fy": ("user", ("ada", "x")),
    "/user/ada/..%2f..%2fhub/x": ("user", ("ada", "..")), "/user/ada/x/..%5c..": ("user", ("ada", "x")),
    "/user/%C3%A9va/lab": ("user", ("éva", "lab")), "/user/ada/...": ("user", ("ada", "...")), "/user/ada/.a/..b": ("user", ("ada", ".a")),
    "/%75ser/ada/": ("refused", None), "//user/ada/": ("refused", None), "//x/user/ada": ("refused", None), "/user//ada/": ("refused", None),
    "/%2fuser/ada": ("refused", None), "/user%2fada": ("refused", None), "/user/ada%2fx": ("refused", None), "/user/%2fada": ("refused", None),
    "/user/./ada": ("refused", None), "/user/x/../ada": ("refused", None), "/user/x/%2e%2E/ada": ("refused", None), "/user/x/.%2e/ada": ("refused", None),
    "/user/x/..": ("refused", None), "/user/../hub": ("refused", None), "/hub/../user/ada": ("refused", None), "/hub/%2e%2e/user/ada": ("refused", None),
    "/user/x\\..\\ada": ("refused", None), "/user\\ada": ("refused", None), "/\\user\\ada": ("refused", None), "/hub#/../user/ada": ("refused", None),
    "/user/ada#x": ("refused", None), "/user/a%5cb/x": ("refused", None), "/user/a%00/x": ("refused", None), "/us\ter/ada": ("refused", None),
    "/user/a\tda/x": ("refused", None), "/user/ada\x7f": ("refused", None), "/user/%zz/x": ("refused", None), "/user/é/x": ("refused", None),
    "/..;/user/ada": ("refused", None), "/%252e/x": ("refused", None), "": ("refused", None), "*": ("refused", None),
}  # fmt: skip


def nginx_kind(target: str) -> str:
    """What nginx's own expressions say, taken from the site as it is written."""
    table = re.search(r"map \$request_uri \$jupyterhub_kind \{(.*?)\n\}", NGINX, re.S)
    assert table
    for pattern, kind in re.findall(r'^    "~(.*)" (\w+);$', table[1], re.M):
        if re.search(pattern, target):
            return str(kind)
    return "refused"


@pytest.mark.parametrize("target", TARGETS)
def test_nginx_and_the_hub_read_a_target_in_the_same_way(target):
    kind, whose = TARGETS[target]
    assert nginx_kind(target) == kind
    found = auth_request.target_of(target)
    assert (found and (found.owner, found.named)) == whose


@pytest.mark.parametrize("subdomains", [False, True])
def test_nginx_takes_no_orders_from_what_a_server_answers(subdomains):
    text = Nginx((1, 22, 1), False).https_site(SITE.model_copy(update={"subdomains": subdomains}))
    passed = [place for place in text.split("location ") if "proxy_pass http://127.0.0.1:8000;" in place]
    assert len(passed) == 3
    for place in passed:
        ignored = re.search("proxy_ignore_headers (.*);", place)
        assert ignored and {"X-Accel-Redirect", "X-Accel-Buffering"} <= set(ignored[1].split())


@pytest.mark.parametrize("target", [target for target, (kind, _) in TARGETS.items() if kind == "user"])
def test_what_nginx_tells_the_hub_of_a_target_is_the_same_server(target):
    told = re.search(r'"~(\^/user/\(.*\))" \$1;', NGINX)
    assert told
    assert auth_request.target_of("/user/" + re.search(told[1], target)[1]) == auth_request.target_of(target)


@pytest.mark.parametrize(
    ("cookies", "ours", "others"),
    [
        ("a=1; __Host-hubrun-gate=2|1:0|10:17|x=; b=2", "2|1:0|10:17|x=", "a=1; b=2"),
        ("__Host-hubrun-gate=v", "v", ""),
        ("__Host-hubrun-gate=v; b=2", "v", "; b=2"),
        ("a=1; b=2", "", "a=1; b=2"),
        ("x__Host-hubrun-gate=v", "", "x__Host-hubrun-gate=v"),
        ("", "", ""),
    ],
)
def test_the_cookie_is_taken_out_of_the_others(cookies, ours, others):
    taken, left = re.findall(r'"~([^"]*__Host-hubrun-gate[^"]*)" \$1', NGINX)
    found = re.search(taken, cookies)
    assert (found[1] if found else "") == ours
    found = re.search(left, cookies)
    assert (found[1] + found[2] if found else cookies) == others


def test_a_cookie_ends_with_its_login():
    ada = SimpleNamespace(id=7, cookie_id="first")
    people = {7: ada}.get
    signed = auth_request.value(ada, until=1000).encode()
    assert auth_request.user_of(signed, people, 999) is ada
    assert auth_request.user_of(signed, people, 1000) is None
    for broken in (None, b"", b"x"):
        assert auth_request.user_of(broken, people, 1) is None
    ada.cookie_id = "after a logout"
    assert auth_request.user_of(signed, people, 1) is None


def test_when_a_cookie_was_signed_is_read_from_it():
    assert auth_request.signed_at("2|1:0|10:1300000000|3:foo|4:Zm9v|b2cc") == 1300000000


@pytest.mark.parametrize(
    ("sent_by", "names", "elsewhere"),
    [
        (None, ["https://canvas.example.edu/x"], False),
        ("https://canvas.example.edu", ["https://canvas.example.edu/courses/1"], False),
        ("https://CANVAS.example.edu:443", ["http://canvas.example.edu/courses/1"], False),
        ("https://evil.example", ["https://canvas.example.edu/x"], True),
        ("null", ["https://canvas.example.edu/x"], True),
        ("https://canvas.example.edu:8443", ["https://canvas.example.edu/x"], True),
        ("https://evil.example", ["about:blank", ""], False),
        ("https://evil.example", ["about:blank", "https://lms.example/x"], True),
        ("https://[", ["https://canvas.example.edu"], True),
    ],
)
def test_a_launch_from_another_site_than_its_lms_is_told(sent_by, names, elsewhere):
    assert cross_site.is_elsewhere(sent_by, cross_site.hosts_of(names)) is elsewhere


def test_a_launch_that_waits_is_good_once_for_its_browser_and_for_a_while():
    waiting, launch = cross_site.PendingConfirmations(), SimpleNamespace(user="ada")
    ticket, browser = waiting.put(launch, 0)
    assert waiting.take(ticket, "another", 1) is None
    assert waiting.take("", "", 1) is None
    assert waiting.take(ticket, browser, 1) is launch
    assert waiting.take(ticket, browser, 1) is None
    ticket, browser = waiting.put(launch, 0)
    assert waiting.take(ticket, browser, cross_site.KEEP_S) is None
    for _ in range(1100):
        waiting.put(launch, 0)
    assert len(waiting._launches) == 1000


def test_forged_launches_get_a_page_up_to_a_limit():
    limit = RateLimit(rate=10, burst=3)
    assert [limit.take(100.0) for _ in range(5)] == [True, True, True, False, False]
    assert limit.take(100.2)


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ("worker_connections=768\n", "worker_connections 768 → 8192, worker_rlimit_nofile not set → 16384"),
        ("worker_connections=8192\nworker_rlimit_nofile=1024\n", "worker_rlimit_nofile 1024 → 16384"),
        ("worker_connections=8192\nworker_rlimit_nofile=16384\n", ""),
        ("worker_connections=20000\nworker_rlimit_nofile=65536\n", ""),
    ],
)
def test_limits_of_nginx_are_raised_and_never_lowered(found, says):
    actions = WorkerLimits().plan(found)
    assert [each.title for each in actions] == ([f"raise limits of nginx ({says})"] if says else [])
