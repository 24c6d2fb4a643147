"""The disk for students' homes, before anything is on it: what of it would not go well, and whose files would stay behind."""

from __future__ import annotations

from hubrun import server_paths
from hubrun.desired.checks import Test
from hubrun.params import Site
from hubrun.resources.homes_disk import HomesDisk, none_test


def disk(site: Site) -> HomesDisk:
    """The disk that the site names."""
    return HomesDisk(site.homes_device, site.homes_gb, server_paths.HOMES_FILE, server_paths.HOMES)


def tests(site: Site) -> list[Test]:
    """Tests that the disk can be used. For a site that names none: that the server has none either."""
    return disk(site).tests() if site.homes else [none_test(server_paths.HOMES)]
