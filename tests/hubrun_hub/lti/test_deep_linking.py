"""What a teacher chooses in the LMS: what goes back, and what cannot be chosen."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from hubrun_hub.lti import deep_linking, git_remote
from hubrun_hub.lti.consumers import Consumer, Platform
from hubrun_hub.lti.deep_linking import Choices, GitFile, NotChosen, git_next
from hubrun_hub.lti.launch import CLAIM, DEEP_LINKING, Launch
from hubrun_hub.lti.refusals import Refusal
from hubrun_hub.lti.services.claims import Services

RETURN = "https://canvas.example.edu/courses/7/deep_linking_response?modal=true"
PLATFORM = Platform("https://canvas.instructure.com", ("client",), "https://x/a", "https://x/k")


def request(**settings: Any) -> Launch:
    said = {"deep_link_return_url": RETURN, "accept_types": ["link", "ltiResourceLink"], "data": "x.y.z", **settings}
    said = {name: value for name, value in said.items() if value is not None}
    return Launch(
        Consumer("default", "", platform=PLATFORM), "", (), None, "", services=Services(client_id="client"),
        message=DEEP_LINKING, asks={"settings": said, "deployment_id": "1:a"},
    )  # fmt: skip


def test_the_answer_is_what_the_specification_asks_for() -> None:
    item = deep_linking.with_column(deep_linking.link("https://hub/hub/lti/launch", "Lab 1"), "ps1", 12.5)
    said = deep_linking.response(request(), item, 1_800_000_000.7)
    dl = deep_linking.DL
    assert said.pop("nonce")
    assert said == {
        "iss": "client", "aud": "https://canvas.instructure.com", "iat": 1_800_000_000, "exp": 1_800_000_300,
        f"{CLAIM}version": "1.3.0", f"{CLAIM}message_type": "LtiDeepLinkingResponse", f"{CLAIM}deployment_id": "1:a",
        f"{dl}data": "x.y.z",
        f"{dl}content_items": [{
            "type": "ltiResourceLink", "title": "Lab 1", "url": "https://hub/hub/lti/launch", "window": {"targetName": "_blank"},
            "lineItem": {"label": "ps1", "scoreMaximum": 12.5, "resourceId": "nbgrader/ps1", "tag": "hubrun"},
        }],
    }  # fmt: skip
    assert f"{dl}data" not in deep_linking.response(request(data=None), item, 0), "what was not sent does not go back"


def test_a_link_asks_for_its_dates_beside_what_else_it_asks_for() -> None:
    item = deep_linking.with_date(deep_linking.link("https://hub/hub/lti/launch", "Lab 1", "/hub/x"), "ps1")
    assert item["custom"] == {
        "next": "/hub/x", "assignment": "ps1", "due": "$ResourceLink.submission.endDateTime",
        "due_own": "$ResourceLink.submission.user.endDateTime",
    }  # fmt: skip


@pytest.mark.parametrize(
    "settings",
    [
        {"deep_link_return_url": None}, {"deep_link_return_url": "http://canvas.example.edu/"},
        {"deep_link_return_url": "javascript:alert(1)"}, {"deep_link_return_url": ["https://x"]},
        {"deep_link_return_url": "https://x/\n"}, {"accept_types": None}, {"accept_types": ["file"]},
        {"accept_types": "ltiResourceLink"},
    ],
)  # fmt: skip
def test_a_request_that_takes_no_link_is_refused(settings: dict[str, Any]) -> None:
    assert deep_linking.return_url(request()) == RETURN
    with pytest.raises(Refusal):
        deep_linking.return_url(request(**settings))


def test_a_choice_waits_for_an_hour() -> None:
    choices = Choices()
    ticket = choices.put(request(), 0)
    assert choices.of(ticket, 3599) == choices.of(ticket, 3599)
    for bad, now in ((ticket, 3600), ("", 0), ("x", 0)):
        with pytest.raises(Refusal):
            choices.of(bad, now)
    for _ in range(1500):
        choices.put(request(), 0)
    assert len(choices._kept) == 1000


def test_a_file_of_git_goes_on_to_the_page_that_pulls_it() -> None:
    url = urlsplit(git_next(GitFile("https://git.example/s/course.git", "main", "week 1/lab #1.ipynb")))
    assert url.path == "/hub/user-redirect/git-pull"
    assert dict(parse_qsl(url.query)) == {
        "repo": "https://git.example/s/course.git", "branch": "main", "urlpath": "lab/tree/course/week%201/lab%20%231.ipynb",
        "targetPath": "course",
    }  # fmt: skip
    assert (
        dict(parse_qsl(urlsplit(git_next(GitFile("https://git.example/s/course"))).query))["urlpath"]
        == "lab/tree/course"
    )


@pytest.mark.parametrize(
    "git",
    [
        GitFile(""), GitFile("git@github.com:a/b"), GitFile("http://git.example/a"), GitFile("https://me:pw@git.example/a"),
        GitFile("https://git.example/"), GitFile("https://git.example/.."), GitFile("https://git.example/a?x=1"),
        GitFile("https://git.example/a\n"), GitFile("https://git.example:x/a"), GitFile("file:///etc"),
        GitFile("https://git.example/a", "--upload-pack=x"), GitFile("https://git.example/a", "a b"),
        GitFile("https://git.example/a", "a..b"), GitFile("https://git.example/a", "", "../x"),
        GitFile("https://git.example/a", "", "a//b"), GitFile("https://git.example/a", "", "a\\b"), GitFile("https://[x/a"),
    ],
    ids=repr,
)  # fmt: skip
def test_what_cannot_be_pulled_cannot_be_chosen(git: GitFile) -> None:
    with pytest.raises(NotChosen):
        git_next(git)


def _lines(*lines: bytes) -> bytes:
    """As git sends them: each behind its length (gitprotocol-common(5))."""
    return b"".join(b"%04x%s" % (len(line) + 4, line) for line in lines) + b"0000"


REFS = _lines(b"# service=git-upload-pack\n") + _lines(
    b"a" * 40 + b" HEAD\0 caps\n", b"a" * 40 + b" refs/heads/main\n", b"b" * 40 + b" refs/tags/not-a-branch\n"
)


@pytest.fixture
def remote() -> Iterator[tuple[str, list[Any]]]:
    """A host of git repositories, which answers with what the list holds: status, type, body."""
    answers: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, kind, body = (
                answers[0] if self.path == "/course/info/refs?service=git-upload-pack" else (400, "", b"")
            )
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/course", answers
    server.shutdown()
    server.server_close()


GIT = "application/x-git-upload-pack-advertisement"


@pytest.mark.parametrize(
    ("answer", "branch", "says"),
    [
        ((200, GIT, REFS), "main", ""), ((200, GIT, REFS), "", ""), ((200, GIT, REFS), "not-a-branch", "no branch not-a-branch"),
        ((401, "", b""), "", "is it public"), ((404, "", b""), "", "is it public"), ((301, "", b""), "", "another address"),
        ((200, "text/html", b"<html>"), "", "not a git repository"), ((200, GIT, b"zz"), "main", "no branch main"),
        ((200, GIT, b"0001" * 100), "main", "no branch main"),
    ],
)  # fmt: skip
def test_a_repository_must_clone_without_a_password(
    remote: tuple[str, list[Any]], answer: Any, branch: str, says: str
) -> None:
    url, answers = remote
    answers.append(answer)
    if says:
        with pytest.raises(NotChosen, match=says):
            asyncio.run(git_remote.check(GitFile(url, branch), inner=True))
    else:
        asyncio.run(git_remote.check(GitFile(url, branch), inner=True))


def test_a_repository_inside_the_institution_is_not_asked_unless_the_site_says_so(
    remote: tuple[str, list[Any]],
) -> None:
    with pytest.raises(NotChosen, match="cannot be reached"):
        asyncio.run(git_remote.check(GitFile(remote[0].replace("http:", "https:")), inner=False))
