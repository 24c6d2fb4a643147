"""Canvas brought to a desired state, against a double of its API: what is made, put right, refused, and never shown."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from books import forget
from canvas_double import JSON, CanvasDouble
from hubrun.canvas_api import (
    Canvas,
    CanvasFailed,
    CanvasRefused,
    Context,
    ExternalTool,
    ModuleItem,
    Navigation,
    ToolDeployment,
)
from hubrun.canvas_api import api as canvas_api
from hubrun.desired.approval import Approval
from hubrun.desired.cards import results_card
from hubrun.errors import BadInput, HubrunError
from hubrun.records.ledger import steps
from hubrun.redaction.secret import Secret

TOKEN = "7~DoubleTokenDoubleTokenDoubleTokenDoXq9Z"
SECRET = "5ec7e7" * 10 + "aaaa"
KEY = "0f1e2d3c" * 8
LAUNCH = "https://hub.example.edu/hub/lti/launch"
COURSE = Context("course", "101")
HTML = {"Content_Type": "text/html; charset=utf-8"}


@pytest.fixture(autouse=True)
def nothing_secret_shows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> Iterator[None]:
    """After every test: neither the token nor the secret is in any output or log, at whatever level."""
    forget(monkeypatch)
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    caplog.set_level(logging.DEBUG)
    yield
    shown = capsys.readouterr()
    text = shown.out + shown.err + caplog.text + "".join(str(vars(record)) for record in caplog.records)
    assert SECRET not in text and TOKEN[-4:] not in text


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("canvas")


@pytest.fixture
def double(folder: Path) -> Iterator[CanvasDouble]:
    with CanvasDouble(folder) as double:
        double.add_token(TOKEN)
        double.add_course("101", account="1", sis_id="BIO/101")
        yield double


class Waits(list[float]):
    """Instead of waiting, keeps how long."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def connect(double: CanvasDouble, waits: Waits) -> Callable[..., Canvas]:
    def connect(token: str = TOKEN, **options: Any) -> Canvas:
        return Canvas(double.url, Secret(token, "canvas_token"), ca_file=double.ca_file, sleep=waits, **options)

    return connect


def the_tool(**changed: Any) -> ExternalTool:
    fetched = lambda: Secret(SECRET, "LTI secret")  # noqa: E731
    defaults: dict[str, Any] = {"context": COURSE, "name": "JupyterHub", "url": LAUNCH, "consumer_key": KEY}
    return ExternalTool(**{**defaults, "secret": fetched, "navigation": Navigation(), **changed})


def the_item(tool: ExternalTool | ToolDeployment | None = None, **changed: Any) -> ModuleItem:
    defaults = {"course": "101", "module": "Week 1", "title": "Open JupyterHub", "url": LAUNCH}
    return ModuleItem(**{**defaults, "tool": tool or the_tool(), **changed})


def statuses(canvas: Canvas) -> list[str]:
    return [result.status for result in canvas.results]


def titles(canvas: Canvas) -> list[str]:
    return [action.title for result in canvas.results for action in result.actions]


def everything(error: BaseException) -> str:
    """All that an exception, and those that led to it, hold and show."""
    text, at = "".join(traceback.format_exception(error)), error
    while at:
        text += repr(at) + str(at) + str(vars(at))
        for each in (*at.args, *vars(at).values()):
            text += str(vars(each)) if hasattr(each, "__dict__") else str(each)
        at = at.__cause__ or at.__context__  # type: ignore[assignment]
    return text


# -- made, and made once -------------------------------------------------------------------------------------------


def test_a_second_run_changes_nothing_and_there_is_one_tool_and_one_item(
    double: CanvasDouble, connect: Callable[..., Canvas]
) -> None:
    first = connect()
    first.ensure(the_tool(), the_item())
    assert statuses(first) == ["changed", "changed"]
    assert titles(first) == [
        "add the tool JupyterHub", "add the module Week 1", "add the item Open JupyterHub",
        "publish the item Open JupyterHub", "publish the module Week 1",
    ]  # fmt: skip
    [tool] = double.tools_of("course", "101")
    assert {name: tool[name] for name in ("name", "url", "consumer_key", "shared_secret", "privacy_level")} == {
        "name": "JupyterHub", "url": LAUNCH, "consumer_key": KEY, "shared_secret": SECRET, "privacy_level": "public",
    }  # fmt: skip
    assert tool["course_navigation"] == {
        "enabled": True, "text": "JupyterHub", "visibility": "members", "default": "enabled", "windowTarget": "_blank",
    }  # fmt: skip
    [module], [item] = double.modules.values(), double.items.values()
    assert (module["name"], module["published"]) == ("Week 1", True)
    # Without the second, what a teacher adds at that moment would be published with it.
    assert double.forms("PUT", f"/modules/{module['id']}")[-1] == {
        "module[published]": "true", "module[skip_content_tags]": "true",
    }  # fmt: skip
    assert {**item, "id": 0, "module_id": 0} == {
        "id": 0, "module_id": 0, "type": "ExternalTool", "title": "Open JupyterHub", "content_id": tool["id"],
        "external_url": LAUNCH, "new_tab": True, "published": True,
    }  # fmt: skip

    double.log.clear()
    second = connect()
    second.ensure(the_tool(), the_item())
    assert statuses(second) == ["ok", "ok"] and titles(second) == []
    assert double.changes() == []


def test_check_mode_says_what_would_be_done_and_only_reads(
    double: CanvasDouble, connect: Callable[..., Canvas], capsys: pytest.CaptureFixture[str]
) -> None:
    fetched: list[str] = []
    tool = the_tool(secret=lambda: fetched.append("secret"))
    canvas = connect(approval=Approval(check_mode=True))
    canvas.ensure(tool, the_item(tool), the_item(tool, title="Second", url=LAUNCH + "?custom_next=%2Fx"))
    assert statuses(canvas) == ["would change"] * 3 == ["would change"] * len(canvas.approval.pending)
    assert [title for title in titles(canvas) if "module" in title] == [
        "add the module Week 1",
        "publish the module Week 1",
    ]
    shown = capsys.readouterr().out
    assert f"+consumer_key: {KEY}" in shown and "+course_navigation[windowTarget]: _blank" in shown
    assert "$ POST /api/v1/courses/101/external_tools" in shown
    assert double.log and {seen.method for seen in double.log} == {"GET"}
    assert double.tools == {} and double.modules == {} and fetched == []


def test_two_items_of_one_new_module_make_one_module(double: CanvasDouble, connect: Callable[..., Canvas]) -> None:
    second = the_item(title="Lab 1", url=LAUNCH + "?custom_next=%2Fhub%2Fuser-redirect%2Flab")
    connect().ensure(the_tool(), the_item(), second)
    assert [module["published"] for module in double.modules.values()] == [True]
    assert [(item["title"], item["published"]) for item in double.items.values()] == [
        ("Open JupyterHub", True), ("Lab 1", True),
    ]  # fmt: skip
    [tool] = double.tools
    assert {item["content_id"] for item in double.items.values()} == {tool}


def test_a_tool_of_an_account_is_launched_from_a_course(double: CanvasDouble, connect: Callable[..., Canvas]) -> None:
    tool = the_tool(context=Context("account", "self"), navigation=Navigation(default="disabled"))
    connect().ensure(tool, the_item(tool))
    [made] = double.tools_of("account", "1")
    assert made["course_navigation"]["default"] == "disabled" and double.tools_of("course", "101") == []
    assert [item["content_id"] for item in double.items.values()] == [made["id"]]


def test_a_course_is_found_by_its_sis_id(double: CanvasDouble, connect: Callable[..., Canvas]) -> None:
    course = "sis_course_id:BIO/101"
    for _ in range(2):
        canvas = connect()
        tool = the_tool(context=Context("course", course))
        canvas.ensure(tool, the_item(tool, course=course))
    assert statuses(canvas) == ["ok", "ok"]
    assert len(double.tools_of("course", "101")) == 1 and len(double.items) == 1


@pytest.mark.parametrize("context", [COURSE, Context("account", "1")])
def test_lti_1_3_is_installed_by_its_client_id_alone_and_once(
    double: CanvasDouble, connect: Callable[..., Canvas], context: Context
) -> None:
    client_id = 10_000_000_000_123
    double.add_developer_key(client_id, "JupyterHub", "https://hub.example.edu/hub/")
    other = double.add_tool(context.kind, context.id, name="JupyterHub", developer_key_id=124, version="1.3")
    tool = ToolDeployment(context, str(client_id))
    for expected in (["changed", "changed"], ["ok", "ok"]):
        canvas = connect()
        canvas.ensure(tool, the_item(tool, url="https://hub.example.edu/hub/"))
        assert statuses(canvas) == expected
    [form] = double.forms("POST", "external_tools")
    assert form == {"client_id": str(client_id)}
    [made] = [tool for tool in double.tools_of(context.kind, context.id) if tool is not other]
    assert made["developer_key_id"] == 123
    assert [item["content_id"] for item in double.items.values()] == [made["id"]]


def test_a_tool_of_lti_1_3_at_the_same_url_is_not_the_one_of_1_1(
    double: CanvasDouble, connect: Callable[..., Canvas]
) -> None:
    double.add_tool("course", "101", name="JupyterHub", url=LAUNCH, developer_key_id=5, version="1.3")
    canvas = connect()
    canvas.ensure(the_tool())
    assert statuses(canvas) == ["changed"] and len(double.tools) == 2


def test_what_is_on_a_later_page_is_found(folder: Path, waits: Waits) -> None:
    with CanvasDouble(folder, per_page=2, max_per_page=2) as double:
        double.add_token(TOKEN)
        double.add_course("101")
        for number in range(5):
            double.add_tool("course", "101", name=f"other {number}", url="https://other.example.edu", consumer_key="x")
            double.add_module("101", name=f"other {number}")
        for _ in range(2):
            canvas = Canvas(double.url, Secret(TOKEN), ca_file=double.ca_file, sleep=waits)
            canvas.ensure(the_tool(), the_item())
        assert statuses(canvas) == ["ok", "ok"]
        assert len(double.tools) == 6 and len(double.modules) == 6
        pages = [form.get("page") for form in double.forms("GET", "external_tools")]
        assert pages[:3] == [None, "2", "3"]


# -- put right -----------------------------------------------------------------------------------------------------

HAND_MADE: list[tuple[str, Any, str]] = [
    ("name", "My Jupyter", "name"),
    ("url", "https://hub.example.edu/old", "url"),
    ("privacy_level", "anonymous", "privacy_level"),
    ("course_navigation", None, "course_navigation"),
    ("course_navigation", {"enabled": False}, "course_navigation"),
    ("course_navigation", {"enabled": True, "text": "Else", "visibility": "members"}, "course_navigation"),
    ("custom_fields", None, "custom_fields"),
    ("custom_fields", {"login": "$User.id", "mine": "1"}, "custom_fields"),
]


@pytest.mark.parametrize(("name", "value", "sent"), HAND_MADE)
def test_a_change_made_by_hand_in_a_tool_is_put_right_and_nothing_else(
    double: CanvasDouble, connect: Callable[..., Canvas], name: str, value: Any, sent: str
) -> None:
    wanted = the_tool(custom_fields={"login": "$Canvas.user.loginId"})
    connect().ensure(wanted)
    [tool] = double.tools.values()
    good = json.loads(json.dumps(tool))
    tool[name] = value
    double.log.clear()
    canvas = connect()
    canvas.ensure(wanted)
    assert statuses(canvas) == ["changed"]
    assert double.changes() == [f"PUT /api/v1/courses/101/external_tools/{tool['id']}"]
    [form] = double.forms("PUT", "external_tools")
    assert {field.partition("[")[0] for field in form} == {sent}
    if name == "custom_fields" and value:
        assert tool["custom_fields"] == {"login": "$Canvas.user.loginId", "mine": "1"}
    else:
        assert json.loads(json.dumps(tool)) == good
    again = connect()
    again.ensure(wanted)
    assert statuses(again) == ["ok"]


@pytest.mark.parametrize(
    ("name", "value", "title"),
    [
        ("title", "Jupyter", "change the item Open JupyterHub: title"),
        ("external_url", LAUNCH + "?x=1", "change the item Open JupyterHub: external_url"),
        ("new_tab", False, "change the item Open JupyterHub: new_tab"),
        ("published", False, "publish the item Open JupyterHub"),
    ],
)
def test_a_change_made_by_hand_in_an_item_is_put_right_and_nothing_else(
    double: CanvasDouble, connect: Callable[..., Canvas], name: str, value: Any, title: str
) -> None:
    connect().ensure(the_tool(), the_item())
    [item] = double.items.values()
    good = dict(item)
    item[name] = value
    double.log.clear()
    canvas = connect()
    canvas.ensure(the_tool(), the_item())
    assert statuses(canvas) == ["ok", "changed"] and titles(canvas) == [title]
    assert len(double.changes()) == 1 and item == good
    assert double.forms("PUT", "items") == [
        {f"module_item[{name}]": "true" if isinstance(good[name], bool) else good[name]}
    ]


def test_what_was_deleted_by_hand_is_made_again(double: CanvasDouble, connect: Callable[..., Canvas]) -> None:
    connect().ensure(the_tool(), the_item())
    double.items.clear()
    double.modules.clear()
    canvas = connect()
    canvas.ensure(the_tool(), the_item())
    assert statuses(canvas) == ["ok", "changed"] and len(double.items) == 1


def test_an_item_outlives_its_tool(double: CanvasDouble, connect: Callable[..., Canvas]) -> None:
    """Canvas finds the tool by the item's URL, so an item of a tool that was made again needs no change."""
    connect().ensure(the_tool(), the_item())
    double.tools.clear()
    canvas = connect()
    canvas.ensure(the_tool(), the_item())
    assert statuses(canvas) == ["changed", "ok"] and len(double.items) == 1


def test_a_new_key_is_sent_with_its_secret(double: CanvasDouble, connect: Callable[..., Canvas]) -> None:
    tool = double.add_tool("course", "101", name="JupyterHub", url=LAUNCH, consumer_key="old", shared_secret="old")
    canvas = connect()
    canvas.ensure(the_tool())
    assert (tool["consumer_key"], tool["shared_secret"]) == (KEY, SECRET) and len(double.tools) == 1


def test_the_secret_is_fetched_and_sent_only_when_it_must_be_or_when_told_to(
    double: CanvasDouble, connect: Callable[..., Canvas]
) -> None:
    fetched: list[int] = []

    def secret() -> Secret:
        fetched.append(1)
        return Secret(SECRET, "LTI secret")

    connect().ensure(the_tool(secret=secret))
    [tool] = double.tools.values()
    tool["privacy_level"], tool["shared_secret"] = "anonymous", "changed by hand"
    connect().ensure(the_tool(secret=secret))
    assert len(fetched) == 1 and tool["shared_secret"] == "changed by hand"
    told = connect()
    told.ensure(the_tool(secret=secret, send_secret=True))
    assert statuses(told) == ["changed"] and len(fetched) == 2 and tool["shared_secret"] == SECRET


def test_navigation_is_left_alone_or_taken_away(double: CanvasDouble, connect: Callable[..., Canvas]) -> None:
    connect().ensure(the_tool())
    [tool] = double.tools.values()
    tool["course_navigation"]["text"] = "By hand"
    alone = connect()
    alone.ensure(the_tool(navigation=None))
    assert statuses(alone) == ["ok"]
    for expected in (["changed"], ["ok"]):
        away = connect()
        away.ensure(the_tool(navigation=Navigation(enabled=False)))
        assert statuses(away) == expected
    assert tool["course_navigation"]["enabled"] is False


def test_a_module_of_a_teacher_is_not_published_for_the_item(
    double: CanvasDouble, connect: Callable[..., Canvas], capsys: pytest.CaptureFixture[str]
) -> None:
    module = double.add_module("101", name="Week 1")
    draft = double.add_item(module["id"], type="Page", title="Draft")
    connect().ensure(the_tool(), the_item())
    assert not module["published"] and not draft["published"] and len(double.items) == 2
    assert "note     module Week 1 is not published and holds other items" in capsys.readouterr().out
    module["published"] = True
    canvas = connect()
    canvas.ensure(the_tool(), the_item())
    assert statuses(canvas) == ["ok", "ok"] and not draft["published"]


def test_a_run_that_was_killed_goes_on_from_what_is_there(double: CanvasDouble, connect: Callable[..., Canvas]) -> None:
    double.fail(500, method="PUT", path="/items/", times=9)
    with pytest.raises(CanvasFailed):
        connect().ensure(the_tool(), the_item())
    double._faults.clear()
    [module], [item] = double.modules.values(), double.items.values()
    assert not module["published"] and not item["published"]
    connect().ensure(the_tool(), the_item())
    assert module["published"] and item["published"] and len(double.items) == 1 == len(double.modules)


# -- several that could be it --------------------------------------------------------------------------------------


def test_of_duplicates_the_oldest_is_taken_and_the_others_are_named(
    double: CanvasDouble, connect: Callable[..., Canvas], capsys: pytest.CaptureFixture[str]
) -> None:
    same = {"name": "JupyterHub", "url": LAUNCH, "consumer_key": KEY, "shared_secret": "x", "privacy_level": "public"}
    first, second, third = (double.add_tool("course", "101", **same) for _ in range(3))
    first["privacy_level"] = "anonymous"
    canvas = connect()
    canvas.ensure(the_tool(navigation=None))
    assert statuses(canvas) == ["changed"]
    assert double.changes() == [f"PUT /api/v1/courses/101/external_tools/{first['id']}"]
    assert f"more than once: delete what you do not need in Canvas (ids {second['id']}, {third['id']})" in (
        capsys.readouterr().out
    )


def test_the_tool_that_agrees_most_is_taken(double: CanvasDouble, connect: Callable[..., Canvas]) -> None:
    double.add_tool("course", "101", name="JupyterHub", url=LAUNCH, consumer_key="of another course")
    double.add_tool("course", "101", name="JupyterHub", url="https://old.example.edu", consumer_key=KEY)
    best = double.add_tool("course", "101", name="JupyterHub", url=LAUNCH, consumer_key=KEY, privacy_level="public")
    canvas = connect()
    canvas.ensure(the_tool(navigation=None))
    assert statuses(canvas) == ["ok"] and best["name"] == "JupyterHub" and double.changes() == []


@pytest.mark.parametrize(
    "other",
    [
        {"name": "JupyterHub", "url": "https://hub.chemistry.example.edu/hub/lti/launch", "consumer_key": "theirs"},
        {"name": "Physics", "url": LAUNCH, "consumer_key": "theirs"},
        {"name": "Lab 1", "url": LAUNCH + "?custom_next=%2Fhub", "consumer_key": KEY},
    ],
)
def test_a_tool_that_agrees_in_one_thing_only_is_another(
    double: CanvasDouble, connect: Callable[..., Canvas], other: dict[str, str]
) -> None:
    theirs = double.add_tool("course", "101", **other)
    before = dict(theirs)
    canvas = connect()
    canvas.ensure(the_tool())
    assert statuses(canvas) == ["changed"] and len(double.tools) == 2 and theirs == before


def test_items_that_are_there_twice_are_named_and_none_is_made(
    double: CanvasDouble, connect: Callable[..., Canvas], capsys: pytest.CaptureFixture[str]
) -> None:
    connect().ensure(the_tool(), the_item())
    [item] = double.items.values()
    double.add_item(**{name: value for name, value in item.items() if name not in ("id", "module_id")}, module=item["module_id"])  # fmt: skip
    canvas = connect()
    canvas.ensure(the_tool(), the_item())
    assert statuses(canvas) == ["ok", "ok"] and len(double.items) == 2
    assert "item Open JupyterHub in module Week 1 of course 101 is there more than once" in capsys.readouterr().out


# -- refused and failed --------------------------------------------------------------------------------------------


def failure(canvas: Canvas, *resources: Any) -> HubrunError:
    """The one error that ensuring these came to; nothing secret in it, or in what led to it."""
    with pytest.raises(HubrunError) as raised:
        canvas.ensure(*(resources or (the_tool(), the_item())))
    text = everything(raised.value)
    assert TOKEN not in text and SECRET not in text
    assert raised.value.__cause__ is None and raised.value.__context__ is None
    return raised.value


@pytest.mark.parametrize("check_mode", [True, False])
def test_a_wrong_token_is_one_clear_error_and_nothing_is_made(
    double: CanvasDouble, connect: Callable[..., Canvas], check_mode: bool
) -> None:
    wrong = "7~WrongTokenWrongTokenWrongTokenWrongTokenWrong"
    error = failure(connect(wrong, approval=Approval(check_mode)))
    assert isinstance(error, CanvasRefused) and error.exit_code == 2
    assert error.what == "Canvas does not accept the token (Invalid access token.)"
    assert "New Access Token" in error.remedy and double.url in error.where and wrong not in everything(error)
    assert [seen.method for seen in double.log] == ["GET"] and double.tools == {}


@pytest.mark.parametrize("status", [401, 403])
def test_a_missing_right_is_told_from_a_wrong_token(folder: Path, waits: Waits, status: int) -> None:
    with CanvasDouble(folder, may_not=status) as double:
        double.add_token(TOKEN, may_change=False)
        double.add_course("101")
        error = failure(Canvas(double.url, Secret(TOKEN), ca_file=double.ca_file, sleep=waits))
        assert isinstance(error, CanvasRefused)
        assert error.what == "the token's owner may not do this (user not authorized to perform that action)"
        assert "add and edit LTI tools" in error.remedy and double.tools == {} and waits == []


@pytest.mark.parametrize("context", [Context("course", "999"), Context("account", "999")])
def test_a_course_or_an_account_that_is_not_there(connect: Callable[..., Canvas], context: Context) -> None:
    error = failure(connect(), the_tool(context=context))
    assert isinstance(error, CanvasRefused) and "has no such thing" in error.what
    assert f"{context.kind}s/999/external_tools" in error.where and "canvas_course" in error.remedy


ANSWERS: list[tuple[int, str, dict[str, str], type[HubrunError], str]] = [
    (400, '{"errors":{"name":[{"attribute":"name","type":"too_long","message":"is too long"}]}}', {"Content_Type": JSON}, CanvasFailed, "name: is too long"),
    (422, '{"errors":[{"field":"url","message":"Incorrect url","error_code":"x"}]}', {"Content_Type": JSON}, CanvasFailed, "url: Incorrect url"),
    (400, '{"message":"missing module name"}', {"Content_Type": JSON}, CanvasFailed, "missing module name"),
    (401, '{"errors":[{"message":"Insufficient scopes on access token."}]}', {"Content_Type": JSON}, CanvasRefused, "Insufficient scopes"),
    (409, '{"errors":[{"message":"conflict"}]}', {"Content_Type": JSON}, CanvasFailed, "status 409: conflict"),
    (200, "<html>log in</html>", HTML, CanvasRefused, "status 200 with text/html in place of JSON"),
    (200, '"just text"', {"Content_Type": JSON}, CanvasRefused, "in place of JSON"),
    (404, "<html>nginx</html>", HTML, CanvasRefused, "status 404 with text/html in place of JSON"),
    (403, "<html>blocked</html>", HTML, CanvasRefused, "status 403 with text/html in place of JSON"),
    (401, "<html>proxy</html>", {**HTML, "WWW_Authenticate": "Basic realm=x"}, CanvasRefused, "status 401 with text/html"),
    (302, "", {"Location": "https://school.instructure.com/login?token=abc"}, CanvasRefused, "it redirects to https://school.instructure.com in place"),
    (200, "[]", {"Content_Type": JSON, "Link": '<https://elsewhere.example.edu/api/v1/x?page=2>; rel="next"'}, CanvasRefused, "the next page is at https://elsewhere.example.edu"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "headers", "kind", "said"), ANSWERS)
def test_an_answer_that_is_none_says_what_is_wrong(
    double: CanvasDouble,
    connect: Callable[..., Canvas],
    waits: Waits,
    status: int,
    body: str,
    headers: dict[str, str],
    kind: type[HubrunError],
    said: str,
) -> None:
    double.fail(status, body, times=9, **headers)
    error = failure(connect())
    assert type(error) is kind and said in error.what and error.where
    assert waits == [] and len(double.log) == 1


def test_what_canvas_does_not_accept_is_said_by_field(double: CanvasDouble, connect: Callable[..., Canvas]) -> None:
    error = failure(connect(), the_tool(secret=lambda: Secret("", "empty")))
    assert isinstance(error, CanvasFailed) and "shared_secret: can't be blank" in error.what
    assert "POST courses/101/external_tools" in error.where and double.tools == {}


def test_an_error_that_repeats_the_secret_does_not_pass_it_on(
    double: CanvasDouble, connect: Callable[..., Canvas]
) -> None:
    body = json.dumps({"errors": {"shared_secret": [{"message": f"{SECRET} is too weak"}]}, "token": TOKEN})
    double.fail(400, body, method="POST", Content_Type=JSON)
    assert "too weak" in failure(connect(), the_tool()).what


@pytest.mark.parametrize("status", [429, 403])
def test_throttled_it_waits_and_goes_on(
    double: CanvasDouble, connect: Callable[..., Canvas], waits: Waits, status: int
) -> None:
    double.throttle(times=3, status=status)
    canvas = connect()
    canvas.ensure(the_tool())
    assert statuses(canvas) == ["changed"] and waits == [1, 2, 4]


def test_a_request_that_was_throttled_was_not_done_so_it_is_sent_again(
    double: CanvasDouble, connect: Callable[..., Canvas], waits: Waits
) -> None:
    double.fail(429, "429 Too Many Requests (Rate Limit Exceeded)\n", method="POST", times=1, Retry_After="7")
    connect().ensure(the_tool())
    assert waits == [7] and len(double.tools) == 1


def test_throttled_for_ever_it_gives_up(double: CanvasDouble, connect: Callable[..., Canvas], waits: Waits) -> None:
    double.throttle(times=99)
    error = failure(connect())
    assert isinstance(error, CanvasFailed) and "throttles" in error.what and waits == [1, 2, 4, 8, 16]


@pytest.mark.parametrize("status", [500, 502, 503, 0])
def test_what_fails_for_a_moment_is_tried_again(
    double: CanvasDouble, connect: Callable[..., Canvas], waits: Waits, status: int
) -> None:
    double.fail(status, times=2)
    canvas = connect()
    canvas.ensure(the_tool())
    assert statuses(canvas) == ["changed"] and waits == [1, 3]


@pytest.mark.parametrize("status", [502, 0])
def test_making_something_is_not_tried_twice_and_the_next_run_finds_it(
    double: CanvasDouble, connect: Callable[..., Canvas], waits: Waits, status: int
) -> None:
    """Canvas made the tool, and its answer was lost."""
    double.fail(status, method="POST", after=True)
    error = failure(connect(), the_tool())
    assert isinstance(error, CanvasFailed) and "nothing is made twice" in error.remedy
    assert len(double.tools) == 1 and waits == []
    canvas = connect()
    canvas.ensure(the_tool())
    assert statuses(canvas) == ["ok"] and len(double.tools) == 1


def test_no_answer_in_time(
    double: CanvasDouble, connect: Callable[..., Canvas], waits: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canvas_api, "TIME_LIMIT", (2, 0.2))
    double.fail(200, "[]", times=9, delay_s=0.6)
    error = failure(connect())
    assert isinstance(error, CanvasFailed) and error.what == "no answer in time" and waits == [1, 3]


def test_a_canvas_that_keeps_no_value_is_not_asked_for_ever(
    double: CanvasDouble, connect: Callable[..., Canvas]
) -> None:
    double.forgets = {"course_navigation"}
    canvas = connect()
    error = failure(canvas, the_tool())
    assert "still differs after it was changed" in error.what and "course_navigation[enabled]" in error.what
    assert statuses(canvas) == ["failed"] and len(double.changes()) == 1


def test_after_a_failure_the_rest_is_not_run(double: CanvasDouble, connect: Callable[..., Canvas]) -> None:
    double.fail(400, '{"message":"no"}', method="POST", path="/modules", Content_Type=JSON)
    canvas = connect()
    failure(canvas, the_tool(), the_item(), the_item(title="Second", module="Week 2"))
    assert statuses(canvas) == ["changed", "failed", "not run"] and len(double.tools) == 1


def test_a_certificate_that_nobody_signed(double: CanvasDouble, waits: Waits) -> None:
    error = failure(Canvas(double.url, Secret(TOKEN), sleep=waits))
    assert isinstance(error, CanvasRefused) and "its certificate is not to be trusted: self" in error.what
    assert "canvas_ca_file" in error.remedy and double.log == [] and waits == []


def test_nobody_listens_or_the_name_is_wrong(waits: Waits) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for url in (f"https://127.0.0.1:{port}", "https://canvas.invalid"):
        error = failure(Canvas(url, Secret(TOKEN), sleep=waits))
        assert isinstance(error, CanvasRefused) and error.what.startswith("no connection: ") and waits == []


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://canvas.example.edu", "in the open"),
        ("canvas.example.edu", "not the https address"),
        ("https://", "not the https address"),
        ("https://prof:hunter2@canvas.example.edu", "not the https address"),
        ("https://canvas.example.edu:x", "not the https address"),
        ("https://canvas.example.edu/courses/101", "too much"),
        ("https://canvas.example.edu/?x=1", "too much"),
    ],
)
def test_an_address_that_can_be_none(url: str, said: str) -> None:
    with pytest.raises(BadInput, match=said) as refused:
        Canvas(url, Secret(TOKEN))
    assert refused.value.where == "canvas_url" and "hunter2" not in str(refused.value)


def test_addresses_are_brought_to_canvas_own_form() -> None:
    for url in ("https://Canvas.Example.edu", " https://canvas.example.edu:443/ "):
        assert canvas_api.origin(url) == "https://canvas.example.edu"
    assert canvas_api.origin("https://canvas.example.edu:8443") == "https://canvas.example.edu:8443"


@pytest.mark.parametrize("token", ["", " ", TOKEN + "\n", TOKEN + " x", "töken" * 8])
def test_a_token_that_can_be_none_is_not_sent_and_not_shown(token: str) -> None:
    with pytest.raises(BadInput) as refused:
        Canvas("https://canvas.example.edu", Secret(token))
    assert refused.value.where == "canvas_token" and (
        not token.strip() or token.strip() not in everything(refused.value)
    )


def test_a_file_with_a_ca_that_is_none(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.pem", tmp_path):
        with pytest.raises(BadInput, match="no certificate can be read"):
            Canvas("https://canvas.example.edu", Secret(TOKEN), ca_file=str(path))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Context("course", "Biology 101"),
        lambda: Context("course", "101/../102"),
        lambda: Context("account", ""),
        lambda: ToolDeployment(COURSE, "abc"),
    ],
)
def test_what_cannot_be_right_is_refused_before_anything_is_sent(make: Callable[[], Any]) -> None:
    with pytest.raises(BadInput):
        make()


def test_an_item_whose_tool_nobody_makes_is_refused(double: CanvasDouble, connect: Callable[..., Canvas]) -> None:
    error = failure(connect(), the_item())
    assert isinstance(error, BadInput) and error.what == "there is no tool JupyterHub in course 101"
    assert double.items == {}


@pytest.mark.parametrize(
    ("developer_key_id", "same"),
    [(123, True), ("123", True), (10_000_000_000_123, True), ("1~123", True), (20_000_000_000_123, False), (124, False), (None, False)],
)  # fmt: skip
def test_a_client_id_is_the_developer_keys_id_within_its_shard_or_globally(developer_key_id: Any, same: bool) -> None:
    tool = ToolDeployment(COURSE, "10000000000123")
    assert bool(tool.matches({"tools": [{"id": 1, "developer_key_id": developer_key_id}]})) is same


# -- where the token goes, and what is kept -------------------------------------------------------------------------


def test_a_password_for_the_host_in_netrc_does_not_take_the_tokens_place(
    double: CanvasDouble, connect: Callable[..., Canvas], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine localhost login prof password from-netrc\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    connect().ensure(the_tool())
    assert {seen.token for seen in double.log} == {TOKEN}


def test_the_ca_file_goes_before_the_environments(
    connect: Callable[..., Canvas], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty.pem").write_text("")
    for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "empty.pem"))
    connect().ensure(the_tool())


def test_the_record_reads_the_card_as_it_reads_the_servers(connect: Callable[..., Canvas]) -> None:
    canvas = connect()
    canvas.ensure(the_tool(), the_item())
    bundle = results_card(canvas.results, 1.0)._repr_mimebundle_()
    assert SECRET not in json.dumps(bundle) and TOKEN not in json.dumps(bundle)
    cell = new_code_cell("canvas.ensure(tool, item)", outputs=[new_output("display_data", data=bundle)])
    steps.mark(cell, steps.outcome(cell))
    [step] = steps.derive(new_notebook(cells=[new_markdown_cell("## Canvas"), cell]))
    assert step.status == "changed"
    assert [result["resource"] for result in step.results] == [
        "tool JupyterHub in course 101",
        "item Open JupyterHub in module Week 1 of course 101",
    ]
    assert "+shared_secret: (fetched from where it is and sent; not shown)" in step.results[0]["diff"]
    assert "+new_tab: true" in step.results[1]["diff"]


@pytest.mark.slow
def test_in_a_process_that_logs_all_it_can_the_secrets_are_not_in_what_it_prints(double: CanvasDouble) -> None:
    """Also what http.client prints by itself, without logging, when it is told to: nothing of ours turns that on."""
    program = """
import logging, os, sys
logging.basicConfig(level=logging.DEBUG)
from hubrun.canvas_api import *
from hubrun.redaction.secret import Secret
tool = ExternalTool(Context("course", "101"), "JupyterHub", sys.argv[2], "key", lambda: Secret(os.environ["A"], "a"))
canvas = Canvas(sys.argv[1], Secret(os.environ["B"], "b"), ca_file=sys.argv[3])
canvas.ensure(tool)
print(canvas, canvas.results, tool, vars(canvas.api))
canvas.ensure(ModuleItem("999", "m", "t", sys.argv[2], tool))
"""
    environment = {**os.environ, "A": SECRET, "B": TOKEN}
    done = subprocess.run(
        [sys.executable, "-c", program, double.url, LAUNCH, double.ca_file],
        env=environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1 and "CanvasRefused" in done.stderr and "DEBUG:httpcore" in done.stderr
    assert "add the tool JupyterHub" in done.stdout and len(double.tools) == 1
    for text in (done.stdout, done.stderr):
        assert SECRET not in text and TOKEN not in text


def test_the_double_serves_several_at_once(double: CanvasDouble, connect: Callable[..., Canvas]) -> None:
    """Two runs at the same time do not disturb each other's requests."""
    double.add_course("102")
    threads = [
        threading.Thread(target=lambda id=id: connect().ensure(the_tool(context=Context("course", id))))  # type: ignore[misc]
        for id in ("101", "102")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(double.tools_of("course", id)) for id in ("101", "102")] == [1, 1]
