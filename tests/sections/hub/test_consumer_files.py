"""Consumers: from parameters to the files that the hub reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hubrun.errors import BadInput
from hubrun.params import Site, build
from hubrun.resources.files import File, OnlyFiles
from hubrun.resources.secret_file import SecretFile
from hubrun.sections.hub import consumer_files


def site(**values: Any) -> Site:
    return build({"site": "x", "domain": "hub.example.edu", **values}, "x.yaml")


def files(**values: Any) -> dict[str, Any]:
    """Path → what is in it; under "only", the names that may be in the folder."""
    found: dict[str, Any] = {}
    for each in consumer_files.files(site(**values)):
        if isinstance(each, SecretFile):
            found[each.path] = each.lines
        elif isinstance(each, File):
            found[each.path] = json.loads(each.content)
        elif isinstance(each, OnlyFiles) and each.path == D:
            found["only"] = each.names
    return found


LTI_ENV = "/etc/jupyterhub/lti.env"
D = "/etc/jupyterhub/consumers.d"
CANVAS = {
    "issuer": "https://canvas.instructure.com",
    "client_ids": ["1"],
    "authorize_url": "https://sso.canvaslms.com/api/lti/authorize_redirect",
    "jwks_url": "https://sso.canvaslms.com/api/lti/security/jwks",
    "prefix": "",
}


def test_the_default_consumer_in_each_version() -> None:
    assert files() == {LTI_ENV: (), "only": ()}
    assert files(lti_version="both", lti_client_ids=["1"]) == {
        LTI_ENV: (), f"{D}/default.json": CANVAS, "only": ("default.json",)
    }  # fmt: skip
    assert files(lti_version="1.3", lti_client_ids=["1"]) == {f"{D}/default.json": CANVAS, "only": ("default.json",)}
    # before Canvas has given a client id, nobody can be let in by LTI 1.3
    assert files(lti_version="1.3") == {"only": ()}


def test_platforms() -> None:
    beta = files(lti_version="1.3", lti_client_ids=["1"], lti_platform="beta")[f"{D}/default.json"]
    assert (beta["issuer"], beta["jwks_url"]) == (
        "https://canvas.beta.instructure.com", "https://sso.beta.canvaslms.com/api/lti/security/jwks"
    )  # fmt: skip
    own = files(
        lti_version="1.3", lti_client_ids=["1"], lti_platform="https://canvas.x.edu/", lti_issuer="https://x.edu"
    )
    assert own[f"{D}/default.json"] == CANVAS | {
        "issuer": "https://x.edu",
        "authorize_url": "https://canvas.x.edu/api/lti/authorize_redirect",
        "jwks_url": "https://canvas.x.edu/api/lti/security/jwks",
    }


MOODLE = {"lti_lms": "moodle", "lti_platform": "https://moodle.x.edu/m"}


def test_each_lms_has_its_own_addresses_and_a_canvas_keeps_the_file_that_it_had() -> None:
    of = {"lti_version": "1.3", "lti_client_ids": ["c1"]}
    moodle = files(**of, **MOODLE)[f"{D}/default.json"]
    assert moodle == {
        "lms": "moodle", "username_key": "ext_user_username", "issuer": "https://moodle.x.edu/m", "client_ids": ["c1"], "prefix": "",
        "authorize_url": "https://moodle.x.edu/m/mod/lti/auth.php", "jwks_url": "https://moodle.x.edu/m/mod/lti/certs.php",
    }  # fmt: skip
    board = files(**of, lti_lms="blackboard", lti_deployment_ids=["d1"])[f"{D}/default.json"]
    assert board["issuer"] == "https://blackboard.com" and board["deployment_ids"] == ["d1"]
    assert board["jwks_url"] == "https://developer.blackboard.com/api/v1/management/applications/c1/jwks.json"
    edx = files(**of, lti_lms="openedx", lti_platform="https://edx.x.edu", lti_jwks_url="https://edx.x.edu/k")
    assert edx[f"{D}/default.json"]["authorize_url"] == "https://edx.x.edu/api/lti_consumer/v1/launch/"


def test_each_consumer_names_people_by_its_own_field() -> None:
    """Of a further one of the same LMS it is that of the first; of another LMS, one that it vouches for."""
    mixed = site(
        lti_lms="moodle",
        lti_username_key="ext_user_username",
        consumers=[{"name": "bio"}, {"name": "m", "lms": "moodle"}],
    )
    assert [mixed.username_key(each) for each in mixed.all_consumers] == ["ext_user_username", "lis_person_sourcedid", "ext_user_username"]  # fmt: skip
    found = files(
        lti_username_key="custom_canvas_user_login_id",
        consumers=[
            {"name": "bio"},
            {"name": "chem", "lms": "moodle"},
            {"name": "art", "lms": "sakai", "username_key": "user_id"},
        ],
    )
    assert f"{D}/bio.json" not in found
    assert found[f"{D}/chem.json"] == {"lms": "moodle", "username_key": "ext_user_username", "prefix": "chem"}
    assert found[f"{D}/art.json"]["username_key"] == "user_id"
    assert found[f"{D}/chem.env"] == ("LTI_PREFIX=chem",) and "chem.json" in found["only"]


def test_an_lms_that_registers_the_hub_is_awaited_and_what_it_said_stays_as_long(tmp_path: Path) -> None:
    made = site(lti_version="1.3", lti_registration=True, **MOODLE)
    [json_file] = [each for each in consumer_files.files(made) if isinstance(each, File)]
    assert json.loads(json_file.content) == {
        "lms": "moodle", "username_key": "ext_user_username", "issuer": "https://moodle.x.edu/m", "registration": True, "prefix": "",
        "authorize_url": "https://moodle.x.edu/m/mod/lti/auth.php", "jwks_url": "https://moodle.x.edu/m/mod/lti/certs.php",
    }  # fmt: skip
    [kept] = consumer_files.registered(made)
    assert kept == OnlyFiles("/var/lib/jupyterhub/lti_registered", ("default.json",), "jupyterhub")
    # Who has client ids waits for nobody.
    [kept] = consumer_files.registered(site(lti_version="1.3", lti_registration=True, lti_client_ids=["1"], **MOODLE))
    assert isinstance(kept, OnlyFiles) and kept.names == ()


def test_further_consumers_have_their_own_files_and_prefixes() -> None:
    further = [{"name": "bio"}, {"name": "same", "prefix": ""}, {"name": "chem", "lti_version": "1.3", "client_ids": ["1"], "platform": "test"}]  # fmt: skip
    found = files(consumers=further)
    assert found[f"{D}/bio.env"] == ("LTI_PREFIX=bio",)
    assert found[f"{D}/same.env"] == ("LTI_PREFIX=",)
    assert found[f"{D}/chem.json"]["prefix"] == "chem"
    assert found["only"] == ("bio.env", "same.env", "chem.json")


def test_the_hub_reads_what_is_written(tmp_path: Path) -> None:
    """`front.consumers` is the other side: what it takes from these files is what the parameters say."""
    from hubrun_hub.lti import consumers as front

    made = site(
        lti_version="1.3", lti_client_ids=["1", "2"], lti_platform="https://canvas.x.edu", lti_deployment_ids=["d-1"]
    )
    (default,) = [each for each in consumer_files.files(made) if isinstance(each, File)]
    (tmp_path / "default.json").write_text(default.content)
    (found,), problems = front.read(tmp_path, None)
    assert not problems and found.platform
    assert found.platform.deployment_ids == ("d-1",)
    assert (found.name, found.prefix, found.key, found.platform.client_ids) == ("default", "", "", ("1", "2"))
    assert found.platform.issuer == "https://canvas.x.edu"


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"consumers": [{"name": "Bio"}]}, "consumers[0].name is 'Bio': must be 1 to 12 of a-z and 0-9"),
        ({"consumers": [{"name": "default"}]}, "consumers[0].name is 'default'"),
        ({"consumers": [{"name": "hubruntest"}]}, "consumers[0].name is 'hubruntest'"),
        ({"consumers": ["bio"]}, "consumers[0] is 'bio': must be a mapping, such as {name: bio}"),
        ({"consumers": [{"nam": "bio"}]}, "consumers[0].name is missing; consumers[0].nam: there is no such setting"),
        ({"consumers": [{"name": "bio"}, {"name": "bio"}]}, "consumers: bio is there twice"),
        ({"consumers": [{"name": "bio", "platform": "http://canvas.x.edu"}]}, "consumers[0].platform is"),
        ({"lti_platform": "canvas.x.edu"}, "lti_platform is 'canvas.x.edu': must be production, beta, test, or https://"),
        ({"lti_jwks_url": "http://x.edu/keys"}, "lti_jwks_url is 'http://x.edu/keys': must be an https address"),
        ({"lti_version": 1.2}, "lti_version is 1.2"),
        ({"lti_lms": "ilias"}, "lti_lms is 'ilias'"),
        ({"lti_platform": "https://canvas.x.edu/c"}, "lti_platform: https://… of your own Canvas has no path"),
        ({"lti_version": "1.3", "lti_lms": "moodle", "lti_client_ids": ["1"]}, "lti_platform must say where your Moodle is"),
        ({"lti_version": "1.3", "lti_lms": "moodle", "lti_registration": True}, "lti_platform must say where your Moodle is"),
        (
            {"consumers": [{"name": "b", "lms": "openedx", "lti_version": "1.3", "client_ids": ["1"], "platform": "https://x.edu"}]},
            "jwks_url of consumer b is needed: Open edX shows it",
        ),
        ({"lti_version": "1.3", "lti_lms": "blackboard", "lti_client_ids": ["1"]}, "lti_deployment_ids is needed"),
        ({"lti_version": "1.3", "lti_lms": "blackboard", "lti_registration": True}, "Blackboard cannot register the hub by itself; set lti_client_ids"),
        ({"lti_lms": "moodle", "lti_platform": "https://m.x.edu", "lti_registration": True}, "lti_registration is for LTI 1.3: set lti_version to '1.3'"),
        ({"consumers": [{"name": "b", "registration": True}]}, "registration of consumer b is for LTI 1.3: set lti_version of consumer b"),
        ({"admin_users": [" "]}, "must be hub users, or what the LMS says of people; nobody can ever launch as ' '"),
        ({"consumers": [{"name": "b", "username_key": "No"}]}, "consumers[0].username_key is 'No'"),
        ({"lti_lms": "moodle", "canvas_url": "https://c.x.edu", "canvas_token_env": "T", "canvas_course": "1"}, "canvas_url is for Canvas"),
        (
            {"lti_version": "1.3", "lti_client_ids": ["1"], "consumers": [{"name": "b", "lti_version": "1.3", "client_ids": ["1"]}]},
            "client id 1 of https://canvas.instructure.com is there twice",
        ),
        ({"canvas_url": "https://canvas.x.edu"}, "canvas_url needs canvas_token_env or canvas_token_file"),
        ({"canvas_url": "https://canvas.x.edu", "canvas_token_env": "T"}, "canvas_url needs canvas_course or canvas_account"),
        ({"canvas_module": "Week 1"}, "canvas_module needs canvas_course"),
        ({"git_links": [{"repo": "https://x.edu/a.git"}], "nbgitpuller": False}, "git_links need nbgitpuller: true"),
    ],
)  # fmt: skip
def test_bad_parameters_are_one_clear_error(values: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput) as refused:
        site(**values)
    assert says in str(refused.value)


# -- the keys of an LMS ---------------------------------------------------------------------------------------------------


def test_the_keys_of_each_lms_that_may_launch_by_lti_1_3_are_fetched_as_the_hubs_account() -> None:
    moodle = {
        "name": "moodle",
        "lti_version": "1.3",
        "client_ids": ["7"],
        "jwks_url": "https://moodle.example.edu/keys",
    }
    waiting = {"name": "waiting", "lti_version": "1.3"}
    found = consumer_files.key_tests(
        site(lti_version="both", lti_client_ids=["1"], consumers=[moodle, waiting, {"name": "bio"}], hub_user="hub")
    )
    assert [test.title.partition(":")[0] for test in found] == ["default", "moodle"]
    assert found[0].script.startswith("cd / && runuser -u hub -- ")
    assert [test.script.rpartition(" fetch_keys ")[2].strip() for test in found] == [
        CANVAS["jwks_url"],
        moodle["jwks_url"],
    ]
    inner = consumer_files.key_tests(site(lti_version="1.3", lti_client_ids=["1"], lti_inner_addresses=True))
    assert inner[0].script.endswith(f" {CANVAS['jwks_url']} --inner")
    assert found[0].judge(0, "2 keys for signatures\n").ok and found[0].judge(0, "1 key for signatures").ok
    assert not found[0].judge(1, "https://x/: there is no RSA key for signatures").ok
    assert "lti_inner_addresses: true" in found[0].judge(1, "https://x/: HTTP 404: Not Found").cause


def test_without_lti_1_3_nobodys_keys_are_fetched() -> None:
    assert consumer_files.key_tests(site()) == []
