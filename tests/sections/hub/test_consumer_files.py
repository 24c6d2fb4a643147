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
        ({"lti_version": 1.3}, "lti_version is 1.3"),
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
