"""NVIDIA's GPUs for students' containers, where the site or a course asks for some: what Docker needs for it, and its tests."""

from __future__ import annotations

from hubrun.desired.checks import Test
from hubrun.desired.resource import Resource
from hubrun.params import Site
from hubrun.params.nodes import Node
from hubrun.resources.apt_source import AptSource
from hubrun.resources.conditional import WhenMissing
from hubrun.resources.gpu_hook import HOOK, GpuHook
from hubrun.resources.packages import Packages
from hubrun.shell import quote

# https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/install-guide.html
_URL = "https://nvidia.github.io/libnvidia-container"
_KEY = "C95B321B61E88C1809C4F759DDCAE044F796ECB0"


def wanted(site: Site) -> int:
    """How many GPUs one server gets at most; 0 where nobody gets any."""
    return max([site.gpus, *(course.gpus or 0 for course in site.courses)])


def here(site: Site) -> int:
    """How many GPUs one server gets at most on the site's own server; 0 where it has none, as where nodes have them."""
    return 0 if any(node.gpus for node in site.nodes) else wanted(site)


def on_node(site: Site, node: Node) -> Site:
    """The site as its GPUs are on this node."""
    gpus = min(node.gpus, wanted(site))
    return site.model_copy(update={"gpus": gpus, "courses": [], "nodes": []})


def toolkit(site: Site) -> list[Resource]:
    """The NVIDIA Container Toolkit, from NVIDIA's own repository where the server has none; nothing without GPUs."""
    if not here(site):
        return []
    # A flat repository: sources.list(5), "the suite must end with /".
    source = AptSource("nvidia-container-toolkit", f"{_URL}/stable/deb/$(ARCH)", "/", "", f"{_URL}/gpgkey", _KEY)
    return [*(WhenMissing(HOOK, each) for each in (source, Packages("nvidia-container-toolkit"))), GpuHook()]


def driver_tests(site: Site) -> list[Test]:
    """Tests that the server has as many GPUs as one student gets, and their driver."""
    if not (most := here(site)):
        return []
    script = quote(
        'found=$(nvidia-smi -L) || exit 1\necho "$found"\n[ "$(echo "$found" | grep -c ^GPU)" -ge {} ]', str(most)
    )
    return [
        Test(
            f"the server has {most} GPU{'s' if most > 1 else ''}", script, prints="^GPU 0",
            remedy="Choose a server with a GPU, and install NVIDIA's driver as your provider says (then: nvidia-smi -L). "
            "Or set gpus to 0",
        )
    ]  # fmt: skip


def container_tests(site: Site) -> list[Test]:
    """Tests that a container gets GPUs."""
    if not (most := here(site)):
        return []
    script = quote("docker run --rm --network none --gpus {} --entrypoint nvidia-smi {} -L", str(most), site.image_name)
    return [
        Test(
            "a container gets GPUs",
            script,
            prints="^GPU 0",
            traces=True,
            remedy="systemctl restart docker; nvidia-smi -L",
        )
    ]


def without(site: Site) -> str:
    """What is to be said of an image whose servers get no GPU; "" for nothing."""
    if site.pytorch != "cuda" or wanted(site):
        return ""
    return "pytorch: cuda without gpus: PyTorch computes on the CPU, and pytorch: cpu is some 5 GB smaller"
