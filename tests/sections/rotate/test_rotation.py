"""14_rotate: what its parameter asks for, and the new secret in a double of Canvas."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from books import forget
from canvas_double import CanvasDouble
from hubrun import params, server_paths
from hubrun.desired.server import Server
from hubrun.errors import BadInput, CheckFailed, HubrunError
from hubrun.params import Site
from hubrun.resources.rotated import RotatedSecret
from hubrun.resources.services import Service
from hubrun.sections.rotate import canvas_secret, new_certificate, rotation
from hubrun.ssh.session import Session
from own_certificate import write_certificate
from sshd import Sshd, serve

KEY, OLD, NEW = "0f1e2d3c" * 8, "5ec7e7" * 10 + "aaaa", "ab" * 32
TOKEN = "7~DoubleTokenDoubleTokenDoubleTokenDoXq9Z"


def site(**values: Any) -> Site:
    return params.build({"site": "x", "domain": "hub.example.edu", **values}, "here")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({}, "it is not said what to replace"),
        ({"rotate": ["lti_secret:bio"]}, "no secret of LTI 1.1 of consumer bio.*There is lti_secret$"),
        ({"rotate": ["lti_secret"], "lti_version": "1.3", "consumers": [{"name": "bio"}]}, "of consumer default.*There is lti_secret:bio"),
        ({"rotate": ["lti_secret:bio"], "consumers": [{"name": "bio", "lti_version": "1.3"}]}, "of consumer bio"),
        ({"rotate": ["tool_key"]}, "no LMS of this site uses LTI 1.3"),
        ({"rotate": ["proxy_token", "backup_password"]}, "backup_to is not set"),
        ({"rotate": ["certificate"]}, "certbot renews it by itself"),
    ],
)  # fmt: skip
def test_what_the_site_does_not_have_is_bad_input_before_anything_is_touched(values: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=f"(?s){says}"):
        rotation.check_choice(site(**values))


@pytest.mark.parametrize("wrong", ["secret", ["lti_secret:"], ["lti_secret:Bio"], [""], ["cookie_secret "], [1]])
def test_a_word_that_is_none_of_them_is_refused(wrong: Any) -> None:
    with pytest.raises(BadInput, match="rotate"):
        site(rotate=wrong)


def test_one_word_is_a_list_of_one_and_each_step_has_its_own() -> None:
    here = site(rotate="cookie_secret")
    rotation.check_choice(here)
    assert here.rotate == ["cookie_secret"]
    (secret, *services) = rotation.hub_secrets(here)
    assert isinstance(secret, RotatedSecret) and all(isinstance(each, Service) for each in services)
    assert rotation.lti_secrets(here) == rotation.tool_key(here) == rotation.backup_password(here) == []
    assert new_certificate.exchanged(here) == []
    both = site(rotate=["proxy_token", "cookie_secret"])
    assert [each.label for each in rotation.hub_secrets(both)] == [
        "a new secret in /etc/jupyterhub/proxy.env", "a new secret in /var/lib/jupyterhub/cookie_secret",
        "service jupyterhub-proxy.service", "service jupyterhub.service",
    ]  # fmt: skip


def test_hub_and_proxy_are_left_alone_where_neither_is_asked_for() -> None:
    assert rotation.hub_secrets(site(rotate="lti_secret")) == []


def test_the_consumers_that_are_named_and_no_others() -> None:
    here = site(rotate=["lti_secret:bio", "lti_secret", "lti_secret:bio"], rotate_days=3, consumers=[{"name": "bio"}, {"name": "chem"}])  # fmt: skip
    assert [(each.label, each.path, each.days) for each in rotation.lti_secrets(here)] == [
        ("the secret of consumer bio", "/etc/jupyterhub/consumers.d/bio.env", 3),
        ("the secret of consumer default", "/etc/jupyterhub/lti.env", 3),
    ]  # fmt: skip


# -- Canvas --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with serve(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture(scope="module")
def session(sshd: Sshd) -> Iterator[Session]:
    with Server.connect(Site(**sshd.parameters())) as server:
        yield server.session


@pytest.fixture
def connect(sshd: Sshd, session: Session) -> Callable[..., Server]:
    def connect(check_mode: bool = False, **values: Any) -> Server:
        server = Server(session, check_mode)
        server.site = Site(**sshd.parameters(**values))
        return server

    return connect


@pytest.fixture
def env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(server_paths, "LTI_ENV", str(tmp_path / "lti.env"))
    monkeypatch.setattr(canvas_secret, "SENT", str(tmp_path / "canvas-secret"))
    (tmp_path / "lti.env").write_text(f"LTI_CLIENT_KEY={KEY}\nLTI_CLIENT_SECRET={OLD}\n")
    return tmp_path / "lti.env"


@pytest.fixture
def canvas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CanvasDouble]:
    forget(monkeypatch)
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CANVAS_ACCESS", TOKEN)
    with CanvasDouble(tmp_path) as double:
        double.add_token(TOKEN)
        double.add_course("101")
        double.add_tool(
            "course", "101", name="JupyterHub", url="https://hub.example.edu/hub/lti/launch", consumer_key=KEY, shared_secret=OLD
        )  # fmt: skip
        yield double


def by_api(canvas: CanvasDouble, **values: Any) -> dict[str, Any]:
    return {
        "canvas_url": canvas.url, "canvas_ca_file": canvas.ca_file, "canvas_token_env": "CANVAS_ACCESS",
        "canvas_course": "101", "rotate": ["lti_secret"], **values,
    }  # fmt: skip


def test_canvas_gets_each_secret_once_and_nobody_else_sees_it(
    canvas: CanvasDouble, connect: Callable[..., Server], env: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [tool] = canvas.tools.values()
    env.write_text(f"LTI_CLIENT_KEY={KEY}\nLTI_FORMER_SECRET={OLD}\nLTI_CLIENT_SECRET={NEW}\n")
    for status in ("changed", "ok"):
        server = connect(**by_api(canvas))
        assert canvas_secret.send(server) is None
        assert [each.status for each in server.results] == [status]
        assert tool["shared_secret"] == NEW
        assert NEW not in str(server.summary())
    canvas.log.clear()
    env.write_text(f"LTI_CLIENT_KEY={KEY}\nLTI_CLIENT_SECRET={OLD}\n")
    canvas_secret.send(connect(**by_api(canvas)))
    assert tool["shared_secret"] == OLD, "another one is sent again"
    shown = capsys.readouterr()
    assert NEW not in shown.out + shown.err and TOKEN not in shown.out + shown.err


def test_a_plan_sends_nothing_and_says_that_what_it_would_make_is_sent(
    canvas: CanvasDouble, connect: Callable[..., Server], env: Path
) -> None:
    canvas_secret.send(connect(**by_api(canvas)))
    canvas.log.clear()
    plan = connect(check_mode=True, **by_api(canvas))
    canvas_secret.send(plan)
    assert plan.pending == []
    plan.pending.append("the secret of consumer default")
    canvas_secret.send(plan)
    assert plan.pending[1:] == ["tool JupyterHub in course 101"] and canvas.changes() == []


def test_where_canvas_cannot_be_told_the_next_run_does_it(
    canvas: CanvasDouble, connect: Callable[..., Server], env: Path
) -> None:
    [tool] = canvas.tools.values()
    env.write_text(f"LTI_CLIENT_KEY={KEY}\nLTI_CLIENT_SECRET={NEW}\n")
    canvas.fail(422, method="PUT")
    with pytest.raises(HubrunError):
        canvas_secret.send(connect(**by_api(canvas)))
    assert tool["shared_secret"] == OLD
    canvas_secret.send(connect(**by_api(canvas)))
    assert tool["shared_secret"] == NEW


def test_without_canvas_url_or_for_another_consumer_there_is_nothing_to_send(
    canvas: CanvasDouble, connect: Callable[..., Server], env: Path
) -> None:
    for values in ({"canvas_url": ""}, {"rotate": ["lti_secret:bio"], "consumers": [{"name": "bio"}]}):
        server = connect(**by_api(canvas, **values))
        assert "Nothing to do" in str(canvas_secret.send(server).data) and server.results == []  # type: ignore[union-attr]
    assert "Nothing to do" in str(rotation.where_they_go(connect(rotate=["cookie_secret"])).data)
    assert canvas.changes() == []


# -- a certificate -------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Any]:
    """A site with a certificate of its own, signed by itself; trust_ca_file knows that."""
    made = write_certificate(tmp_path, "hub.example.edu")
    return {"rotate": ["certificate"], "tls": "files", "tls_certificate": str(made), "tls_key": str(made), "domain": "hub.example.edu"}  # fmt: skip


@pytest.mark.parametrize(
    ("host", "part", "says"),
    [
        ("other.example.edu", "both", "the certificate is for hub.example.edu"),
        ("hub.example.edu", "certificate", "the key is the certificate's"),
        ("", "both", "the key has no passphrase"),
    ],
)
def test_a_pair_that_is_wrong_is_named_before_anything_is_touched(
    connect: Callable[..., Server], files: dict[str, Any], tmp_path: Path, host: str, part: str, says: str
) -> None:
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    for path in (certificate, key):
        path.write_bytes(Path(files["tls_certificate"]).read_bytes())
        path.chmod(0o600)
    (tmp_path / "new").mkdir()
    new = write_certificate(tmp_path / "new", host).read_bytes() if host else b"nothing\n"
    for path in (certificate, key) if part == "both" else (certificate,):
        path.with_name(f"{path.name}.new").write_bytes(new)
        path.with_name(f"{path.name}.new").chmod(0o600)
    here = {**files, "tls_certificate": str(certificate), "tls_key": str(key)}
    server = connect(**here)
    with pytest.raises(CheckFailed, match=says):
        new_certificate.test(server)
    assert server.results == []
