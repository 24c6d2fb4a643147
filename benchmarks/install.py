"""The whole install of a fresh server: ours against the setup guide's own commands (guide.sh) on an equal one."""

from __future__ import annotations

import io
import re
import tarfile
from pathlib import Path

from benchmarks import ours, processes

from hubrun.sections.docker_spawner.student_image import build_context

GUIDE = Path(__file__).with_name("guide.sh")
GUIDE_LIMIT = 1800
_FOLDER = "/root/guide"


def guide(target: ours.Target, limit: float = GUIDE_LIMIT) -> processes.Done:
    """Run guide.sh on a fresh server over SSH; the time of the script alone. Raises CommandFailed when it fails.

    limit: seconds, after which it is cut short.
    """
    site = target.site
    archive = io.BytesIO()
    context = build_context(site)
    files = {f"ca/{Path(path).name}": text for path, text in context.items() if path.endswith(".crt")}
    files |= {"guide.sh": GUIDE.read_bytes(), "acme-ca.pem": Path(site.acme_ca_file).read_bytes()}
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    ssh = (
        "ssh", "-F", "/dev/null", "-p", str(site.ssh_port), "-i", site.ssh_key_file, "-o", "IdentitiesOnly=yes",
        "-o", f"UserKnownHostsFile={target.known_hosts}", f"{site.ssh_user}@{site.host}",
    )  # fmt: skip
    there = processes.run((*ssh, f"mkdir -p {_FOLDER} && tar -xf - -C {_FOLDER}"), 60, data=archive.getvalue())
    processes.well(there, "ssh")
    values = {
        "DOMAIN": site.domain, "EMAIL": site.acme_email, "ACME_DIRECTORY": site.acme_directory,
        "ACME_CA": f"{_FOLDER}/acme-ca.pem", "BASE_IMAGE": site.base_image, "CA_FOLDER": f"{_FOLDER}/ca",
    }  # fmt: skip
    words = " ".join(f"{name}={value}" for name, value in values.items())
    done = processes.run((*ssh, f"env {words} bash {_FOLDER}/guide.sh"), limit)
    return done if done.cut_short else processes.well(done, GUIDE.name)


def parts(output: str) -> str:
    """How long each part of guide.sh took, from the lines that it printed. Pure."""
    ends = [
        (name.strip(), int(seconds)) for name, seconds in re.findall(r"^== (.+) after (\d+) s$", output, re.MULTILINE)
    ]
    begins = [0, *(seconds for _, seconds in ends)]
    return ", ".join(f"{name} {seconds - begin} s" for (name, seconds), begin in zip(ends, begins, strict=False))
