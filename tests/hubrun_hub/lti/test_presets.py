"""LMSs by name: where each says what, at which addresses it is, and what a consumer's file may say of that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest

from hubrun.params.consumers import Lms
from hubrun_hub.lti import consumers
from hubrun_hub.lti.presets import CANVASES, PRESETS, Urls, claim_path, configured_at, is_vouched
from hubrun_hub.lti.registration import TOOL, tool_registration

CLAIM = "https://purl.imsglobal.org/spec/lti/claim/"


def test_the_parameters_know_each_lms_that_the_hub_knows() -> None:
    assert set(get_args(Lms)) == set(PRESETS)


# What an id_token says of a person, in the LMS's own words: the sources are in `presets`.
TOKENS: dict[str, dict[str, Any]] = {
    "canvas": {"sub": "a5f4", "email": "ada@x.edu", f"{CLAIM}lis": {"person_sourcedid": "s1"}},
    "moodle": {
        "sub": "5", "email": "ada@x.edu", f"{CLAIM}lis": {"person_sourcedid": ""},
        f"{CLAIM}ext": {"user_username": "ada", "lms": "moodle-2"},
    },
    "openedx": {"sub": "9a1c", "email": "ada@x.edu", "preferred_username": "ada"},
    "sakai": {
        "sub": "u-1", f"{CLAIM}lis": {"person_sourcedid": "ada"},
        "https://www.sakailms.org/spec/lti/claim/extension": {"sakai_eid": "ada", "sakai_role": "access"},
    },
    "blackboard": {"sub": "b0b0", "email": "ada@x.edu", f"{CLAIM}lis": {"person_sourcedid": "ada"}},
    "brightspace": {
        "sub": "f7da_169", "http://www.brightspace.com": {"username": "ada", "org_defined_id": "100", "user_id": 169},
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("lms", "key", "value"),
    [
        ("canvas", "lis_person_sourcedid", "s1"),
        ("canvas", "user_id", "a5f4"),
        ("moodle", "ext_user_username", "ada"),
        ("moodle", "lis_person_sourcedid", ""),
        ("openedx", "lis_person_sourcedid", "ada"),
        ("openedx", "lis_person_contact_email_primary", "ada@x.edu"),
        ("sakai", "lis_person_sourcedid", "ada"),
        ("sakai", "ext_sakai_eid", "ada"),
        ("blackboard", "lis_person_sourcedid", "ada"),
        ("brightspace", "ext_d2l_username", "ada"),
        ("brightspace", "ext_d2l_orgdefinedid", "100"),
        ("brightspace", "ext_user_username", None),
    ],
)
def test_a_field_is_read_where_the_lms_has_it(lms: str, key: str, value: str | None) -> None:
    found: Any = TOKENS[lms]
    for name in claim_path(lms, key):
        found = found.get(name) if isinstance(found, dict) else None
    assert found == value


@pytest.mark.parametrize("lms", PRESETS)
def test_a_links_custom_field_is_never_a_field_of_the_lms(lms: str) -> None:
    for key in (PRESETS[lms].username_key, *PRESETS[lms].vouched, "user_id"):
        assert claim_path(lms, key)[0] != f"{CLAIM}custom"


@pytest.mark.parametrize("lms", PRESETS)
def test_people_are_named_by_what_nobody_can_write_of_themselves(lms: str) -> None:
    preset = PRESETS[lms]
    for version in ("1.1", "1.3"):
        assert is_vouched(lms, preset.username_key, version) and is_vouched(lms, preset.stable_id, version)
        assert not is_vouched(lms, "lis_person_contact_email_primary", version)
        assert not is_vouched(lms, "custom_netid", version)
    assert not is_vouched(lms, "custom_canvas_user_login_id", "1.3")


def test_a_moodle_person_may_write_their_own_id_number() -> None:
    """user/editlib.php: the field is in everybody's profile, unless an authentication plugin locks it."""
    assert not is_vouched("moodle", "lis_person_sourcedid", "1.1")
    assert not is_vouched("moodle", "lis_person_sourcedid", "1.3")


def test_where_an_lms_may_say_how_it_registers() -> None:
    assert configured_at("https://moodle.example.edu/moodle") == {"moodle.example.edu"}
    assert configured_at("https://x.example:8443") == {"x.example:8443"}
    assert configured_at(CANVASES["production"].issuer) == {"canvas.instructure.com", "sso.canvaslms.com"}
    assert configured_at("https://canvas.example.edu") == {"canvas.example.edu"}


@pytest.mark.parametrize("lms", [name for name, preset in PRESETS.items() if preset.registers])
def test_what_the_hub_asks_for_when_it_is_registered(lms: str) -> None:
    tool = tool_registration("https://hub.example.edu/hub/", PRESETS[lms].username_key, lms, title="Übungen")
    assert tool["client_name"] == "Übungen" and tool["scope"] == "", "no service"
    lti = tool[TOOL]
    assert set(lti["claims"]) == {"iss", "sub", *PRESETS[lms].claims}
    if lms == "canvas":
        assert lti["https://canvas.instructure.com/lti/privacy_level"] == "name_only"
        assert lti["messages"][0]["https://canvas.instructure.com/lti/display_type"] == "new_window"
    else:
        assert not [name for name in [*lti, *lti["messages"][0]] if "canvas" in name]


# -- a consumer's file -----------------------------------------------------------------------------------------------

WHOLE = {
    "issuer": "https://x.example", "client_ids": ["1"], "authorize_url": "https://x.example/a",
    "jwks_url": "https://x.example/k",
}  # fmt: skip


def read(
    folder: Path, settings: dict[str, Any], kept: dict[str, Any] | None = None
) -> tuple[list[consumers.Consumer], list[str]]:
    (folder / "d").mkdir()
    (folder / "r").mkdir()
    (folder / "d" / "x.json").write_text(json.dumps(settings))
    if kept is not None:
        (folder / "r" / "x.json").write_text(json.dumps(kept))
    return consumers.read(folder / "d", None, folder / "r")


def test_a_consumer_has_its_lms_and_its_field(tmp_path: Path) -> None:
    [found], problems = read(tmp_path, {**WHOLE, "lms": "moodle", "username_key": "ext_user_username"})
    assert (found.lms, found.username_key, found.awaits, problems) == ("moodle", "ext_user_username", None, [])
    (tmp_path / "old").mkdir()
    [old], _ = read(tmp_path / "old", WHOLE)
    assert (old.lms, old.username_key) == ("canvas", ""), "a file of a version before"


def test_a_file_without_a_platform_only_says_which_lms_it_is(tmp_path: Path) -> None:
    [found], problems = read(tmp_path, {"lms": "sakai", "prefix": "x"})
    assert (found.lms, found.prefix, found.platform, found.awaits, problems) == ("sakai", "x", None, None, [])


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"lms": "ilias"}, "lms is not one of canvas, moodle"),
        ({"lms": 7}, "lms is not one of"),
        ({"lms": ["canvas"]}, "lms is not one of"),
        ({"username_key": "Lis"}, "username_key is not the name of a field"),
        ({"username_key": 7}, "username_key is not the name of a field"),
        ({"issuer": 7}, "issuer is missing or no text"),
    ],
)
def test_a_file_that_is_not_right_shuts_its_consumer_out(
    tmp_path: Path, changes: dict[str, Any], complaint: str
) -> None:
    found, [problem] = read(tmp_path, {**WHOLE, **changes})
    assert found == [] and complaint in problem


def test_who_waits_for_a_registration_launches_with_it_and_waits_no_more(tmp_path: Path) -> None:
    waits = {**WHOLE, "lms": "moodle", "registration": True}
    del waits["client_ids"]
    [found], problems = read(tmp_path, waits)
    assert (found.platform, found.awaits, problems) == (
        None,
        Urls("https://x.example", WHOLE["authorize_url"], WHOLE["jwks_url"]),
        [],
    )
    (tmp_path / "b").mkdir()
    [found], problems = read(
        tmp_path / "b", waits, {**WHOLE, "lms": "canvas", "prefix": "evil", "jwks_url": "https://evil.example/k"}
    )
    assert found.platform and found.platform.client_ids == ("1",)
    assert found.platform.jwks_url == WHOLE["jwks_url"], "where the keys are is root's to say"
    assert (found.awaits, found.lms, found.prefix, problems) == (None, "moodle", "x", [])
    (tmp_path / "c").mkdir()
    assert consumers.read(tmp_path / "c", None, tmp_path / "b" / "r") == ([], []), "nothing without root's file"


@pytest.mark.parametrize(
    ("kept", "complaint"),
    [
        ({**WHOLE, "issuer": "https://evil.example"}, "is of another issuer"),
        ({**WHOLE, "client_ids": []}, "client_ids is missing or empty"),
        ({}, "is of another issuer"),
        ({**WHOLE, "client_ids": "1"}, "client_ids is not a list of texts"),
    ],
)
def test_what_the_hub_kept_wrongly_shuts_its_consumer_out(tmp_path: Path, kept: dict[str, Any], complaint: str) -> None:
    found, [problem] = read(tmp_path, {**WHOLE, "registration": True}, kept)
    assert found == [] and complaint in problem
