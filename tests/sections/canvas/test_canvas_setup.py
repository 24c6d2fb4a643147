"""05_canvas: what people are shown, and the tool set up by API against a server and a double of Canvas."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from books import forget
from canvas_double import CanvasDouble
from hubrun import params, server_paths
from hubrun.canvas_api import CanvasRefused
from hubrun.desired.server import Server
from hubrun.environment import PROJECT
from hubrun.errors import BadInput, CheckFailed, HubrunError
from hubrun.params import Site
from hubrun.sections.canvas import canvas_forms, canvas_setup, lms_forms, registration_links
from hubrun.sections.canvas.git_links import GitLink
from hubrun.ssh.session import Session
from hubrun_hub.lti.presets import PRESETS
from sshd import Sshd, serve

HUB = {"site": "here", "domain": "hub.example.edu"}
# Of the IMS common cartridge, and of its extensions: Canvas documentation, "LTI 1.1: Tool XML".
NAMES = {"blti": "http://www.imsglobal.org/xsd/imsbasiclti_v1p0", "lticm": "http://www.imsglobal.org/xsd/imslticm_v1p0"}
JWK = {"kty": "RSA", "kid": "0123456789abcdef", "n": "x" * 342, "e": "AQAB"}
KEY, SECRET = "0f1e2d3c" * 8, "5ec7e7" * 10 + "aaaa"
TOKEN = "7~DoubleTokenDoubleTokenDoubleTokenDoXq9Z"
CLIENT_ID = "10000000000123"


def site(**values: Any) -> Site:
    return Site(**{**HUB, **values})


def text(shown: Any) -> str:
    return str(shown.data)


# -- by hand: LTI 1.1 ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "level", "in_form", "custom"),
    [
        ("lis_person_sourcedid", "public", "Public", ""),
        ("custom_canvas_user_login_id", "public", "Public", ""),
        ("lis_person_contact_email_primary", "email_only", "E-Mail Only", ""),
        ("user_id", "anonymous", "Anonymous", ""),
        ("custom_canvas_user_sis_id", "anonymous", "Anonymous", "canvas_user_sis_id=$Canvas.user.sisSourceId"),
        ("custom_of_our_own", "public", "Public", ""),
    ],
)
def test_the_privacy_level_is_the_lowest_that_still_sends_the_name(
    key: str, level: str, in_form: str, custom: str
) -> None:
    here = site(lti_username_key=key)
    values = canvas_forms.values(here)
    assert values["Privacy Level"] == in_form and values.get("Custom Fields", "") == custom
    tool = ET.fromstring(canvas_forms.xml(here))
    assert [each.text for each in tool.findall(".//lticm:property[@name='privacy_level']", NAMES)] == [level]
    fields = tool.findall("blti:custom/lticm:property", NAMES)
    assert "".join(f"{each.get('name')}={each.text}" for each in fields) == custom


@pytest.mark.parametrize(("navigation", "wanted"), [("off", []), ("members", ["members"]), ("admins", ["admins"])])
def test_the_xml_has_the_navigation_that_is_wanted(navigation: str, wanted: list[str]) -> None:
    tool = ET.fromstring(canvas_forms.xml(site(canvas_navigation=navigation)))
    found = tool.findall(".//lticm:options[@name='course_navigation']/lticm:property[@name='visibility']", NAMES)
    assert [each.text for each in found] == wanted


def test_what_people_called_the_tool_is_text_in_the_xml() -> None:
    tool = ET.fromstring(canvas_forms.xml(site(canvas_tool_name='Bio & <lab> "1"')))
    assert [each.text for each in tool.findall("blti:title", NAMES)] == ['Bio & <lab> "1"']


def test_each_consumer_has_its_own_place_for_key_and_secret() -> None:
    here = site(consumers=[{"name": "bio"}, {"name": "chem", "lti_version": "1.3", "client_ids": ["7"], "prefix": ""}])
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text(canvas_forms.who_may_launch(here)).splitlines()]  # fmt: skip
    assert rows[2:] == [
        ["`default`", "Canvas", "1.1", "`ada`", "`sudo grep LTI_CLIENT_ /etc/jupyterhub/lti.env`", "–"],
        ["`bio`", "Canvas", "1.1", "`bio__ada`", "`sudo grep LTI_CLIENT_ /etc/jupyterhub/consumers.d/bio.env`", "–"],
        ["`chem`", "Canvas", "1.3", "`ada`", "–", "`7`"],
    ]
    assert "| Shared Secret (bio) | `on the server: sudo grep LTI_CLIENT_SECRET /etc/jupyterhub/consumers.d/bio.env` |" in text(canvas_forms.form(here))  # fmt: skip


def test_what_a_site_does_not_use_is_left_out() -> None:
    assert "Nothing to do here" in text(canvas_forms.key_form(site(), JWK))
    assert "Nothing to do here" in text(canvas_forms.form(site(lti_version="1.3")))
    both = site(lti_version="both")
    assert "Consumer Key" in text(canvas_forms.form(both)) and "public_jwk" in text(canvas_forms.key_form(both, JWK))
    assert "| Name | `Bio \\| lab` |" in text(
        canvas_forms.form(site(canvas_tool_name="Bio | lab"))
    )  # a | ends a table's cell
    # One of the consumers is enough.
    assert "Consumer Key" in text(canvas_forms.form(site(lti_version="1.3", consumers=[{"name": "bio"}])))


# -- by hand: LTI 1.3 ----------------------------------------------------------------------------------------------


def pasted(here: Site, jwk: dict[str, Any] | None = JWK) -> dict[str, Any]:
    """The developer key, as somebody copies it out of the page."""
    [block] = re.findall(r"```json\n(.*?)\n```", text(canvas_forms.key_form(here, jwk)), re.DOTALL)
    return dict(json.loads(block))


def placements(key: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["placement"]: each for each in key["extensions"][0]["settings"]["placements"]}


def test_the_developer_key_is_ready_to_paste() -> None:
    here = site(lti_version="1.3", lti_username_key="custom_canvas_user_login_id", canvas_tool_name="Übungen", https_port=8443)  # fmt: skip
    key = pasted(here)
    assert key["title"] == "Übungen" and key["scopes"] == [] and key["public_jwk"] == JWK
    assert key["target_link_uri"] == "https://hub.example.edu:8443/hub/lti13/oauth_callback"
    assert key["oidc_initiation_url"] == "https://hub.example.edu:8443/hub/lti13/oauth_login"
    assert key["custom_fields"] == {"canvas_user_login_id": "$Canvas.user.loginId"}
    assert {each["windowTarget"] for each in placements(key).values()} == {"_blank"}
    shown = text(canvas_forms.key_form(here, JWK))
    assert "| Redirect URIs | `https://hub.example.edu:8443/hub/lti13/oauth_callback` |" in shown
    assert "`https://hub.example.edu:8443/hub/lti13/config`" in shown
    assert "public_jwk" not in pasted(here, None) and "is missing below" in text(canvas_forms.key_form(here, None))


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ({"canvas_navigation": "off"}, None),
        ({"canvas_navigation": "members"}, {"visibility": "members", "default": "enabled"}),
        ({"canvas_navigation": "admins"}, {"visibility": "admins", "default": "enabled"}),
        ({"canvas_account": "1"}, {"visibility": "members", "default": "disabled"}),
    ],
)
def test_the_developer_key_has_the_navigation_that_is_wanted(
    values: dict[str, str], wanted: dict[str, str] | None
) -> None:
    found = placements(pasted(site(lti_version="1.3", **values)))
    assert {"link_selection", "assignment_selection"} <= set(found)
    navigation = found.get("course_navigation")
    assert (navigation and {name: navigation[name] for name in ("visibility", "default")}) == wanted


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"lti_version": "1.3"}, "none yet: they go into `lti_client_ids`"),
        ({"lti_version": "both", "lti_client_ids": ["1", "2"]}, "`1` (default), `2` (default)"),
        ({"consumers": [{"name": "bio", "lti_version": "1.3"}]}, "none yet: they go into `client_ids` of its entry"),
    ],
)
def test_where_the_client_id_goes_is_said(values: dict[str, Any], said: str) -> None:
    assert said in text(canvas_forms.key_form(site(**values), JWK))


@pytest.mark.parametrize(
    ("lms", "variable"), [("canvas", "$Canvas.user.loginId"), ("moodle", "$User.username"), ("sakai", "$User.username")]
)
def test_a_custom_field_of_the_institutions_own_is_asked_for_and_stops_nothing(lms: str, variable: str) -> None:
    here = site(lti_lms=lms, lti_version="both", lti_username_key="custom_username", lti_platform="https://lms.x.edu", lti_client_ids=["1"])  # fmt: skip
    shown = text(canvas_forms.form(here)) + text(canvas_forms.key_form(here, JWK)) + text(lms_forms.show(here))
    assert f"`username={variable}`" in shown and "custom_username" in shown
    if lms == "canvas":
        key = pasted(here)
        assert (key["custom_fields"], key["extensions"][0]["privacy_level"]) == ({}, "public")
    else:
        assert "Send Email" not in shown and "Share launcher's name" not in shown, "words of another field"


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"lti_username_key": "username"}, "lti_username_key: Canvas sends no field username"),
        ({"lti_lms": "moodle", "lti_username_key": "username"}, "lti_username_key: Moodle sends no field username"),
        ({"consumers": [{"name": "bio", "username_key": "email"}]}, "username_key of consumer bio: Canvas sends no field email"),
    ],
)  # fmt: skip
def test_a_field_that_no_lms_sends_is_refused_before_anything_is_done(values: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=f"{says} .*or custom_NAME for a custom field NAME"):
        params.build({"site": "x", "domain": "hub.example.edu", **values}, "here")


# -- other LMSs ----------------------------------------------------------------------------------------------------

OTHERS: dict[str, dict[str, Any]] = {
    "moodle": {"platform": "https://moodle.x.edu"},
    "openedx": {"platform": "https://edx.x.edu", "jwks_url": "https://edx.x.edu/k"},
    "sakai": {"platform": "https://sakai.x.edu"},
    "blackboard": {"deployment_ids": ["d"]},
    "brightspace": {"platform": "https://d2l.x.edu"},
}


@pytest.mark.parametrize("lms", OTHERS)
def test_each_lms_is_told_what_it_asks_for_in_its_own_words_and_nothing_of_canvas(lms: str) -> None:
    entry = {"name": "other", "lms": lms, "lti_version": "both", "client_ids": ["c7"], **OTHERS[lms]}
    shown = text(lms_forms.show(site(consumers=[entry], canvas_tool_name="Üb | ungen")))
    for value in (
        "https://hub.example.edu/hub/lti/launch", "https://hub.example.edu/hub/lti13/oauth_login",
        "https://hub.example.edu/hub/lti13/oauth_callback", "https://hub.example.edu/hub/lti13/jwks",
        "sudo grep LTI_CLIENT_SECRET /etc/jupyterhub/consumers.d/other.env" if lms != "openedx" else "jupyterhub:KEY:SECRET", "`c7`",
        f"docs/how-to/lms/{lms}.md", "**In a tab of its own:**",
    ):  # fmt: skip
        assert value in shown
    assert "Canvas" not in shown and PRESETS[lms].title in shown
    # Canvas's own values are of the Canvas that is there, and not of this.
    assert "other" not in canvas_forms.values(site(consumers=[entry]))
    assert (PROJECT / "docs/how-to/lms" / f"{lms}.md").exists()


def test_a_site_with_another_lms_alone_is_shown_nothing_of_canvas() -> None:
    here = site(lti_lms="moodle", lti_version="both", lti_platform="https://m.x.edu", lti_client_ids=["1"], lti_username_key="ext_user_username")  # fmt: skip
    assert "Nothing to do here" in text(canvas_forms.form(here)) and "Nothing to do here" in text(
        canvas_forms.key_form(here, JWK)
    )
    shown = text(canvas_forms.git_links(site(lti_lms="moodle", git_links=[{"repo": "https://git.x.edu/a"}])))
    assert "custom" in shown and "Canvas" not in shown
    assert "Nothing to do here" in text(lms_forms.show(site()))
    # Beside a Moodle, whose field Canvas does not know, a Canvas has a developer key all the same.
    mixed = site(lti_lms="moodle", lti_username_key="ext_user_username", consumers=[{"name": "c", "lti_version": "1.3", "client_ids": ["1"]}])  # fmt: skip
    assert pasted(mixed)["extensions"][0]["privacy_level"] == "name_only"


def test_an_lms_that_registers_is_told_where_the_link_goes_and_no_addresses() -> None:
    shown = text(
        lms_forms.show(site(lti_lms="moodle", lti_version="1.3", lti_platform="https://m.x.edu", lti_registration=True))
    )
    assert "Add LTI Advantage" in shown and "oauth_login" not in shown
    # So is a Canvas, and the same site may have another one with a client id of its own.
    here = {"lti_version": "1.3", "lti_registration": True}
    assert "by the link above" in text(canvas_forms.key_form(site(**here), JWK))
    two = site(**here, consumers=[{"name": "c", "lti_version": "1.3", "platform": "beta", "client_ids": ["5"]}])
    assert "`5` (c), by its link (default)" in text(canvas_forms.key_form(two, JWK))


def test_what_the_api_does_not_do_is_said_in_the_words_of_the_site(connect: Callable[..., Server]) -> None:
    moodle = connect(lti_lms="moodle", lti_version="1.3", lti_platform="https://m.x.edu", lti_registration=True)
    assert "no LMS of this site is a Canvas" in text(canvas_setup.by_api(moodle))
    assert "canvas_url" in text(canvas_setup.by_api(connect()))


# -- links ---------------------------------------------------------------------------------------------------------


def test_a_link_goes_into_the_folder_that_it_names() -> None:
    link = GitLink("https://hub.example.edu", "https://x.edu/b/materials", "", "a.ipynb", "materials b")
    assert "targetPath=materials%20b" in link.next and "urlpath=lab%2Ftree%2Fmaterials%2520b%2Fa.ipynb" in link.next
    shown = text(canvas_forms.git_links(site(git_links=[{"repo": "https://x.edu/b/m", "folder": "m-b"}])))
    assert "targetPath=m-b" in shown


def test_a_link_into_a_repository_is_shown_with_its_launch_url_and_custom_field() -> None:
    repo = "https://git.example.edu/school/course.git"
    shown = text(canvas_forms.git_links(site(git_links=[{"repo": repo, "branch": "main", "path": "week 1/a|b.ipynb"}])))
    link = GitLink("https://hub.example.edu", repo, "main", "week 1/a|b.ipynb")
    # Whole, in a cell of a table: a | would end it.
    for value in (link.launch_url, link.next, link.url):
        assert f"| `{value}` |" in shown and "|" not in value
    assert "**`week 1/a|b.ipynb`** of https://git.example.edu/school/course.git, branch `main`" in shown
    assert "None" in text(canvas_forms.git_links(site()))


# -- what the parameters refuse, so that it never reaches Canvas ----------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"canvas_tool_name": ""}, {"canvas_tool_name": "x" * 256}, {"canvas_navigation": "all"},
        {"canvas_item_title": ""}, {"canvas_item_title": "x" * 256}, {"canvas_course": "Biology 101"},
    ],
)  # fmt: skip
def test_what_canvas_would_not_take_is_refused_before_anything_is_sent(wrong: dict[str, str]) -> None:
    with pytest.raises(BadInput):
        params.build({**HUB, **wrong}, "here")


# -- what must be there --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with serve(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture
def etc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The server's /etc/jupyterhub, with the default consumer's key and secret and its client ids."""
    monkeypatch.setattr(server_paths, "LTI_ENV", str(tmp_path / "lti.env"))
    monkeypatch.setattr(server_paths, "CONSUMERS", str(tmp_path))
    (tmp_path / "lti.env").write_text(f"LTI_CLIENT_KEY={KEY}\nLTI_CLIENT_SECRET={SECRET}\n")
    (tmp_path / "default.json").write_text(json.dumps({"client_ids": [CLIENT_ID]}, indent=2))
    return tmp_path


@pytest.fixture(scope="module")
def session(sshd: Sshd) -> Iterator[Session]:
    with Server.connect(Site(**sshd.parameters())) as server:
        yield server.session


@pytest.fixture
def connect(sshd: Sshd, session: Session, etc: Path) -> Callable[..., Server]:
    def connect(check_mode: bool = False, **values: Any) -> Server:
        server = Server(session, check_mode)
        server.site = Site(**sshd.parameters(**values))
        return server

    return connect


def test_what_the_server_must_have_fits_the_version(connect: Callable[..., Server], etc: Path) -> None:
    server = connect(lti_version="both", lti_client_ids=[CLIENT_ID], consumers=[{"name": "bio"}])
    (etc / "bio.env").write_text(f"LTI_PREFIX=bio\nLTI_CLIENT_KEY={KEY}\nLTI_CLIENT_SECRET=\n")
    tests = canvas_setup.tests(server.site)
    with pytest.raises(CheckFailed) as failed:
        server.check(*tests)
    assert str(failed.value).count(": expected") == 1 and "bio: key and secret are on the server" in str(failed.value)
    server.check(*tests[:2])
    newer = canvas_setup.tests(site(lti_version="1.3", lti_client_ids=[CLIENT_ID, "5"]))
    assert [test.title for test in newer] == ["default: the hub knows its client ids"]
    with pytest.raises(CheckFailed, match=r"\b5 is not there"):
        server.check(*newer)


@pytest.mark.parametrize(("served", "ok"), [({}, True), ({"title": "As it was before"}, False)])
def test_the_hub_must_serve_the_developer_key_of_these_parameters(
    connect: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, served: dict[str, str], ok: bool
) -> None:
    server = connect(lti_version="1.3")
    answers = {"lti13/jwks": {"keys": [JWK]}, "lti13/config": {**canvas_forms.served_key(server.site, JWK), **served}}
    monkeypatch.setattr(canvas_setup, "_get", lambda _, path: answers[path])
    [check] = canvas_setup.outside(server)
    assert check.ok is ok and canvas_setup.public_jwk(server) == JWK
    # Without LTI 1.3 nothing is asked; in a plan nothing before there is a hub.
    assert canvas_setup.outside(connect()) == [] and canvas_setup.public_jwk(connect()) is None
    server.pending.append("service jupyterhub.service")
    assert canvas_setup.outside(server) == [] and canvas_setup.public_jwk(server) is None


# -- registration by a link ----------------------------------------------------------------------------------------


def test_the_link_is_made_once_shown_nowhere_and_gone_when_it_has_served(
    connect: Callable[..., Server], etc: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(server_paths, "REGISTRATION", str(etc / "registration.d"))
    monkeypatch.setattr(server_paths, "REGISTERED", str(etc / "lti_registered"))
    moodle = {
        "lti_lms": "moodle",
        "lti_version": "1.3",
        "lti_platform": "https://m.x.edu",
        "lti_registration": True,
        "hub_user": "daemon",
    }

    def run(**values: Any) -> Server:
        server = connect(**{**moodle, **values})
        server.ensure(*registration_links.links(server.site))
        return server

    server = run()
    link = etc / "registration.d" / "default.link"
    made = link.read_text()
    assert re.fullmatch(r"https://hub\.example\.edu(:\d+)?/hub/lti13/register\?token=[0-9a-f]{64}\n", made)
    shown = text(registration_links.show(server))
    assert "the link is good until" in shown and f"`sudo cat {link}`" in shown
    token = made.strip().partition("token=")[2]
    everything = capsys.readouterr().out + shown + json.dumps(server.summary(), default=str)
    assert token not in everything and token not in (etc / "registration.d" / "default.json").read_text()
    again = run()
    assert again.summary()["counts"]["changed"] == 0 and link.read_text() == made
    # A site that asks for no registration has no links, and one that has none is not changed.
    run(lti_registration=False)
    assert list((etc / "registration.d").glob("*")) == []
    assert "Nothing to do here" in text(registration_links.show(connect()))


# -- by API --------------------------------------------------------------------------------------------------------


@pytest.fixture
def double(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CanvasDouble]:
    forget(monkeypatch)
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CANVAS_ACCESS", TOKEN)
    with CanvasDouble(tmp_path) as double:
        double.add_token(TOKEN)
        double.add_course("101")
        double.add_developer_key(
            int(CLIENT_ID), "JupyterHub", "https://hub.example.edu/hub/lti13/oauth_callback", "hub.example.edu"
        )
        yield double


def by_api(double: CanvasDouble, **values: Any) -> dict[str, Any]:
    """Parameters with which Canvas is set up by its API."""
    return {
        "canvas_url": double.url, "canvas_ca_file": double.ca_file, "canvas_token_env": "CANVAS_ACCESS",
        "canvas_course": "101", "canvas_module": "Week 1", **values,
    }  # fmt: skip


def test_the_tool_has_the_servers_own_key_and_secret_and_is_made_once(
    sshd: Sshd, double: CanvasDouble, connect: Callable[..., Server], capsys: pytest.CaptureFixture[str]
) -> None:
    for status in ("changed", "ok"):
        server = connect(**by_api(double, canvas_navigation="admins"))
        assert canvas_setup.by_api(server) is None
        assert server.summary()["counts"] == {"ok": 0, "changed": 0, "would change": 0} | {status: 2}
    [tool], [item] = double.tools.values(), double.items.values()
    assert (tool["consumer_key"], tool["shared_secret"], tool["privacy_level"]) == (KEY, SECRET, "public")
    assert tool["url"] == item["external_url"] == "https://hub.example.edu/hub/lti/launch"
    assert tool["course_navigation"]["visibility"] == "admins" and item["content_id"] == tool["id"]
    assert sum(b"LTI_CLIENT_SECRET" in each for each in sshd.scripts()) == 1
    shown = capsys.readouterr()
    assert SECRET not in shown.out + shown.err + str(sshd.commands + sshd.inputs) and TOKEN not in shown.out + shown.err
    assert SECRET not in str(server.summary())


def test_a_plan_counts_what_would_change_in_canvas_and_reads_no_secret(
    sshd: Sshd, double: CanvasDouble, connect: Callable[..., Server]
) -> None:
    before = len(sshd.scripts())
    server = connect(check_mode=True, **by_api(double))
    canvas_setup.by_api(server)
    labels = ["tool JupyterHub in course 101", "item Open JupyterHub in module Week 1 of course 101"]
    assert server.pending == labels and server.summary()["counts"]["would change"] == 2
    assert [each["resource"] for each in server.summary()["changes"]] == labels
    assert double.changes() == [] and not any(b"LTI_CLIENT_SECRET" in each for each in sshd.scripts()[before:])


def test_a_plan_for_a_fresh_server_has_the_tool_too(
    double: CanvasDouble, connect: Callable[..., Server], etc: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (etc / "lti.env").unlink()
    server = connect(check_mode=True, **by_api(double))
    with pytest.raises(BadInput, match="there is no LTI_CLIENT_KEY"):
        canvas_setup.by_api(server)
    server.pending.append("secrets /etc/jupyterhub/lti.env")
    canvas_setup.by_api(server)
    assert len(server.pending) == 3 and "+consumer_key: (made by 02_hub_lti)" in capsys.readouterr().out


@pytest.mark.parametrize("token", ["7~WrongTokenWrongTokenWrongTokenWrongTokenX", "with a space"])
def test_a_bad_token_is_one_clear_error_and_nothing_is_made(
    double: CanvasDouble, connect: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("CANVAS_ACCESS", token)
    server = connect(**by_api(double))
    with pytest.raises(HubrunError, match="token") as refused:
        canvas_setup.by_api(server)
    assert isinstance(refused.value, BadInput) and token not in str(refused.value)
    assert double.changes() == [] and server.results == []


def test_without_canvas_url_it_is_a_checklist(connect: Callable[..., Server]) -> None:
    server = connect()
    assert "By hand" in text(canvas_setup.by_api(server)) and server.results == []


def test_lti_1_3_waits_for_its_client_id_and_is_then_installed_by_it(
    double: CanvasDouble, connect: Callable[..., Server]
) -> None:
    waiting = connect(**by_api(double, lti_version="1.3"))
    assert "waits for `lti_client_ids`" in text(canvas_setup.by_api(waiting))
    assert double.log == [] and waiting.results == []
    for status in ("changed", "ok"):
        server = connect(**by_api(double, lti_version="1.3", lti_client_ids=[CLIENT_ID]))
        assert canvas_setup.by_api(server) is None
        assert server.summary()["counts"][status] == 2
    [tool], [item] = double.tools.values(), double.items.values()
    assert double.forms("POST", "external_tools") == [{"client_id": CLIENT_ID}]
    assert item["content_id"] == tool["id"] == double.launched(item)


def test_who_changes_over_keeps_the_item_and_has_both_tools_until_the_old_one_is_deleted(
    double: CanvasDouble, connect: Callable[..., Server]
) -> None:
    canvas_setup.by_api(connect(**by_api(double)))
    [old], [item] = double.tools.values(), double.items.values()
    canvas_setup.by_api(connect(**by_api(double, lti_version="both", lti_client_ids=[CLIENT_ID])))
    [_, new] = double.tools.values()
    assert new["version"] == "1.3" and double.launched(item) == old["id"]
    del double.tools[old["id"]]
    assert double.launched(item) == new["id"]
    last = connect(**by_api(double, lti_version="1.3", lti_client_ids=[CLIENT_ID]))
    canvas_setup.by_api(last)
    assert last.summary()["counts"]["ok"] == 2 and len(double.items) == 1


def test_a_tool_of_an_account_waits_in_each_course_for_its_teacher(
    double: CanvasDouble, connect: Callable[..., Server]
) -> None:
    canvas_setup.by_api(connect(**by_api(double, canvas_account="self")))
    [tool] = double.tools_of("account", "1")
    assert tool["course_navigation"]["default"] == "disabled" and len(double.items) == 1


def test_a_new_key_and_secret_are_sent_when_told_to(
    double: CanvasDouble, connect: Callable[..., Server], etc: Path
) -> None:
    canvas_setup.by_api(connect(**by_api(double)))
    [tool] = double.tools.values()
    (etc / "lti.env").write_text(f"LTI_CLIENT_KEY={KEY}\nLTI_CLIENT_SECRET={SECRET[::-1]}\n")
    canvas_setup.by_api(connect(**by_api(double)))
    assert tool["shared_secret"] == SECRET
    canvas_setup.by_api(connect(**by_api(double, canvas_renew_key=True)))
    assert tool["shared_secret"] == SECRET[::-1] and len(double.tools) == 1


def test_a_course_that_is_not_there_is_said(double: CanvasDouble, connect: Callable[..., Server]) -> None:
    with pytest.raises(CanvasRefused, match="Check canvas_course"):
        canvas_setup.by_api(connect(**by_api(double, canvas_course="404")))
