"""The consumers of a site, LMSs and courses, as files on the server that the hub reads at each launch."""

from __future__ import annotations

import json

from hubrun.desired.checks import Test
from hubrun.desired.resource import Resource
from hubrun.params import Site
from hubrun.params.consumers import ConsumerParams
from hubrun.resources.files import Directory, File, OnlyFiles
from hubrun.resources.secret_file import SecretFile
from hubrun.sections.hub import config
from hubrun.server_paths import CONSUMERS, DEFAULT_CONSUMER, REGISTERED, VENV, program, secret_path
from hubrun.shell import quote
from hubrun_hub.lti.consumers import CLIENT_KEY, CLIENT_SECRET

_INTO_LMS = "nobody can launch until the LMS has them (05 says how)"


def files(site: Site) -> list[Resource]:
    """Key and secret of each consumer with LTI 1.1, the platform of each with LTI 1.3, and no consumer besides.

    A consumer that is in the parameters no more is shut out the moment its file goes, and its secret with it.
    """
    wanted: list[Resource] = []
    for consumer in site.all_consumers:
        path = secret_path(consumer.name)
        if consumer.has("1.1"):
            lines = () if consumer.name == DEFAULT_CONSUMER else (f"LTI_PREFIX={consumer.prefix}",)
            wanted.append(SecretFile(path, (CLIENT_KEY, CLIENT_SECRET), config.owner(site), lines, _INTO_LMS))
        settings = {**_ways(site, consumer), **_platform(consumer)}
        if settings:
            text = json.dumps({**settings, "prefix": consumer.prefix, **_deployments(consumer)}, indent=2) + "\n"
            wanted.append(File(f"{CONSUMERS}/{consumer.name}.json", text, 0o640, f"root:{site.hub_user}"))
    paths = [each.path for each in wanted if isinstance(each, (SecretFile, File))]
    names = tuple(path.removeprefix(f"{CONSUMERS}/") for path in paths if path.startswith(f"{CONSUMERS}/"))
    return [
        Directory(CONSUMERS, owner=f"root:{site.hub_user}", mode=0o750),
        *wanted,
        OnlyFiles(CONSUMERS, names),
        *registered(site),
    ]


def key_tests(site: Site) -> list[Test]:
    """Tests that the keys of each LMS with LTI 1.3 can be had, fetched as the hub does: no launch is verified without."""
    return [
        Test(
            f"{consumer.name}: the LMS's keys can be fetched (lti_jwks_url)",
            quote(
                f"cd / && runuser -u {{}} -- env {{}} {program('fetch_keys', f'{VENV}/bin/python')} {{}} {{}}", site.hub_user,
                [f"{name}={value}" for name, value in config.outbound(site).items()],
                consumer.urls().jwks_url, ["--inner"] if site.lti_inner_addresses else [],
            ),
            prints="for signatures$",
            remedy="Correct lti_platform or lti_jwks_url (jwks_url of its entry in consumers), let the server connect to that "
            "address, or add the CA that signs its certificate to ca_certificates; where it is inside your institution, set "
            "lti_inner_addresses: true. Nobody can launch with LTI 1.3 until then",
        )
        for consumer in site.all_consumers
        if consumer.has("1.3") and (consumer.client_ids or consumer.awaits_registration)
    ]  # fmt: skip


def registered(site: Site) -> list[Resource]:
    """What LMSs said when they registered the hub stays only for a consumer that may be registered."""
    names = tuple(f"{each.name}.json" for each in site.all_consumers if each.awaits_registration)
    return [OnlyFiles(REGISTERED, names, site.hub_user)]


def _ways(site: Site, consumer: ConsumerParams) -> dict[str, object]:
    """What is not Canvas's way, or not the hub's: which LMS it is, and by which field its people are named."""
    lms = {"lms": consumer.lms} if consumer.lms != "canvas" else {}
    key = site.username_key(consumer)
    return {**lms, **({"username_key": key} if key != site.lti_username_key else {})}


def _platform(consumer: ConsumerParams) -> dict[str, object]:
    if not consumer.has("1.3") or not (consumer.client_ids or consumer.awaits_registration):
        return {}
    urls = consumer.urls()
    return {
        "issuer": urls.issuer,
        **({"client_ids": consumer.client_ids} if consumer.client_ids else {"registration": True}),
        "authorize_url": urls.authorize_url,
        "jwks_url": urls.jwks_url,
        **({"token_url": consumer.token_url} if consumer.token_url else {}),
    }


def _deployments(consumer: ConsumerParams) -> dict[str, object]:
    known = consumer.has("1.3") and consumer.client_ids and consumer.deployment_ids
    return {"deployment_ids": consumer.deployment_ids} if known else {}
