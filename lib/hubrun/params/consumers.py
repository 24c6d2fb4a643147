"""Parameters that are lists of mappings: further consumers, and links to files in git repositories."""

from __future__ import annotations

import re
from typing import Annotated, Literal, get_args, get_origin
from urllib.parse import unquote, urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.fields import FieldInfo

from hubrun.params import text_kinds as kinds
from hubrun_hub.lti.consumers import USERNAME_KEY
from hubrun_hub.lti.people import KEYS
from hubrun_hub.lti.presets import CANVASES, PRESETS, Preset, Urls
from hubrun_hub.lti.registration import NEEDED

LtiVersion = Literal["1.1", "1.3", "both"]
Lms = Literal["canvas", "moodle", "openedx", "sakai", "blackboard", "brightspace"]
# Names that have a meaning of their own: the consumer of the flat parameters, and the one with which 06_verify and
# ./hubrun launch play an LMS.
RESERVED = ("default", "hubruntest")
NAME = re.compile(r"[a-z0-9]{1,12}")
Given = Field(min_length=1)  # an entry of a list says something


def check_platform(value: str) -> str:
    """`value` when it is a platform. Raises ValueError."""
    if value not in CANVASES and not (kinds.is_https(value) and not re.search("[?#]", value)):
        raise ValueError(f"{', '.join(CANVASES)}, or https://… of your own LMS")
    return value


class AsYamlReads(BaseModel):
    """A model whose enumerations take what YAML 1.1 makes of their words: false of `off`, a number of `1.3`."""

    @model_validator(mode="before")
    @classmethod
    def _meant(cls, values: object) -> object:
        if not isinstance(values, dict):
            return values
        return {name: _meant(cls.model_fields.get(name), value) for name, value in values.items()}


def _meant(field: FieldInfo | None, value: object) -> object:
    if field is None or get_origin(field.annotation) is not Literal or isinstance(value, str):
        return value
    words = {
        word
        for word in get_args(field.annotation)
        if type(read := yaml.safe_load(word)) is type(value) and read == value
    }
    return words.pop() if words else value


class _Entry(AsYamlReads):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class ConsumerParams(_Entry):
    """One LMS or course that may launch, with its own key. `prefix` stands before the names of its people.

    `username_key` is the field by which they are named, "" for the best one of their LMS. `registration`: the LMS registers
    the hub by itself, with a link that 05 makes (LTI Dynamic Registration), which gives the client id.
    """

    name: str
    lms: Lms = "canvas"
    lti_version: LtiVersion = "1.1"
    username_key: str = ""
    prefix: str = ""
    platform: str = "production"
    registration: bool = False
    client_ids: list[Annotated[kinds.Id, Given]] = []
    deployment_ids: list[Annotated[kinds.Id, Given]] = []
    issuer: kinds.Https = ""
    authorize_url: kinds.Https = ""
    token_url: kinds.Https = ""
    jwks_url: kinds.Https = ""

    @model_validator(mode="before")
    @classmethod
    def _own_prefix(cls, values: object) -> object:
        # Its own for life; "" must be asked for: it says that these are the default's people.
        if isinstance(values, dict) and "prefix" not in values and isinstance(values.get("name"), str):
            return {**values, "prefix": values["name"]}
        return values

    @field_validator("platform")
    @classmethod
    def _platform(cls, value: str) -> str:
        return check_platform(value)

    @field_validator("username_key")
    @classmethod
    def _username_key(cls, value: str) -> str:
        if value and not USERNAME_KEY.fullmatch(value):
            raise ValueError("the name of a launch field, such as lis_person_sourcedid, or empty")
        return value

    @field_validator("prefix")
    @classmethod
    def _prefix(cls, value: str) -> str:
        if value and not NAME.fullmatch(value):
            raise ValueError("1 to 12 of a-z and 0-9, or empty")
        return value

    def has(self, version: Literal["1.1", "1.3"]) -> bool:
        """Whether it launches with this version of LTI."""
        return self.lti_version in (version, "both")

    @property
    def preset(self) -> Preset:
        """The ways of its LMS."""
        return PRESETS[self.lms]

    @property
    def awaits_registration(self) -> bool:
        """Whether an administrator of the LMS registers the hub; what is in the parameters needs no registration."""
        return self.registration and self.has("1.3") and not self.client_ids

    def urls(self) -> Urls:
        """The platform's addresses; what is given by itself wins."""
        if self.lms == "canvas" and self.platform in CANVASES:
            known = CANVASES[self.platform]
        else:
            # Canvas documentation, "LTI Launch Overview": a self-hosted Canvas names itself. So do others.
            host = "" if self.platform in CANVASES else self.platform
            known = self.preset.urls(host, self.client_ids[0] if len(self.client_ids) == 1 else "")
        return Urls(
            self.issuer or known.issuer, self.authorize_url or known.authorize_url, self.jwks_url or known.jwks_url
        )

    def check(self) -> None:
        """Raise ValueError for what does not go together. It names a parameter as the operator wrote it."""

        def parameter(name: str) -> str:
            return f"lti_{name.removeprefix('lti_')}" if self.name == "default" else f"{name} of consumer {self.name}"

        title, own = self.preset.title, self.platform not in CANVASES
        known = NEEDED if self.lms == "canvas" else KEYS
        if (
            self.username_key
            and self.username_key not in known
            and not self.username_key.startswith(("custom_", "ext_"))
        ):
            raise ValueError(
                f"{parameter('username_key')}: {title} sends no field {self.username_key} that says who somebody is: one of "
                f"{', '.join(known)}, or custom_NAME for a custom field NAME of the tool there (see 02)"
            )
        if self.lms == "canvas" and own and urlsplit(self.platform).path.strip("/"):
            raise ValueError(f"{parameter('platform')}: https://… of your own Canvas has no path")
        if self.registration and not self.has("1.3"):
            wanted = parameter("lti_version")
            raise ValueError(f"{parameter('registration')} is for LTI 1.3: set {wanted} to '1.3' or both")
        if not self.has("1.3") or not (self.client_ids or self.registration):
            return
        if self.registration and not self.preset.registers:
            ids = parameter("client_ids")
            raise ValueError(f"{parameter('registration')}: {title} cannot register the hub by itself; set {ids}")
        urls = self.urls()
        if not urls.issuer or not urls.authorize_url:
            raise ValueError(f"{parameter('platform')} must say where your {title} is: https://…")
        if not urls.jwks_url:
            raise ValueError(f"{parameter('jwks_url')} is needed: {title} shows it beside the client id")
        if self.preset.shared and self.client_ids and not self.deployment_ids:
            raise ValueError(
                f"{parameter('deployment_ids')} is needed: {title}'s issuer and client id are those of every institution"
            )


class FurtherConsumer(ConsumerParams):
    """A consumer besides the default one."""

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        if not NAME.fullmatch(value) or value in RESERVED:
            raise ValueError(f"1 to 12 of a-z and 0-9, and neither {' nor '.join(RESERVED)}")
        return value


class GitLinkParams(_Entry):
    """A link that pulls a repository into the student's home and opens a file of it. folder: "" for the repository's name."""

    repo: Annotated[kinds.Repository, Given]
    branch: kinds.Branch = ""
    path: kinds.RepositoryPath = ""
    folder: kinds.Folder = ""


def repository_name(repo: str) -> str:
    """The folder that a repository is cloned into: its name, as git clone has it."""
    return unquote(urlsplit(repo).path.rstrip("/").rpartition("/")[2].removesuffix(".git"))


def check_git_links(links: list[GitLinkParams]) -> None:
    """Raise ValueError when two links would pull different things into one folder of the student's files."""
    pulled: dict[str, tuple[str, str]] = {}
    for link in links:
        folder, repo = link.folder or repository_name(link.repo), link.repo.rstrip("/").removesuffix(".git")
        # A file system may take two names that differ in case for one.
        other, branch = pulled.setdefault(folder.lower(), (repo, link.branch))
        if other != repo or (branch and link.branch and branch != link.branch):
            names = " and ".join(
                f"{name} (branch {of})" if of else name for name, of in ((other, branch), (repo, link.branch))
            )
            raise ValueError(f"git_links: {names} go into the same folder, {folder}: give one of them another `folder`")
        pulled[folder.lower()] = (repo, branch or link.branch)


def check_consumers(consumers: list[ConsumerParams]) -> None:
    """Raise ValueError when a consumer is not complete, or two cannot be told apart."""
    for consumer in consumers:
        consumer.check()
    names: set[str] = set()
    keys: set[tuple[str, str]] = set()
    for consumer in consumers:
        if consumer.name in names:
            raise ValueError(f"consumers: {consumer.name} is there twice")
        names.add(consumer.name)
        for client_id in consumer.client_ids if consumer.has("1.3") else ():
            key = (consumer.urls().issuer, client_id)
            if key in keys:
                raise ValueError(f"consumers: client id {client_id} of {key[0]} is there twice")
            keys.add(key)
