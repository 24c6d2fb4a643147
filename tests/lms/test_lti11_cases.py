"""The launch matrix of 06_verify: a hub that accepts what it must refuse, in whichever way, makes it fail.

LTI 1.1 is tried on the front door's own code behind TLS, both versions on a real JupyterHub in test_lms_hub.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import pytest
from test_launch_local import Hub, make_certificates, stand_in
from test_lti11 import KEY, SECRET

from hubrun.errors import BadInput
from hubrun.lms import lti11_cases, lti13_cases, temporary_consumer
from hubrun.lms.browser import Launch
from hubrun.lms.lti11 import LAUNCH_PATH, LaunchRequest, canvas_launch
from hubrun.lms.platform13 import CLAIM, Key, Lms, Person
from hubrun.params import Site
from hubrun.params.nodes import Node
from hubrun.sections.verify import test_users
from hubrun_hub.lti import consumers
from hubrun_hub.lti.consumers import Consumer
from hubrun_hub.lti.refusals import Reason
from hubrun_hub.programs import sign_launch

NAME_KEY = "lis_person_sourcedid"
BIO = Consumer("bio", "bio", "the-key-of-bio", "the-secret-of-bio")
SECRETS = {"": (KEY, SECRET), "bio.env": (BIO.key, BIO.secret)}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def hub(certificates: tuple[Path, Path, str], tmp_path: Path) -> Iterator[Hub]:
    with stand_in(certificates, tmp_path) as hub:
        yield hub


def sign_all(launches: Sequence[LaunchRequest]) -> list[dict[str, str]]:
    return [sign_launch.sign(asdict(launch), *SECRETS[launch.env_file]) for launch in launches]


def cases(hub: Hub) -> list[lti11_cases.Case]:
    url = hub.url + LAUNCH_PATH
    form = canvas_launch(url, username="hubruntest3", user_id="hubruntest2", course="")
    return lti11_cases.cases(url, form, NAME_KEY, "hubruntest3", "")


def test_the_front_door_does_as_each_case_of_lti_1_1_says(hub: Hub) -> None:
    checks = lti11_cases.check(hub.route, cases(hub), sign_all)
    assert [check for check in checks if not check.ok] == []
    assert len(checks) == 19
    assert [check.name for check in checks if "login cookie, hubruntest3" in check.expected] == [
        "LTI 1.1: good",
        "LTI 1.1: good, 150 s old",
        "LTI 1.1: good, 9 minutes old",
        "LTI 1.1: good, with a forged X-Forwarded-Host and -Proto",
    ]


@pytest.mark.parametrize(
    "reasons",
    [
        {Reason.UNTRUSTED},
        {Reason.EXPIRED, Reason.CLOCK},
        {Reason.REPLAYED},
        {Reason.NO_NAME, Reason.BAD_LINK},
        {Reason.MALFORMED},
    ],
    ids=lambda reasons: " ".join(sorted(each.value for each in reasons)),
)
def test_a_hub_that_forgets_a_refusal_fails_just_these_cases(hub: Hub, reasons: set[Reason]) -> None:
    hub.overlooks = reasons
    checks = lti11_cases.check(hub.route, cases(hub), sign_all)
    failed = [check for check in checks if not check.ok]
    forgotten = [check for check in checks if any(f"({each.value})" in check.expected for each in reasons)]
    assert failed == forgotten and len({check.expected for check in failed}) == len(reasons)
    assert all("LaunchAuthenticator" in check.cause for check in failed)
    assert all(check.came == "302, login cookie, hubruntest3" for check in failed)


def test_a_hub_that_refuses_for_another_reason_or_sends_people_elsewhere_fails(hub: Hub) -> None:
    hub.admits = False
    assert not [check for check in lti11_cases.check(hub.route, cases(hub), sign_all) if check.ok]
    hub.admits, hub.sends_to = True, "https://elsewhere.example/"
    good = [check for check in lti11_cases.check(hub.route, cases(hub), sign_all) if ": good" in check.name]
    assert [check.came for check in good] == ["302, login cookie, hubruntest3, to https://elsewhere.example/"] * 4
    assert not [check for check in good if check.ok or "another site" not in check.cause]


def test_each_consumers_good_launch_must_get_its_own_prefix(hub: Hub) -> None:
    url = hub.url + LAUNCH_PATH
    request = LaunchRequest(url, canvas_launch(url, username="hubruntest3", user_id="x"), env_file="bio.env")
    case = lti11_cases.Case("good, of consumer bio", request, lti11_cases.Wanted(user="bio__hubruntest3"))
    hub.consumers.append(BIO)
    assert lti11_cases.check(hub.route, [case], sign_all)[0].ok
    hub.consumers[1] = Consumer("bio", "", BIO.key, BIO.secret)
    [wrong] = lti11_cases.check(hub.route, [case], sign_all)
    assert not wrong.ok and wrong.came.startswith("302, login cookie, hubruntest3") and "prefix" in wrong.cause


def test_a_hub_that_believes_every_token_fails_all_of_lti_1_3_but_the_good_ones(hub: Hub) -> None:
    hub.overlooks = set(Reason)
    lms = Lms(f"{hub.url}/hub/", "https://lms.invalid", "id", Key("k"))
    checks = lti13_cases.check(
        hub.route, lms, lti13_cases.cases(lms, "hubruntest3", "hubruntest3"), Person("hubruntest3")
    )
    assert [check.name for check in checks if check.ok] == ["LTI 1.3: good"]
    assert len(checks) == 14


@pytest.mark.parametrize(
    ("wanted", "launch", "ok"),
    [
        (lti11_cases.Wanted(user="ada"), Launch(302, True, "ada", "/hub/", ""), True),
        (lti11_cases.Wanted(user="ada"), Launch(302, True, "ada", "/user/ada/lab", ""), True),
        (lti11_cases.Wanted(user="ada"), Launch(302, True, "bio__ada", "/hub/", ""), False),
        (lti11_cases.Wanted(user="ada"), Launch(302, False, "", "/hub/", ""), False),
        (lti11_cases.Wanted(user="ada"), Launch(302, True, "ada", "//elsewhere.example", ""), False),
        (lti11_cases.EXPIRED, Launch(401, False, "", "", "", "expired"), True),
        (lti11_cases.EXPIRED, Launch(401, True, "ada", "", "", "expired"), False),
        (lti11_cases.EXPIRED, Launch(401, False, "", "", "", "not-trusted"), False),
        (lti11_cases.EXPIRED, Launch(400, False, "", "", "", "expired"), False),
        (lti11_cases.EXPIRED, Launch(502, False, "", "", "Bad Gateway"), False),
    ],
)
def test_status_reason_cookie_and_user_all_count(wanted: lti11_cases.Wanted, launch: Launch, ok: bool) -> None:
    check = lti11_cases.judge("launch", wanted, launch)
    assert check.ok == ok
    assert bool(check.cause) != ok


# -- what the LMS says ----------------------------------------------------------------------------------------------


def test_a_person_is_named_in_one_claim_and_in_no_other() -> None:
    said = {
        key: Person("Ada", key).claims()
        for key in ("lis_person_sourcedid", "lis_person_contact_email_primary", "user_id", "custom_netid")
    }
    assert said["lis_person_sourcedid"][f"{CLAIM}lis"] == {"person_sourcedid": "Ada"}
    assert said["lis_person_contact_email_primary"]["email"] == "Ada"
    assert said["user_id"]["sub"] == "Ada"
    assert said["custom_netid"][f"{CLAIM}custom"] == {"netid": "Ada"}
    assert [claims.pop("sub") for claims in said.values()] == ["hubrun-Ada", "hubrun-Ada", "Ada", "hubrun-Ada"]
    assert [json.dumps(claims).count("Ada") for claims in said.values()] == [1, 1, 0, 1]
    assert Person("Ada", id="theirs").claims()["sub"] == "theirs"
    assert "null" not in json.dumps(Person(None).claims()) and "sub" not in Person(None).claims()
    with pytest.raises(BadInput, match="lis_person_sourced_id"):
        Person("Ada", "lis_person_sourced_id").claims()
    with pytest.raises(BadInput, match="Student"):
        Person("Ada", role="Student").claims()


def test_a_course_has_the_same_id_in_both_versions() -> None:
    claims = Person("ada", course="BIO 101").claims()
    form = canvas_launch("https://hub.example.edu/x", username="ada", user_id="1", course="BIO 101")
    assert claims[f"{CLAIM}context"]["id"] == form["context_id"]
    assert f"{CLAIM}context" not in Person("ada").claims()


# -- the LMS on the server ------------------------------------------------------------------------------------------


def test_the_consumer_of_the_check_can_only_name_people_of_its_own() -> None:
    settings = json.loads(temporary_consumer.consumer("hubruntest", "id", [Key("k").jwk], "http://127.0.0.1/authorize"))
    assert settings["prefix"] == "hubruntest"
    assert settings["issuer"].endswith(".invalid")
    assert [set(key) for key in settings["jwks"]["keys"]] == [{"kty", "use", "alg", "kid", "n", "e"}]


@pytest.mark.slow
def test_the_consumer_of_the_check_is_there_at_once_and_shut_out_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, new = tmp_path / "hubruntest.json", tmp_path / ".hubruntest.new"
    for name, value in (("CONSUMERS", tmp_path), ("FILE", file), ("_NEW", new)):
        monkeypatch.setattr(temporary_consumer, name, str(value))
    script = temporary_consumer.start_script(2).replace("-o root -g", "-g")
    text = temporary_consumer.consumer("hubruntest", "id", [Key("k").jwk], "http://127.0.0.1/authorize")
    said = subprocess.run(["sh", "-c", script], input=text, text=True, capture_output=True, check=True)
    assert abs(float(said.stdout) - time.time()) < 2
    assert (file.stat().st_mode & 0o777, new.exists()) == (0o640, False)
    found, problems = consumers.read(tmp_path, None)
    assert [(each.name, each.prefix) for each in found] == [("hubruntest", "hubruntest")] and problems == []
    time.sleep(2.1)
    found, problems = consumers.read(tmp_path, None)
    assert found == [] and problems == [f"LTI consumer hubruntest is shut out: {file} expired"]
    subprocess.run(["sh", "-c", temporary_consumer.stop_script()], check=True)
    assert list(tmp_path.iterdir()) == []


def test_the_private_key_is_in_no_text_that_leaves_this_process() -> None:
    key = Key("k")
    assert set(key.jwk) == {"kty", "use", "alg", "kid", "n", "e"}
    assert "RSAPrivateKey" not in repr(Lms("https://hub.example.edu/hub/", "i", "c", key))


# -- the test users -------------------------------------------------------------------------------------------------

SITE = Site(site="bio", domain="hub.example.edu", consumers=[{"name": "bio"}, {"name": "same", "prefix": ""}])  # type: ignore[list-item]


def test_each_consumers_test_users_are_removed_with_containers_and_volumes() -> None:
    assert test_users.names(SITE) == [
        "hubruntest1", "hubruntest2", "hubruntest3",
        "bio__hubruntest1", "bio__hubruntest2", "bio__hubruntest3",
        "hubruntest__hubruntest1", "hubruntest__hubruntest2", "hubruntest__hubruntest3",
    ]  # fmt: skip
    assert test_users.container("bio__ada-1.x") == ["--filter", "volume=jupyterhub-user-bio-5f-5fada-2d1-2ex"]
    script = test_users.remove_script(SITE)
    assert "jupyterhub-user-bio-5f-5fhubruntest3" in script
    assert temporary_consumer.stop_script() in script
    assert subprocess.run(["sh", "-n"], input=script, text=True, check=False).returncode == 0


def test_test_users_on_nodes_are_found_by_their_label(tmp_path: Path) -> None:
    """docker(1) is played: on each engine a test user's container, and that of somebody whose name begins like theirs."""
    docker = tmp_path / "docker"
    docker.write_text(
        '#!/bin/sh\nnode=${DOCKER_HOST%/*}; node=${node##*/}\necho "$node $*" >> asked\n'
        '[ "$1" = ps ] && printf "%s\\n" "1$node hubruntest1" "2$node hubruntest11"\n'
        '[ "$1" = inspect ] && echo "address of $4"\ntrue\n'
    )
    docker.chmod(0o755)
    site = SITE.model_copy(update={"nodes": [Node(host="n1.example.edu"), Node(host="n2.example.edu")]})
    script = test_users.address_script(site, "hubruntest1")
    path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, env=path, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == ["address of 1", "address of 1n1", "address of 1n2", ""]
    removes = test_users.remove_script(site)
    assert subprocess.run(["sh", "-n"], input=removes, text=True, check=False).returncode == 0
    assert removes.count("xargs -r docker rm -f -v") == 3 and "container on n2 " in removes
