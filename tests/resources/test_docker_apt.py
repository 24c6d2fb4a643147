"""Real apt against the stand-in for Docker's repository: the right key lets it in, everything else is refused."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import aptrepo

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("gpg", "apt-get", "dpkg-deb"))), reason="needs apt, dpkg and gpg (Debian or Ubuntu)"
)

Apt = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A repository and its key's fingerprint."""
    root = tmp_path_factory.mktemp("repository")
    return root, aptrepo.build(root)


@pytest.fixture(scope="module")
def url(repository: tuple[Path, str]) -> Iterator[str]:
    with aptrepo.serve(repository[0]) as address:
        yield address


@pytest.fixture
def apt(tmp_path: Path) -> Apt:
    """Real apt with folders of its own: the machine's sources, keys and packages are out of its sight."""
    root = tmp_path / "root"
    for folder in (
        "etc/apt/apt.conf.d", "etc/apt/preferences.d", "etc/apt/sources.list.d", "etc/apt/trusted.gpg.d",
        "etc/apt/keyrings", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "var/lib/dpkg",
    ):  # fmt: skip
        (root / folder).mkdir(parents=True)
    (root / "var/lib/dpkg/status").touch()
    # By file, since apt reads /etc/apt/apt.conf.d before it looks at -o.
    configuration = tmp_path / "apt.conf"
    configuration.write_text(
        f'Dir "{root}";\nDir::State::status "{root}/var/lib/dpkg/status";\nAPT::Sandbox::User "root";\n'
        'Acquire::http::Proxy::127.0.0.1 "DIRECT";\nAcquire::Languages "none";\n'
    )

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "APT_CONFIG": str(configuration), "LC_ALL": "C.UTF-8"}
        return subprocess.run(
            arguments, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    return run


def add_source(tmp_path: Path, url: str, key: Path, suite: str = "bookworm") -> None:
    """Put key and source where Docker's document says, in the isolated root."""
    keyring = tmp_path / "root/etc/apt/keyrings/docker.asc"
    shutil.copyfile(key, keyring)
    (tmp_path / "root/etc/apt/sources.list.d/docker.list").write_text(
        f"deb [signed-by={keyring}] {url} {suite} stable\n"
    )


def candidate(apt: Apt) -> str:
    """The version of docker-ce that apt would install; "" when it knows none."""
    lines = apt("apt-cache", "policy", "docker-ce").stdout.splitlines()
    return next((line.split(": ", 1)[1] for line in lines if "Candidate:" in line), "")


@pytest.mark.parametrize(
    ("distribution", "suite"), [(name, suite) for name, suites in aptrepo.SUITES.items() for suite in suites]
)
def test_with_the_right_key_every_package_of_docker_ce_can_be_had(
    apt: Apt, url: str, repository: tuple[Path, str], tmp_path: Path, distribution: str, suite: str
) -> None:
    add_source(tmp_path, f"{url}/{distribution}", repository[0] / distribution / "gpg", suite)
    updated = apt("apt-get", "update")
    assert (updated.returncode, updated.stderr) == (0, "")
    assert candidate(apt) == f"5:0~standin1~{suite}"
    # apt compares each file's checksum with the signed index.
    loaded = apt("apt-get", "download", *aptrepo.PACKAGES)
    assert loaded.returncode == 0, loaded.stderr
    assert len(list(tmp_path.glob("*.deb"))) == len(aptrepo.PACKAGES)


def test_a_copied_folder_serves_as_well(apt: Apt, repository: tuple[Path, str], tmp_path: Path) -> None:
    copy = shutil.copytree(repository[0], tmp_path / "copy")
    add_source(tmp_path, f"file:{copy}/debian", copy / "debian/gpg")
    assert apt("apt-get", "update").returncode == 0
    assert candidate(apt) == "5:0~standin1~bookworm"


def test_another_key_is_refused(apt: Apt, url: str, tmp_path: Path) -> None:
    other = tmp_path / "other"
    aptrepo.build(other, {"debian": ["bookworm"]})
    add_source(tmp_path, f"{url}/debian", other / "debian/gpg")
    updated = apt("apt-get", "update")
    assert updated.returncode == 100
    assert "is not signed" in updated.stderr
    assert candidate(apt) == ""


def test_an_index_changed_after_signing_is_refused(apt: Apt, repository: tuple[Path, str], tmp_path: Path) -> None:
    copy = shutil.copytree(repository[0], tmp_path / "copy")
    (index,) = (copy / "debian/dists/bookworm/stable").glob("binary-*/Packages")
    index.write_text(index.read_text().replace("0~standin1", "9~standin1"))
    add_source(tmp_path, f"file:{copy}/debian", copy / "debian/gpg")
    updated = apt("apt-get", "update")
    assert updated.returncode == 100
    assert "Hash" in updated.stderr
    assert candidate(apt) == ""


def test_a_package_changed_after_signing_is_refused(apt: Apt, repository: tuple[Path, str], tmp_path: Path) -> None:
    copy = shutil.copytree(repository[0], tmp_path / "copy")
    (package,) = (copy / "debian/dists/bookworm/pool").glob("*/*/docker-ce_*.deb")
    content = bytearray(package.read_bytes())
    content[-1] ^= 1
    package.write_bytes(content)
    with aptrepo.serve(copy) as url:
        add_source(tmp_path, f"{url}/debian", copy / "debian/gpg")
        assert apt("apt-get", "update").returncode == 0
        loaded = apt("apt-get", "download", "docker-ce")
    assert loaded.returncode == 100
    assert "Hash Sum mismatch" in loaded.stderr


def test_a_release_that_the_repository_lacks_is_an_error(
    apt: Apt, url: str, repository: tuple[Path, str], tmp_path: Path
) -> None:
    add_source(tmp_path, f"{url}/debian", repository[0] / "debian/gpg", "buster")
    updated = apt("apt-get", "update")
    assert updated.returncode == 100
    assert "does not have a Release file" in updated.stderr


def test_the_published_key_is_armored_and_bears_the_fingerprint(repository: tuple[Path, str]) -> None:
    key = repository[0] / "debian/gpg"
    assert key.read_text().startswith("-----BEGIN PGP PUBLIC KEY BLOCK-----")
    shown = subprocess.run(
        ["gpg", "--batch", "--show-keys", "--with-colons", key], capture_output=True, text=True, check=True
    ).stdout
    assert f":{repository[1]}:" in shown
    assert "PRIVATE" not in key.read_text()


def test_the_packages_say_that_they_are_stand_ins(repository: tuple[Path, str]) -> None:
    (package,) = (repository[0] / "debian/dists/bookworm/pool").glob("*/*/docker-ce_*.deb")
    shown = subprocess.run(["dpkg-deb", "--info", package], capture_output=True, text=True, check=True).stdout
    assert "Description: empty stand-in for docker-ce" in shown
