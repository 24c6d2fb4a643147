"""Nothing that is written into a params file becomes a command, an option, or a line of its own on the server.

Each text parameter and each entry of a list is found in the schema, so that a new one is tried as well.
"""

from __future__ import annotations

import ast
import json
import shlex
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import pytest
import yaml
from pydantic import BaseModel

from hubrun import params
from hubrun.control_characters import CONTROL
from hubrun.desired.resource import Resource
from hubrun.desired.supported_systems import SYSTEMS
from hubrun.errors import BadInput
from hubrun.params import Site
from hubrun.redaction.secret import Secret
from hubrun.resources.apt_source import AptSource
from hubrun.resources.certificate import AcmeCertificate
from hubrun.resources.packages import NoPackages, Packages
from hubrun.resources.removed import Removed
from hubrun.resources.secret_file import GivenSecret
from hubrun.sections.backup import restoring
from hubrun.sections.docker_spawner import docker_setup
from hubrun.sections.https import site_certificate
from hubrun.sections.https.nginx import Nginx, http_tests, https_tests
from hubrun.sections.hub import config, consumer_files
from hubrun.sections.server import accounts, preflight
from hubrun.sections.watch import watch_setup

HOSTILE = {
    "an option": "-oDPkg::Pre-Invoke::=touch /pwned",
    "a long option": "--privileged",
    "a second line": "a\nb",
    "a second line of apt's": "https://mirror.example\nTrusted: yes",
    "a carriage return": "a\rb",
    "a tab": "a\tb",
    "a NUL": "a\0b",
    "an escape sequence": "a\x1b]0;b\x07",
    "a control character of C1": "a\x9bb",
    "a line separator": "a\u2028b",
    "a paragraph separator": "a\u2029b",
    "text that runs backwards": "a\u202eb",
    "a single quote": "a'b",
    "a double quote": 'a"b',
    "a quote that ends and begins": "a';touch /pwned;'b",
    "a command in a host name": "https://$(touch /pwned)/",
    "a command": "$(touch /pwned)",
    "backticks": "`touch /pwned`",
    "a semicolon": "a;touch /pwned",
    "a pipe": "a|b",
    "an ampersand": "a&b",
    "a redirection": "a>/pwned",
    "a variable": "${HOME}",
    "a comment": "a #b",
    "a space": "a b",
    "per cent": "%n%i",
    "a backslash": "a\\",
    "a template": "{{ site.hub_user }}",
    "braces": "a{b}",
    "a star": "*",
    "the folder above": "../../etc/shadow",
    "an address with a login": "root@127.0.0.1",
    "an address with a password": "https://user:pass@example.edu/",
    "a character beyond 16 bits": "a\U0001f600b",
    "full width": "ａ；ｂ",
    "very long": "a" * 10_000,
}

# What is free text, or names something here, and where it goes. Anything else must be refused. Whoever adds a parameter
# gives it a kind of hubrun/params/text_kinds.py; only when none fits, it belongs here and into `everything` below.
FREE = {
    "canvas_tool_name", "courses.course", "canvas_module", "canvas_item_title", "canvas_course", "canvas_account",  # Canvas's forms
    "admin_users",  # Python, as JSON
    "restore_person", "restore_path", "remove_person", "remove_confirm",  # arguments of a command
    "uninstall_confirm", "uninstall_files",  # only what the server's own plan asks for goes on
    "alerts_smtp_user",  # JSON
    "trust_ca_file", "ssh_key_file", "ssh_known_hosts_file", "sudo_password_file", "record_signing_key", "records_mirror",
    "ca_certificates", "admin_ssh_key_file", "acme_ca_file", "acme_dns_file", "acme_eab_hmac_file", "canvas_token_file", "canvas_ca_file",
    "backup_password_file", "backup_credentials_file", "alerts_smtp_password_file", "alerts_webhook_file",
    "courses.requirements_file",  # here
    "git_links.path", "git_links.branch", "git_links.folder",  # percent-encoded
    "acme_eab_kid",  # a line of a file
    "ssh_user",  # SSH's own protocol; a directory service's names hold @ and \\
    "nodes.ssh_user", "nodes.ssh_key_file", "nodes.ssh_known_hosts_file", "nodes.sudo_password_file",  # the same, of nodes
    "lti_client_ids", "lti_deployment_ids", "consumers.client_ids", "consumers.deployment_ids",  # JSON
}  # fmt: skip
COMPANIONS = {
    "site": "example", "domain": "hub.example.edu", "canvas_token_env": "TOKEN", "canvas_course": "101",
    "acme_eab_hmac_env": "HMAC", "tls_certificate": "/a", "tls_key": "/b", "lti_version": "both", "lti_client_ids": ["1"],
    "alerts_smtp_user": "1", "alerts_smtp_password_env": "TOKEN", "alerts_to": ["it@example.edu"], "restore_person": "1", "homes_gb": 20,
}  # fmt: skip


def texts(model: type[BaseModel], before: str = "") -> Iterator[tuple[str, Callable[[str], Any]]]:
    """Each text of the schema: its name, and what makes of a text the value of its top-level parameter."""
    for name, field in model.model_fields.items():
        annotation: Any = field.annotation
        of_list = get_origin(annotation) is list
        if of_list:
            (annotation,) = get_args(annotation)
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        if annotation is str:
            yield before + name, (lambda value: [value]) if of_list else (lambda value: value)
        elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
            for inner, make in texts(annotation, f"{before}{name}."):
                entry = {name: "a" for name, field in annotation.model_fields.items() if field.is_required()}
                key = inner.rpartition(".")[2]
                yield (
                    inner,
                    lambda value, key=key, make=make, entry=entry: [entry | {key: make(value)}],  # type: ignore[misc]
                )


TEXTS = dict(texts(Site))
# A link without its repository is refused for another reason.
REQUIRED = {"git_links.repo": "https://example.edu/a"}


# Not in the file, whose reading takes most of the time here.
OVERRIDES = {name: value if isinstance(value, str) else json.dumps(value) for name, value in COMPANIONS.items()}


def load(file: Path, name: str, value: str) -> Site:
    """The site of a params file whose second line says that `name` is `value`."""
    top = name.partition(".")[0]
    given = TEXTS[name](value)
    if top == "git_links" and name not in REQUIRED:
        given[0]["repo"] = "https://example.edu/a"
    file.write_text("upgrade: none\n" + yaml.safe_dump({top: given}, width=100_000))
    return params.load(file, {key: each for key, each in OVERRIDES.items() if key != top})


def everything(site: Site) -> tuple[dict[str, str], list[str]]:
    """The files that follow from the parameters, by name, and the scripts that are run on the server."""
    files = {
        name: config.render(name, site, program="/usr/local/sbin/program")
        for name in sorted(path.name.removesuffix(".j2") for path in (Path(config.__file__).parent / "templates").iterdir())
        if not name.startswith("nginx")
    }  # fmt: skip
    nginx = Nginx((1, 22, 1), ipv6=True)
    files |= {"http.conf": nginx.http_site(site), "https.conf": nginx.https_site(site)}
    resources: list[Resource] = [
        *(docker_setup.engine(site, system) for system in SYSTEMS.values()).__next__(),
        docker_setup.network(site),
        *restoring.restored(site),
        Removed("person", site.remove_person, site.remove_confirm, "ann"),
        *consumer_files.files(site),
        Packages(*site.extra_packages),
        AcmeCertificate(
            site.domain, site.acme_directory, site.acme_email, False, site.acme_eab_kid, Secret("k", "hmac")
        ),
    ]
    if not site.admin_ssh_key_file:
        resources += accounts.admin(site)
    scripts = [resource.probe() for resource in resources]
    for resource in resources:
        for action in resource.plan(""):
            scripts.append(action.script)
            if action.data:
                files[f"{resource.label}: {action.title}"] = action.data.decode()
    if not (site.alerts_smtp_password_file or site.alerts_webhook_file):
        resources += [each for each in watch_setup.watch(site) if isinstance(each, GivenSecret)]
    tests = [
        restoring.is_there(site),
        *preflight.preflight(site),
        *docker_setup.container_tests(site),
        *http_tests(site),
        *https_tests(site),
    ]
    return files, [*scripts, config.check_command(site), *(test.script for test in tests)]


@cache
def shape(text: str) -> str:
    """A Python text with all constants alike."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant):
            node.value = 0
    return ast.dump(tree)


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HMAC", "k")
    monkeypatch.setenv("TOKEN", "t")


def test_the_walk_finds_what_there_is() -> None:
    assert {"domain", "extra_packages", "consumers.jwks_url", "consumers.client_ids", "git_links.repo"} <= TEXTS.keys()
    assert len(TEXTS) > 50 and TEXTS.keys() >= FREE


@pytest.mark.parametrize("name", TEXTS)
def test_a_hostile_text_is_refused_in_one_line_or_stays_what_it_is(name: str, tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    top = name.partition(".")[0]
    taken: list[tuple[Site, str]] = []
    for what, value in HOSTILE.items():
        try:
            site = load(file, name, value)
        except BadInput as error:
            said = str(error)
            assert said.startswith(f"{file}: {top}") and "(line 2)" in said, (what, said)
            assert said.isprintable() and len(said) < 700 and "pass@" not in said, (what, said)
            continue
        assert name in FREE, f"{name} takes {what}: give it a kind of hubrun/params/text_kinds.py"
        assert not CONTROL.search(value), f"{name} takes {what}"
        taken.append((site, value))
    if taken:
        as_plain, _ = everything(load(file, name, "1"))
        for site, value in taken:
            _is_harmless(site, as_plain, value)


def _is_harmless(site: Site, as_plain: dict[str, str], value: str) -> None:
    files, scripts = everything(site)
    assert files.keys() == as_plain.keys()
    for name, text in files.items():
        if text == as_plain[name]:
            continue
        assert len(text.splitlines()) == len(as_plain[name].splitlines()), name
        if name.endswith(".py"):
            assert shape(text) == shape(as_plain[name]), name
    for script in scripts:
        assert len(value) < 3 or value not in script.replace(shlex.quote(value), ""), script


def test_titles_reach_the_hub_as_they_are() -> None:
    """Each in the Python that the hub reads, with characters that JSON and Python write differently."""
    title = "Prüfung '42' \"neu\" \\ {{ 7 * 7 }} <b> % \U0001f600"
    site = params.build(COMPANIONS | {"canvas_tool_name": title, "admin_users": [title]}, "here")
    tree = ast.parse(config.render("25-lti.py", site))
    constants = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    assert constants.count(title) == 2


# -- what was found: each of these did something as root, or was a traceback --------------------------------------


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"ssh_host": "root@127.0.0.1"}, "ssh_host is 'root@127.0.0.1': must be a host name or an IP address"),
        (
            {"extra_packages": ["-oDPkg::Pre-Invoke::=id"]},
            "extra_packages[0] is '-oDPkg::Pre-Invoke::=id': must be the name",
        ),
        ({"extra_packages": ["vim-"]}, "the name of a Debian package"),
        ({"docker_apt_url": "https://a.example\nTrusted: yes"}, "docker_apt_url is 'https://a.example\\nTrusted: yes'"),
        ({"docker_apt_url": "https://a.example\u2028b"}, "docker_apt_url is 'https://a.example\\u2028b'"),
        ({"acme_directory": "https://$(id)/dir"}, "acme_directory is 'https://$(id)/dir'"),
        ({"base_image": "$(id).example/scipy"}, "base_image is '$(id).example/scipy'"),
        ({"image_name": "Singleuser"}, "in lower case"),
        ({"image_name": "School/singleuser"}, "in lower case"),
        ({"image_name": "REGISTRY.example.edu/singleuser"}, "in lower case"),
        ({"image_name": "singleUser:v1"}, "in lower case"),
        ({"image_name": "scratch"}, "in lower case"),
        ({"base_image": "School/notebook:1"}, "names are in lower case"),
        (
            {"image_name": "school/notebook:1", "base_image": "school/notebook:1"},
            "image_name and base_image must differ",
        ),
        (
            {"image_name": "school/notebook:latest", "base_image": "school/notebook"},
            "image_name and base_image must differ",
        ),
        (
            {"git_links": [{"repo": "https://x.edu/a", "folder": ".jupyter"}]},
            "git_links[0].folder is '.jupyter': must be the name of a folder",
        ),
        ({"git_links": [{"repo": "https://x.edu/a", "folder": "a/b"}]}, "must be the name of a folder"),
        ({"git_links": [{"repo": "https://x.edu/a", "folder": "~"}]}, "must be the name of a folder"),
        ({"base_image": "quay.io/Jupyter/scipy"}, "in lower case"),
        ({"lti_platform": "https://canvas.example.edu\n/"}, "lti_platform is"),
        ({"tls_certificate": '/a"; include /etc/shadow; #'}, "a whole path on the server"),
        ({"tls_certificate": "/srv/$ssl_server_name.pem"}, "a whole path on the server"),
        ({"canvas_course": ".."}, "the number in Canvas's address"),
        ({"git_links": [{"repo": "https://u:secret@example.edu/a"}]}, "git_links[0].repo is 'https://…@example.edu/a'"),
        ({"acme_email": "it@example.edu\nserver = https://evil"}, "an e-mail address"),
    ],
)
def test_what_was_found(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput) as caught:
        params.build(COMPANIONS | changes, "here")
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "value", ["http://me:s3cret@p:3128", "me:s3cret@p:3128", "http://me:an@s3cret@p:3128", "http://me:a/s3cret@p:3128", "http://s3cret@p:3128"]
)  # fmt: skip
def test_a_password_in_an_address_is_not_shown(value: str) -> None:
    with pytest.raises(BadInput, match=r"http_proxy is '.*@p:3128': must be http://HOST:PORT") as caught:
        params.build(COMPANIONS | {"http_proxy": value}, "here")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["? [a]\n: b\n", "1: b\n", "true: b\n", "'a\\nb\\e[2J': c\n", '"a\\nb": c\n', "site: 2026-13-45\n"]
)
def test_a_file_whose_names_are_no_names_is_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(text)
    with pytest.raises(BadInput) as caught:
        params.load(tmp_path / "site.yaml")
    assert str(caught.value).isprintable()


# -- what sites have -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"ssh_host": "127.0.0.1"}, {"ssh_host": "2001:db8::1"}, {"ssh_host": "fe80::1%eth0"}, {"ssh_host": "bio_server"},
        {"ssh_user": "EXAMPLE\\anna"}, {"ssh_user": "anna@example.edu"}, {"admin_users": ["ada", "ada@example.edu", "bio__o.brien"]},
        {"extra_packages": ["g++", "libstdc++6", "python3.11-venv", "r-base"]},
        {"base_image": "registry.practice.localhost:5000/hubrun/notebook:1"}, {"base_image": "Registry.Example.edu/a/b_c--d:V1"},
        {"base_image": "quay.io/jupyter/scipy-notebook@sha256:" + "a" * 64}, {"base_image": "localhost/a"}, {"image_name": "a/b:c"},
        {"image_name": "localhost:5000/hub:V1.2"}, {"base_image": "Registry.example.edu/a:B"}, {"base_image": "REGISTRY:5000/a"},
        {"extra_pip_packages": ["pandas>=2,<3", "a[b]; python_version > '3'", "c @ https://example.edu/c.whl#sha256=ab"]},
        {"docker_apt_url": "http://mirror.example.edu:8080/docker/linux/"}, {"docker_apt_url": "file:///srv/mirror"},
        {"acme_directory": "https://acme.practice.localhost:14000/dir"}, {"acme_directory": "https://[2001:db8::1]:14000/dir"},
        {"acme_eab_kid": "-_aB9"}, {"acme_email": "o'brien+hub@it.example.edu"}, {"lti_client_ids": ["10000000000042", "8af2-ce", "a.b~c"]},
        {"lti_deployment_ids": ["1:4dde05e8ca1973bcca9bffc13e1548820eee93a3", "2f6e-77"]},
        {"canvas_account": "sis_account_id:School of Bio/1"}, {"canvas_course": "10~123"}, {"canvas_account": "self"},
        {"ssh_key_file": "~/my keys/o'brien"}, {"records_mirror": "backup@[2001:db8::1]:records"}, {"record_signing_key": "none"},
        {"tls_certificate": "/etc/ssl/Büro hub/full.pem"}, {"ssh_host_fingerprint": "SHA256:" + "a" * 43},
        {"git_links": [{"repo": "http://git.example.edu/a/b.git", "branch": "week/1", "path": "Übung 1/a'b.ipynb"}]},
    ],
)  # fmt: skip
def test_values_that_sites_have_are_taken(changes: dict[str, Any]) -> None:
    assert changes.items() <= params.build(COMPANIONS | changes, "here").model_dump().items() or "git_links" in changes


# -- behind the schema ---------------------------------------------------------------------------------------------


def test_packages_are_no_options_whatever_they_are_called() -> None:
    for resource in (Packages("-oDPkg::Pre-Invoke::=id"), NoPackages("-oa")):
        assert " -- " in resource.probe()
        for action in resource.plan("-oa installed"):
            words = shlex.split(action.script.splitlines()[-1])
            assert [word for word in words if word.startswith("-oDP") or word == "-oa"] == words[
                words.index("--") + 1 :
            ]


def test_an_apt_source_has_five_lines() -> None:
    with pytest.raises(BadInput, match="control character"):
        _ = AptSource("docker", "https://a\nTrusted: yes", "bookworm", "stable", "https://a/gpg", "A" * 40).content


def test_a_key_id_or_a_key_adds_no_option_of_certbot() -> None:
    for kid, hmac in (("a\ndeploy-hook = id", "k"), ("a", "k\npre-hook = id")):
        with pytest.raises(BadInput):
            AcmeCertificate("hub.example.edu", eab_kid=kid, eab_hmac=Secret(hmac, "hmac")).plan("")


@pytest.mark.parametrize("domain", ["a;b", 'a"b', "a\nb", "$a", "a{b"])
def test_nginx_gets_no_text_that_means_something_to_it(domain: str) -> None:
    site = Site.model_construct(**(COMPANIONS | {"domain": domain, "https_port": 443}))
    with pytest.raises(BadInput):
        Nginx((1, 22, 1), ipv6=True).http_site(site)


def test_a_template_gets_no_second_line() -> None:
    site = params.build(COMPANIONS, "here").model_copy(update={"hub_user": "a\nExecStartPre=/bin/id"})
    with pytest.raises(BadInput, match="control character"):
        config.render("jupyterhub.service", site)


def test_the_paths_of_the_certificate_are_in_the_configuration_as_they_are() -> None:
    site = params.build(COMPANIONS | {"tls": "files", "tls_certificate": "/etc/ssl/Büro hub/a.pem"}, "here")
    assert site_certificate.paths(site)[0] == "/etc/ssl/Büro hub/a.pem"
    assert 'ssl_certificate "/etc/ssl/Büro hub/a.pem";' in Nginx((1, 22, 1), ipv6=True).https_site(site)
