"""A site's parameters: what is taken, and what is refused with the file, the line and the right name."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
import yaml

from hubrun import params
from hubrun.environment import PROJECT
from hubrun.errors import BadInput
from hubrun.params import Site, documentation

GOOD = {"site": "example", "domain": "hub.example.edu"}
RUNBOOKS = [path.name[:2] for path in sorted((PROJECT / "runbooks").glob("*.py"))]


def site(**changes: Any) -> Site:
    return params.build(GOOD | changes, "here")


def refusal(path: Path, text: str | None = None, **overrides: str) -> str:
    """What is said about a params file with this text; always bad input."""
    if text is not None:
        path.write_text(text)
    with pytest.raises(BadInput) as caught:
        params.load(path, overrides)
    assert caught.value.exit_code == 2
    return str(caught.value)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "site.yaml"


# -- files -----------------------------------------------------------------------------------------------------

HEAD = "site: example\ndomain: hub.example.edu\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (HEAD + "\n# ours\ndomian: hub.example.edu\n", "unknown parameter domian (line 5), did you mean domain?"),
        (HEAD + "tensorflw: true\n", "unknown parameter tensorflw (line 3), did you mean tensorflow?"),
        (HEAD + "zzzzzz: 1\n", "unknown parameter zzzzzz (line 3). "),
        ("site: example\ndomain: 12\n", "domain (line 2) is 12: must be text; put it in quotes"),
        (HEAD + "swap_mb: lots\n", "swap_mb (line 3) is 'lots': must be a whole number"),
        (HEAD + "swap_mb: '512'\n", "swap_mb (line 3) is '512': must be a whole number"),
        (HEAD + "swap_mb: 1.5\n", "swap_mb (line 3) is 1.5"),
        (HEAD + "swap_mb: true\n", "swap_mb (line 3) is True: must be a whole number"),
        (HEAD + "nbgrader: 'yes'\n", "nbgrader (line 3) is 'yes': must be true or false"),
        (HEAD + "extra_packages: vim\n", "extra_packages (line 3) is 'vim': must be a list, such as [a, b]"),
        (HEAD + "extra_packages: [3]\n", "extra_packages[0] (line 3) is 3: must be text"),
        (HEAD + "upgrade: all\n", "upgrade (line 3) is 'all': Input should be 'none', 'security' or 'full'"),
        (HEAD + "pytorch: yes\n", "pytorch (line 3) is True: Input should be 'none', 'cpu' or 'cuda'"),
        (HEAD + "user_cpus: -1\n", "user_cpus (line 3) is -1"),
        (HEAD + "https_port: 70000\n", "https_port (line 3) is 70000"),
        (HEAD + "ssh: {host: a}\n", "unknown parameter ssh (line 3)"),
        (HEAD + "swap_mb:\n  size: 5\n", "swap_mb (line 3) is {'size': 5}: must be a whole number"),
        (HEAD + "swap_mb: 1\nswap_mb: 2\n", "line 4: swap_mb is given twice"),
        ("domain: hub.example.edu\n", "site is missing"),
        (HEAD + "swap_mb: [1\n", "not valid YAML"),
        (HEAD + "\tswap_mb: 1\n", "line 3: not valid YAML"),
        ("- site\n", "lines of the form `name: value`"),
        ("", "lines of the form `name: value`"),
        (HEAD + "domian: x\nswap_mb: x\n", "swap_mb (line 4) is 'x': must be a whole number; unknown parameter domian (line 3)"),
    ],
)  # fmt: skip
def test_a_bad_file_is_one_line_with_the_file_the_line_and_what_is_right(file: Path, text: str, says: str) -> None:
    said = refusal(file, text)
    assert says in said
    assert said.startswith(str(file)) and "\n" not in said


def test_a_missing_file_names_the_one_that_was_meant(tmp_path: Path) -> None:
    (tmp_path / "biology.yaml").touch()
    assert f"Did you mean {tmp_path / 'biology.yaml'}?" in refusal(tmp_path / "biolgy.yaml")
    assert "`./hubrun new SITE` writes one" in refusal(tmp_path / "elsewhere/site.yaml")
    assert "Is a directory" in refusal(tmp_path)


def test_a_sites_name_alone_names_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "params").mkdir()
    (tmp_path / "params/biology.yaml").touch()
    monkeypatch.chdir(tmp_path)
    for given in ("biology", "biolgy.yaml", "biology.yml"):
        assert "Did you mean params/biology.yaml?" in refusal(Path(given))


def test_a_file_that_is_no_text(file: Path) -> None:
    file.write_bytes(b"\xff\xfe\x00")
    assert "not a text file" in refusal(file)


def test_a_comment_a_list_and_a_whole_number_of_cpus_are_taken(file: Path) -> None:
    file.write_text(HEAD + "user_cpus: 2  # cores\nadmin_users:\n  - ada\n  - grace\n")
    loaded = params.load(file)
    assert (loaded.user_cpus, loaded.admin_users) == (2.0, ["ada", "grace"])


WORDS = (
    "upgrade",
    "lti_version",
    "lti_lms",
    "outside_course",
    "tls",
    "acme_dns",
    "docker_channel",
    "pytorch",
    "homes_old",
    "node_files",
    "canvas_navigation",
)
MORE = {
    "acme_dns": "acme_dns_env: TOKEN\n",
    "tls": "tls_certificate: /a\ntls_key: /b\n",
    "lti_lms": "lti_platform: https://lms.example.edu\n",
}


def test_the_enumerations_are_all_tried_here() -> None:
    assert set(WORDS) == {name for name, field in Site.model_fields.items() if get_origin(field.annotation) is Literal}


@pytest.mark.parametrize("name", WORDS)
def test_every_word_of_an_enumeration_is_taken_without_quotes(file: Path, name: str) -> None:
    """YAML 1.1 makes false of `off`, and numbers of 1.1 and 1.3."""
    for word in get_args(Site.model_fields[name].annotation):
        file.write_text(f"{HEAD}{name}: {word}\n{MORE.get(name, '')}")
        assert getattr(params.load(file), name) == word
        assert getattr(params.load(file, {name: word}), name) == word


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("consumers: [{name: bio, lti_version: 1.3}]\n", ""),
        ("canvas_navigation: Off\n", ""),
        ("canvas_navigation: no\n", ""),
        ("lti_version: 1.10\n", ""),
        ("canvas_navigation: on\n", "canvas_navigation (line 3) is True: Input should be 'off', 'members' or 'admins' (YAML makes true and false of yes, no, on and off: in quotes they are words)"),
        ("pytorch: no\n", "pytorch (line 3) is False: Input should be 'none', 'cpu' or 'cuda' (YAML makes"),
        ("lti_version: 1\n", "lti_version (line 3) is 1: Input should be '1.1', '1.3' or 'both'; put it in quotes"),
        ("lti_version: 1.2\n", "is 1.2: Input should be '1.1', '1.3' or 'both'"),
        ("consumers: [{name: bio, lti_version: 2.0}]\n", "consumers[0].lti_version (line 3) is 2.0: Input should be"),
        ("consumers: [{name: no}]\n", "consumers[0].name (line 3) is False: must be text; put it in quotes"),
        ("lti_client_ids: [10000000000001]\n", "lti_client_ids[0] (line 3) is 10000000000001: must be text; put it in quotes"),
        ("canvas_course: 101\n", "canvas_course (line 3) is 101: must be text; put it in quotes"),
        ("canvas_item_title: 2026-09-01\n", "must be text; put it in quotes"),
        ("git_links: [{repo: https://x.edu/a, branch: 1.0}]\n", "git_links[0].branch (line 3) is 1.0: must be text; put it in quotes"),
        ("canvas_navigation:\n", "canvas_navigation (line 3) has no value: give it one, or remove the line"),
        ("acme_email: ~\n", "acme_email (line 3) has no value"),
        ("swap_mb: null\n", "swap_mb (line 3) has no value"),
        ("extra_packages:\n", "extra_packages (line 3) has no value"),
    ],
)  # fmt: skip
def test_what_yaml_makes_of_a_word_is_taken_or_said(file: Path, text: str, says: str) -> None:
    if says:
        assert says in refusal(file, HEAD + text)
    else:
        file.write_text(HEAD + text)
        params.load(file)


def test_a_notebooks_own_values_are_taken_in_the_same_way() -> None:
    """papermill -p lti_version 1.3 gives a number."""
    assert (site(lti_version=1.3).lti_version, site(canvas_navigation=False).canvas_navigation) == ("1.3", "off")


@pytest.mark.parametrize(
    ("links", "says"),
    [
        (["https://x.edu/a/materials", "https://x.edu/b/materials"], "https://x.edu/a/materials and https://x.edu/b/materials go into the same folder, materials"),
        (["https://x.edu/a/materials", "https://y.edu/a/materials.git/"], "go into the same folder"),
        (["https://x.edu/a/Materials", "https://x.edu/b/materials"], "go into the same folder"),
        (["https://x.edu/a/m%61terials", "https://x.edu/b/materials"], "go into the same folder"),
        ([("https://x.edu/a", "main", ""), ("https://x.edu/a", "autumn", "")], "https://x.edu/a (branch main) and https://x.edu/a (branch autumn) go into"),
        ([("https://x.edu/a/m", "", "b"), ("https://x.edu/b", "", "")], "go into the same folder"),
        (["https://x.edu/a/m", "https://x.edu/a/m.git"], ""),
        (["https://x.edu/a/m", ("https://x.edu/b/m", "", "m-b")], ""),
        ([("https://x.edu/a", "main", ""), ("https://x.edu/a", "autumn", "a-autumn")], ""),
        # A link without a branch is of the repository's own, which may be the one that another link names.
        ([("https://x.edu/a", "", ""), ("https://x.edu/a", "main", "")], ""),
        ([("https://x.edu/a", "", ""), ("https://x.edu/a", "main", ""), ("https://x.edu/a", "autumn", "")], "(branch autumn) go into"),
    ],
)  # fmt: skip
def test_links_to_different_things_do_not_share_a_folder(links: list[Any], says: str) -> None:
    entries = [each if isinstance(each, tuple) else (each, "", "") for each in links]
    given = [{"repo": repo, "branch": branch, "folder": folder} for repo, branch, folder in entries]
    if not says:
        assert len(site(git_links=given).git_links) == len(links)
        return
    with pytest.raises(BadInput) as caught:
        site(git_links=given)
    assert says in str(caught.value) and "give one of them another `folder`" in str(caught.value)


# -- --set -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("swap_mb", "0", 0),
        ("user_cpus", "0.5", 0.5),
        ("user_cpus", "2", 2.0),
        ("nbgrader", "false", False),
        ("extra_packages", "[vim, git]", ["vim", "git"]),
        ("domain", "22.10.example.edu", "22.10.example.edu"),
        ("site", "007", "007"),
        ("pytorch", "none", "none"),
        ("canvas_item_title", "a: b", "a: b"),
    ],
)
def test_a_value_on_the_command_line_has_the_type_that_the_schema_says(
    file: Path, name: str, text: str, value: Any
) -> None:
    file.write_text(HEAD)
    loaded = getattr(params.load(file, {name: text}), name)
    assert (loaded, type(loaded)) == (value, type(value))


def test_a_value_on_the_command_line_that_is_wrong_is_not_blamed_on_a_line(file: Path) -> None:
    said = refusal(file, HEAD + "swap_mb: 1\n", swap_mb="lots")
    assert "swap_mb is 'lots': must be a whole number" in said and "line" not in said
    assert "unknown parameter swap, did you mean swap_mb?" in refusal(file, swap="1")
    assert "extra_packages is '[a': must be a list" in refusal(file, extra_packages="[a")


def test_what_was_given_is_handed_on_to_runbooks_and_records_as_a_file_has_it() -> None:
    exam = {"from": "2026-12-01 09:00 UTC", "until": "2026-12-01 11:00 UTC", "extra_minutes": {"ada": 5}}
    bio = {"course": "BIO", "exam": exam, "due": {"ps1": "2026-12-01 23:59 UTC"}, "groups": {"red": ["ada"]}}
    found = site(courses=[bio], user_cpus=2.0, extra_packages=["vim"])
    assert found.given() == GOOD | {"courses": [bio], "user_cpus": 2.0, "extra_packages": ["vim"]}
    assert params.build(found.given(), "here") == found


# -- rules -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"domain": "https://hub.example.edu"}, "without https:// or a port"),
        ({"domain": "hub.example.edu:8443"}, "a host name in lower case"),
        ({"domain": "Hub.example.edu"}, "lower case"),
        ({"domain": "localhost"}, "a host name"),
        ({"domain": "10.0.0.1"}, "a host name"),
        ({"domain": "-a.example.edu"}, "a host name"),
        ({"domain": "hub_1.example.edu"}, "a host name"),
        ({"domain": "a" * 64 + ".edu"}, "a host name"),
        ({"domain": "hub.example.edu\n"}, "a host name"),
        ({"domain": ""}, "a host name"),
        ({"site": "My Site"}, "site is 'My Site'"),
        ({"site": "../x"}, "site is '../x'"),
        ({"site": "x\n"}, "site is 'x\\n'"),
        ({"hub_user": "root"}, "another account than root"),
        ({"hub_user": "Hub"}, "a login name"),
        ({"hub_user": ""}, "hub_user must not be empty"),
        ({"hub_user": "a", "admin_user": "a"}, "hub_user and admin_user must differ"),
        ({"tls": "files"}, "tls: files needs tls_certificate and tls_key"),
        ({"tls": "files", "tls_certificate": "/a"}, "tls: files needs"),
        ({"acme_eab_kid": "k"}, "acme_eab_kid needs acme_eab_hmac_env or acme_eab_hmac_file"),
        ({"docker_subnet": "172.29.0.1/16"}, "an IPv4 network such as 172.29.0.0/16"),
        ({"docker_subnet": "8.8.0.0/16"}, "a private IPv4 network"),
        ({"docker_subnet": "172.29.0.0/29"}, "room for the class"),
        ({"docker_subnet": "fd00::/64"}, "an IPv4 network"),
        ({"docker_apt_key": "9dc8"}, "docker_apt_key is '9dc8'"),
        ({"lti_username_key": ""}, "lti_username_key is ''"),
        ({"canvas_tool_name": ""}, "canvas_tool_name is ''"),
    ],
)
def test_a_value_that_cannot_work_is_refused_before_anything_is_touched(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput) as caught:
        site(**changes)
    assert says in str(caught.value)
    assert str(caught.value).startswith("here: ")


@pytest.mark.parametrize(
    "changes",
    [
        {"domain": "a-1.b.museum"},
        {"domain": "xn--bcher-kva.example"},
        {"tls": "files", "tls_certificate": "/a", "tls_key": "/b"},
        {"acme_eab_kid": "k", "acme_eab_hmac_env": "X"},
        {"docker_subnet": "10.0.0.0/28"},
        {"admin_user": "_it-2"},
    ],
)
def test_a_value_that_works_is_taken(changes: dict[str, Any]) -> None:
    assert changes.items() <= site(**changes).model_dump().items()


def test_what_follows_from_the_parameters() -> None:
    ours = site(https_port=8443, docker_subnet="10.9.0.0/24")
    assert (ours.host, ours.url, ours.gateway) == ("hub.example.edu", "https://hub.example.edu:8443", "10.9.0.1")
    assert ours.launch_url == "https://hub.example.edu:8443/hub/lti/launch"
    assert site().url == "https://hub.example.edu"
    assert site(ssh_host="10.0.0.5").host == "10.0.0.5"


# -- secrets and files that parameters point at ------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sudo_password", "acme_eab_hmac"])
def test_a_secret_is_found_where_the_parameters_say(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text(" in file \n")
    monkeypatch.setenv("HUBRUN_TEST_SECRET", "in environment")
    assert getattr(site(), name)() is None
    from_env = getattr(site(**{f"{name}_env": "HUBRUN_TEST_SECRET"}), name)()
    assert (from_env.reveal(), str(from_env)) == ("in environment", f"<{name}>")
    assert getattr(site(**{f"{name}_file": str(tmp_path / "secret")}), name)().reveal() == " in file "


def test_a_secret_that_is_not_there_says_which_parameter_points_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HUBRUN_TEST_SECRET", raising=False)
    with pytest.raises(
        BadInput, match="parameter sudo_password_env: the environment variable HUBRUN_TEST_SECRET is not set"
    ):
        site(sudo_password_env="HUBRUN_TEST_SECRET").sudo_password()
    with pytest.raises(BadInput, match="parameter sudo_password_file: cannot read /nowhere: No such file"):
        site(sudo_password_file="/nowhere").sudo_password()


def test_certificates_are_read_one_by_one_and_what_holds_none_is_refused(tmp_path: Path) -> None:
    pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"
    (tmp_path / "bundle.pem").write_text(f"Institution\n{pem}\n{pem.replace('AAAA', 'BBBB')}\n")
    (tmp_path / "key.pem").write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    assert site(ca_certificates=[str(tmp_path / "bundle.pem")]).ca_pems()[0] == pem + "\n"
    assert len(site(ca_certificates=[str(tmp_path / "bundle.pem")]).ca_pems()) == 2
    with pytest.raises(BadInput, match=r"parameter ca_certificates: .*key\.pem holds no PEM certificate"):
        site(ca_certificates=[str(tmp_path / "key.pem")]).ca_pems()


# -- the schema as people read it --------------------------------------------------------------------------------


def test_the_example_is_made_from_the_schema() -> None:
    assert (PROJECT / "params/example.yaml").read_text() == documentation.example(), (
        "./hubrun params --yaml > params/example.yaml"
    )


def test_the_example_can_be_used_as_it_is() -> None:
    assert params.load(PROJECT / "params/example.yaml") == site()


def test_the_example_holds_with_every_line_uncommented(file: Path) -> None:
    file.write_text(
        re.sub(r"^#(?=\w)", "", documentation.example(), flags=re.MULTILINE)
    )  # "#name: value", not "# help"
    values, _ = params.read_yaml(file)
    assert values.keys() == Site.model_fields.keys()
    assert params.load(file) == site()


def test_the_practice_parameters_hold_once_the_servers_own_are_added() -> None:
    values = yaml.safe_load((PROJECT / "params/practice.yaml").read_text())
    assert params.build(GOOD | values, "params/practice.yaml").admin_user == "teacher"


@pytest.mark.slow
def test_hubrun_params_explains_every_parameter() -> None:
    shown = subprocess.run(
        [PROJECT / "hubrun", "params"], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    rows = {line.split("`")[1]: line for line in shown.splitlines() if line.startswith("| `")}
    assert rows.keys() == Site.model_fields.keys()
    for name, field in Site.model_fields.items():
        assert rows[name].endswith(f"| {field.description} |")
    assert "*required*" in rows["domain"] and "`full`" in rows["upgrade"]


def test_every_parameter_is_used_by_a_runbook_that_exists() -> None:
    declared = {name for runbook in RUNBOOKS for name, _ in params.fields(runbook)}
    of_the_record = {"record_signing_key", "records_mirror"}  # for those who keep it, not for a runbook
    assert declared == Site.model_fields.keys() - of_the_record
    for name, field in Site.model_fields.items():
        users = field.json_schema_extra["runbooks"].split()  # type: ignore[index,union-attr]
        assert users in (["all"], ["records"]) or set(users) <= set(RUNBOOKS), name


def test_no_parameter_holds_a_secret_itself() -> None:
    for name in Site.model_fields:
        if any(word in name for word in ("password", "secret", "hmac", "token")):
            assert name.endswith(("_env", "_file", "_url")), name


@pytest.mark.parametrize("runbook", RUNBOOKS)
def test_a_parameters_cell_is_python_whose_values_are_the_defaults(runbook: str) -> None:
    values: dict[str, Any] = {}
    exec(compile(documentation.cell(runbook), f"cell {runbook}", "exec"), values)  # noqa: S102
    given = {name: values[name] for name, _ in params.fields(runbook)}
    assert given.pop("site") == given.pop("domain") == "" and values["check"] is False
    assert site(**given) == site()


def test_a_parameter_of_a_version_before_goes_on_with_a_note(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "site.yaml"
    file.write_text(HEAD + "new_names: rename\n")
    assert params.load(file, {"new_names": "leave"}) == site()
    said = capsys.readouterr().err
    assert said.count("new_names is without effect: nobody gets another name any more") == 1


@pytest.mark.parametrize("value", ["$Person.sourcedId", " ", "\u200b"])
def test_an_administrator_whom_nobody_can_launch_as_is_named(value: str) -> None:
    with pytest.raises(BadInput, match="nobody can ever launch as"):
        site(admin_users=["Ada@Example.edu", value])
