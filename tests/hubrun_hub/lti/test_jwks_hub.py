"""The LMSs' keys, as a real hub fetches them: slow, gone, inside the institution, redirected, without a name."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lti_hub import Browser, Hub, hub_python, running_hub
from lti_platform import Answer, Key, Lms

pytestmark = [pytest.mark.hub, pytest.mark.timeout(120)]

# A day is as long as these tests wait, and five minutes are a second.
CONFIG = """
jwks.KEEP_S = 1
jwks.PAUSE_KNOWN_S = jwks.PAUSE_S
jwks.KEEP_FAILED_S = 8
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with running_hub(tmp_path_factory.mktemp("keys") / "hub", CONFIG) as hub:
        yield hub


@pytest.fixture
def lms(hub: Hub, request: pytest.FixtureRequest) -> Iterator[Lms]:
    lms = Lms(f"https://{request.node.name.replace('_', '-')}.example", "1")
    file = lms.write(hub.folder / "consumers.d", "keys")
    yield lms
    file.unlink()
    lms.close()


def test_known_keys_go_on_for_a_day_while_their_address_does_not_answer(hub: Hub, lms: Lms) -> None:
    assert lms.launch(Browser(hub)).logged_in
    fetched = time.monotonic()
    lms.broken = True
    time.sleep(1.6)
    assert lms.launch(Browser(hub)).logged_in and lms.fetched == 2, "asked, and not answered"
    assert lms.launch(Browser(hub)).logged_in and lms.fetched == 2, "not asked at every click"
    stranger = Key("new")
    question = lms.begin(browser := Browser(hub))
    assert lms.answer(browser, question, stranger.sign(lms.claims(question))).reason in ("no-keys", "not-trusted")
    time.sleep(max(0.0, fetched + 8.5 - time.monotonic()))
    assert lms.launch(Browser(hub)).reason == "no-keys", "a key that the LMS withdrew must end at last"
    lms.broken = False
    time.sleep(1.6)
    assert lms.launch(Browser(hub)).logged_in


def test_a_slow_answer_for_a_key_that_is_made_up_holds_up_no_other_launch(hub: Hub, lms: Lms) -> None:
    """Anybody can send a token that names any key; the hub then asks the LMS, which may take its time."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        other = Lms("https://other-lms.example", "1")
        file = other.write(hub.folder / "consumers.d", "other")
        assert lms.launch(Browser(hub)).logged_in and other.launch(Browser(hub)).logged_in
        slow = Lms("https://silent-lms.example", "1")
        third = slow.write(
            hub.folder / "consumers.d", "silent", jwks_url=f"http://127.0.0.1:{silent.getsockname()[1]}/"
        )
        answers: list[Answer] = []
        waiting = threading.Thread(target=lambda: answers.append(slow.launch(Browser(hub))))
        waiting.start()
        connection, _ = silent.accept()
        with connection:
            began = time.monotonic()
            assert other.launch(Browser(hub)).logged_in and lms.launch(Browser(hub)).logged_in
            assert time.monotonic() - began < 1.4 and waiting.is_alive()
            waiting.join()
        assert answers[0].reason == "no-keys"
        file.unlink()
        third.unlink()
        other.close()
        slow.close()


def test_a_token_that_names_no_key_is_for_the_only_one(hub: Hub, lms: Lms) -> None:
    browser = Browser(hub)
    question = lms.begin(browser)
    assert lms.answer(browser, question, lms.key.sign(lms.claims(question), kid="")).logged_in
    time.sleep(1.6)
    lms.published = [lms.key.jwk, Key("key-2").jwk]
    question = lms.begin(browser)
    assert lms.answer(browser, question, lms.key.sign(lms.claims(question), kid="")).reason == "not-trusted"
    assert lms.launch(Browser(hub)).logged_in, "by its name it is found"
    nameless = {name: value for name, value in lms.key.jwk.items() if name != "kid"}
    time.sleep(1.6)
    lms.published = [nameless, {"kty": "EC", "kid": "ec", "crv": "P-256", "x": "AA", "y": "AA"}]
    question = lms.begin(browser)
    assert lms.answer(browser, question, lms.key.sign(lms.claims(question), kid="")).logged_in
    question = lms.begin(browser)
    assert lms.answer(browser, question, lms.key.sign(lms.claims(question), kid="\0000")).reason == "not-trusted"


# ------------------------------------------------------------------------------------------------ as 02 and 05 fetch them


@pytest.fixture(scope="module")
def publisher() -> Iterator[str]:
    """Where keys are published, and what redirects elsewhere."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answers: dict[str, tuple[int, str, Any]] = {
                "/keys": (200, "", {"keys": [Key("k").jwk]}),
                "/none": (200, "", {"keys": []}),
                "/html": (200, "", None),
                "/gone": (404, "", {}),
                "/moved": (302, "/keys", {}),
                "/loop": (302, "/loop", {}),
                "/plain": (302, "http://keys.example.edu/", {}),
                "/inside": (302, "https://10.0.0.1/keys", {}),
                "/itself": (302, "https://127.0.0.2/keys", {}),
                "/huge": (200, "", {"keys": ["x" * 300_000]}),
            }
            status, location, data = answers[self.path]
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            self.end_headers()
            self.wfile.write(b"<html>" if data is None else json.dumps(data).encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def fetched(hub: Hub, *arguments: str) -> tuple[int, str]:
    """Exit code and last line of the program on the server."""
    program = [hub_python(), "-I", "-B", hub.folder / "lib" / "hubrun_hub", "fetch_keys", *arguments]
    done = subprocess.run(program, capture_output=True, text=True)
    return done.returncode, (done.stdout + done.stderr).strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("path", "code", "line"),
    [
        ("/keys", 0, "1 key for signatures"),
        ("/moved", 0, "1 key for signatures"),
        ("/none", 1, "The JWK Set did not contain any keys"),
        ("/html", 1, "Expecting value"),
        ("/gone", 1, "HTTP 404"),
        ("/loop", 1, "more than 3 redirects"),
        ("/plain", 1, "redirected to http://keys.example.edu, which is not https"),
        ("/inside", 1, "10.0.0.1 is at 10.0.0.1, which is not an address of the internet"),
        ("/itself", 1, "127.0.0.2 is at 127.0.0.2, which is not an address of the internet"),
        ("/huge", 1, "Connection closed"),
    ],
)
def test_what_the_program_of_02_and_05_says(hub: Hub, publisher: str, path: str, code: int, line: str) -> None:
    seen, said = fetched(hub, publisher + path)
    assert seen == code and line in said, said


def test_inner_addresses_are_asked_only_where_the_site_says_so(hub: Hub) -> None:
    for url in (
        "https://10.255.255.1/",
        "https://[::ffff:10.0.0.1]/",
        "https://169.254.169.254/",
        "https://[64:ff9b::a00:1]/",
    ):
        code, said = fetched(hub, url)
        assert code == 1 and "not an address of the internet" in said, said
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"https://127.0.0.2:{closed.getsockname()[1]}/"
        assert "not an address of the internet" in fetched(hub, address)[1]
        code, said = fetched(hub, "--inner", address)
        assert code == 1 and "refused" in said, "it was asked"


def test_which_addresses_are_of_the_internet(hub: Hub, tmp_path: Path) -> None:
    given = {
        "8.8.8.8": True, "2606:4700::1": True, "127.0.0.1": False, "10.0.0.1": False, "172.29.0.1": False,
        "192.168.1.1": False, "169.254.169.254": False, "100.64.0.1": False, "0.0.0.0": False, "::1": False, "::": False,
        "fe80::1%eth0": False, "fd00::1": False, "::ffff:192.168.0.1": False, "::ffff:8.8.8.8": True, "224.0.0.1": False,
        "2002:a00:1::": False, "64:ff9b::7f00:1": False, "64:ff9b::808:808": True, "255.255.255.255": False,
    }  # fmt: skip
    code = (
        f"import sys, json; sys.path.insert(0, {str(hub.folder / 'lib')!r}); from hubrun_hub.lti.outbound import is_outer; "
        "print(json.dumps({each: is_outer(each) for each in json.loads(sys.argv[1])}))"
    )
    done = subprocess.run(
        [hub_python(), "-c", code, json.dumps(list(given))], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == given
