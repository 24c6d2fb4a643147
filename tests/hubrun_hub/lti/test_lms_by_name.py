"""Each LMS as itself: its fields name its people, in both versions of LTI, and its name is on the pages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from hubrun_hub.lti.presets import PRESETS
from lti_hub import Browser, Hub, form, running_hub
from lti_platform import CLAIM, Lms

pytestmark = pytest.mark.hub

# What each says of Ada besides what LTI requires: LTI 1.1's fields, and LTI 1.3's claims.
SAYS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "moodle": (
        {"lis_person_sourcedid": "", "ext_user_username": "ada", "custom_canvas_user_login_id": None},
        {f"{CLAIM}ext": {"user_username": "ada"}, f"{CLAIM}lis": {"person_sourcedid": ""}},
    ),
    "openedx": ({"lis_person_sourcedid": "ada"}, {"preferred_username": "ada", f"{CLAIM}lis": None}),
    "sakai": ({"lis_person_sourcedid": "ada", "ext_sakai_eid": "ada"}, {f"{CLAIM}lis": {"person_sourcedid": "ada"}}),
    "blackboard": ({"lis_person_sourcedid": "ada"}, {f"{CLAIM}lis": {"person_sourcedid": "ada"}}),
    "brightspace": (
        {"lis_person_sourcedid": "100", "ext_d2l_username": "ada"},
        {"http://www.brightspace.com": {"username": "ada", "org_defined_id": "100"}, f"{CLAIM}lis": None},
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with running_hub(tmp_path_factory.mktemp("hub")) as hub:
        yield hub


@pytest.fixture(params=list(SAYS))
def lms(request: pytest.FixtureRequest, hub: Hub) -> Iterator[Lms]:
    """An LMS with both versions; `name` is the consumer's and the LMS's."""
    lms = Lms(f"https://{request.param}.example.edu", "client")
    lms.name = request.param[:12]  # type: ignore[attr-defined]
    ways = {"lms": request.param, "username_key": PRESETS[request.param].username_key, "prefix": "x"}
    lms.write(hub.folder / "consumers.d", request.param, **ways)
    hub.consumer(request.param, f"key-of-{request.param}", "secret", "x")
    yield lms
    lms.close()
    for path in (hub.folder / "consumers.d").iterdir():
        path.unlink()


def signed(name: str, username: str | None = None, **fields: Any) -> dict[str, str]:
    fields = {"tool_consumer_info_product_family_code": name, "user_id": "u-1", **SAYS[name][0], **fields}
    sourcedid = fields.pop("lis_person_sourcedid", None)
    return form(sourcedid, key=f"key-of-{name}", secret="secret", **fields)


def token(lms: Lms, question: dict[str, str], **changes: Any) -> str:
    claims = {**lms.claims(question, None, sub="u-1"), **SAYS[lms.name][1], **changes}  # type: ignore[attr-defined]
    return lms.key.sign({name: value for name, value in claims.items() if value is not None})


def test_people_are_named_by_their_lmss_field_in_both_versions(hub: Hub, lms: Lms) -> None:
    older, newer = Browser(hub), Browser(hub)
    assert older.post("/hub/lti/launch", signed(lms.name)).logged_in  # type: ignore[attr-defined]
    question = lms.begin(newer)
    assert lms.answer(newer, question, token(lms, question)).logged_in
    assert (older.user, newer.user) == ("x__ada", "x__ada")


def test_whoever_makes_a_link_writes_no_name_into_it(hub: Hub, lms: Lms) -> None:
    """A teacher of the same LMS: custom fields, and the address of the link."""
    name = lms.name  # type: ignore[attr-defined]
    key = PRESETS[name].username_key
    browser = Browser(hub)
    question = lms.begin(browser)
    custom = {key: "grace", key.removeprefix("ext_"): "grace", "user_username": "grace"}
    assert lms.answer(browser, question, token(lms, question, **{f"{CLAIM}custom": custom})).logged_in
    assert browser.user == "x__ada"
    from lti_hub import LAUNCH_URL

    for field in (key, PRESETS[name].stable_id, "user_id"):
        url = f"{LAUNCH_URL}?{field}=grace"
        forged = form("ada", key=f"key-of-{name}", secret="secret", url=url, **{**SAYS[name][0], field: "grace"} if field != "lis_person_sourcedid" else {})  # fmt: skip
        assert not Browser(hub).post(f"/hub/lti/launch?{field}=grace", forged).logged_in


def test_its_name_is_on_its_pages_and_canvas_is_not(hub: Hub, lms: Lms) -> None:
    name = lms.name  # type: ignore[attr-defined]
    page = (
        Browser(hub).post("/hub/lti/launch", signed(name, lti_message_type="ContentItemSelectionRequest")).response.text
    )
    assert f"{PRESETS[name].title} asked for something else" in page and "Canvas" not in page


def test_a_consumer_whose_lms_nobody_knows_is_shut_out_and_the_others_are_not(hub: Hub) -> None:
    path = hub.folder / "consumers.d" / "odd.json"
    path.write_text(json.dumps({"lms": "ilias"}))
    try:
        assert Browser(hub).post("/hub/lti/launch", form("ada")).logged_in
        assert "LTI consumer odd is shut out" in hub.log
    finally:
        path.unlink()
