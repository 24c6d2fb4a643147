"""The consumers of a site, LMSs and courses, as files on the server that the hub reads at each launch."""

from __future__ import annotations

import json

from hubrun.desired.resource import Resource
from hubrun.params import Site
from hubrun.params.consumers import ConsumerParams
from hubrun.resources.files import Directory, File, OnlyFiles
from hubrun.resources.secret_file import SecretFile
from hubrun.sections.hub import config
from hubrun.server_paths import CONSUMERS, DEFAULT_CONSUMER, secret_path
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
