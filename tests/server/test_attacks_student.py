"""What a student may try against another student's or a teacher's browser, on a real server, in Chromium.

A link that pulls (nbgitpuller), and what was handed in, as formgrader, the feedback and the graded files show it. Before
there were pages of ours, a link's kernel started in the victim's container, eight of the attempts in `hostile` ran as soon
as formgrader's page or the feedback was opened (others wait for a click), and so did both files.
"""

# ruff: noqa: F811 - fixtures of test_nbgrader

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from urllib.parse import urlencode

import nbformat
import pytest
from machines import CHROMIUM_FLAGS, Machine
from playwright.sync_api import BrowserContext, Page, sync_playwright
from test_deep_links import page_of_canvas
from test_nbgrader import Hub, Person, assignment, formgraders, hub, people  # noqa: F401

import hostile
from hubrun import params
from hubrun.params import Site
from hubrun.sections.canvas.git_links import GitLink

pytestmark = [pytest.mark.server, pytest.mark.browser, pytest.mark.timeout(900)]

INBOUND = "/srv/nbgrader/exchange/bio/inbound"
# Makes a repository with a kernel of one's own, and a notebook that wants it.
_REPOSITORY = f"""
set -e
rm -rf /tmp/w {INBOUND}/k.git
git init -q -b main /tmp/w && cd /tmp/w && mkdir evil
echo '{{"argv":["touch","/home/jovyan/PWNED"],"display_name":"evil","language":"python"}}' > evil/kernel.json
echo '{{"cells":[],"metadata":{{"kernelspec":{{"name":"evil","display_name":"e","language":"python"}}}},"nbformat":4,"nbformat_minor":5}}' > n.ipynb
git add . && git -c user.name=a -c user.email=a@b commit -qm x && git clone -q --bare /tmp/w {INBOUND}/k.git
"""


@pytest.fixture(scope="module")
def site(machine: Machine) -> Site:
    return params.load(machine.site)


@pytest.fixture(scope="module")
def chromium() -> Iterator[object]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


def logged_in(machine: Machine, chromium: object, site: Site, name: str) -> BrowserContext:
    """A browser in which this person has launched, and is logged in at their server, which runs."""
    context: BrowserContext = chromium.new_context(ignore_https_errors=True, viewport={"width": 1366, "height": 768})  # type: ignore[attr-defined]
    page = context.new_page()
    page.set_content(page_of_canvas(machine, site.launch_url, name))
    page.wait_for_url(f"**/user/{name}/lab**", timeout=180_000)
    page.close()
    return context


def asked(page: Page, address: str, method: str = "GET", known: bool = True) -> tuple[int, str]:
    """Status and text of what a script on this page gets from an address of its site; known: with the page's token."""
    code = """async ([address, method, known]) => {
        const token = document.cookie.match(/(?:^|; )_xsrf=([^;]*)/);
        const headers = known && token ? {"X-XSRFToken": token[1]} : {};
        const answer = await fetch(address, {method, headers});
        return [answer.status, await answer.text()];
    }"""
    status, text = page.evaluate(code, [address, method, known])
    return status, text


# -- links that pull


def test_a_link_with_a_kernel_in_it_starts_nothing(
    machine: Machine, chromium: object, site: Site, people: dict[str, Person]
) -> None:
    """A teacher is the victim: everybody's submissions are mounted there, a repository among them."""
    ben, cho = people["ben"], people["cho"]
    ben.run(_REPOSITORY)
    where = "file:///srv/nbgrader/inbound/bio/ben/k.git"
    assert "main" in cho.run(f"git ls-remote {where}")  # it is there to be cloned
    second = "git-pull?" + urlencode({"repo": where, "targetpath": "nb", "urlpath": "lab/tree/nb/n.ipynb"})
    kernels = ".local/share/jupyter/kernels"
    context = logged_in(machine, chromium, site, "cho")
    page, lab = context.new_page(), context.new_page()
    for query in (
        {"repo": where, "targetpath": kernels, "urlpath": second},
        {"repo": where, "targetpath": "nb", "urlpath": "lab/tree/nb/n.ipynb"},
        {"repo": f"ext::touch% /home/jovyan/PWNED {where}", "targetpath": "nb"},
        {"repo": "https://github.com/evil/x", "targetpath": kernels},
        {"repo": "https://github.com/evil/x", "targetpath": "courses/bio/x"},
        {"repo": "https://github.com/evil/x", "targetpath": "nb", "urlpath": second},
        {"repo": 'https://github.com/"><script>document.title="ran"</script>/x', "targetpath": "nb"},
    ):
        page.goto(f"{site.url}/user/cho/git-pull?{urlencode(query)}")
        assert "This link is not followed" in page.locator("h1").inner_text(), query
        assert page.title() != "ran"
        # The page may connect to nothing: the question is asked from another one.
        lab.goto(f"{site.url}/user/cho/tree")
        _, text = asked(lab, f"/user/cho/git-pull/api?{urlencode(query)}")
        assert '"phase": "finished"' not in text and '"syncing"' not in text
    assert cho.run(f"ls -d ~/PWNED ~/{kernels} ~/nb 2>/dev/null | cat") == ""
    context.close()


def test_a_link_asks_also_after_a_launch_and_a_click_is_needed(
    machine: Machine, chromium: object, site: Site, people: dict[str, Person]
) -> None:
    """Canvas signs a launch with any custom_next that somebody puts into a link."""
    link = GitLink(site.url, "https://github.com/evil/course", "main", "x.ipynb")
    context: BrowserContext = chromium.new_context(ignore_https_errors=True)  # type: ignore[attr-defined]
    page = context.new_page()
    page.set_content(page_of_canvas(machine, link.launch_url, "amy"))
    page.wait_for_url("**/git-pull?**", timeout=180_000)
    page.get_by_role("heading", name="Get files from a repository?").wait_for(timeout=60_000)
    text = page.locator("dl").inner_text()
    assert "https://github.com/evil/course" in text and "lab/tree/course/x.ipynb" in text
    response = page.reload()
    policy = response.headers["content-security-policy"] if response else ""
    assert "frame-ancestors 'none'" in policy and "script-src" not in policy
    user = page.url.split("/user/")[1].split("/")[0]
    # Nothing but the click on this page does it: not the address of the pull itself, and no form from elsewhere.
    query = page.url.partition("?")[2]
    address = page.url
    page.goto(f"{site.url}/user/{user}/tree")
    status, text = asked(page, f"/user/{user}/git-pull/api?{query}")
    assert status == 403 or "Nobody has agreed" in text
    assert asked(page, address, "POST", known=False)[0] == 403
    context.close()


# -- what was handed in


@pytest.fixture(scope="module")
def graded(people: dict[str, Person]) -> str:
    """ben has handed in every attempt that we know of, and cho has graded it. The address of it in formgrader."""
    ben, cho = people["ben"], people["cho"]
    cho.write("~/courses/bio/source/hostile/ps1.ipynb", assignment("bio"))
    cho.run(
        "cd ~/courses/bio && nbgrader generate_assignment hostile --force && nbgrader release_assignment hostile --force"
    )
    ben.run("rm -rf ~/bio/hostile && nbgrader fetch_assignment hostile --course bio")
    path = "/home/jovyan/bio/hostile/ps1.ipynb"
    book = nbformat.reads(ben.run(f"cat {path}"), 4)
    book.cells[1].source = "def double(x):\n    return 2 * x"
    hostile.spoil(book)
    book.cells[-1].metadata.pop("nbgrader")
    ben.write(path, nbformat.writes(book))
    ben.write("/home/jovyan/bio/hostile/page.html", hostile.PAGE)
    ben.write("/home/jovyan/bio/hostile/x.svg", hostile.SVG)
    ben.run("nbgrader submit hostile --course bio")
    cho.run("cd ~/courses/bio && nbgrader collect hostile --update && nbgrader autograde hostile --student ben --force && nbgrader generate_feedback hostile --student ben --force")  # fmt: skip
    base = formgraders(cho)["bio"]
    found = cho.browser.get(f"{base}/api/submitted_notebooks/hostile/ps1").json()
    (notebook,) = [one for one in found if one["student"] == "ben"]
    return f"{base}/submissions/{notebook['id']}/"


@pytest.fixture(scope="module")
def teacher(machine: Machine, chromium: object, site: Site, people: dict[str, Person]) -> Iterator[Page]:
    context = logged_in(machine, chromium, site, "cho")
    yield context.new_page()
    context.close()


def test_nothing_of_a_submission_runs_in_formgrader(site: Site, teacher: Page, graded: str) -> None:
    teacher.goto(site.url + graded)
    teacher.locator("#notebook-container").first.wait_for()
    teacher.wait_for_timeout(2000)
    assert teacher.evaluate("window.ran") is None
    for link in teacher.locator("#notebook-container a").all():
        address = link.get_attribute("href") or ""
        if "script" in address or "data" in address:
            link.dispatch_event("click")
            teacher.wait_for_timeout(200)
            assert teacher.evaluate("window.ran") is None, address
            teacher.goto(site.url + graded)


def test_a_teacher_grades_by_hand_as_before(site: Site, teacher: Page, graded: str) -> None:
    base, _, submission = graded.strip("/").rpartition("/submissions/")
    teacher.goto(site.url + graded)
    score = teacher.locator("input.extra-credit").first
    score.fill("2")
    score.blur()
    comment = teacher.locator("textarea.comment").first
    comment.fill("Well <b>done</b>")
    comment.blur()
    teacher.wait_for_timeout(3000)
    grades = json.loads(asked(teacher, f"/{base}/api/grades?submission_id={submission}")[1])
    comments = json.loads(asked(teacher, f"/{base}/api/comments?submission_id={submission}")[1])
    assert 2 in [one["extra_credit"] for one in grades]
    assert "Well <b>done</b>" in [one["manual_comment"] for one in comments]


def test_names_in_addresses_of_formgrader_are_text(site: Site, teacher: Page, graded: str) -> None:
    base = graded.partition("/submissions/")[0]
    for path in ("manage_submissions/x%22%3Bwindow.ran=1%2F%2F", "manage_submissions/x%22%3Bwindow.ran=1;y=%22", "gradebook/%3Cimg%20src=x%20onerror=window.ran=1%3E", "manage_students/%3C%2Fscript%3E%3Cscript%3Ewindow.ran=1%3C%2Fscript%3E"):  # fmt: skip
        teacher.goto(f"{site.url}{base}/{path}")
        teacher.wait_for_timeout(300)
        assert teacher.evaluate("window.ran") is None, path


@pytest.mark.parametrize("name", ["page.html", "x.svg"])
def test_a_submitted_file_is_in_a_sandbox(site: Site, teacher: Page, graded: str, name: str) -> None:
    response = teacher.goto(f"{site.url}{graded}{name}")
    assert response and response.status == 200
    assert response.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "ran" not in teacher.title() and teacher.locator("[data-ran]").count() == 0


def test_nothing_of_a_submission_runs_in_its_feedback(teacher: Page, people: dict[str, Person], graded: str) -> None:
    """As a page of its own, where neither JupyterLab nor the server adds anything."""
    page = teacher.context.new_page()
    page.set_content(people["cho"].run("cat ~/courses/bio/feedback/ben/hostile/ps1.html"))
    page.wait_for_timeout(2000)
    assert page.evaluate("window.ran") is None
    assert page.locator("#notebook-container .cell").count() > 50
    page.close()
