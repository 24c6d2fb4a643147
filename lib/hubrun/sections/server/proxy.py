"""The proxy through which the server reaches the outside, for apt, also where it is run by a timer or by hand."""

from __future__ import annotations

from hubrun.desired.resource import Resource
from hubrun.params import Site
from hubrun.resources.files import Absent, File
from hubrun.resources.unit_environment import UnitEnvironment

# apt.conf(5); what is reached without, apt takes from no_proxy (methods/http.cc): in units and in what runbooks run.
APT_CONF = "/etc/apt/apt.conf.d/90hubrun-proxy"
_UNITS = ("apt-daily.service", "apt-daily-upgrade.service")


def apt(site: Site) -> list[Resource]:
    """apt's own setting, and its units' environment; without `http_proxy` ours are gone, and yours stay."""
    text = "// Written by hubrun (runbook 01_server): changes here are put back.\n"
    text += "".join(f'Acquire::{kind}::Proxy "{site.http_proxy.rstrip("/")}";\n' for kind in ("http", "https"))
    setting = File(APT_CONF, text, check="apt-config dump > /dev/null") if site.http_proxy else Absent(APT_CONF)
    return [setting, UnitEnvironment("proxy", _UNITS, site.proxy_environment)]
