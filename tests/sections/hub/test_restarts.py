"""Which parameters restart the hub when they change: those that stand in a file that the hub reads at its start."""

from __future__ import annotations

from typing import Any

import pytest

from hubrun.params import Site
from hubrun.params.site import fields
from hubrun.sections.hub import config
from hubrun_hub.config_parts import OURS

# One other value for each parameter of 02 to 04 that could matter to the hub.
OTHER: dict[str, Any] = {
    "domain": "other.example.edu", "https_port": 8443, "http_port": 8080, "http_proxy": "http://proxy.example.edu:3128", "hub_user": "hub",
    "lti_lms": "moodle", "lti_version": "1.3", "lti_username_key": "user_id", "lti_platform": "beta", "lti_registration": True,
    "lti_client_ids": ["1"], "lti_deployment_ids": ["1"], "lti_issuer": "https://i.example.edu", "lti_authorize_url": "https://i.example.edu",
    "lti_jwks_url": "https://i.example.edu", "lti_inner_addresses": True, "lti_launch_minutes": 20, "lti_frame_sites": ["https://f.example.edu"],
    "outside_course": "page", "admin_users": ["ada"], "adopt_users": True, "idle_minutes": 30, "subdomains": True, "hsts_seconds": 0,
    "upload_limit_mb": 100, "docker_channel": "distro", "docker_users": ["ada"], "docker_subnet": "172.30.0.0/16", "student_networks": ["10.1.0.0/16"],
    "base_image": "quay.io/x:1", "image_name": "class", "image": "0123456789ab", "nbgrader": False, "nbgitpuller": False, "git_hosts": ["github.com/x"],
    "jupyterlab_git": False, "tensorflow": True, "pytorch": "cpu", "extra_pip_packages": ["polars"], "user_memory_mb": 2048, "user_cpus": 2.0,
    "user_processes": 100, "canvas_tool_name": "Hub", "consumers": [{"name": "bio"}], "git_links": [{"repo": "https://github.com/x/y"}],
    "timezone": "Europe/Zurich", "metrics": True, "homes_device": "/dev/vdb", "homes_gb": 50, "user_disk_gb": 5, "homes_old": "remove", "gpus": 1,
    "courses": [{"course": "BIO", "user_memory_mb": 4096, "gpus": 1, "idle_minutes": 5, "pytorch": "cpu", "extra_pip_packages": ["polars"],
                 "shared": True, "due": {"ps1": "2026-12-01 09:00 UTC"}, "exam": {"from": "2026-12-01 09:00 UTC", "until": "2026-12-01 10:00 UTC"}}],
    "lti_services": True, "lti_token_url": "https://i.example.edu",
    "nodes": [{"host": "node1.example.edu"}], "nodes_network": "10.9.0.0/16", "manager_address": "192.0.2.1", "node_files": "sshfs",
}  # fmt: skip
# These say how the hub itself is reached, who may log in, or what its code does. The rest is for students' servers, and is
# read when one starts; for nginx; for the image; or is read at each launch.
RESTART = {
    "domain", "https_port", "http_proxy", "hub_user", "lti_version", "lti_username_key", "lti_inner_addresses", "lti_launch_minutes", "lti_frame_sites",
    "outside_course", "admin_users", "adopt_users", "idle_minutes", "subdomains", "docker_subnet", "image_name", "nbgrader", "nbgitpuller", "canvas_tool_name",
    "metrics", "lti_services", "nodes", "nodes_network",
}  # fmt: skip
# Needs another parameter, whose own change comes with it.
WITH = {"subdomains": {"tls": "files", "tls_certificate": "/etc/c.pem", "tls_key": "/etc/k.pem"}, "lti_registration": {"lti_version": "1.3"},
        "nodes": {"homes_gb": 20}, **dict.fromkeys(("nodes_network", "manager_address", "node_files"), {"homes_gb": 20, "nodes": [{"host": "node1.example.edu"}]})}  # fmt: skip


def read_at_its_start(site: Site) -> dict[str, str]:
    """The files that jupyterhub.service watches, as far as parameters make them."""
    names = (*OURS, "jupyterhub_config.py", "jupyterhub.service", "jupyterhub-proxy.service")
    return {name: config.render(name, site) if name != "30-subdomains.py" or site.subdomains else "" for name in names}


@pytest.mark.parametrize("name", OTHER)
def test_a_parameter_restarts_the_hub_only_if_the_hub_itself_needs_it(name: str) -> None:
    base = {"site": "x", "domain": "hub.example.edu", **WITH.get(name, {})}
    before, after = (read_at_its_start(Site(**values)) for values in (base, {**base, name: OTHER[name]}))
    changed = [file for file in before if before[file] != after[file]]
    assert bool(changed) == (name in RESTART), changed


def test_each_parameter_of_the_hub_and_its_servers_is_judged() -> None:
    connection = {name for name, _ in fields("06")} & {name for name, _ in fields("01")}
    of_hub = {name for book in ("02", "04") for name, _ in fields(book)} - connection
    assert of_hub - OTHER.keys() <= {"docker_apt_url", "docker_apt_key", "no_proxy", "acme_dns"}, of_hub - OTHER.keys()
