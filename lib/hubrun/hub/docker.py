"""Docker for the hub: where it comes from, and how the students' containers are kept."""

from __future__ import annotations

from hubrun.hub import image
from hubrun.params import Site
from hubrun.plan import Resource
from hubrun.resources.apt_source import AptSource
from hubrun.resources.docker import DaemonSettings, Image
from hubrun.resources.packages import NoPackages, Packages
from hubrun.systems import System

# https://docs.docker.com/engine/install/debian/: "Uninstall old versions" and "Install using the apt repository"
CONFLICTING = ("docker.io", "docker-doc", "docker-compose", "podman-docker", "containerd", "runc")
DOCKER_CE = ("docker-ce", "docker-ce-cli", "containerd.io", "docker-buildx-plugin", "docker-compose-plugin")

# Logs of a container are bounded, and containers run on while the daemon is restarted or updated.
DAEMON = DaemonSettings(
    (("log-driver", "local"), ("log-opts", {"max-size": "10m", "max-file": "3"}), ("live-restore", True)),
)


def engine(site: Site, system: System) -> list[Resource]:
    """The Docker engine from the channel that the site names; what conflicts with it goes first."""
    if site.docker_channel == "distro":
        return [NoPackages(DOCKER_CE), Packages(*system.docker)]
    url = f"{site.docker_apt_url.rstrip('/')}/{system.distribution}"
    return [
        NoPackages(CONFLICTING),
        AptSource("docker", url, system.codename, "stable", f"{url}/gpg", site.docker_apt_key),
        Packages(*DOCKER_CE),
    ]


def singleuser_image(site: Site) -> Image:
    """The students' image, from `Dockerfile.singleuser` and the site's choices. Raises BadInput for a bad choice."""
    choices = image.ImageChoices(
        base_image=site.base_image,
        nbgrader=site.nbgrader,
        nbgitpuller=site.nbgitpuller,
        jupyterlab_git=site.jupyterlab_git,
        tensorflow=site.tensorflow,
        pytorch=site.pytorch,
        extra_pip_packages=tuple(site.extra_pip_packages),
        ca_certificates=tuple(site.ca_pems()),
    )
    return Image(
        site.image_name,
        image.build_context(choices),
        image.build_args(choices),
        image.context_digest(choices),
        "Dockerfile",
    )
