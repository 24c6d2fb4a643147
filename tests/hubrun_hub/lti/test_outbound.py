"""Where the hub asks when somebody else says where: the internet, over TLS."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

import proxy_server
from hubrun_hub.lti import outbound
from hubrun_hub.lti.outbound import NotAnswered, check_address, get_json, is_outer
from own_certificate import write_certificate

INNER = [
    "127.0.0.1", "10.1.2.3", "172.29.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
    "255.255.255.255", "192.0.2.1", "198.18.0.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fd00::1", "ff02::1", "2001:db8::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a00:1::1",
]  # fmt: skip


@pytest.mark.parametrize("address", INNER)
def test_an_inner_address_is_told_in_every_form(address: str) -> None:
    assert not is_outer(address)


@pytest.mark.parametrize("address", ["9.9.9.9", "2620:fe::fe", "::ffff:9.9.9.9", "64:ff9b::909:909"])
def test_an_address_of_the_internet(address: str) -> None:
    assert is_outer(address)


@pytest.mark.parametrize(
    "address",
    [
        None, 7, "", "lms.example", "http://lms.example/", "ftp://lms.example/", "file:///etc/passwd", "https://",
        "https://me@lms.example/", "https://me:pw@lms.example/", "https://[", "https://lms.example:x/", "https://lms.example/\n",
        "https://lms.example/ü", "http://127.0.0.1/", "http://localhost/", "https:///etc/passwd",
    ],
)  # fmt: skip
def test_what_is_not_https_is_not_asked(address: object) -> None:
    with pytest.raises(NotAnswered):
        check_address(address, inner=False)


def test_this_machine_may_do_without_tls_where_inner_addresses_are_allowed_and_no_other() -> None:
    assert check_address("http://127.0.0.1:1/", inner=True)
    for address in ("http://10.0.0.1/", "http://lms.example/", "http://127.0.0.1.evil.example/", "ftp://localhost/"):
        with pytest.raises(NotAnswered):
            check_address(address, inner=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0x7f.1", "2130706433"])
def test_a_name_that_leads_inside_is_not_connected_to(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it is called: what counts is where it leads, and that is looked up once."""
    with pytest.raises(NotAnswered, match="not an address of the internet|getaddrinfo|not known|Errno"):
        asyncio.run(get_json(f"https://{host}:9/"))


@pytest.fixture
def slow() -> Iterator[str]:
    """A server on this machine that drips."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            try:
                while True:
                    self.wfile.write(b" ")
                    self.wfile.flush()
                    done.wait(0.05)
            except OSError:
                pass

        def log_message(self, *_: object) -> None:
            pass

    done = threading.Event()
    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    done.set()
    server.shutdown()
    server.server_close()


def test_a_server_that_drips_is_given_up(slow: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbound, "TIMEOUT_S", 0.5)
    with pytest.raises(NotAnswered, match=r"within 0\.5 s|Timeout"):
        asyncio.run(get_json(slow, inner=True))


def test_a_certificate_that_nobody_vouches_for_is_refused(slow: str) -> None:
    with pytest.raises(NotAnswered) as refused:
        asyncio.run(get_json(slow.replace("http:", "https:"), inner=True))
    assert (
        "SSL" in str(refused.value)
        or "record layer" in str(refused.value)
        or isinstance(refused.value.__context__, ssl.SSLError)
    )


# -- a network that reaches the outside by a proxy only ----------------------------------------------------------


@pytest.fixture
def lms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    """An LMS that only the proxy knows, with a certificate that is trusted here; and where it really is."""
    name = "lms.example.invalid"
    certificate = write_certificate(tmp_path, name)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"keys": []}')

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    trusting = ssl.create_default_context(cafile=certificate)
    monkeypatch.setattr("tornado.simple_httpclient._client_ssl_defaults", lambda: trusting)
    yield name, server.server_port
    server.shutdown()
    server.server_close()


def test_the_lms_is_asked_by_way_of_the_sites_proxy(lms: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    name, port = lms
    url = f"https://{name}:{port}/keys"
    with proxy_server.proxy() as proxy:
        # What stands in the environment for others is not used.
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
        with pytest.raises(NotAnswered):
            asyncio.run(get_json(url))
        assert proxy.seen == []
        proxy.leads = ("127.0.0.1", port)
        monkeypatch.setenv(outbound.PROXY, f"http://127.0.0.1:{proxy.port}")
        assert asyncio.run(get_json(url)) == {"keys": []}
        assert proxy.seen == [f"CONNECT {name}:{port}"]
        # The certificate is the LMS's: the proxy sees nothing, and cannot be the LMS.
        with pytest.raises(NotAnswered, match="CERTIFICATE_VERIFY_FAILED|mismatch|ertificate"):
            asyncio.run(get_json(f"https://other.example.invalid:{port}/"))
        proxy.refuses = True
        with pytest.raises(NotAnswered, match=r"the proxy .* does not let it through: HTTP/1\.\d 403"):
            asyncio.run(get_json(url))


def test_what_leads_inside_is_refused_and_what_no_proxy_names_is_asked_directly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with proxy_server.proxy() as proxy:
        monkeypatch.setenv(outbound.PROXY, f"http://127.0.0.1:{proxy.port}")
        for host in ("127.0.0.1", "localhost", "[::1]"):
            with pytest.raises(NotAnswered, match="not an address of the internet|Errno"):
                asyncio.run(get_json(f"https://{host}:9/"))
        monkeypatch.setenv(outbound.DIRECT, "lms.example.invalid,.campus.invalid,10.0.0.0/8")
        for host in ("lms.example.invalid", "a.campus.invalid"):
            with pytest.raises(NotAnswered):
                asyncio.run(get_json(f"https://{host}/"))
        assert proxy.seen == []
    known = ["lms.example.invalid", "10.0.0.0/8"]
    assert outbound.is_direct("10.1.2.3", known) and outbound.is_direct("a.lms.example.invalid", known)
    assert not outbound.is_direct("11.0.0.1", known) and not outbound.is_direct("xlms.example.invalid", known)
