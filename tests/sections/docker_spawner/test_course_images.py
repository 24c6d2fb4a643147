"""Courses in the params: which images there are, what each is made of, and what the server is told of courses."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from hubrun import params
from hubrun.errors import BadInput
from hubrun.params import Site
from hubrun.resources.image import CurrentImage, Image
from hubrun.resources.started_once import StartedOnce
from hubrun.sections.docker_spawner import docker_setup, image_versions, nvidia
from hubrun.sections.docker_spawner.course_images import images
from hubrun.sections.docker_spawner.image_versions import described
from hubrun.sections.hub import config

ML = {"course": "ML 2", "extra_pip_packages": ["cowsay"], "pytorch": "cuda", "gpus": 1, "user_cpus": 2}
BIO = {"course": "BIO-101", "user_memory_mb": 2048}


def site(*courses: dict[str, Any], **values: Any) -> Site:
    return params.build({"site": "x", "domain": "hub.example.edu", "courses": list(courses), **values}, "x.yaml")


def test_only_a_course_that_says_something_of_an_image_has_one() -> None:
    own, ml = images(site(BIO, ML, {"course": "GPU", "gpus": 1}))
    assert (own.suffix, own.site.image_name) == ("", "hubrun-singleuser")
    assert re.fullmatch("-ml-2-[0-9a-f]{6}", ml.suffix) and ml.site.image_name == f"hubrun-singleuser{ml.suffix}"


def test_what_a_course_does_not_say_is_as_in_the_site() -> None:
    whole = site(ML, extra_pip_packages=["seaborn"], tensorflow=True, base_image="base:1")
    own, ml = (described(*each) for each in images(whole))
    assert own.build_args["PYTORCH"] == "none" and ml.build_args == {**own.build_args, "PYTORCH": "cuda"}
    assert own.context["extra-packages.txt"] == b"seaborn\n"
    assert ml.context["extra-packages.txt"] == b"seaborn\ncowsay\n"
    assert ml.history == f"{own.history}{images(whole)[1].suffix}" and ml.digest != own.digest


def test_a_file_of_requirements_is_a_list_of_packages(tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text("# for the course\n\npandas>=2,<3  # tables\nurllib3 @ https://x.example/u.whl#sha256=ab\n")
    _, course = images(site({"course": "c", "requirements_file": str(file)}))
    assert course.site.extra_pip_packages == ["pandas>=2,<3", "urllib3 @ https://x.example/u.whl#sha256=ab"]


@pytest.mark.parametrize(
    "line", ["-r more.txt", "--index-url https://u:p@x.example/", "a==1 --hash=sha256:ab", "a==$V", "-e .", "a \\"]
)
def test_a_file_with_anything_else_is_named_with_its_line(tmp_path: Path, line: str) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text(f"pandas\n{line}\n")
    with pytest.raises(BadInput, match="line 2 is not a package") as error:
        images(site({"course": "c", "requirements_file": str(file)}))
    assert "u:p" not in str(error.value)


def test_each_image_is_built_tried_and_kept_by_itself() -> None:
    whole = site(ML, BIO)
    suffix = images(whole)[1].suffix
    built = image_versions.built(whole)
    assert [each.tag.rpartition(":")[0] for each in built if isinstance(each, Image)] == ["hubrun-singleuser", f"hubrun-singleuser{suffix}"]  # fmt: skip
    proven = docker_setup.proven_images(whole, ["hubrun-singleuser:1", f"hubrun-singleuser{suffix}:2"])
    tried = [each for each in proven if isinstance(each, StartedOnce)]
    kept = [each for each in proven if isinstance(each, CurrentImage)]
    assert len({each.stamp for each in tried}) == 2 and {each.candidate for each in tried} == {"hubrun-singleuser:candidate"}  # fmt: skip
    assert [(each.keeper, each.courses) for each in kept] == [("hubrun-image", (f"hubrun-image{suffix}",)), (f"hubrun-image{suffix}", ())]  # fmt: skip
    assert "docker-filter.json" not in str(tried[1].files), "another course's limits try this image again"


def test_an_earlier_image_of_a_course_is_chosen_by_its_entry() -> None:
    whole = site({**ML, "image": "a" * 12}, restart_idle_minutes=9)
    assert [each.label for each in image_versions.built(whole)][1:] == ["image hubrun-singleuser"]
    _, ml = images(whole)
    found = image_versions.parse(f"built {'a' * 12} sha256:1 2GB\n")
    assert image_versions.wanted(ml.site, found) == f"{ml.site.image_name}:{'a' * 12}"
    names = [(each.image, each.others) for each in image_versions.restarted(whole)]  # type: ignore[attr-defined]
    assert names == [("hubrun-singleuser", (ml.site.image_name,)), (ml.site.image_name, ("hubrun-singleuser",))]


def test_the_server_is_told_of_limits_and_images_and_not_of_files_here() -> None:
    whole = site({**ML, "requirements_file": "/home/me/r.txt", "staff_memory_mb": 4096}, BIO, gpus=0)
    said = json.loads(config.filter_settings(whole))
    name = f"hubrun-singleuser{whole.courses[0].image_suffix}"
    assert said["images"] == ["hubrun-singleuser", "hubrun-singleuser:candidate", name]
    assert said["course_settings"] == [
        {"course": "ML 2", "user_cpus": 2, "gpus": 1, "staff_memory_mb": 4096, "image_name": name},
        BIO,
    ]
    assert said["idle_minutes"] == 60


def test_a_site_without_courses_or_gpus_is_as_before() -> None:
    plain = site()
    said = json.loads(config.filter_settings(plain))
    assert not {"gpus", "idle_minutes", "course_settings"} & said.keys()
    assert nvidia.toolkit(plain) == nvidia.driver_tests(plain) == nvidia.container_tests(plain) == []


@pytest.mark.parametrize(
    ("courses", "values", "notes"),
    [
        ([], {"pytorch": "cuda"}, [True]),
        ([], {"pytorch": "cuda", "gpus": 1}, [False]),
        ([], {"pytorch": "cpu"}, [False]),
        ([{"course": "c", "pytorch": "cuda"}], {}, [False, True]),
        ([{"course": "c", "pytorch": "cuda", "gpus": 1}], {}, [False, False]),
        ([{"course": "c", "pytorch": "cuda", "gpus": 0}], {"gpus": 1}, [False, True]),
        ([{"course": "c", "gpus": 1}], {"pytorch": "cuda"}, [False]),
    ],
)  # fmt: skip
def test_the_plan_says_where_cuda_has_no_gpu(
    courses: list[dict[str, Any]], values: dict[str, Any], notes: list[bool]
) -> None:
    built = [described(*each) for each in images(site(*courses, **values))]
    assert ["without gpus" in each.plan("")[0].title for each in built] == notes


def test_gpus_are_of_whoever_asks_for_the_most() -> None:
    whole = site({"course": "a", "gpus": 2}, {"course": "b", "gpus": 0}, gpus=1)
    assert nvidia.wanted(whole) == 2
    assert [each.title for each in nvidia.driver_tests(whole)] == ["the server has 2 GPUs"]
    labels = [each.label for each in nvidia.toolkit(whole)]
    assert labels == [
        "apt source nvidia-container-toolkit",
        "packages nvidia-container-toolkit",
        "Docker with NVIDIA's hook",
    ]


WRONG = [
    {"user_memory_mb": 100}, {"user_cpus": 0}, {"user_processes": 1}, {"gpus": -1}, {"gpus": 1.5}, {"idle_minutes": -1},
    {"base_image": "No Image"}, {"image": "latest"}, {"pytorch": "gpu"}, {"extra_pip_packages": ["--pre"]}, {"user_disk_gb": 5},
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_what_cannot_be_said_of_a_course_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="courses"):
        site({"course": "c", **wrong})
