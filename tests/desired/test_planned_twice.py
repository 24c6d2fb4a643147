"""A plan in which an earlier step is to do what a later one would."""

from __future__ import annotations

import pytest

from hubrun.desired.resource import Result
from hubrun.desired.server import _done, _stays_done
from hubrun.resources.services import Service

NGINX = Service("nginx", watches=("/etc/nginx/conf.d",), reloads=True)
RUNS = "LoadState=loaded\nActiveState=active\nUnitFileState=enabled\nNeedDaemonReload=no\n"
CHANGED = RUNS + "newer=/etc/nginx/conf.d/site.conf\n"


def planned(resource: Service, found: str) -> Result:
    return Result(resource.label, "not run", resource.plan(found))


@pytest.mark.parametrize(
    ("behind", "done"),
    [
        ([], True),
        (["/etc/motd"], True),
        (["/etc/nginx/conf.d/site.conf"], False),  # a reload that comes before this file is written is not enough
    ],
)
def test_it_counts_as_done_unless_something_is_written_behind_it(behind: list[str], done: bool) -> None:
    reload = planned(NGINX, CHANGED)
    assert reload.actions
    before = ["/etc/nginx/conf.d/site.conf", "service:nginx", _done(reload), *behind]
    assert _stays_done(reload, NGINX, CHANGED, before) is done
    twice = [*before, _done(reload)]
    assert _stays_done(reload, NGINX, CHANGED, twice), "the last one counts"
