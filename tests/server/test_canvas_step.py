"""`05_canvas` by Canvas's API, as `./hubrun install` runs it: from a server that is set up to a double of Canvas."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import nbformat
import pytest
from canvas import env_file, keys_over_https
from machines import PROJECT, Ended, Machine, hubrun

from canvas_double import CanvasDouble
from lti_platform import Key

pytestmark = [pytest.mark.server, pytest.mark.timeout(900)]

TOKEN = "7~TestTokenTestTokenTestTokenTestTokenTestToZ"
WRONG = "7~WrongTokenWrongTokenWrongTokenWrongTokenWrZ"
CLIENT_ID = "10000000000123"
LTI_ENV, PLATFORM = "/etc/jupyterhub/lti.env", "/etc/jupyterhub/consumers.d/default.json"


@pytest.fixture(scope="module")
def canvas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CanvasDouble]:
    """A Canvas with a course that has so many tools already that its list has two pages."""
    with CanvasDouble(tmp_path_factory.mktemp("canvas")) as double:
        double.add_token(TOKEN)
        double.add_course("101")
        for number in range(11):
            double.add_tool("course", "101", name=f"Other {number}", url="https://other.example.edu", consumer_key="x")
        yield double


def ours(canvas: CanvasDouble) -> list[dict[str, Any]]:
    return [tool for tool in canvas.tools.values() if "other" not in tool["url"]]


def run(machine: Machine, canvas: CanvasDouble, command: str, token: str = TOKEN, **values: str) -> Ended:
    """`./hubrun COMMAND` of 05_canvas for this server and this Canvas, with these parameters besides."""
    settings = {
        "canvas_url": canvas.url, "canvas_ca_file": canvas.ca_file, "canvas_token_env": "CANVAS_ACCESS",
        "canvas_course": "101", "canvas_module": "Week 1", **values,
    }  # fmt: skip
    options = [f"--set={name}={value}" for name, value in settings.items()]
    canvas.log.clear()
    # A web proxy of this machine has no business with its own Canvas.
    return hubrun(
        command, machine.site, "--only", "05", *options, env={"CANVAS_ACCESS": token, "NO_PROXY": "localhost"}
    )


def of_canvas(ended: Ended) -> list[tuple[str, str]]:
    """What became of tool and item. The links for a registration, of which this site has none, are the hub's."""
    found = [(name.partition(" in ")[0], status) for name, status in ended.results]
    return [each for each in found if each[0] != "nothing else"]


@pytest.fixture(scope="module")
def planned(machine: Machine, canvas: CanvasDouble) -> Ended:
    ended = run(machine, canvas, "plan")
    assert canvas.changes() == []
    return ended


@pytest.fixture(scope="module")
def made(machine: Machine, canvas: CanvasDouble, planned: Ended) -> Ended:
    ended = run(machine, canvas, "install")
    assert ended.code == 0, ended.tail
    return ended


def test_a_plan_says_what_would_be_made_in_canvas(planned: Ended) -> None:
    assert planned.code == 2, planned.tail
    assert planned.manifest["status"] == "would change"
    assert of_canvas(planned) == [
        ("tool JupyterHub (practice)", "would change"), ("item Open JupyterHub", "would change"),
    ]  # fmt: skip
    assert "add the tool JupyterHub (practice)" in planned.output


def test_an_install_makes_one_tool_with_the_servers_key_and_one_item(
    machine: Machine, canvas: CanvasDouble, made: Ended
) -> None:
    assert made.manifest["status"] == "changed"
    pair = env_file(machine.secret(LTI_ENV))
    [tool], [item] = ours(canvas), canvas.items.values()
    assert (tool["consumer_key"], tool["shared_secret"]) == (pair["LTI_CLIENT_KEY"], pair["LTI_CLIENT_SECRET"])
    assert tool["course_navigation"]["windowTarget"] == "_blank" and tool["privacy_level"] == "public"
    assert item["published"] and item["new_tab"] and item["content_id"] == tool["id"]
    assert item["external_url"] == tool["url"] == f"{machine.info['url'].rstrip('/')}/hub/lti/launch"


def test_a_second_install_changes_nothing(machine: Machine, canvas: CanvasDouble, made: Ended) -> None:
    again = run(machine, canvas, "install")
    assert (again.code, again.manifest["status"]) == (0, "ok"), again.tail
    assert of_canvas(again) == [("tool JupyterHub (practice)", "ok"), ("item Open JupyterHub", "ok")]
    assert canvas.changes() == [] and len(ours(canvas)) == len(canvas.items) == len(canvas.modules) == 1


def test_what_was_changed_by_hand_is_said_and_put_right(machine: Machine, canvas: CanvasDouble, made: Ended) -> None:
    [tool], [item] = ours(canvas), canvas.items.values()
    tool["privacy_level"], item["new_tab"] = "anonymous", False
    plan = run(machine, canvas, "plan")
    assert plan.code == 2 and canvas.changes() == []
    assert {status for _, status in of_canvas(plan)} == {"would change"}
    assert "change the tool JupyterHub (practice): privacy_level" in plan.output
    mended = run(machine, canvas, "install")
    assert (mended.code, mended.manifest["status"]) == (0, "changed"), mended.tail
    assert (tool["privacy_level"], item["new_tab"]) == ("public", True)
    assert [change.partition(" ")[0] for change in canvas.changes()] == ["PUT", "PUT"]


def test_a_bad_token_is_one_clear_error_and_nothing_is_made(
    machine: Machine, canvas: CanvasDouble, made: Ended
) -> None:
    canvas.items.clear()
    refused = run(machine, canvas, "install", token=WRONG)
    assert refused.code == 1
    assert "Canvas does not accept the token" in refused.error and "canvas_token_env" in refused.error
    assert canvas.changes() == [] and not canvas.items
    assert WRONG not in refused.output


def test_both_versions_stand_side_by_side_and_the_developer_key_is_in_the_record(
    machine: Machine, canvas: CanvasDouble, made: Ended
) -> None:
    canvas.add_developer_key(int(CLIENT_ID), "JupyterHub", "https://hub.example.edu/hub/lti13/oauth_callback")
    # What 02_hub_lti would write, in a word.
    machine.run("cat > $1", PLATFORM, data=json.dumps({"client_ids": [CLIENT_ID]}).encode())
    versions = {"lti_version": "both", "lti_client_ids": f"['{CLIENT_ID}']"}
    try:
        with keys_over_https(machine, Key("key-1").jwk) as url:
            inside = run(machine, canvas, "install", **versions, lti_jwks_url=url)
            both = run(machine, canvas, "install", **versions, lti_jwks_url=url, lti_inner_addresses="true")
        gone = run(machine, canvas, "install", **versions, lti_jwks_url=url, lti_inner_addresses="true")
    finally:
        machine.run("rm $1", PLATFORM)
    for failed in (inside, gone):
        assert failed.code == 1 and "the LMS's keys can be fetched" in failed.error, failed.tail
    assert both.code == 0, both.tail
    assert [tool["version"] for tool in ours(canvas)] == ["1.1", "1.3"]
    book = nbformat.read(both.record / "05_canvas.ipynb", as_version=4)
    shown = "".join(
        output.data["text/markdown"]
        for cell in book.cells
        for output in cell.get("outputs", [])
        if "text/markdown" in output.get("data", {})
    )
    key = json.loads(shown.partition("```json\n")[2].partition("\n```")[0])
    assert key["public_jwk"]["kty"] == "RSA" and len(key["public_jwk"]["n"]) == 342
    assert key["target_link_uri"] == f"{machine.info['url'].rstrip('/')}/hub/lti13/oauth_callback"
    assert f"`{CLIENT_ID}`" in shown and "<!--" not in shown


def test_neither_token_nor_secret_is_in_a_record(machine: Machine, made: Ended) -> None:
    secret = env_file(machine.secret(LTI_ENV))["LTI_CLIENT_SECRET"]
    folder = PROJECT / "records" / made.manifest["site"]
    texts = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    # They are there to be looked through, and of this very run.
    assert any(b"add the tool JupyterHub" in text for text in texts.values())
    found = [path for path, text in texts.items() for value in (secret, TOKEN, WRONG) if value.encode() in text]
    assert found == [] and not any(value in made.output for value in (secret, TOKEN))
