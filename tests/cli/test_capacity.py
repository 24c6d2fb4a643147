"""`./hubrun capacity`: what so many students need, by what a server measured and by defaults. The server is played by sshd."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from hubrun import server_paths
from hubrun.cli import capacity_plan as plans
from hubrun.cli.capacity_plan import DEFAULTS, Machine, Part, Value
from hubrun.cli.main import hubrun
from hubrun.errors import BadInput, CommandFailed
from sshd import Sshd, serve

LIMIT_MB, SPARE_MB = 1024, 250
BUSIEST = {
    "at": 0, "seconds": 300, "servers": 20, "servers_mb": 5000, "largest_mb": 600, "started": 2, "cores": 1.0,
    "hub_cores": 0.1, "proxy_cores": 0.02, "hub_mb": 150, "proxy_mb": 60,
}  # fmt: skip
RUSH = BUSIEST | {"servers": 15, "servers_mb": 3000, "started": 10, "hub_cores": 0.01, "proxy_cores": 0.001}
SEEN: dict[str, Any] = {
    "memory": {"total_mb": 8192, "available_mb": 7000, "swap_mb": 0, "swap_left_mb": 0},
    "docker": {"servers": [{"memory_mb": 200}, {"memory_mb": None}]},
    "disks": [{"path": "/", "left_mb": 5000}, {"path": "/srv/jupyterhub/homes", "left_mb": 90_000}],
    "shares": {"people": [{"user": f"s{n}", "disk_mb": 100} for n in range(40)] + [{"user": "x", "disk_mb": None}]},
    "load": {"cores": 4, "days": {"2026-11-26": {"busiest": BUSIEST, "rush": RUSH}}},
}  # fmt: skip


def test_what_was_measured_is_taken_and_says_of_what() -> None:
    used = plans.use(SEEN)
    values = {name: round(getattr(used, name).value, 3) for name in used.__dataclass_fields__}
    assert values == {
        "share": 0.5, "server_mb": 250, "server_cores": 0.05, "home_mb": 100, "system_mb": 992, "hub_s": 0.3,
        "proxy_s": 0.03, "write_s": DEFAULTS.write_s.value,
    }  # fmt: skip
    assert "20 servers at once were the most, of 1 days" in used.server_mb.source
    assert used.hub_s.source == "measured: 10 starts within 5 minutes"
    assert [name for name in values if not getattr(used, name).measured] == ["write_s"]


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in SEEN.items() if name not in names}


@pytest.mark.parametrize(
    ("seen", "assumed"),
    [
        ({}, set(DEFAULTS.__dataclass_fields__)),
        (without("load"), {"share", "server_mb", "server_cores", "hub_s", "proxy_s", "write_s"}),
        (without("shares"), {"share", "home_mb", "write_s"}),
        (without("docker"), {"system_mb", "write_s"}),
        (SEEN | {"load": {"cores": 4, "days": {}}}, {"share", "server_mb", "server_cores", "hub_s", "proxy_s", "write_s"}),
        # one student who tried it says nothing of a class
        (
            SEEN | {"load": {"cores": 4, "days": {"d": {"busiest": BUSIEST | {"servers": 1}, "rush": RUSH | {"started": 1}}}}},
            {"share", "server_mb", "server_cores", "hub_s", "proxy_s", "write_s"},
        ),
        (SEEN | {"shares": {"people": [{"user": "ada", "disk_mb": 9000}]}}, {"share", "home_mb", "write_s"}),
    ],
)  # fmt: skip
def test_what_was_not_measured_is_assumed_and_says_so(seen: dict[str, Any], assumed: set[str]) -> None:
    used = plans.use(seen)
    assert {name for name in used.__dataclass_fields__ if not getattr(used, name).measured} == assumed
    for name in assumed:
        assert getattr(used, name) == getattr(DEFAULTS, name)
        assert getattr(used, name).source.startswith("assumed")


def test_people_of_former_terms_do_not_make_a_class_small() -> None:
    many = [{"user": f"s{n}", "disk_mb": 100} for n in range(2000)]
    assert plans.use(SEEN | {"shares": {"people": many}}).share.value == 0.4


def test_the_worst_day_counts_and_not_the_last() -> None:
    later = BUSIEST | {"servers": 10, "servers_mb": 4000, "cores": 1.5}
    days = {"2026-11-26": {"busiest": BUSIEST, "rush": RUSH}, "2026-11-27": {"busiest": later, "rush": later}}
    used = plans.use(SEEN | {"load": {"cores": 4, "days": days}})
    assert (used.server_mb.value, used.server_cores.value) == (400, 0.15)
    assert used.hub_s.value == pytest.approx(0.3)


def by_name(parts: list[Part]) -> dict[str, Part]:
    return {part.name: part for part in parts}


def test_each_part_is_what_the_formula_says_and_the_scarcest_is_first() -> None:
    has = Machine(8192, 4, 100_000)
    parts = plans.parts(DEFAULTS, has, 100, 60, LIMIT_MB, SPARE_MB)
    found = by_name(parts)
    assert found["memory"].needed == pytest.approx(1024 + 250 + 60 * 280)
    hub = 0.1 * 0.16 + 0.2 * plans.ACTIVITY_CPU_S
    assert found["hub, with its database"].needed == pytest.approx(hub + 0.1 * 0.05)
    assert found["database"].needed == pytest.approx(0.1 * 0.05)
    assert found["proxy"].needed == pytest.approx(0.1 * 0.012)
    assert found["processor"].needed == pytest.approx(hub + 0.1 * 0.012 + 6)
    assert found["disk of homes"].needed == pytest.approx(100 * 1024 * 1.4)
    assert [part.share for part in parts] == sorted((part.share for part in parts), reverse=True)
    assert parts[0].name == "memory" and parts[0].share > 2
    assert {part.name for part in parts if part.grows} == {"memory", "processor"}


def test_a_server_is_counted_with_no_more_than_it_may_take() -> None:
    greedy = replace(DEFAULTS, server_mb=Value(900, "measured", True))
    assert plans.each_mb(greedy, LIMIT_MB) == 1024
    assert plans.each_mb(DEFAULTS, LIMIT_MB) == pytest.approx(280)


def test_where_the_disk_is_not_known_nothing_is_said_of_it() -> None:
    assert "disk of homes" not in by_name(plans.parts(DEFAULTS, Machine(8192, 4), 9, 9, LIMIT_MB, SPARE_MB))


@pytest.mark.parametrize(
    ("machine", "at_once", "first", "further", "count"),
    [
        (Machine(8192, 4), 10, 24, 24, 1),  # by memory: (8192 - 1274) / 280
        (Machine(8192, 4), 24, 24, 24, 1),
        (Machine(8192, 4), 25, 24, 24, 2),
        (Machine(8192, 4), 300, 24, 24, 13),
        (Machine(65536, 4), 300, 39, 40, 8),  # by processor, of which hub and proxy take some on the first
        (Machine(1024, 2), 10, 0, 0, None),
        (Machine(1500, 2), 10, 0, 0, None),
    ],
)
def test_so_many_servers_are_needed(
    machine: Machine, at_once: int, first: int, further: int, count: int | None
) -> None:
    [offer] = plans.offers(DEFAULTS, [machine], at_once, LIMIT_MB, SPARE_MB)
    assert (offer.first, offer.further, offer.count) == (first, further, count)


def test_the_machine_is_what_the_server_says() -> None:
    assert plans.machine(SEEN) == Machine(8192, 4, 94_000)
    assert plans.machine(without("disks")) == Machine(8192, 4, None)
    assert plans.machine(without("load")) is None
    assert plans.machine({}) is None


# -- the command


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with serve(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture
def site(tmp_path: Path, sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Makes the params file of a site whose server says that it saw `seen`."""
    monkeypatch.setattr(server_paths, "program", lambda name: f"cd {tmp_path} && cat")

    def make(seen: object = SEEN, **changes: Any) -> Path:
        (tmp_path / "bio.example.edu").write_text(json.dumps({"seen": seen, "troubles": []}))
        file = tmp_path / "bio.yaml"
        file.write_text(yaml.safe_dump(sshd.parameters(site="bio", domain="bio.example.edu") | changes))
        return file

    return make


def capacity(*words: object) -> Result:
    return CliRunner().invoke(hubrun, ["capacity", *map(str, words)], standalone_mode=False)


def test_the_last_line_is_the_answer(site: Callable[..., Path]) -> None:
    bio = site()
    before = len(list(bio.parent.iterdir()))
    found = capacity(bio, "--students", 30)
    assert (found.return_value, found.exception) == (0, None)
    last = found.output.splitlines()[-1]
    assert last.startswith("One server as now is enough: memory is scarce first (") and "Homes take 4 GB." in last
    assert "1 of 8 numbers are assumed, not measured." in last
    last = capacity(bio, "--students", 300, "--at-once", 300).output.splitlines()[-1]
    assert last.startswith("16 servers as this one are needed: memory is scarce first (")
    assert len(list(bio.parent.iterdir())) == before, "it leaves nothing"


def test_everything_is_shown_with_where_it_is_from(site: Callable[..., Path]) -> None:
    text = capacity(site(), "--students", 100).output
    for says in (
        "100 students, 50 of them at once; each server is counted with 350 MB", "8.0 GB, 4 cores (as now)", "128.0 GB, 32 cores",
        "measured: the mean of 40 people's files", "measured: 10 starts within 5 minutes", "assumed: ./hubrun bench --only many",
        "hub, with its database", "proxy", "disk of homes",
    ):  # fmt: skip
        assert says in text, says


def test_json_has_everything(site: Callable[..., Path]) -> None:
    said = json.loads(capacity(site(), "--students", 100, "--at-once", 80, "--json").output)
    assert (said["site"], said["students"], said["at_once"]) == ("bio", 100, 80)
    assert said["server"] == {"memory_mb": 8192, "cores": 4, "homes_mb": 94_000}
    assert said["use"]["home_mb"] == {
        "value": 100,
        "source": "measured: the mean of 40 people's files",
        "measured": True,
    }
    assert {part["name"] for part in said["parts"]} >= {"memory", "database"}
    assert said["offers"][0]["count"] == 5


def test_a_full_disk_is_not_helped_by_servers(site: Callable[..., Path]) -> None:
    last = capacity(site(), "--students", 2000, "--at-once", 10).output.splitlines()[-1]
    assert (
        "disk of homes is scarce first (298% used), and disk of homes (298%) is not helped by further servers" in last
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "students"), (["--students", 0], "students"), (["--students", "many"], "students"),
        (["--students", 10, "--at-once", 11], "more than there are students"),
    ],
)  # fmt: skip
def test_bad_input_is_said_before_anybody_is_asked(
    site: Callable[..., Path], sshd: Sshd, words: list[object], says: str
) -> None:
    bio = site()
    asked = len(sshd.commands)
    error: Any = capacity(bio, *words).exception
    assert error.exit_code == 2 and says in error.format_message()
    assert len(sshd.commands) == asked


def test_who_cannot_be_asked_says_so(site: Callable[..., Path]) -> None:
    error = capacity(site(without("load")), "--students", 9).exception
    assert isinstance(error, CommandFailed) and "it was set up by an earlier version" in str(error).lower()
    assert isinstance(capacity(site(ssh_port=9), "--students", 9).exception, CommandFailed)
    assert isinstance(capacity(site(domian="x"), "--students", 9).exception, BadInput)
