"""Parameters that are lists of mappings: further consumers, and links to files in git repositories."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from hubrun.params import text_kinds as kinds

LtiVersion = Literal["1.1", "1.3", "both"]
# Names that have a meaning of their own: the consumer of the flat parameters, and the one with which 06_verify and
# ./hubrun launch play an LMS.
RESERVED = ("default", "hubruntest")
NAME = re.compile(r"[a-z0-9]{1,12}")
Given = Field(min_length=1)  # an entry of a list says something


@dataclass(frozen=True)
class PlatformUrls:
    """What a hub must know of an LMS for LTI 1.3."""

    issuer: str
    authorize_url: str
    jwks_url: str


def _canvas(issuer: str, host: str) -> PlatformUrls:
    return PlatformUrls(issuer, f"{host}/api/lti/authorize_redirect", f"{host}/api/lti/security/jwks")


# Instructure's own Canvases: Canvas documentation, "LTI Launch Overview" (issuers) and "Configuring LTI Advantage Tools".
PLATFORMS = {
    "production": _canvas("https://canvas.instructure.com", "https://sso.canvaslms.com"),
    "beta": _canvas("https://canvas.beta.instructure.com", "https://sso.beta.canvaslms.com"),
    "test": _canvas("https://canvas.test.instructure.com", "https://sso.test.canvaslms.com"),
}


def check_platform(value: str) -> str:
    """`value` when it is a platform. Raises ValueError."""
    own = kinds.is_https(value) and not urlsplit(value).path.strip("/") and not re.search("[?#]", value)
    if value not in PLATFORMS and not own:
        raise ValueError(f"{', '.join(PLATFORMS)}, or https://… of your own Canvas, without a path")
    return value


class _Entry(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class ConsumerParams(_Entry):
    """One LMS or course that may launch, with its own key. `prefix` stands before the names of its people."""

    name: str
    lti_version: LtiVersion = "1.1"
    prefix: str = ""
    platform: str = "production"
    client_ids: list[Annotated[kinds.Id, Given]] = []
    deployment_ids: list[Annotated[kinds.Id, Given]] = []
    issuer: kinds.Https = ""
    authorize_url: kinds.Https = ""
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

    @field_validator("prefix")
    @classmethod
    def _prefix(cls, value: str) -> str:
        if value and not NAME.fullmatch(value):
            raise ValueError("1 to 12 of a-z and 0-9, or empty")
        return value

    def has(self, version: Literal["1.1", "1.3"]) -> bool:
        """Whether it launches with this version of LTI."""
        return self.lti_version in (version, "both")

    def urls(self) -> PlatformUrls:
        """The platform's addresses; what is given by itself wins."""
        # Canvas documentation, "LTI Launch Overview": a self-hosted Canvas names itself.
        host = self.platform.rstrip("/")
        known = PLATFORMS.get(self.platform) or _canvas(host, host)
        return PlatformUrls(
            self.issuer or known.issuer, self.authorize_url or known.authorize_url, self.jwks_url or known.jwks_url
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
    """A link that pulls a repository into the student's home and opens a file of it."""

    repo: Annotated[kinds.Repository, Given]
    branch: kinds.Branch = ""
    path: kinds.RepositoryPath = ""


def check_unlike(consumers: list[ConsumerParams]) -> None:
    """Raise ValueError when two consumers cannot be told apart."""
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
