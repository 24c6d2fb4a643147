"""What earlier runbooks leave on a server, tested before a later one builds on it: who is missing is named."""

from __future__ import annotations

from dataclasses import dataclass

from typing_extensions import override

from hubrun import server_paths
from hubrun.desired.checks import Check, Test
from hubrun.params import Site
from hubrun.resources.system import CertificateAuthorities
from hubrun.shell import quote

_HAS_01 = """
for tool in python3 curl gpg openssl ip; do command -v "$tool" > /dev/null || missing="${missing:-}$tool, "; done
python3 -m ensurepip --version > /dev/null 2>&1 || missing="${missing:-}python3-venv, "
getent passwd {} > /dev/null || missing="${missing:-}the account {}, "
[ -z "${missing:-}" ] || { echo "missing: ${missing%, }"; exit 1; }
echo there
"""
_HAS = """for path in {}; do [ -e "$path" ] || { echo "missing: $path"; exit 1; }; done
echo there"""


@dataclass(frozen=True)
class _Trusted(Test):
    """The site's certificate authorities, which 01 brings, are those that the server trusts."""

    authorities: CertificateAuthorities | None = None

    @override
    def judge(self, exit_code: int, text: str, at: float = 0.0) -> Check:
        assert self.authorities
        left = [action.title for action in self.authorities.plan(text)]
        return Check(self.title, not left, "all of them", ", ".join(left) or "all of them", self.remedy)


def ran_before(site: Site, *runbooks: str) -> list[Test]:
    """Tests that these runbooks ("01_server", …) were run on the server. Raises BadInput where a CA's file cannot be read."""
    tests: list[Test] = []
    for name in runbooks:
        script = (
            quote(_HAS_01, site.hub_user, site.hub_user)
            if name == "01_server"
            else quote(_HAS, server_paths.LEFT[name])
        )
        remedy = f"Run {name} first: --only {name[:2]}, or leave --only and --from away, and all run in their order"
        tests.append(Test(f"{name} was run on this server", script, prints="^there$", remedy=remedy))
    if "01_server" in runbooks and site.ca_certificates:
        authorities = CertificateAuthorities(tuple(site.ca_pems()))
        remedy = "01_server applies ca_certificates: run it first (--only 01)"
        title = "the server trusts ca_certificates"
        tests.append(_Trusted(title, authorities.probe(), remedy=remedy, authorities=authorities))
    return tests
