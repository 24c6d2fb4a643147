"""Links that pull a repository: read back as nbgitpuller, the hub and Canvas read them."""

from __future__ import annotations

from urllib.parse import parse_qs, parse_qsl, unquote, urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubrun import params
from hubrun.errors import BadInput
from hubrun.params import Site
from hubrun.sections.canvas import canvas_forms
from hubrun.sections.canvas.git_links import GitLink

HUB = "https://hub.example.edu"
REPO = "https://github.com/school/course"


def site(link: dict[str, str]) -> Site:
    return params.build({"site": "here", "domain": "hub.example.edu", "git_links": [link]}, "here")


def pulled(link: GitLink) -> dict[str, str]:
    """What nbgitpuller does with the link: what it clones, where to, and the file that the browser opens in the end.

    Written from nbgitpuller 1.3: handlers.py (UIHandler.get) and static/js/gitsync.js (redirectUrl).
    """
    query = {name: value for name, [value] in parse_qs(urlsplit(link.url).query, strict_parsing=True).items()}
    repo = query["repo"]
    target = query.get("targetPath", repo.rstrip("/").split("/")[-1])
    opened = urlsplit(urljoin(f"{HUB}/user/student/", query["urlpath"]))
    assert not opened.query and not opened.fragment
    path = unquote(opened.path).removeprefix("/user/student/lab/tree/")
    return {"repo": repo, "branch": query.get("branch", ""), "target": target, "opened": path}


@pytest.mark.parametrize(
    ("repo", "branch", "path", "target", "opened"),
    [
        (REPO, "", "", "course", "course"),
        (REPO, "main", "lab.ipynb", "course", "course/lab.ipynb"),
        (REPO + ".git", "main", "lab.ipynb", "course", "course/lab.ipynb"),
        (REPO + "/", "main", "lab.ipynb", "course", "course/lab.ipynb"),
        (REPO + ".git/", "main", "week 1/", "course", "course/week 1"),
        (REPO, "release/2026-autumn", "week 1/lab #2? 100%.ipynb", "course", "course/week 1/lab #2? 100%.ipynb"),
        (REPO, "fix&more=1+2", "a&b=c+d.ipynb", "course", "course/a&b=c+d.ipynb"),
        (REPO, "übung", "/кириллица/課題.ipynb", "course", "course/кириллица/課題.ipynb"),
        ("https://git.example.edu:8443/~prof/a%20course.git", "", "x.ipynb", "a course", "a course/x.ipynb"),
        ("http://git.example.edu/deep/er/course.notebook", "", "x", "course.notebook", "course.notebook/x"),
    ],
)
def test_the_repository_is_pulled_and_the_file_opened(
    repo: str, branch: str, path: str, target: str, opened: str
) -> None:
    link = GitLink(HUB, repo, branch, path)
    assert pulled(link) == {"repo": repo, "branch": branch, "target": target, "opened": opened}
    assert link.directory == target


def test_a_plain_link_is_what_nbgitpullers_own_generator_makes() -> None:
    link = GitLink(HUB, REPO, "main", "week1/lab.ipynb")
    made = "/hub/user-redirect/git-pull?repo=https%3A%2F%2Fgithub.com%2Fschool%2Fcourse&branch=main"
    assert link.next == made + "&urlpath=lab%2Ftree%2Fcourse%2Fweek1%2Flab.ipynb"
    assert link.url == HUB + link.next


def test_a_launch_goes_on_to_the_link() -> None:
    """Canvas sends the query's fields in the form; the authenticator goes to custom_next as it is."""
    link = GitLink(HUB, REPO + ".git", "main", "week 1/lab #2.ipynb")
    url = urlsplit(link.launch_url)
    assert (url.scheme, url.netloc, url.path) == ("https", "hub.example.edu", "/hub/lti/launch")
    assert parse_qsl(url.query, strict_parsing=True) == [("custom_next", link.next)]


@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/"), min_size=1).filter(
        lambda name: name not in (".", "..")
    )
)
def test_any_file_name_arrives_as_it_is(name: str) -> None:
    link = GitLink(HUB, REPO, "", f"folder/{name}")
    launched = dict(parse_qsl(urlsplit(link.launch_url).query))["custom_next"]
    assert launched == link.next and launched.isascii() and "\\" not in launched
    assert pulled(link)["opened"] == f"course/folder/{name}"


@pytest.mark.parametrize(
    ("repo", "branch", "path", "said"),
    [
        ("", "", "", "at least 1"),
        ("git@github.com:school/course.git", "", "", "http or https"),
        ("ssh://git.example.edu/course", "", "", "http or https"),
        ("file:///srv/course", "", "", "http or https"),
        ("https://[bad/course", "", "", "http or https"),
        ("https://git.example.edu/course?x=1", "", "", "query"),
        ("https://git.example.edu/my course", "", "", "space"),
        ("https://git.example.edu", "", "", "does not end in a name"),
        ("https://git.example.edu/..", "", "", "does not end in a name"),
        ("https://git.example.edu/%2E%2E", "", "", "does not end in a name"),
        ("https://git.example.edu/a%2Fb", "", "", "does not end in a name"),
        ("https://git.example.edu/.git", "", "", "does not end in a name"),
        (REPO, "my branch", "", "name of a branch"),
        (REPO, "--upload-pack=x", "", "name of a branch"),
        (REPO, "a..b", "", "name of a branch"),
        (REPO, "a/.b", "", "name of a branch"),
        (REPO, "a.lock", "", "name of a branch"),
        (REPO, "a@{1}", "", "name of a branch"),
        (REPO, "a/", "", "name of a branch"),
        (REPO, "@", "", "name of a branch"),
        (REPO, "", "../other", "a path in a repository"),
        (REPO, "", "a/../b", "a path in a repository"),
        (REPO, "", "a//b", "a path in a repository"),
        (REPO, "", "a\nb", "a path in a repository"),
    ],
)
def test_what_cannot_be_right_in_a_sites_links_is_refused(repo: str, branch: str, path: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        canvas_forms.git_links(site({"repo": repo, "branch": branch, "path": path}))


def test_a_password_in_the_repositorys_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(BadInput) as refused:
        site({"repo": "https://prof:hunter2-very-secret@git.example.edu/course"})
    assert "password" in str(refused.value) and "hunter2" not in str(refused.value)
