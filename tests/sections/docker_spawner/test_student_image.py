"""The students' image: what goes into its build, and what makes it be built again."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from hubrun import params
from hubrun.errors import BadInput, HubrunError
from hubrun.params import Site
from hubrun.sections.docker_spawner import student_image
from hubrun.sections.docker_spawner.image_versions import described
from hubrun.sections.docker_spawner.student_image import build_args, build_context

DOCKERFILE = student_image.PROJECT / "Dockerfile.singleuser"
PINS = resources.files("hubrun.sections.hub").joinpath("requirements")


def site(folder: Path | None = None, pems: tuple[str, ...] = (), **changes: Any) -> Site:
    """A site with these parameters; pems: what its ca_certificates hold, in files below `folder`."""
    paths = []
    for number, pem in enumerate(pems):
        assert folder
        paths.append(str(folder / f"{number}.pem"))
        Path(paths[-1]).write_text(pem)
    base = {"site": "bio", "domain": "hub.example.edu", "base_image": "example/base:1", "ca_certificates": paths}
    return params.build(base | changes, "test")


def digest(chosen: Site) -> str:
    return described(chosen).digest


def authority(name: str) -> tuple[str, str]:
    """A CA certificate and its private key, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM).decode(), private.decode()


def pinned(name: str) -> dict[str, str]:
    """Package → version of a file of pins."""
    return dict(re.findall(r"^([a-z0-9-]+)==([^\s;\\]+)", PINS.joinpath(name).read_text(), re.M))


def copied(text: str) -> set[str]:
    """The sources of a Dockerfile's COPY instructions."""
    lines = re.findall(r"^COPY (.*)$", text.replace("\\\n", ""), re.M)
    return {word for line in lines for word in line.split()[:-1] if not word.startswith("--")}


def test_the_context_holds_what_the_dockerfile_copies_and_nothing_else(tmp_path: Path) -> None:
    files = build_context(site(tmp_path, (authority("A")[0],), extra_pip_packages=["rich"]))
    sources = copied(files.pop("Dockerfile").decode())
    assert "lib/hubrun/sections/hub/requirements/singleuser.txt" in sources
    # A source is a pattern of files, or a folder.
    matched = {name for name in files if any(Path(name).match(one) or name.startswith(f"{one}/") for one in sources)}
    assert matched == set(files)
    plain = {source for source in sources if "[" not in source}
    assert plain <= set(files) | {str(folder) for name in files for folder in Path(name).parents}


def test_without_extras_and_certificates_the_context_has_neither() -> None:
    assert not [name for name in build_context(site()) if name.startswith(("extra", "ca-"))]


def test_the_arguments_are_those_that_the_dockerfile_declares() -> None:
    declared = dict(re.findall(r"^ARG (\w+)=(.*)$", DOCKERFILE.read_text(), re.M))
    inside = {name for name in declared if name.startswith("UV_")}
    assert set(build_args(site())) == set(declared) - inside
    # By hand one gets what a site gets that says nothing.
    silent = Site(site="bio", domain="hub.example.edu")
    assert build_args(silent) == {name: value for name, value in declared.items() if name not in inside}


@pytest.mark.parametrize(
    "change",
    [
        {"base_image": "example/base:2"},
        {"nbgrader": False},
        {"nbgitpuller": False},
        {"jupyterlab_git": False},
        {"tensorflow": True},
        {"pytorch": "cpu"},
        {"pytorch": "cuda"},
        {"extra_pip_packages": ["rich"]},
        {"extra_pip_packages": ["rich==14"]},
        {"pems": (authority("A")[0],)},
    ],
    ids=lambda change: "-".join(f"{value}"[:12].split("\n")[0] for value in change.values()),
)
def test_each_choice_makes_a_new_image(tmp_path: Path, change: dict[str, Any]) -> None:
    assert digest(site(tmp_path, **change)) != digest(site())


def test_a_changed_pin_makes_a_new_image(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = digest(site())
    for name, content in build_context(site()).items():
        target = tmp_path / name.replace("Dockerfile", student_image.DOCKERFILE)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    monkeypatch.setattr(student_image, "PROJECT", tmp_path)
    assert digest(site()) == before
    pins = tmp_path / student_image.REQUIREMENTS / "singleuser.txt"
    pins.write_text(pins.read_text().replace("nbgrader==", "nbgrader==9"))
    assert digest(site()) != before


@pytest.mark.slow
def test_the_same_choices_make_the_same_image_in_another_process() -> None:
    code = (
        "from hubrun.params import Site; from hubrun.sections.docker_spawner.image_versions import described;"
        "print(described(Site(site='bio', domain='hub.example.edu', base_image='example/base:1',"
        " extra_pip_packages=['rich', 'attrs'])).digest)"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert other.strip() == digest(site(extra_pip_packages=["rich", "attrs"]))


def test_a_bundle_is_split_because_the_system_wants_one_certificate_a_file(tmp_path: Path) -> None:
    one, two = authority("A")[0], authority("B")[0]
    bundle = site(tmp_path, (f"# A\n{one}# B\n{two}",))
    files = {name: text for name, text in build_context(bundle).items() if name.startswith("ca-")}
    assert sorted(files.values()) == sorted([one.encode(), two.encode()])
    together = digest(bundle)
    assert together == digest(site(tmp_path, (two, one)))


def test_a_private_key_beside_a_certificate_stays_out_of_the_image(tmp_path: Path) -> None:
    certificate, key = authority("A")
    files = build_context(site(tmp_path, (key + certificate,)))
    assert not [name for name, content in files.items() if b"PRIVATE" in content]


NO_CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize("pem", ["", "not a certificate", authority("A")[1], authority("A")[0][:200], NO_CERTIFICATE])
def test_what_is_no_certificate_is_refused(tmp_path: Path, pem: str) -> None:
    with pytest.raises(BadInput, match="ca_certificates"):
        build_context(site(tmp_path, (pem,)))


@pytest.mark.parametrize("package", ["rich", "pandas>=2,<3", "uvicorn[standard]==0.30.1", "a; python_version<'3.13'"])
def test_requirements_are_taken(package: str) -> None:
    lines = build_context(site(extra_pip_packages=["attrs", package]))["extra-packages.txt"].decode()
    assert lines.splitlines()[0] == "attrs"
    assert lines.splitlines()[1].startswith(package[0])


@pytest.mark.parametrize(
    "package",
    [
        "",
        "-e .",
        "--index-url https://example.org/simple",
        "rich --index-url https://example.org/simple",
        "rich\n--index-url https://example.org/simple",
        "-r other.txt",
        "./local",
        "pandas=2",
        "rich # comment",
        "$(id)",
    ],
)
def test_options_and_nonsense_are_refused_as_packages(package: str) -> None:
    with pytest.raises(BadInput, match="extra_pip_packages") as caught:
        site(extra_pip_packages=[package])
    assert repr(package) in str(caught.value)


def test_a_missing_dockerfile_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(student_image, "PROJECT", tmp_path)
    with pytest.raises(HubrunError, match=r"Dockerfile\.singleuser"):
        build_context(site())


def test_hub_and_image_run_the_same_jupyterhub() -> None:
    assert pinned("singleuser.txt")["jupyterhub"] == pinned("hub.txt")["jupyterhub"]


@pytest.mark.parametrize("name", ["hub", "uv", "singleuser", "science"])
def test_the_pins_hold_every_package_that_is_asked_for(name: str) -> None:
    asked = re.findall(r"^([a-z0-9-]+)(==[^\s;]+)?", PINS.joinpath(f"{name}.in").read_text(), re.M)
    have = pinned(f"{name}.txt")
    assert asked
    for package, version in asked:
        assert package in have
        assert not version or f"=={have[package]}" == version


@pytest.mark.parametrize("name", ["hub.txt", "uv.txt", "singleuser.txt", "science.txt"])
def test_what_we_install_is_pinned_by_hash_and_names_no_registry(name: str) -> None:
    text = PINS.joinpath(name).read_text()
    entries = re.split(r"\n(?=\S)", text.strip())
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in text and "--index" not in text and "--find-links" not in text


def test_both_files_of_the_image_pin_the_same_versions() -> None:
    """Packages that a site adds are held to both."""
    one, other = pinned("singleuser.txt"), pinned("science.txt")
    assert {name: one[name] for name in one.keys() & other.keys()} == {
        name: other[name] for name in one.keys() & other.keys()
    }


def test_of_what_science_needs_only_what_the_base_lacks_is_pinned(tmp_path: Path) -> None:
    """The filter in the Dockerfile, run as it is there."""
    (program,) = re.findall(r"awk '(.+?)'", DOCKERFILE.read_text())
    base = tmp_path / "base"
    base.write_text("numpy\nh5py\n")
    done = subprocess.run(
        ["awk", program, base, str(PINS.joinpath("science.txt"))], capture_output=True, text=True, check=True
    )
    kept = {entry.partition("==")[0] for entry in re.split(r"\n(?=\S)", done.stdout.strip())}
    assert kept == pinned("science.txt").keys() - {"numpy", "h5py"}
    assert done.stdout.count("--hash") < PINS.joinpath("science.txt").read_text().count("--hash")


def test_the_proxy_is_pinned_by_hash_and_names_no_registry() -> None:
    wanted = json.loads(PINS.joinpath("proxy/package.json").read_text())["dependencies"]
    lock = json.loads(PINS.joinpath("proxy/package-lock.json").read_text())["packages"]
    assert lock.pop("")["dependencies"] == wanted
    assert lock["node_modules/configurable-http-proxy"]["version"] == wanted["configurable-http-proxy"]
    assert all(entry["integrity"].startswith("sha512-") for entry in lock.values())
    assert not [name for name, entry in lock.items() if "resolved" in entry]


def test_the_build_by_hand_sends_the_engine_no_records_and_no_environment() -> None:
    ignore = (student_image.PROJECT / ".dockerignore").read_text().splitlines()
    rules = [line for line in ignore if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert all(rule.startswith("!") for rule in rules[1:])
    allowed = [rule[1:] for rule in rules[1:]]
    for source in copied(DOCKERFILE.read_text()):
        name = source.replace("[s]", "s").replace("[t]", "t").replace("*", "x")
        assert any(Path(name).match(rule) for rule in allowed), source


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, "--no-color", DOCKERFILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_builder_of_docker_20_10_understands_the_dockerfile() -> None:
    text = DOCKERFILE.read_text()
    instructions = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    # Both came with BuildKit; a server whose Docker is the distribution's may not have it.
    assert not re.search(r"--mount|<<", instructions)
    assert not re.search(r"^# *syntax *=", text, re.M)


def test_a_kernel_runs_nothing_that_lies_beside_its_notebook(tmp_path: Path) -> None:
    """The step in the Dockerfile, run as it is there; and the attack on the kernel as it was and as it is then."""
    spec = tmp_path / "share/jupyter/kernels/python3/kernel.json"
    spec.parent.mkdir(parents=True)
    usual = ["python", "-Xfrozen_modules=off", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec.write_text(json.dumps({"argv": usual, "language": "python"}))
    [program] = re.findall(r"^RUN python -m (\S+kernel_spec)$", DOCKERFILE.read_text(), re.M)
    step = f"import runpy, sys; sys.prefix = {str(tmp_path)!r}; runpy.run_module({program!r}, run_name='__main__')"
    subprocess.run([sys.executable, "-c", step], check=True)
    ours = json.loads(spec.read_text())["argv"]
    assert ours[-2:] == usual[-2:]

    submission = tmp_path / "submission"
    submission.mkdir()
    for name in ("ipykernel_launcher", "contextlib", "ipykernel", "jedi", "json"):
        submission.joinpath(f"{name}.py").write_text("import os; os.write(1, b'ran')")

    def said(argv: list[str]) -> str:
        command = [sys.executable, *argv[1:-2], "--version"]
        return subprocess.run(command, cwd=submission, capture_output=True, text=True, check=False).stdout

    assert "ran" in said(usual)
    assert re.fullmatch(r"[0-9.]+\n", said(ours))


@pytest.mark.parametrize(
    ("there", "runs"),
    [
        ((), "jupyterhub-singleuser --ip 0"),
        (("start-singleuser.sh",), "start-singleuser.sh --ip 0"),
        (("start-singleuser.py", "start-singleuser.sh"), "start-singleuser.py --ip 0"),
    ],
    ids=["an image of others", "an older stack of Jupyter's", "today's"],
)
def test_whatever_a_base_has_is_started_by_the_name_that_the_spawner_calls(
    tmp_path: Path, there: tuple[str, ...], runs: str
) -> None:
    """The step in the Dockerfile, run as it is there."""
    [step] = re.findall(r"^RUN (if ! command -v start-singleuser.py.*?\n    fi)$", DOCKERFILE.read_text(), re.M | re.S)
    for name in (*there, "jupyterhub-singleuser"):
        (tmp_path / name).write_text('#!/bin/sh\necho "$(basename "$0") $*"\n')
        (tmp_path / name).chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    script = step.replace("\\\n", "\n").replace("/usr/local/bin", str(tmp_path))
    subprocess.run(["bash", "-euo", "pipefail", "-c", script], check=True, env=environment)
    said = subprocess.run(
        ["start-singleuser.py", "--ip", "0"], capture_output=True, text=True, env=environment, check=True,
        executable=tmp_path / "start-singleuser.py",
    ).stdout  # fmt: skip
    assert said == f"{runs}\n"
