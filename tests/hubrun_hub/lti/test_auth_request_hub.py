"""The gate, logins and their end, and launches from other sites, on a JupyterHub of this machine. nginx is played here."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from hubrun_hub.lti import auth_request
from lti_hub import HOST, LOGIN_COOKIE, Browser, Hub, form, running_hub
from lti_platform import Lms

pytestmark = [pytest.mark.hub, pytest.mark.timeout(120)]

LMS = "https://canvas.example.edu/courses/1"
CONFIG = """
c.JupyterHub.cookie_max_age_days = 7
c.JupyterHub.tornado_settings = {"cookie_options": {"samesite": "Lax", "secure": True}}
c.JupyterHub.load_roles = [{"name": "looks-at-carl", "users": ["ta"], "scopes": ["access:servers!user=carl"]}]
from tornado.httpserver import HTTPServer
HTTPServer.configure(None, max_body_size=1024 * 1024)
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder: Path = tmp_path_factory.mktemp("gate")
    with running_hub(folder / "hub", CONFIG) as hub:
        for name in ("carl", "ta", "root-of-all"):
            Browser(hub).post("/hub/lti/launch", form(name))
        yield hub


def launched(hub: Hub, name: str) -> Browser:
    browser = Browser(hub)
    assert browser.post("/hub/lti/launch", form(name)).logged_in
    return browser


def asks(hub: Hub, server: str, cookie: str = "", **headers: str) -> int:
    """What the hub answers to nginx's question."""
    headers = {"Host": HOST, auth_request.HEADER: server, "Cookie": f"{auth_request.COOKIE}={cookie}", **headers}
    return httpx.get(f"http://127.0.0.1:{hub.port}/hub/gate-check", headers=headers, verify=False).status_code


def test_a_launch_brings_the_cookie_of_the_gate(hub: Hub) -> None:
    ada = launched(hub, "ada")
    said = ada.attributes[auth_request.COOKIE]
    assert (said["path"], said["domain"], said["samesite"], said["secure"], said["httponly"]) == (
        "/",
        "",
        "Lax",
        True,
        True,
    )
    assert ada.attributes[LOGIN_COOKIE]["samesite"] == "Lax"


@pytest.mark.parametrize(
    ("who", "server", "status"),
    [
        ("ada", "ada/lab", 204), ("ada", "ada", 204), ("ada", "%61da/lab", 204), ("ada", "ada/two", 204),
        ("ada", "carl/lab", 401), ("ada", "nobody/lab", 401), ("ada", "", 401), ("ada", "ada%2f..%2fcarl/x", 401), ("ada", "../carl", 401),
        ("ta", "carl/lab", 204), ("ta", "ada/lab", 401),
        ("root-of-all", "carl/lab", 401), ("root-of-all", "root-of-all/lab", 204),
    ],
)  # fmt: skip
def test_the_gate_opens_to_the_person_and_to_whom_the_hub_granted_it(
    hub: Hub, who: str, server: str, status: int
) -> None:
    assert asks(hub, server, launched(hub, who).cookies[auth_request.COOKIE]) == status


def test_no_other_cookie_passes_for_that_of_the_gate(hub: Hub) -> None:
    ada = launched(hub, "ada")
    good = ada.cookies[auth_request.COOKIE]
    assert asks(hub, "ada/x", ada.cookies[LOGIN_COOKIE].strip('"')) == 401
    assert asks(hub, "ada/x", good[:-4] + "0000") == 401
    assert asks(hub, "ada/x") == 401
    assert asks(hub, "ada/x", "", Cookie=f"{LOGIN_COOKIE}={ada.cookies[LOGIN_COOKIE]}") == 401


def test_a_token_opens_what_it_is_for_and_only_in_the_header(hub: Hub) -> None:
    token = hub.api("POST", "/users/carl/tokens", json={"note": "script"})["token"]
    narrow = hub.api("POST", "/users/carl/tokens", json={"scopes": ["read:users!user=carl"]})["token"]
    assert asks(hub, "carl/x", Authorization=f"token {token}") == 204
    assert asks(hub, "carl/x", Authorization=f"Bearer {token}") == 204
    assert asks(hub, "ada/x", Authorization=f"token {token}") == 401
    assert asks(hub, "carl/x", Authorization=f"token {narrow}") == 401
    assert asks(hub, f"carl/x?token={token}") == 401
    refused = httpx.get(
        f"http://127.0.0.1:{hub.port}/hub/gate-check?token={token}",
        headers={auth_request.HEADER: "carl/x"},
        verify=False,
    )
    assert refused.status_code == 401


def test_a_browser_without_the_cookie_gets_it_on_the_way(hub: Hub) -> None:
    ada = launched(hub, "ada")
    del ada.cookies[auth_request.COOKIE]
    # a script in an open page: its request is followed to here with the hub's cookie
    answer = ada.get(
        "/hub/gate/user/ada/api/kernels?a=%2F", headers={"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}
    )
    assert (answer.status, answer.location) == (302, "/user/ada/api/kernels?a=%2F")
    assert asks(hub, "ada/api", ada.cookies[auth_request.COOKIE]) == 204
    assert ada.get("/hub/gate/user/carl/lab").reason == "not-yours"
    assert ada.get("/hub/gate/user/nobody/lab").reason == "not-yours"
    assert Browser(hub).get("/hub/gate/user/ada/lab").reason == "no-session"
    for elsewhere in ("//evil.example", "/https://evil.example", "", "/hub/home", "/user/ada%2f..%2fx"):
        assert ada.get(f"/hub/gate{elsewhere}").status in (400, 404), elsewhere


def test_the_gates_cookie_lasts_no_longer_than_the_login(hub: Hub) -> None:
    ada = launched(hub, "ada")
    login = auth_request.signed_at(ada.cookies[LOGIN_COOKIE].strip('"'))
    del ada.cookies[auth_request.COOKIE]
    ada.get("/hub/gate/user/ada/lab")
    ends = (
        time.mktime(time.strptime(ada.attributes[auth_request.COOKIE]["expires"], "%a, %d %b %Y %H:%M:%S %Z"))
        - time.timezone
    )
    assert abs(ends - login - 7 * 86400) <= 1


def test_a_logout_takes_a_click_and_ends_every_session(hub: Hub) -> None:
    first, second = launched(hub, "dora"), launched(hub, "dora")
    page = first.get("/hub/logout")
    assert page.status == 200 and first.user == "dora"
    assert Browser.post(first, "/hub/logout", {}).status == 403, "another site's form"
    copied = dict(first.cookies)
    xsrf = re.search(r'name="_xsrf" value="([^"]*)"', page.response.text)
    assert xsrf and first.post("/hub/logout", {"_xsrf": xsrf[1]}).status == 302
    assert auth_request.COOKIE not in first.cookies and first.user == ""
    first.cookies = copied
    assert first.user == "" and second.user == ""
    assert asks(hub, "dora/x", copied[auth_request.COOKIE]) == 401
    assert Browser(hub).get("/hub/logout").location == "/hub/login"
    assert launched(hub, "dora").user == "dora"


# ------------------------------------------------------------------------------------------------ launches from other sites


def confirm(page: str) -> dict[str, str]:
    found = re.search(r'name="ticket" value="([^"]*)"', page)
    assert found
    return {"ticket": found[1]}


@pytest.mark.parametrize("sent_by", ["https://evil.example", "null"])
def test_a_launch_that_another_site_sends_waits_for_a_click(hub: Hub, sent_by: str) -> None:
    victim = Browser(hub)
    answer = victim.post(
        "/hub/lti/launch", form("mallory2", launch_presentation_return_url=LMS), headers={"Origin": sent_by}
    )
    assert answer.status == 200 and not answer.logged_in and victim.user == ""
    assert "<strong>mallory2</strong>" in answer.response.text
    ticket = confirm(answer.response.text)
    assert Browser(hub).post("/hub/lti/confirm", ticket).reason == "no-cookie", "the ticket alone, in another browser"
    assert victim.post("/hub/lti/confirm", ticket).logged_in and victim.user == "mallory2"
    again = victim.post("/hub/lti/confirm", ticket)
    assert (again.location, again.logged_in) == ("/hub/", False), "it is good once; a second click goes on into the hub"
    victim.cookies = {name: value for name, value in victim.cookies.items() if name != LOGIN_COOKIE}
    assert victim.post("/hub/lti/confirm", ticket).reason == "no-cookie"


def test_a_launch_from_its_lms_or_from_no_browser_goes_on(hub: Hub) -> None:
    launch = {"launch_presentation_return_url": LMS}
    assert Browser(hub).post("/hub/lti/launch", form("eve", **launch)).logged_in
    said = Browser(hub)._send("POST", "/hub/lti/launch", data=form("eve", **launch))
    assert said.logged_in
    assert Browser(hub).post("/hub/lti/launch", form("eve"), headers={"Origin": "https://any.example"}).logged_in


def test_a_link_cannot_name_another_lms(hub: Hub) -> None:
    """What is in the query of the launch URL is a teacher's word."""
    from lti_hub import LAUNCH_URL

    url = f"{LAUNCH_URL}?lis_outcome_service_url=https%3A%2F%2Fevil.example%2F"
    fields = form("finn", url=url, launch_presentation_return_url=LMS)
    answer = Browser(hub).post(
        url.removeprefix("https://hub.example.edu:8443"), fields, headers={"Origin": "https://evil.example"}
    )
    assert answer.status == 200 and not answer.logged_in


# ------------------------------------------------------------------------------------------------ floods


def test_keys_that_drip_hold_a_launch_no_longer_than_the_limit(hub: Hub) -> None:
    with socket.create_server(("127.0.0.1", 0)) as drips:
        lms = Lms("https://drips.example", "1")
        lms.write(hub.folder / "consumers.d", "drips", jwks_url=f"http://127.0.0.1:{drips.getsockname()[1]}/")
        threading.Thread(target=drip, args=(drips,), daemon=True).start()
        began = time.monotonic()
        answer = lms.launch(Browser(hub))
        assert answer.reason == "no-keys" and time.monotonic() - began < 4
    lms.close()


def drip(server: socket.socket) -> None:
    """An answer of which one byte comes every tenth of a second."""
    connection, _ = server.accept()
    with connection:
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b" " * 1000:
            try:
                connection.sendall(bytes([byte]))
            except OSError:
                return
            time.sleep(0.1)


def test_keys_without_end_are_not_kept(hub: Hub) -> None:
    lms = Lms("https://huge.example", "1")
    lms.published = [lms.key.jwk, {"kty": "RSA", "n": "A" * 300_000}]
    lms.write(hub.folder / "consumers.d", "huge")
    assert lms.launch(Browser(hub)).reason == "no-keys"
    lms.close()


def test_the_hub_reads_no_large_body(hub: Hub) -> None:
    with pytest.raises(httpx.HTTPError):
        came = httpx.post(f"http://127.0.0.1:{hub.port}/hub/lti/launch", content=b"x" * 5_000_000, verify=False)
        came.raise_for_status()


def test_a_flood_of_forged_launches_keeps_nobody_out(hub: Hub) -> None:
    answers = [Browser(hub).post("/hub/lti/launch", form("gus", secret="wrong")) for _ in range(300)]
    assert {each.status for each in answers} == {401, 429}
    assert launched(hub, "gus").user == "gus"
