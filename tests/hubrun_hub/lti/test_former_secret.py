"""A secret of LTI 1.1, and the tool's key of LTI 1.3, are replaced under a real hub, which is not restarted."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest
from test_framed import button, click, into_frame

from hubrun_hub import rotation
from hubrun_hub.lti import launch11
from hubrun_hub.lti.consumers import Consumer
from hubrun_hub.lti.nonces import Nonces
from hubrun_hub.lti.refusals import Refusal
from lti_hub import KEY, LAUNCH_URL, PUBLIC_URL, SECRET, Browser, Hub, form, hub_python, running_hub

NEW = "the-secret-that-is-new"


@pytest.mark.parametrize(
    ("consumer", "secret", "comes_in_with"),
    [
        (Consumer("a", "", KEY, NEW, former_secret=SECRET), NEW, NEW),
        (Consumer("a", "", KEY, NEW, former_secret=SECRET), SECRET, SECRET),
        (Consumer("a", "", KEY, NEW, former_secret=SECRET), "a third", None),
        (Consumer("a", "", KEY, NEW, former_secret=SECRET), "", None),
        (Consumer("a", "", KEY, NEW), SECRET, None),
        (Consumer("a", "", KEY, NEW), "", None),
        (Consumer("a", "", "another-key", NEW, former_secret=SECRET), SECRET, None),
    ],
)
def test_a_launch_is_signed_with_one_of_two_secrets(
    tmp_path: Path, consumer: Consumer, secret: str, comes_in_with: str | None
) -> None:
    arguments = {
        "url": LAUNCH_URL, "hub": urlsplit(PUBLIC_URL), "consumers": [consumer], "username_key": "lis_person_sourcedid",
        "now": time.time(), "nonces": Nonces(tmp_path / "nonces.sqlite"),
    }  # fmt: skip
    body = urlencode(form(secret=secret)).encode()
    try:
        found = launch11.verify(body, "", **arguments).consumer  # type: ignore[arg-type]
    except Refusal as refusal:
        assert comes_in_with is None and "secret" not in repr(refusal.consumer)
    else:
        assert found.secret == comes_in_with and found in consumer.with_each_secret
        assert NEW not in repr(found) and SECRET not in repr(found)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    settings = 'c.JupyterHub.tornado_settings = {"cookie_options": {"samesite": "Lax", "secure": True}}\n'
    with running_hub(tmp_path_factory.mktemp("former") / "hub", settings) as hub:
        yield hub


class TestHub:
    pytestmark = [pytest.mark.hub, pytest.mark.timeout(120)]

    @pytest.fixture
    def file(self, hub: Hub) -> Path:
        return hub.consumer("default", KEY, SECRET)

    @pytest.fixture(autouse=True)
    def note(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rotation, "NOTE", tmp_path / "rotated.json")

    def test_both_are_good_until_the_one_before_ends(self, hub: Hub, file: Path) -> None:
        rotation.renew_lti(file, 7)
        new = file.read_text().partition("LTI_CLIENT_SECRET=")[2].splitlines()[0]
        said = "LTI launch by consumer default: signed with the former secret"
        assert Browser(hub).post(LAUNCH_URL, form(secret=new)).logged_in and said not in hub.log
        assert Browser(hub).post(LAUNCH_URL, form()).logged_in and said in hub.log
        assert Browser(hub).post(LAUNCH_URL, form(secret="a third")).reason == "not-trusted"
        rotation.end_lti(file)
        assert Browser(hub).post(LAUNCH_URL, form(secret=new)).logged_in
        assert Browser(hub).post(LAUNCH_URL, form()).reason == "not-trusted"
        assert new not in hub.log and SECRET not in hub.log

    def test_it_ends_by_itself(self, hub: Hub, file: Path) -> None:
        lines = f"LTI_CLIENT_KEY={KEY}\nLTI_CLIENT_SECRET={NEW}\nLTI_FORMER_SECRET={SECRET}\nLTI_FORMER_UNTIL="
        file.write_text(f"{lines}{int(time.time()) + 2}\n")
        assert Browser(hub).post(LAUNCH_URL, form()).logged_in
        time.sleep(2.1)
        assert Browser(hub).post(LAUNCH_URL, form()).reason == "not-trusted"
        assert Browser(hub).post(LAUNCH_URL, form(secret=NEW)).logged_in

    def test_an_end_that_is_no_time_is_named_and_lets_nobody_in(self, hub: Hub, file: Path) -> None:
        file.write_text(
            f"LTI_CLIENT_KEY={KEY}\nLTI_CLIENT_SECRET={NEW}\nLTI_FORMER_SECRET={SECRET}\nLTI_FORMER_UNTIL=never\n"
        )
        assert Browser(hub).post(LAUNCH_URL, form()).reason == "not-trusted"
        assert "LTI_FORMER_UNTIL is not a whole number" in hub.log and NEW not in hub.log

    def test_who_waits_for_a_click_comes_in_although_the_secret_is_another_by_then(self, hub: Hub, file: Path) -> None:
        before, later = Browser(hub), Browser(hub)
        address = button(into_frame(before))
        rotation.renew_lti(file, 7)
        assert click(before, address).logged_in
        address = button(into_frame(later, "grace"))
        rotation.end_lti(file)
        assert click(later, address).reason == "not-trusted", "it was signed with what ended"

    def test_the_key_before_is_published_beside_the_new_one_for_its_days(self, hub: Hub) -> None:
        browser, key_file = Browser(hub), hub.folder / "lti_tool_jwk.json"

        def program(*words: str) -> dict[str, int]:
            command = [hub_python(), "-I", "-B", hub.folder / "lib/hubrun_hub", "tool_key", *words]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            return {name: int(value) for name, value in (line.split("=") for line in done.stdout.splitlines())}

        def published() -> list[str]:
            keys = json.loads(browser.get("/hub/lti13/jwks").response.text)["keys"]
            assert all(set(each) == {"kty", "alg", "use", "kid", "n", "e"} for each in keys)
            config = json.loads(browser.get("/hub/lti13/config").response.text)
            assert config["public_jwk"] == keys[0]
            return [each["kid"] for each in keys]

        assert program("look", str(key_file)).keys() == {"rotated", "until", "now"}
        assert not key_file.exists(), "a look makes none"
        [first] = published()
        times = program("renew", str(key_file), "7")
        assert times["until"] - times["now"] in range(7 * 86400 - 5, 7 * 86400 + 1)
        second, before = published()
        assert before == first != second
        program("renew", str(key_file), "7")
        third, before = published()
        assert before == second and first not in (third, before), "there are never three"
        assert program("end", str(key_file))["until"] == 0
        assert published() == [third]
        assert "PRIVATE" not in key_file.read_text() and '"d"' not in key_file.read_text()
