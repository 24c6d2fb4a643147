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
from hubrun.server_paths import CONSUMERS, DEFAULT_CONSUMER, VENV, program, secret_path
from hubrun.shell import quote
from hubrun_hub.lti.consumers import CLIENT_KEY, CLIENT_SECRET


def files(site: Site) -> list[Resource]:
    """Key and secret of each consumer with LTI 1.1, the platform of each with LTI 1.3, and no consumer besides.

    A consumer that is in the parameters no more is shut out the moment its file goes, and its secret with it.
    """
    wanted: list[Resource] = []
    for consumer in site.all_consumers:
        path = secret_path(consumer.name)
        if consumer.has("1.1"):
            lines = () if consumer.name == DEFAULT_CONSUMER else (f"LTI_PREFIX={consumer.prefix}",)
            wanted.append(SecretFile(path, (CLIENT_KEY, CLIENT_SECRET), config.owner(site), lines))
        if consumer.has("1.3") and consumer.client_ids:
            wanted.append(
                File(f"{CONSUMERS}/{consumer.name}.json", _platform(consumer), 0o640, f"root:{site.hub_user}")
            )
    paths = [each.path for each in wanted if isinstance(each, (SecretFile, File))]
    names = tuple(path.removeprefix(f"{CONSUMERS}/") for path in paths if path.startswith(f"{CONSUMERS}/"))
    return [Directory(CONSUMERS, owner=f"root:{site.hub_user}", mode=0o750), *wanted, OnlyFiles(CONSUMERS, names)]


def key_tests(site: Site) -> list[Test]:
    """Tests that the keys of each LMS with LTI 1.3 can be had, fetched as the hub does: no launch is verified without."""
    return [
        Test(
            f"{consumer.name}: the LMS's keys can be fetched (lti_jwks_url)",
            quote(
                f"cd / && runuser -u {{}} -- {program('fetch_keys', f'{VENV}/bin/python')} {{}} {{}}", site.hub_user,
                consumer.urls().jwks_url, ["--inner"] if site.lti_inner_addresses else [],
            ),
            prints="for signatures$",
            remedy="Correct lti_platform or lti_jwks_url (jwks_url of its entry in consumers), let the server connect to that "
            "address, or add the CA that signs its certificate to ca_certificates; where it is inside your institution, set "
            "lti_inner_addresses: true. Nobody can launch with LTI 1.3 until then",
        )
        for consumer in site.all_consumers
        if consumer.has("1.3") and consumer.client_ids
    ]  # fmt: skip


def _platform(consumer: ConsumerParams) -> str:
    urls = consumer.urls()
    settings = {
        "issuer": urls.issuer,
        "client_ids": consumer.client_ids,
        "authorize_url": urls.authorize_url,
        "jwks_url": urls.jwks_url,
        "prefix": consumer.prefix,
        **({"deployment_ids": consumer.deployment_ids} if consumer.deployment_ids else {}),
    }
    return json.dumps(settings, indent=2) + "\n"
