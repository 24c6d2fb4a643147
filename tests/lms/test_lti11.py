"""A Canvas-shaped launch, signed by the program that runs on the server and judged by an independent verifier."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from oauthlib.oauth1 import RequestValidator, SignatureOnlyEndpoint

from hubrun.desired.diagnosis import launch_cause
from hubrun.environment import PROJECT
from hubrun.errors import BadInput, CheckFailed
from hubrun.lms.lti11 import (
    LaunchRequest,
    canvas_launch,
    signer_input,
    signer_output,
)
from hubrun_hub.lti.consumers import CLIENT_KEY, CLIENT_SECRET
from hubrun_hub.lti.refusals import Reason
from hubrun_hub.programs import sign_launch

URL = "https://hub.example.edu:8443/hub/lti/launch"
KEY, SECRET = "consumer-key", "a-secret-of-the-test"


class ToolProvider(RequestValidator):
    """What a tool must verify (LTI 1.1, section 4), by oauthlib's own endpoint for signed requests."""

    dummy_client = "dummy"
    timestamp_lifetime = 30

    def __init__(self) -> None:
        super().__init__()
        self.used: set[tuple[str, str]] = set()

    def accepts(self, form: dict[str, str], url: str = URL) -> bool:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        valid, _ = SignatureOnlyEndpoint(self).validate_request(url, "POST", urlencode(form), headers)
        return bool(valid)

    def check_client_key(self, client_key: str) -> bool:
        return True

    def check_nonce(self, nonce: str) -> bool:
        return True

    def validate_client_key(self, client_key: str, request: Any) -> bool:
        return client_key == KEY

    def get_client_secret(self, client_key: str, request: Any) -> str:
        return SECRET

    def validate_timestamp_and_nonce(
        self, client_key: str, timestamp: str, nonce: str, request: Any, *_: Any, **__: Any
    ) -> bool:
        fresh = (timestamp, nonce) not in self.used
        self.used.add((timestamp, nonce))
        return fresh


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    path = tmp_path / "lti.env"
    path.write_text(f"# made by hubrun\n{CLIENT_KEY}={KEY}\n{CLIENT_SECRET}={SECRET}\n")
    return path


def run_signer(env_file: Path, *launches: LaunchRequest) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", str(PROJECT / "lib/hubrun_hub"), "sign_launch"],
        input=signer_input(str(env_file), launches),
        capture_output=True,
        text=True,
        timeout=30,
    )


def launch(**changes: Any) -> dict[str, str]:
    return canvas_launch(URL, **{"username": "Ada", "user_id": "535fa085f22b4655f48cd5a36a9215f64c062838", **changes})


def test_a_public_launch_has_every_field_that_canvas_always_sends() -> None:
    form = launch()
    assert {
        "lti_message_type": "basic-lti-launch-request",
        "lti_version": "LTI-1p0",
        "user_id": "535fa085f22b4655f48cd5a36a9215f64c062838",
        "lis_person_sourcedid": "Ada",
        "custom_canvas_user_login_id": "Ada",
        "custom_canvas_enrollment_state": "active",
        "tool_consumer_info_product_family_code": "canvas",
    }.items() <= form.items()
    assert {
        "resource_link_id",
        "resource_link_title",
        "roles",
        "ext_roles",
        "context_id",
        "context_title",
        "context_label",
        "lis_person_name_full",
        "lis_person_contact_email_primary",
        "custom_canvas_user_id",
        "custom_canvas_course_id",
        "custom_canvas_api_domain",
        "launch_presentation_return_url",
        "tool_consumer_instance_guid",
    } <= form.keys()
    assert not [name for name in form if name.startswith("oauth_")], "it is not signed yet"
    assert list(form) == list(launch(username="Bob")), "the order does not depend on the student"


def test_the_username_travels_in_the_field_that_the_hub_reads() -> None:
    assert launch(username_key="custom_canvas_user_login_id")["custom_canvas_user_login_id"] == "Ada"
    assert launch(username_key="custom_netid")["custom_netid"] == "Ada"
    assert launch(username_key="user_id")["user_id"] == "Ada"


def test_a_username_key_that_canvas_does_not_send_is_refused_before_any_launch() -> None:
    with pytest.raises(BadInput, match="lis_person_sourced_id"):
        launch(username_key="lis_person_sourced_id")


def test_a_role_that_is_none_is_refused() -> None:
    with pytest.raises(BadInput, match="Student"):
        launch(role="Student")
    assert "Instructor" in launch(role="Instructor")["ext_roles"]


def test_the_query_of_a_deep_link_becomes_fields_but_cannot_replace_one() -> None:
    form = canvas_launch(f"{URL}?custom_next=%2Fhub%2Fhome&user_id=eve", username="ada", user_id="1")
    assert form["custom_next"] == "/hub/home"
    assert form["user_id"] == "1"


def test_the_signer_makes_a_launch_that_an_independent_verifier_accepts_once(env_file: Path) -> None:
    done = run_signer(env_file, LaunchRequest(URL, launch(course="Größe & Maß")))
    [form] = signer_output(done.stdout)
    assert form["oauth_callback"] == "about:blank"
    assert form["oauth_signature_method"] == "HMAC-SHA1"
    assert abs(int(form["oauth_timestamp"]) - time.time()) < 10
    tool = ToolProvider()
    assert tool.accepts(form)
    assert not tool.accepts(form), "a replay"
    assert SECRET not in done.stdout + done.stderr


def test_a_deep_link_is_signed_without_its_query_as_canvas_does(env_file: Path) -> None:
    url = f"{URL}?custom_next=%2Fhub%2Fhome"
    form = sign_launch.sign({"url": url, "form": canvas_launch(url, username="ada", user_id="1")}, KEY, SECRET)
    assert ToolProvider().accepts(form, URL)


def test_the_default_port_is_no_part_of_the_signature_and_another_one_is() -> None:
    def signed(url: str) -> dict[str, str]:
        return sign_launch.sign({"url": url, "form": launch()}, KEY, SECRET)

    assert ToolProvider().accepts(signed("https://hub.example.edu:443/x"), "https://hub.example.edu/x")
    assert not ToolProvider().accepts(signed("https://hub.example.edu:8443/x"), "https://hub.example.edu/x")


@pytest.mark.parametrize(
    "flaw",
    [{"key": "wrong-key"}, {"wrong_secret": True}, {"age_s": 40}, {"age_s": -40}],
    ids=["wrong key", "wrong secret", "stale", "from the future"],
)
def test_a_flawed_launch_is_refused_by_an_independent_verifier(env_file: Path, flaw: dict[str, Any]) -> None:
    [form] = signer_output(run_signer(env_file, LaunchRequest(URL, launch(), **flaw)).stdout)
    assert not ToolProvider().accepts(form)


def test_a_changed_field_breaks_the_signature(env_file: Path) -> None:
    [form] = signer_output(run_signer(env_file, LaunchRequest(URL, launch())).stdout)
    assert not ToolProvider().accepts({**form, "lis_person_sourcedid": "eve"})


def test_an_env_file_without_the_secret_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "lti.env"
    path.write_text(f"{CLIENT_KEY}={KEY}\n{CLIENT_SECRET}=\n")
    done = run_signer(path, LaunchRequest(URL, launch()))
    assert done.returncode == 1
    assert done.stderr == f"{path}: no {CLIENT_SECRET}\n"
    with pytest.raises(CheckFailed):
        signer_output(done.stdout)


def test_each_consumers_launch_is_signed_with_its_own_secret(env_file: Path, tmp_path: Path) -> None:
    other = tmp_path / "bio.env"
    other.write_text(f"{CLIENT_KEY}=the-key-of-bio\n{CLIENT_SECRET}=the-secret-of-bio\nLTI_PREFIX=bio\n")
    done = run_signer(env_file, LaunchRequest(URL, launch(), env_file=str(other)), LaunchRequest(URL, launch()))
    theirs, ours = signer_output(done.stdout)
    assert (theirs["oauth_consumer_key"], ours["oauth_consumer_key"]) == ("the-key-of-bio", KEY)
    assert ToolProvider().accepts(ours) and not ToolProvider().accepts({**theirs, "oauth_consumer_key": KEY})


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    done = run_signer(tmp_path / "lti.env", LaunchRequest(URL, launch()))
    assert (done.returncode, done.stderr) == (1, f"{tmp_path / 'lti.env'}: No such file or directory\n")


def test_a_launch_from_outside_a_course_names_none() -> None:
    assert "context_id" in launch() and not [name for name in launch(course="") if name.startswith("context_")]


@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.value)
def test_every_page_of_the_hub_has_a_cause_of_its_own_with_a_remedy(reason: Reason) -> None:
    causes = {other: launch_cause(400, False, other.value) for other in Reason}
    assert len(causes[reason]) > 60 and causes[reason].endswith(".")
    assert list(causes.values()).count(causes[reason]) == 1
    assert causes[reason] != launch_cause(400, False), "the reason counts, not the status"


@pytest.mark.parametrize(
    ("status", "reason", "word"),
    [
        (401, "not-trusted", "key or secret"),
        (401, "expired", "timedatectl"),
        (401, "clock", "timedatectl"),
        (401, "replayed", "twice"),
        (400, "no-name", "public course"),
        (400, "bad-link", "custom_next="),
        (400, "no-launch", "not a signed launch"),
        (400, "no-cookie", "removes cookies"),
        (403, "not-admitted", "allow_all = True"),
        (405, "not-launched", "GET"),
        (503, "no-keys", "lti_jwks_url"),
        (401, "a word of another version", "journalctl"),
        (302, "", "only redirected"),
        (401, "", "journalctl"),
        (403, "", "allow_all"),
        (404, "", "LaunchAuthenticator"),
        (405, "", "GET"),
        (413, "", "client_max_body_size"),
        (502, "", "jupyterhub-proxy"),
        (503, "", "systemctl status jupyterhub`"),
        (418, "", "418"),
    ],
)
def test_an_answer_that_is_no_login_names_its_likely_cause(status: int, reason: str, word: str) -> None:
    assert word in launch_cause(status, False, reason)


def test_a_login_needs_no_cause() -> None:
    assert launch_cause(302, True) == ""
