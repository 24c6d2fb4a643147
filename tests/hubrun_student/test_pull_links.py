"""Links that pull a repository: what they may ask for, and which of them go on without a click."""

from __future__ import annotations

import subprocess
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubrun.sections.canvas.git_links import GitLink
from hubrun_hub import pull_ticket
from hubrun_student.pull import git, links
from hubrun_student.pull.links import FolderTaken, Refused, allowed, place, read, same

REPO = "https://github.com/school/course"


def asked(**given: str) -> links.Pull:
    return read({"repo": REPO, **given})


@pytest.mark.parametrize(
    "repo",
    [
        "",
        "file:///srv/nbgrader/inbound/x/k.git",
        "/srv/nbgrader/inbound/x/k.git",
        "../k.git",
        "k.git",
        "ext::sh -c touch% /tmp/x",
        "fd::17/foo",
        "http::https://example.edu/x",
        "ssh://git@github.com/school/course",
        "git@github.com:school/course",
        "git://github.com/school/course",
        "ftp://example.edu/x",
        "FILE:///srv/x",
        "https:/github.com/x",
        "https://",
        "https:///srv/x",
        "https://?",
        "https://github.com",
        "https://github.com/",
        "https://user:password@github.com/school/course",
        "https://token@github.com/school/course",
        "https://github.com/school/../evil/course",
        "https://github.com/school/%2e%2e/evil/course",
        "https://github.com/school/course?x=1",
        "https://github.com/school/course#x",
        "https://github.com/school/my course",
        "https://github.com/school/course\n--upload-pack=x",
        "https://github.com/school/course%0a",
        "https://github.com\\@evil.example/x",
        "https://[bad/course",
        'https://github.com/"><script>alert(1)</script>/x',
        "https://github.com/x'onload='alert(1)",
        "https://github.com:99999/x",
        "--upload-pack=touch /tmp/x",
        "-https://github.com/x",
        "https://github.com/" + "x" * 1000,
    ],
)
def test_a_repository_is_one_at_an_http_address(repo: str) -> None:
    with pytest.raises(Refused):
        read({"repo": repo, "targetpath": "course"})


@pytest.mark.parametrize(
    "target",
    [
        ".jupyter",
        ".local/share/jupyter/kernels",
        "course/.git/hooks",
        "course/../.jupyter",
        "..",
        ".",
        "./course",
        "a//b",
        "/tmp/x",
        "/home/jovyan/.jupyter",
        "~/x",
        "-x",
        "a\\b",
        "a\nb",
        "a\0b",
        "a" * 1001,
    ],
)
def test_a_folder_is_one_below_the_home_that_everybody_sees(target: str) -> None:
    with pytest.raises(Refused):
        asked(targetpath=target)
    with pytest.raises(Refused):
        asked(targetPath=target)


@pytest.mark.parametrize(
    "opened",
    [
        "git-pull?repo=file:///srv/x",
        "git-pull",
        "/git-pull",
        "lab/../git-pull",
        "lab/tree/../../git-pull",
        "lab/tree/%2e%2e/%2E%2E/git-pull",
        "lab/tree/%252e%252e/%252e%252e/git-pull",
        "lab/tree/..%2f..%2fgit-pull",
        "lab/tree/x/.",
        "lab/tree\\..\\git-pull",
        "la%62/tree/x",
        "%67it-pull",
        "git-sync?repo=x",
        "interact?repo=x",
        "lab/tree/x?redirect=git-pull",
        "lab/tree/x#git-pull",
        "lab\t/tree/x",
        "lab/tree/x%0a",
        "labs",
        "lab-tree",
        "hub/logout",
        "terminals/new/x",
        "files/page.html",
        "formgrader",
        "api/contents",
        "https://evil.example/",
        "//evil.example/lab/tree",
        "javascript:alert(1)",
        "lab:x",
        "lab@evil.example",
    ],
)
def test_after_the_pull_a_file_is_opened_and_nothing_else_happens(opened: str) -> None:
    with pytest.raises(Refused):
        asked(urlpath=opened)
    with pytest.raises(Refused):
        asked(urlPath=opened)


@pytest.mark.parametrize("branch", ["--upload-pack=x", "-b", "a b", "a..b", "a~1", "x.lock", "@", "a\nb", "a/.b", "/a"])
def test_a_branch_is_no_option_and_no_other_thing_of_git(branch: str) -> None:
    with pytest.raises(Refused, match="branch"):
        asked(branch=branch)


@pytest.mark.parametrize("depth", ["-1", "x", "1.5", "1e3", "9" * 7, "1 --upload-pack=x"])
def test_a_depth_is_a_number(depth: str) -> None:
    with pytest.raises(Refused, match="depth"):
        asked(depth=depth)


@pytest.mark.parametrize(
    ("given", "target", "path"),
    [
        ({}, "course", "tree/course"),
        ({"app": "lab"}, "course", "lab/tree/course"),
        ({"repo": REPO + ".git"}, "course.git", "tree/course.git"),
        ({"repo": REPO + "/"}, "course", "tree/course"),
        ({"targetPath": "bio/week 1/"}, "bio/week 1", "tree/bio/week%201"),
        ({"subPath": "lab 1.ipynb"}, "course", "notebooks/course/lab%201.ipynb"),
        ({"subPath": "."}, "course", "tree/course"),
        ({"urlpath": "lab"}, "course", "lab"),
        ({"urlpath": "/lab/tree/course/x.ipynb"}, "course", "lab/tree/course/x.ipynb"),
        ({"urlpath": "notebooks/course/100%25.ipynb"}, "course", "notebooks/course/100%25.ipynb"),
        ({"urlpath": "edit/course/x.py"}, "course", "edit/course/x.py"),
        ({"urlpath": "lab/tree/x", "backup": "true"}, "course", "tree/"),
    ],
)
def test_links_of_nbgitpullers_documentation_mean_what_they_did(given: dict[str, str], target: str, path: str) -> None:
    pull = asked(**given)
    assert (pull.target, pull.path) == (target, path)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/"), min_size=1))
def test_our_own_links_are_followed_for_any_name_of_a_file(name: str) -> None:
    if name.strip() in (".", "..") or {".", ".."} & set(unquote(unquote(name)).split("/")):
        return
    query = urlsplit(GitLink("https://hub.example.edu", REPO, "main", f"week/{name}").next).query
    try:
        pull = read(pull_ticket.arguments(query))
    except Refused:
        # Names that hold an encoded way up: nobody has them.
        assert "%" in name
        return
    assert pull.target == "course" and unquote(pull.path) == f"lab/tree/course/week/{name}"


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=60))
def test_whatever_is_let_through_stays_in_the_home_and_among_the_views(repo: str, target: str, opened: str) -> None:
    for address in (repo, f"https://{repo}", f"https://example.edu/{repo}"):
        try:
            pull = read({"repo": address, "targetpath": target, "urlpath": opened})
        except Refused:
            continue
        assert pull.repo.startswith(("http://", "https://")) and "@" not in urlsplit(pull.repo).netloc
        assert not any(part.startswith((".", "-")) or not part for part in pull.target.split("/"))
        assert pull.path.split("/")[0] in ("lab", "tree", "notebooks", "edit")
        assert ".." not in unquote(unquote(pull.path)).split("/")


# -- the folder


def clone(folder: Path, origin: str) -> Path:
    subprocess.run(["git", "init", "-q", folder], check=True)
    subprocess.run(["git", "-C", folder, "remote", "add", "origin", origin], check=True)
    return folder


def test_a_new_folder_and_one_that_a_pull_made_are_taken(tmp_path: Path) -> None:
    assert place(tmp_path, asked()) == tmp_path / "course"
    clone(tmp_path / "course", REPO)
    assert place(tmp_path, asked()) == tmp_path / "course"
    assert git.origin(tmp_path / "course") == REPO


def test_a_folder_without_a_repository_is_not_one_of_the_repository_above(tmp_path: Path) -> None:
    clone(tmp_path, REPO)
    (tmp_path / "course").mkdir()
    with pytest.raises(FolderTaken):
        place(tmp_path, asked())
    # It can be kept under another name.
    assert place(tmp_path, asked(backup="true")) == tmp_path / "course"


@pytest.mark.parametrize("what", ["link", "above", "file", "gitfile", "gitlink", "bare"])
def test_no_way_leads_out_of_the_home(tmp_path: Path, what: str) -> None:
    home = tmp_path / "home"
    (home / ".jupyter").mkdir(parents=True)
    elsewhere = clone(tmp_path / "elsewhere", REPO)
    course = home / "course"
    if what == "link":
        course.symlink_to(elsewhere)
    elif what == "above":
        course.symlink_to(home / ".jupyter")
    elif what == "file":
        course.write_text("")
    else:
        course.mkdir()
        if what == "gitfile":
            (course / ".git").write_text(f"gitdir: {elsewhere}/.git\n")
        elif what == "gitlink":
            (course / ".git").symlink_to(elsewhere / ".git")
        else:
            subprocess.run(["git", "init", "-q", "--bare", course], check=True)
    with pytest.raises(Refused):
        place(home, asked(targetpath="course/x" if what in ("above", "file") else "course"))


def test_git_that_pulls_speaks_http_and_runs_nothing(tmp_path: Path) -> None:
    """Seen with git itself: each of these works without the environment."""
    source = clone(tmp_path / "source", REPO)
    commit = [
        "git",
        "-C",
        source,
        "-c",
        "user.name=a",
        "-c",
        "user.email=a@b",
        "commit",
        "-q",
        "--allow-empty",
        "-m",
        "x",
    ]
    subprocess.run(commit, check=True)
    environment = git.environment(
        {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "GIT_DIR": "/x", "GIT_SSL_CAINFO": "/y"}
    )
    assert "GIT_DIR" not in environment and environment["GIT_SSL_CAINFO"] == "/y"
    for address in (
        f"file://{source}",
        str(source),
        f"ext::touch {tmp_path}/ran",
        "ssh://localhost/x",
        "git://localhost/x",
    ):
        done = subprocess.run(
            ["git", "clone", "-q", "--", address, tmp_path / "to"], capture_output=True, text=True, env=environment
        )
        assert done.returncode and "not allowed" in done.stderr, (address, done.stderr)
    hook = source / ".git/hooks/post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    subprocess.run(["git", "-C", source, "switch", "-q", "-c", "other"], check=True, env=environment)
    # A folder of a repository that is a repository itself, with a program to be asked for changes.
    bare = tmp_path / "bare"
    subprocess.run(["git", "init", "-q", "--bare", bare], check=True)
    subprocess.run(["git", "-C", bare, "config", "core.bare", "false"], check=True)
    subprocess.run(["git", "-C", bare, "config", "core.worktree", "/tmp"], check=True)
    subprocess.run(["git", "-C", bare, "config", "core.fsmonitor", f"touch {tmp_path}/ran;false"], check=True)
    subprocess.run(["git", "-C", bare, "status"], capture_output=True, env=environment, check=False)
    assert not (tmp_path / "ran").exists()
    subprocess.run(["git", "-C", bare, "status"], capture_output=True, check=False)
    assert (tmp_path / "ran").exists(), "the attack is none"


# -- from where


@pytest.mark.parametrize(
    ("repo", "hosts", "is_allowed"),
    [
        (REPO, ["github.com"], True),
        (REPO, ["github.com/school"], True),
        (REPO, ["github.com/school/"], True),
        (REPO + ".git", ["github.com/school/course"], True),
        ("https://GitHub.com:443/school/course", ["github.com/school"], True),
        (REPO, [], False),
        (REPO, ["gitlab.com", "github.com/scho", "github.com/school2", "hub.com", "github.com:8443"], False),
        ("http://github.com/school/course", ["github.com/school"], False),
        ("http://github.com/school/course", ["http://github.com/school"], True),
        ("https://github.com.evil.example/school/course", ["github.com/school"], False),
        ("https://github.com/School/course", ["github.com/school"], False),
        ("https://git.example.edu:8443/x", ["git.example.edu:8443"], True),
        ("https://git.example.edu:8444/x", ["git.example.edu:8443"], False),
    ],
)
def test_a_launch_goes_on_only_where_the_site_says_so(repo: str, hosts: list[str], is_allowed: bool) -> None:
    assert allowed(repo, hosts) is is_allowed


@pytest.mark.parametrize(
    ("other", "is_same"),
    [
        (REPO + ".git", True),
        (REPO + "/", True),
        ("https://x:token@GITHUB.com/school/course.git", True),
        ("https://github.com/school/course2", False),
        ("git@github.com:school/course", False),
        ("/srv/course", False),
        ("", False),
    ],
)
def test_a_clone_is_known_by_where_it_came_from(other: str, is_same: bool) -> None:
    assert same(REPO, other) is is_same


# -- tickets

SECRET, NOW = b"s" * 32, 1_800_000_000.0
NEXT = GitLink("https://hub.example.edu", REPO, "main", "week 1/lab #2.ipynb").next


def query_of(target: str) -> str:
    return urlsplit(target).query


def test_a_ticket_is_good_for_this_person_these_arguments_and_a_while() -> None:
    key = pull_ticket.environment(SECRET, "ada", [])[pull_ticket.KEY]
    query = query_of(pull_ticket.with_ticket(NEXT, SECRET, "ada", NOW))
    assert pull_ticket.came_by_launch(query, key, NOW + 800)
    assert pull_ticket.arguments(query) == pull_ticket.arguments(query_of(NEXT))
    assert not pull_ticket.came_by_launch(query, key, NOW + 1000)
    assert not pull_ticket.came_by_launch(query, pull_ticket.person_key(SECRET, "ben"), NOW)
    assert not pull_ticket.came_by_launch(query, pull_ticket.person_key(b"t" * 32, "ada"), NOW)
    assert not pull_ticket.came_by_launch(query, "", NOW)
    for name, value in parse_qsl(query):
        if name != pull_ticket.NAME:
            assert not pull_ticket.came_by_launch(query.replace(quote(value[:3], safe=""), "x", 1), key, NOW), name
    for extra in ("&backup=true", "&targetpath=x", "&repo=https%3A%2F%2Fevil.example%2Fx", f"&{pull_ticket.NAME}=1.x"):
        assert not pull_ticket.came_by_launch(query + extra, key, NOW), extra


def test_what_the_hub_does_to_a_query_on_its_way_costs_no_ticket() -> None:
    """UserRedirectHandler takes it apart and puts it together again, and the hub counts its redirects in it."""
    key = pull_ticket.person_key(SECRET, "ada")
    query = query_of(pull_ticket.with_ticket(NEXT, SECRET, "ada", NOW))
    again = urlencode([*reversed(parse_qsl(query)), ("redirects", "1")])
    assert pull_ticket.came_by_launch(again, key, NOW)


@pytest.mark.parametrize(
    ("target", "gets_one"),
    [
        (NEXT, True),
        ("/user-redirect/git-pull?repo=x", True),
        ("/user/ada/git-pull?repo=x", True),
        ("/hub/", False),
        ("/hub/user-redirect/lab/tree/git-pull", False),
        ("/hub/login?next=/hub/user-redirect/git-pull", False),
        ("/hub/user-redirect/git-pull/api?repo=x", False),
    ],
)
def test_only_the_page_that_pulls_gets_a_ticket(target: str, gets_one: bool) -> None:
    sent = pull_ticket.with_ticket(target, SECRET, "ada", NOW)
    assert (pull_ticket.NAME in sent) is gets_one
    assert gets_one or sent == target


def test_a_ticket_that_a_link_brings_is_thrown_away() -> None:
    forged = f"{NEXT}&{pull_ticket.NAME}=99999999999.abc"
    names = [name for name, _ in parse_qsl(query_of(pull_ticket.with_ticket(forged, SECRET, "ada", NOW)))]
    assert names.count(pull_ticket.NAME) == 1


def test_a_ticket_that_is_none_is_no_error() -> None:
    for ticket in ("", ".", "x", "1", "99999999999.", "99999999999.é", "٣٣٣٣٣٣٣٣٣٣٣.x", "9" * 400 + ".x"):
        assert not pull_ticket.came_by_launch(urlencode({"repo": REPO, pull_ticket.NAME: ticket}), "key", NOW)
