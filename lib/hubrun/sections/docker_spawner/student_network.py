"""What students' containers may reach: rules of nftables, and the units that keep them in force."""

from __future__ import annotations

from hubrun.desired.checks import Test
from hubrun.desired.resource import Resource
from hubrun.params import Site
from hubrun.resources.files import File
from hubrun.resources.firewall import Rules
from hubrun.resources.packages import Packages
from hubrun.resources.services import Service
from hubrun.sections.hub import config
from hubrun.server_paths import NFS_PORT

RULES = "/etc/jupyterhub/student-network.nft"
PROGRAM = "/usr/local/lib/hubrun/student-network"
UNIT = "jupyterhub-network.service"
TIMER = "jupyterhub-network.timer"
NOTICE = "students' servers, also those that run now, reach private networks only if student_networks names them"


def rules(site: Site, files_port: int = NFS_PORT) -> list[Resource]:
    """The rules, in force now, after a reboot, and a minute after something took them away. files_port: at which nodes have
    students' files."""
    return _rules(site, files_port=files_port)


def rules_of_node(site: Site, subnet: str) -> list[Resource]:
    """The rules of a node, whose students' network this is. No exam is there."""
    return _rules(site, node=True, subnet=subnet, exams=False)


def _rules(site: Site, **names: object) -> list[Resource]:
    units = [f"/etc/systemd/system/{name}" for name in (UNIT, TIMER)]
    return [
        Packages("nftables"),
        File(RULES, config.render("student-network.nft", site, **names), check="nft -c -f {}"),
        File(PROGRAM, config.render("student-network.sh", site, **names), mode=0o755),
        *(
            File(path, config.render(name, site, program=PROGRAM), check=f"systemd-analyze verify {path}")
            for path, name in zip(units, (UNIT, TIMER), strict=True)
        ),
        Rules("what students' containers may reach", PROGRAM, UNIT, (RULES,), NOTICE),
        Service(TIMER),
    ]


def tests() -> list[Test]:
    """Tests that the rules are in force."""
    return [
        Test(
            "the rules for students' containers are in force", f"{PROGRAM} state", "^in force$",
            remedy=f"systemctl status {UNIT}; run 04 again: it loads them",
        )
    ]  # fmt: skip
