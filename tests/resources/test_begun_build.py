"""An image that begins to build in the background: what is planned by whom, and its shell, with Docker and systemd played."""

from __future__ import annotations

import stat
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from test_plans import Machine

from hubrun.resources.begun_build import BegunBuild, OnlyTheseBuilds
from hubrun.resources.image import Image

IMAGE = Image("class", "class", {"Dockerfile": b"FROM x"}, {}, "base:1", "/nowhere")
THERE = f"tag={IMAGE.digest}\nname={IMAGE.digest}"
BEGINS = f"begin to build {IMAGE.tag}: the next steps go on, and 04_docker_spawner waits for it"
WAITS = f"wait for {IMAGE.tag}, which began to build in the background"


@pytest.mark.parametrize(
    ("found", "begins", "then"),
    [
        ("", [BEGINS], [f"build {IMAGE.tag} (it is not there)"]),
        (THERE, [], []),
        ("name=fff", [], [f"build {IMAGE.tag} (its inputs changed)"]),
        ("name=", [], [f"build {IMAGE.tag} (another image has its name)"]),
        ("begun=", [], [WAITS]),
        (f"tag={IMAGE.digest}\nbegun=", [], [WAITS]),
        ("begun=failed", [], [f"build {IMAGE.tag} (it failed in the background)"]),
    ],
    ids=["none", "there", "to be replaced", "another's", "at work", "built, and not taken over", "failed"],
)
def test_only_a_first_image_begins_early_and_the_image_step_sees_what_became_of_it(
    found: str, begins: list[str], then: list[str]
) -> None:
    assert [action.title for action in BegunBuild(IMAGE).plan(found)] == begins
    assert [action.title for action in IMAGE.plan(found)] == then


def test_a_plan_shows_one_build_and_that_it_is_waited_for_unless_another_image_is_wanted() -> None:
    begun = BegunBuild(IMAGE)
    assert begun.label == "image class, in the background"
    (wait,) = IMAGE.plan(IMAGE.foresee("", begun.writes))
    assert wait.title == WAITS
    other = replace(IMAGE, context={"Dockerfile": b"FROM y"})
    (build,) = other.plan(other.foresee("", begun.writes))
    assert build.title.startswith(f"build {other.tag}") and other.unit != IMAGE.unit


@pytest.fixture
def server(tmp_path: Path) -> Machine:
    """Docker builds for a second, unless `fails` is there, and has then an image; systemd-run starts what systemctl knows."""
    machine = Machine(tmp_path)
    (tmp_path / "image-base:1").touch()
    machine.program(
        "docker",
        f"""cd {tmp_path}; case "$1 $2" in
            "build --label") echo "begin $$" >> builds; sleep 1; echo "end $$" >> builds; [ ! -e fails ] || {{ echo 'ERROR: no such package'; exit 7; }}
                echo "Successfully built"; while [ "$1" != -t ]; do case $1 in hubrun.context=*) digest=${{1#*=}};; esac; shift; done; echo "$digest" > "image-$2" ;;
            "image rm") echo "$3" >> removed; exit 1 ;;
            "image inspect") for each; do [ ! -f "image-$each" ] || {{ cat "image-$each"; exit; }}; done; exit 1 ;;
        esac""",
    )
    machine.program(
        "systemd-run",
        f"""echo "$*" >> {tmp_path}/argv
        for each; do case $each in --unit=*) unit=${{each#*=}};; ExecStopPost=*) ended=${{each##* }};; esac; last=$each; done
        setsid sh -c 'unit=$1 last=$2 ended=$3; code=success; /bin/sh -eu "$last" < /dev/null || code=exit-code
          SERVICE_RESULT=$code /bin/sh "$ended"; rm -f {tmp_path}/$unit.pid' - "$unit" "$last" "$ended" > /dev/null 2>&1 &
        echo $! > {tmp_path}/$unit.pid""",
    )
    machine.program(
        "systemctl",
        f"""case $1 in
            show) cat "{tmp_path}/$2.pid" 2> /dev/null || echo 0 ;;
            stop) [ ! -e "{tmp_path}/$2.pid" ] || kill -- "-$(cat "{tmp_path}/$2.pid")" ;;
        esac""",
    )
    return machine


def image(machine: Machine, content: bytes = b"FROM x") -> Image:
    root = machine.root
    return replace(IMAGE, context={"Dockerfile": content}, folder=f"{root}/context", builds=f"{root}/builds.d")


def built(machine: Machine) -> list[str]:
    return [line.split()[0] for line in (machine.root / "builds").read_text().splitlines()]


def step(machine: Machine, wanted: Image) -> str:
    """What the image's step says, after which there is nothing to do."""
    (action,) = wanted.plan(machine.sh(wanted.probe()))
    said = machine.sh("exec 2>&1\nset -eu\n" + action.script, action.data)
    assert machine.sh(wanted.probe()).splitlines()[0] == f"tag={wanted.digest}" and not Path(wanted.begun).exists()
    assert wanted.plan(machine.sh(wanted.probe())) == []
    return said


def test_the_step_waits_for_it_with_its_log_and_builds_nothing_twice(server: Machine) -> None:
    wanted = image(server)
    assert server.ensure(BegunBuild(wanted)) == [BEGINS] and server.ensure(BegunBuild(wanted)) == []
    folder = Path(wanted.begun)
    assert {stat.S_IMODE(each.stat().st_mode) for each in (folder, folder.parent)} == {0o700}
    said = step(server, wanted)
    assert "began in the background, at" in said and "Successfully built" in said and "ended well" in said
    assert built(server) == ["begin", "end"]
    assert "docker" not in (server.root / "argv").read_text().replace("docker_spawner", ""), (
        "what it runs does not stand in its arguments"
    )


def test_one_that_ended_before_leaves_its_log_to_the_step(server: Machine) -> None:
    wanted = image(server)
    server.ensure(BegunBuild(wanted))
    time.sleep(2.5)
    assert "Successfully built" in step(server, wanted) and built(server) == ["begin", "end"]


def test_one_that_fails_is_built_again_by_the_step_and_its_error_is_the_steps_own(server: Machine) -> None:
    wanted = image(server)
    (server.root / "fails").touch()
    server.ensure(BegunBuild(wanted))
    (action,) = wanted.plan(server.sh(wanted.probe()))
    with pytest.raises(Exception, match="no such package") as caught:
        server.sh("exec 2>&1\nset -eu\n" + action.script, action.data)
    assert caught.value.args[0] == 7 and built(server).count("begin") == 2
    (server.root / "fails").unlink()
    assert "background" not in step(server, wanted)


def test_one_that_failed_is_marked_so_that_the_next_step_can_say_so(server: Machine) -> None:
    wanted = image(server)
    (server.root / "fails").touch()
    server.ensure(BegunBuild(wanted))
    end = time.monotonic() + 10
    while not (Path(wanted.begun) / "failed").exists():
        assert time.monotonic() < end
        time.sleep(0.1)
    assert [action.title for action in wanted.plan(server.sh(wanted.probe()))] == [
        f"build {wanted.tag} (it failed in the background)"
    ]
    # another one that begins behind it changes nothing of that
    server.ensure(BegunBuild(image(server, b"FROM another")))
    assert BegunBuild(wanted).plan(server.sh(wanted.probe())) == []
    # with corrected parameters it is forgotten
    corrected = OnlyTheseBuilds((image(server, b"FROM another").unit,), wanted.builds)
    assert server.ensure(corrected) == [f"end the build of what is not wanted now ({wanted.unit})"]
    assert not Path(wanted.begun).exists() and Path(image(server, b"FROM another").begun).exists()


def test_a_build_that_is_no_longer_wanted_ends_and_leaves_no_image(server: Machine) -> None:
    before, wanted = image(server, b"FROM before"), image(server)
    server.ensure(BegunBuild(before))
    while not (server.root / "builds").exists():
        time.sleep(0.05)
    only = OnlyTheseBuilds((wanted.unit,), wanted.builds)
    assert len(server.ensure(only)) == 1 and server.ensure(only) == []
    assert not Path(before.begun).exists() and built(server) == ["begin"]
    server.ensure(BegunBuild(wanted))
    assert server.ensure(only) == [] and "ended well" in step(server, wanted)
    assert before.tag in (server.root / "removed").read_text()


@pytest.mark.parametrize("left", ["nothing was started", "it was killed", "only the folder"])
def test_one_that_was_lost_is_built_again(server: Machine, left: str) -> None:
    wanted = image(server)
    if left == "only the folder":
        Path(wanted.begun).mkdir(parents=True)
    else:
        server.program("systemd-run", "true")
        server.ensure(BegunBuild(wanted))
        if left == "it was killed":
            (Path(wanted.begun) / "log").write_text("Step 1/9\n")
    assert "It came to no image in the background, and is built now." in step(server, wanted)
    assert built(server) == ["begin", "end"]


def test_two_builds_never_run_at_the_same_time_and_another_image_is_not_taken_for_the_wanted(server: Machine) -> None:
    server.ensure(BegunBuild(image(server, b"FROM before")))
    others = [
        threading.Thread(target=step, args=(server, image(server, content))) for content in (b"FROM x", b"FROM y")
    ]
    time.sleep(0.3)
    for each in others:
        each.start()
    for each in others:
        each.join()
    assert built(server) == ["begin", "end"] * 3
