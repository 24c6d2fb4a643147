"""The student's browser and the checks from outside, against a small TLS server that plays hub and notebook.

What a real JupyterHub does is checked on the practice server; here stands what must hold without one: where
connections go, which name they bear, which cookies and tokens go with them, and that each check can fail.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from test_lti11 import KEY, SECRET
from websockets.sync.server import ServerConnection, serve

from hubrun.errors import BadInput, CheckFailed
from hubrun.lms import kernel_client
from hubrun.lms.browser import Browser, page_reason, page_text
from hubrun.lms.connect_to import Route
from hubrun.lms.lti11 import LAUNCH_PATH, canvas_launch
from hubrun.sections.verify import outside_checks
from hubrun_hub.lti import framed, launch11
from hubrun_hub.lti.consumers import Consumer
from hubrun_hub.lti.nonces import Nonces
from hubrun_hub.lti.pages import PAGES
from hubrun_hub.lti.refusals import Reason, Refusal
from hubrun_hub.lti.user_names import hub_name
from hubrun_hub.programs import sign_launch

pytestmark = pytest.mark.slow

DOMAIN = "hub.practice.example"
LMS = "http://127.0.0.1/authorize"


@dataclass
class Hub:
    """A stand-in for a hub: what it is told to do, and what it saw.

    Launches with LTI 1.1 are verified by the front door's own code. `overlooks`: refusals that it forgets to make, and
    `sends_to`: where it sends people then; of LTI 1.3 it only knows how to let everybody in.
    """

    folder: Path
    port: int = 0
    ca_file: str = ""
    leaf_sha256: str = ""
    overlooks: set[Reason] = field(default_factory=set)
    sends_to: str = "/hub/"
    admits: bool = True
    spawn: str = "works"
    pending: int = 2
    stopping: int = 2
    seen: list[tuple[str, str]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    consumers: list[Consumer] = field(default_factory=lambda: [Consumer("default", "", KEY, SECRET)])

    @property
    def url(self) -> str:
        return f"https://{DOMAIN}:{self.port}"

    @property
    def route(self) -> Route:
        return Route(self.url, "127.0.0.1", trust_ca_file=self.ca_file)

    def verify(self, body: bytes) -> str:
        """The user of a launch with LTI 1.1. Raises Refusal."""
        launch = launch11.verify(
            body, "", url=self.url + LAUNCH_PATH, hub=urlsplit(self.url), consumers=self.consumers,
            username_key="lis_person_sourcedid", now=time.time(), nonces=Nonces(self.folder / "nonces.sqlite"),
        )  # fmt: skip
        return hub_name(launch.identities["lis_person_sourcedid"], launch.consumer.prefix)

    def form(self, username: str = "Ada") -> dict[str, str]:
        return canvas_launch(self.url + LAUNCH_PATH, username=username, user_id="opaque")

    def signed(self, username: str = "Ada") -> dict[str, str]:
        return sign_launch.sign({"url": self.url + LAUNCH_PATH, "form": self.form(username)}, KEY, SECRET)


def handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def answer(self, status: int, text: str = "", *headers: tuple[str, str]) -> None:
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def body(self) -> str:
            self.raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            return self.raw.decode()

        def cookie(self, name: str) -> str:
            morsel = SimpleCookie(self.headers.get("Cookie", "")).get(name)
            return morsel.value if morsel else ""

        def has_token(self, token: str) -> bool:
            return self.cookie("_xsrf") == self.headers.get("X-XSRFToken") == token

        def do_POST(self) -> None:
            hub.seen.append(("POST", self.headers["Host"]))
            form = dict(parse_qsl(self.body(), keep_blank_values=True))
            if self.path == "/hub/lti13/oauth_login":
                return self.answer(302, "", ("Location", f"{LMS}?state=s&nonce=n&login_hint={form['login_hint']}"))
            try:
                if not hub.admits:
                    raise Refusal(Reason.NOT_ADMITTED, "blocked")
                user = hub.verify(self.raw)
                if framed.is_framed(self.headers["Sec-Fetch-Dest"]):
                    return self.answer(200, '<main data-reason="framed"></main>')
            except Refusal as refusal:
                if refusal.reason not in hub.overlooks:
                    page = f'<div data-reason="{refusal.reason.value}">{PAGES[refusal.reason].title}</div>'
                    return self.answer(PAGES[refusal.reason].status, page)
                user = "hubruntest3"
            self.answer(
                302,
                "",
                ("Location", hub.sends_to),
                ("Set-Cookie", f"jupyterhub-hub-login={user}; Path=/hub/; Secure; HttpOnly"),
                ("Set-Cookie", "_xsrf=hub-token; Path=/hub/; Secure"),
            )

        def do_GET(self) -> None:
            hub.seen.append(("GET", self.headers["Host"]))
            login = self.cookie("jupyterhub-hub-login")
            at_home = self.cookie("_xsrf") == "ada-token"
            match self.path.partition("?")[0]:
                case "/hub/health":
                    self.answer(200)
                case "/hub/lti/launch":
                    self.answer(405)
                case "/hub/api/user" if login and self.has_token("hub-token"):
                    self.answer(200, json.dumps({"name": login}))
                case "/hub/api/users/ada" if self.has_token("hub-token"):
                    hub.stopping -= 1
                    self.answer(200, json.dumps({"servers": {"": {}} if hub.stopping > 0 else {}}))
                case "/hub/spawn" if login:
                    self.answer(302, "", ("Location", "/hub/spawn-pending/ada"))
                case "/hub/spawn-pending/ada" if hub.spawn == "fails":
                    self.answer(500, '<div class="error"><p>Spawn failed: no memory left</p></div>')
                case "/hub/spawn-pending/ada" if hub.pending > 0:
                    hub.pending -= hub.spawn == "works"
                    self.answer(200, "<p>Your server is starting up.</p>")
                case "/hub/spawn-pending/ada":
                    self.answer(302, "", ("Location", "/user/ada/lab"))
                case "/user/ada/lab" if not at_home:
                    self.answer(302, "", ("Location", "/hub/api/oauth2/authorize"))
                case "/hub/api/oauth2/authorize" if login == "ada":
                    self.answer(302, "", ("Location", "/user/ada/oauth_callback"))
                case "/user/ada/oauth_callback":
                    cookie = ("Set-Cookie", "_xsrf=ada-token; Path=/user/ada/; Secure")
                    self.answer(302, "", ("Location", "/user/ada/lab"), cookie)
                case "/user/ada/lab" | "/user/ada/files/kept.txt" if at_home:
                    self.answer(200, "JupyterLab")
                case path if path.startswith("/user/ada/api/contents/") and self.has_token("ada-token"):
                    text = hub.files.get(path.removeprefix("/user/ada/api/contents/"))
                    self.answer(404 if text is None else 200, json.dumps({"content": text}))
                case _:
                    self.answer(403, "Forbidden")

        def do_PUT(self) -> None:
            if not self.has_token("ada-token"):
                return self.answer(403, "XSRF cookie does not match PUT argument")
            hub.files[self.path.removeprefix("/user/ada/api/contents/")] = json.loads(self.body())["content"]
            self.answer(201)

        def do_DELETE(self) -> None:
            self.answer(202 if self.has_token("hub-token") else 403)

    return Handler


def make_certificates(folder: Path, domain: str = DOMAIN) -> tuple[Path, Path, str]:
    """Write a CA and a leaf for `domain`; return (CA, leaf with key, the leaf's sha256)."""
    now = datetime.now(UTC)

    def make(name: str, issuer: str, key: ec.EllipticCurvePrivateKey, by: ec.EllipticCurvePrivateKey, ca: bool) -> Any:
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False)
        )
        if ca:
            usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
            builder = builder.add_extension(usage, critical=True)
        else:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        return builder.sign(by, hashes.SHA256())

    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = make("Test CA", "Test CA", ca_key, ca_key, True)
    leaf = make(domain, "Test CA", key, ca_key, False)
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(ca.public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "leaf.pem").write_bytes(leaf.public_bytes(pem) + private)
    return folder / "ca.pem", folder / "leaf.pem", leaf.fingerprint(hashes.SHA256()).hex()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def tls(leaf: Path, names: list[str]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(leaf)
    context.sni_callback = lambda _socket, name, _context: names.append(str(name))
    return context


@contextmanager
def stand_in(certificates: tuple[Path, Path, str], folder: Path) -> Iterator[Hub]:
    """A hub that keeps what it must remember in `folder`."""
    ca, leaf, sha256 = certificates
    hub = Hub(folder, ca_file=str(ca), leaf_sha256=sha256)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(hub))
    server.socket = tls(leaf, hub.names).wrap_socket(server.socket, server_side=True)
    hub.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield hub
    server.shutdown()
    server.server_close()


@pytest.fixture
def hub(certificates: tuple[Path, Path, str], tmp_path: Path) -> Iterator[Hub]:
    with stand_in(certificates, tmp_path) as hub:
        yield hub


@pytest.fixture
def ada(hub: Hub) -> Iterator[Browser]:
    with Browser(hub.route) as browser:
        assert browser.launch(hub.url + LAUNCH_PATH, hub.signed()).cookie
        yield browser


def test_a_domain_in_nobodys_dns_is_reached_at_its_address_under_its_own_name(hub: Hub) -> None:
    with Browser(hub.route) as browser:
        assert browser.get("/hub/health").status_code == 200
    assert hub.seen == [("GET", f"{DOMAIN}:{hub.port}")]
    assert hub.names == [DOMAIN], "the name in the TLS handshake"


def test_a_port_of_ones_own_leaves_the_host_header_alone(hub: Hub) -> None:
    route = Route(f"https://{DOMAIN}", "127.0.0.1", hub.port, hub.ca_file)
    assert outside_checks.check_health(route).ok
    assert hub.seen == [("GET", DOMAIN)]


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://hub.example.edu/x", ("10.0.0.1", 8443)),
        ("https://hub.example.edu:443/x", ("10.0.0.1", 8443)),
        ("http://hub.example.edu/x", ("10.0.0.1", 80)),
        ("https://lms.example.edu/x", ("lms.example.edu", 443)),
    ],
)
def test_only_the_site_itself_is_reached_elsewhere(url: str, target: tuple[str, int]) -> None:
    assert Route("https://hub.example.edu/", "10.0.0.1", 8443).target(url) == target


@pytest.mark.parametrize("url", ["hub.example.edu", "ftp://hub.example.edu", "https://"])
def test_what_is_no_site_is_bad_input(url: str) -> None:
    with pytest.raises(BadInput):
        Route(url)


def test_a_trust_file_without_a_certificate_is_bad_input(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("")
    for name in ("empty.pem", "missing.pem"):
        with pytest.raises(BadInput, match=name):
            Browser(Route(hub.url, "127.0.0.1", trust_ca_file=str(tmp_path / name)))


def test_a_launch_logs_in_and_says_as_whom(hub: Hub) -> None:
    with Browser(hub.route) as browser:
        launch = browser.launch(hub.url + LAUNCH_PATH, hub.signed("Ada"))
    assert (launch.status, launch.cookie, launch.user, launch.location) == (302, True, "ada", "/hub/")
    assert outside_checks.check_accepted(launch, "ada").ok
    other = outside_checks.check_accepted(launch, "bob")
    assert not other.ok and other.came == "302, login cookie, ada", "logged in as somebody else"


def test_a_launch_of_someone_who_is_not_admitted_is_no_login_and_says_why(hub: Hub) -> None:
    hub.admits = False
    with Browser(hub.route) as browser:
        launch = browser.launch(hub.url + LAUNCH_PATH, hub.signed())
    check = outside_checks.check_accepted(launch, "ada")
    assert (launch.status, launch.cookie, launch.reason, check.ok) == (403, False, "not-admitted", False)
    assert check.came == "403 (not-admitted), no login cookie, nobody (You are not admitted)"
    assert "allow_all" in check.cause


def test_a_server_is_waited_for_until_jupyterlab_answers(ada: Browser, hub: Hub) -> None:
    assert ada.start(timeout_s=20) == f"{hub.url}/user/ada/lab" == ada.lab_url
    assert hub.pending == 0, "the pending page was asked until it redirected"


def test_a_start_that_fails_shows_the_hubs_reason(ada: Browser, hub: Hub) -> None:
    hub.spawn = "fails"
    with pytest.raises(CheckFailed) as failure:
        ada.start(timeout_s=20)
    assert failure.value.detail == "Spawn failed: no memory left"


def test_a_start_that_hangs_ends_with_the_time_limit(ada: Browser, hub: Hub) -> None:
    hub.spawn = "hangs"
    with pytest.raises(CheckFailed, match="not ready within 1 s"):
        ada.start(timeout_s=1)


def test_files_are_written_and_read_with_the_token_of_the_students_own_server(ada: Browser, hub: Hub) -> None:
    ada.start(timeout_s=20)
    ada.write_file("kept.txt", "näïve\n")
    assert ada.read_file("kept.txt") == "näïve\n"
    with pytest.raises(CheckFailed, match="404"):
        ada.read_file("missing.txt")


def test_a_stop_waits_until_the_server_is_gone(ada: Browser, hub: Hub) -> None:
    ada.kernel_id = "a kernel that ends with the server"
    ada.stop(timeout_s=10)
    assert hub.stopping == 0
    assert ada.kernel_id == ""
    hub.stopping = 1000
    with pytest.raises(CheckFailed, match="did not stop"):
        ada.stop(timeout_s=0.1)


def test_another_student_reaches_neither_the_lab_nor_the_file_and_the_owner_both(ada: Browser, hub: Hub) -> None:
    with Browser(hub.route) as bob:
        stranger = outside_checks.check_private(bob, "ada", "kept.txt")
        bob.launch(hub.url + LAUNCH_PATH, hub.signed("Bob"))
        student = outside_checks.check_private(bob, "ada", "kept.txt")
    owner = outside_checks.check_private(ada, "ada", "kept.txt")
    assert (student.ok, student.came) == (True, ", ".join(["403"] * 7))
    assert not owner.ok and "200, 200" in owner.came, "the lab and the file"
    assert not stranger.ok, "without a login nothing is proven"


def test_the_certificate_is_compared_with_the_file_on_the_server(hub: Hub) -> None:
    openssl = "sha256 Fingerprint=" + ":".join(hub.leaf_sha256[i : i + 2].upper() for i in range(0, 64, 2))
    assert outside_checks.check_certificate(hub.route, openssl).ok
    other = outside_checks.check_certificate(hub.route, "00" * 32)
    assert not other.ok and "reload" in other.cause
    old = outside_checks.check_certificate(hub.route, hub.leaf_sha256, min_days=31)
    assert not old.ok and "renewed" in old.cause


def test_an_unknown_authority_and_another_name_are_told_apart(hub: Hub) -> None:
    unknown = outside_checks.check_certificate(Route(hub.url, "127.0.0.1"), hub.leaf_sha256)
    assert not unknown.ok and "trust_ca_file" in unknown.cause
    url = f"https://www.practice.example:{hub.port}"
    name = outside_checks.check_certificate(Route(url, "127.0.0.1", trust_ca_file=hub.ca_file), hub.leaf_sha256)
    assert not name.ok and "another name" in name.cause


def test_health_and_the_launch_url_answer(hub: Hub) -> None:
    assert outside_checks.check_health(hub.route).ok
    assert outside_checks.check_launch_get(hub.route).ok


def test_a_site_that_does_not_answer_fails_every_check_with_a_cause(hub: Hub) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    gone = Route(f"https://{DOMAIN}:{port}", "127.0.0.1", trust_ca_file=hub.ca_file)
    checks = [
        outside_checks.check_health(gone),
        outside_checks.check_launch_get(gone),
        outside_checks.check_redirect(gone, port),
        outside_checks.check_certificate(gone, hub.leaf_sha256),
    ]
    assert [check.ok for check in checks] == [False] * 4
    assert all(check.cause for check in checks)
    with Browser(gone) as browser, pytest.raises(CheckFailed, match="nginx"):
        browser.launch(gone.url + LAUNCH_PATH, {})


@pytest.mark.parametrize(
    ("status", "location", "ok"),
    [
        (301, f"https://{DOMAIN}/hub/health", True),
        (308, f"https://{DOMAIN}:443/hub/health", True),
        (301, f"https://{DOMAIN}/", False),
        (301, f"https://{DOMAIN}:8443/hub/health", False),
        (200, "", False),
    ],
)
def test_plain_http_must_lead_to_the_same_page_over_https(status: int, location: str, ok: bool) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Location", location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        check = outside_checks.check_redirect(Route(f"https://{DOMAIN}", "127.0.0.1"), server.server_port)
        server.shutdown()
    assert check.ok is ok


def test_an_open_port_is_told_from_a_closed_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        assert not outside_checks.check_closed("127.0.0.1", port).ok
    assert outside_checks.check_closed("127.0.0.1", port).ok


def test_an_address_that_does_not_resolve_proves_no_closed_port() -> None:
    assert not outside_checks.check_closed("no-such-host.invalid", 8081).ok


def test_the_hubs_message_is_taken_out_of_its_page() -> None:
    page = '<head><title>T</title></head><div class="error"><h1>401</h1>\n<p>Invalid &lt;x&gt;</p></div><p>foot</p>'
    assert page_text(page) == "Invalid <x>"
    assert page_text("<script>x()</script><p>502</p> Bad\n Gateway") == "502 Bad Gateway"


def test_the_reason_of_a_refusal_is_read_from_its_page() -> None:
    template = Path(str(files("hubrun_hub.lti"))) / "templates/lti-refused.html"
    page = template.read_text().replace("{{ reason }}", "no-name")
    assert page_reason(page) == "no-name"
    assert page_reason("<p>502</p>") == ""


# The kernel's websocket


def message(kind: str, request: Any, **content: Any) -> str:
    return json.dumps({"msg_type": kind, "parent_header": request["header"] if request else {}, "content": content})


@pytest.fixture
def notebook(certificates: tuple[Path, Path, str]) -> Iterator[Callable[[Callable[[Any], list[str]]], Any]]:
    """Serve a kernel whose answers are given by a function of the request; yields a way to execute code there.

    deaf: so many requests are lost before it hears one.
    """
    ca, leaf, _ = certificates
    servers = []

    def start(answers: Callable[[Any], list[str]], deaf: int = 0) -> Any:
        def serve_kernel(connection: ServerConnection) -> None:
            assert connection.request is not None
            request = json.loads(connection.recv(timeout=5))
            for _ in range(deaf):
                request = json.loads(connection.recv(timeout=5))
            connection.send(message("status", request, execution_state="busy"))
            connection.send(message("status", request, execution_state="idle"))
            while request["header"]["msg_type"] == "kernel_info_request":
                request = json.loads(connection.recv(timeout=5))
            request["cookie"] = connection.request.headers["Cookie"]
            request["host"] = connection.request.headers["Host"]
            for text in answers(request):
                connection.send(text)
            for _ in connection:
                pass

        names: list[str] = []
        server = serve(serve_kernel, "127.0.0.1", 0, ssl=tls(leaf, names))
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.socket.getsockname()[1]
        url = f"wss://{DOMAIN}:{port}/user/ada/api/kernels/1/channels"
        route = Route(f"https://{DOMAIN}:{port}", "127.0.0.1", trust_ca_file=str(ca))
        return lambda code="6*7", timeout_s=10.0: kernel_client.execute(route, url, {"Cookie": "c=1"}, code, timeout_s)

    yield start
    for server in servers:
        server.shutdown()


def test_a_cell_answers_with_what_it_printed_and_its_value_in_any_order_of_the_channels(notebook: Any) -> None:
    def answers(request: Any) -> list[str]:
        assert request["cookie"] == "c=1" and request["host"].startswith(DOMAIN)
        return [
            message("status", None, execution_state="idle"),
            message("stream", {"header": {"msg_id": "another browser's"}}, text="not ours\n"),
            message("status", request, execution_state="busy"),
            message("execute_reply", request, status="ok"),
            message("stream", request, name="stdout", text="hi\n"),
            message("execute_result", request, data={"text/plain": "42"}),
            message("status", request, execution_state="idle"),
        ]

    assert notebook(answers)() == "hi\n42"


def test_a_kernel_that_is_not_ready_yet_is_asked_again(notebook: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_client, "_ASK_AGAIN_S", 0.1)

    def answers(request: Any) -> list[str]:
        return [
            message("execute_result", request, data={"text/plain": "42"}),
            message("execute_reply", request, status="ok"),
            message("status", request, execution_state="idle"),
        ]

    assert notebook(answers, deaf=3)() == "42"


def test_a_kernel_that_never_answers_is_given_up_after_the_time_limit(notebook: Any) -> None:
    with pytest.raises(CheckFailed, match="the kernel did not answer within 0.5 s"):
        notebook(lambda request: [], deaf=100)(timeout_s=0.5)


def test_a_cell_that_raises_is_a_failed_check(notebook: Any) -> None:
    def answers(request: Any) -> list[str]:
        return [
            message("error", request, ename="ZeroDivisionError", evalue="division by zero", traceback=[]),
            message("status", request, execution_state="idle"),
            message("execute_reply", request, status="error"),
        ]

    with pytest.raises(CheckFailed, match="ZeroDivisionError: division by zero"):
        notebook(answers)("1/0")


def test_a_cell_that_never_ends_is_given_up_after_the_time_limit(notebook: Any) -> None:
    began = time.monotonic()
    with pytest.raises(CheckFailed, match="within 0.5 s"):
        notebook(lambda request: [message("status", request, execution_state="busy")])(timeout_s=0.5)
    assert time.monotonic() - began < 5


def test_a_notebook_server_that_does_not_answer_at_all_is_given_up_after_the_time_limit(
    certificates: tuple[Path, Path, str],
) -> None:
    ca, leaf, _ = certificates
    with tls(leaf, []).wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True) as server:
        accepted: list[socket.socket] = []
        threading.Thread(target=lambda: accepted.append(server.accept()[0]), daemon=True).start()
        port = server.getsockname()[1]
        route = Route(f"https://{DOMAIN}:{port}", "127.0.0.1", trust_ca_file=str(ca))
        began = time.monotonic()
        with pytest.raises(CheckFailed, match="did not answer within 0.5 s"):
            kernel_client.execute(route, f"wss://{DOMAIN}:{port}/user/ada/api/kernels/1/channels", {}, "1", 0.5)
        assert time.monotonic() - began < 5


def test_a_refused_websocket_names_what_nginx_must_pass_on(hub: Hub) -> None:
    url = f"wss://{DOMAIN}:{hub.port}/user/ada/api/kernels/1/channels"
    with pytest.raises(CheckFailed, match="Upgrade") as failure:
        kernel_client.execute(hub.route, url, {}, "1", 5)
    assert "403" in failure.value.what
