"""Signing manifests with the operator's SSH key, and checking who signed: `ssh-keygen -Y`.

Sources: ssh-keygen(1), `-Y sign`, `-Y verify`, ALLOWED SIGNERS; PROTOCOL.sshsig of OpenSSH. Needs OpenSSH 8.9
(Debian 12, Ubuntu 22.04) or newer.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import datetime
import hashlib
import os
import re
import shlex
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hubrun.errors import BadInput, HubrunError
from hubrun.records.ledger.manifest import Signer, moment

# What a signature is for is part of it: one made for git or a file transfer does not hold here.
NAMESPACE = "record@hubrun"
# A key that wants to be touched, or an agent that asks somebody, must not hold up a run.
SECONDS = 20
_PUBLIC = re.compile(r"(?:ssh|ecdsa|sk-ssh|sk-ecdsa)-\S+ (?P<blob>AAAA\S+)")


@dataclass(frozen=True)
class Key:
    """A key that can sign. file: the private key; None: the SSH agent holds it."""

    signer: Signer
    file: Path | None = None


class BadSignature(HubrunError):
    """A signature that does not hold, or is by somebody who may not sign."""


def find_signer(wanted: str, ssh_key_file: str) -> tuple[Key | None, Signer]:
    """The key that signs, and what the manifest says of it; no key, and why, where a run goes unsigned.

    wanted: the parameter `record_signing_key`: a private key file; a public key file whose private half is in the SSH
    agent; "none"; or empty for `ssh_key_file`, else the agent's first key. The key has made a signature when this
    returns. Raises BadInput when `wanted` names a key that cannot sign.
    """
    if wanted == "none":
        return None, Signer(unsigned="record_signing_key says none")
    try:
        key = _choose(wanted or ssh_key_file)
        sign(key, b"")
    except HubrunError as error:
        if wanted:
            raise BadInput(str(error), "parameter record_signing_key", "Name a key that can sign, or none") from None
        return None, Signer(unsigned=str(error))
    return key, key.signer


def sign(key: Key, content: bytes) -> bytes:
    """The signature of `content`, as a file holds it. Raises HubrunError when the key does not sign, OSError."""
    with tempfile.TemporaryDirectory() as folder:
        file = key.file
        if not file:
            file = Path(folder, "key.pub")
            file.write_text(key.signer.public_key + "\n")
        done = _run("ssh-keygen", "-Y", "sign", "-n", NAMESPACE, "-f", str(file), content=content, agent=not key.file)
    if done.returncode != 0 or not done.stdout:
        raise HubrunError(f"the key does not sign: {_said(done)}", str(key.file or "the SSH agent"))
    return done.stdout


def check(content: bytes, signature: Path, allowed: Path | None = None, at: str = "") -> tuple[str, str]:
    """Who signed `content`, by the signature in the file `signature`: the key's fingerprint, and its name in `allowed`.

    allowed: a file of allowed signers (ssh-keygen(1)), one of whom it must be. at: when, ISO 8601 (UTC where no zone
    is given), for keys that were valid only for a time; empty: now. Raises BadSignature; HubrunError when ssh-keygen
    cannot be run, OSError when a file cannot be read.
    """
    blob = _signing_key(signature)
    fingerprint = _fingerprint(blob)
    _verify("check-novalidate", content, signature)
    if not allowed:
        return fingerprint, ""
    refusal = f"the key {fingerprint} is not in {allowed.name}"
    for principal in _principals(allowed, base64.b64encode(blob).decode()):
        try:
            _verify("verify", content, signature, "-f", str(allowed), "-I", principal, *_time(at))
        except BadSignature as error:
            refusal = f"{principal} with the key {fingerprint} may not sign: {error.what}"
        else:
            return fingerprint, principal
    raise BadSignature(refusal)


def fingerprint(public_key: str) -> str:
    """The fingerprint of a public key line, as `ssh-keygen -l` prints it; empty for what is not a public key."""
    match = _PUBLIC.match(public_key)
    with contextlib.suppress(binascii.Error):
        return _fingerprint(base64.b64decode(match["blob"], validate=True)) if match else ""
    return ""


def allowed_line(signer: Signer, login: str, host: str) -> str:
    """The line of a file of allowed signers that lets `login`@`host` sign records with this key: ssh-keygen(1)."""
    # A pattern list: blanks, commas, quotes, * ? and ! would mean something there.
    name, machine = (re.sub(r"[^\w.+-]", "_", part) or "_" for part in (login, host))
    return f'{name}@{machine} namespaces="{NAMESPACE}" {signer.public_key}'


# -- choosing a key --------------------------------------------------------------------------------------------


def _choose(path: str) -> Key:
    """The key in the file `path`, or the agent's first. Raises HubrunError that says why there is none."""
    if not path:
        # A security key waits for a touch that nobody knows of; whoever wants it names it.
        for key in _agent():
            if not key.signer.public_key.startswith("sk-"):
                return key
        agent = "the SSH agent holds no key" if os.environ.get("SSH_AUTH_SOCK") else "there is no SSH agent"
        raise HubrunError(f"no key file is named, and {agent}")
    file = Path(path).expanduser()
    try:
        with file.open(errors="replace") as text:
            public = _PUBLIC.match(text.readline())
    except OSError as error:
        raise HubrunError(f"the key file cannot be read: {error.strerror}", path) from None
    if not public:
        return _private(file)
    if held := _held(fingerprint(public[0])):
        return held
    if file.suffix == ".pub" and file.with_suffix("").is_file():
        return _private(file.with_suffix(""))
    raise HubrunError("no SSH agent holds the private half of this public key", path)


def _private(file: Path) -> Key:
    done = _run("ssh-keygen", "-y", "-P", "", "-f", str(file))
    public = _PUBLIC.match(done.stdout.decode(errors="replace"))
    if done.returncode == 0 and public:
        return _key(public[0], file.absolute())
    said = done.stderr.decode(errors="replace")
    if "passphrase" not in said:
        reason = "others may read it" if "too open" in said else "ssh-keygen finds no private key in it"
        raise HubrunError(f"the key cannot be used: {reason}", str(file))
    # The public half of a key with a passphrase can be read without it.
    shown = re.search(r"SHA256:\S+", _run("ssh-keygen", "-l", "-f", str(file)).stdout.decode(errors="replace"))
    if shown and (key := _held(shown[0])):
        return key
    raise HubrunError("the key has a passphrase, and no SSH agent holds it", str(file))


def _held(wanted: str) -> Key | None:
    return next((key for key in _agent() if key.signer.fingerprint == wanted), None)


def _agent() -> list[Key]:
    """The keys of the SSH agent, without certificates; none where no agent answers."""
    if not os.environ.get("SSH_AUTH_SOCK"):
        return []
    lines = _run("ssh-add", "-L", agent=True).stdout.decode(errors="replace").splitlines()
    return [_key(public[0]) for public in map(_PUBLIC.match, lines) if public and "-cert-v0" not in public[0]]


def _key(public: str, file: Path | None = None) -> Key:
    return Key(Signer(fingerprint=fingerprint(public), public_key=public), file)


# -- ssh-keygen ------------------------------------------------------------------------------------------------


def _verify(how: str, content: bytes, signature: Path, *args: str) -> None:
    done = _run("ssh-keygen", "-Y", how, "-n", NAMESPACE, "-s", str(signature), *args, content=content)
    if done.returncode != 0:
        raise BadSignature(_said(done))


def _run(*command: str, content: bytes = b"", agent: bool = False) -> subprocess.CompletedProcess[bytes]:
    """Run it without a terminal, so that nothing can ask anybody. Raises HubrunError when it cannot be run."""
    hidden = {"SSH_ASKPASS", "DISPLAY", "WAYLAND_DISPLAY"} | (set() if agent else {"SSH_AUTH_SOCK"})
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment |= {"SSH_ASKPASS_REQUIRE": "never", "LC_ALL": "C", "TZ": "UTC"}
    try:
        return subprocess.run(
            command, input=content, capture_output=True, env=environment, timeout=SECONDS, start_new_session=True
        )
    except FileNotFoundError:
        raise HubrunError(f"there is no {command[0]} on this machine (Debian: openssh-client)") from None
    except subprocess.TimeoutExpired:
        raise HubrunError(f"`{shlex.join(command[:3])}` did not answer within {SECONDS} s") from None


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    """What ssh-keygen said first, without the place in the file: "allowed_signers:3: key has expired: …"."""
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return re.sub(r"^\S+:\d+: |^Signature verification failed: ", "", lines[0]) if lines else "no reason given"


def _signing_key(signature: Path) -> bytes:
    """The public key in a signature: magic, version, then the key behind its length (PROTOCOL.sshsig, section 3)."""
    try:
        body = base64.b64decode("".join(signature.read_text().strip().splitlines()[1:-1]), validate=True)
    except ValueError:
        raise BadSignature("this is not a signature of ssh-keygen") from None
    length = int.from_bytes(body[10:14])
    if not body.startswith(b"SSHSIG") or len(body) < 14 + length:
        raise BadSignature("this is not a signature of ssh-keygen")
    return body[14 : 14 + length]


def _principals(allowed: Path, blob: str) -> list[str]:
    """The names that the file gives to a key. `find-principals` stops at the first line, which may be for git."""
    lines = [line.split() for line in allowed.read_text().splitlines() if not line.startswith("#")]
    return [name for words in lines if blob in words[1:] for name in words[0].strip('"').split(",") if name[:1] != "!"]


def _time(at: str) -> list[str]:
    if not at:
        return []
    try:
        when = moment(at).astimezone(datetime.UTC)
    except (ValueError, OverflowError):
        raise BadSignature(f"{at} is not a time in ISO 8601") from None
    return ["-O", f"verify-time={when:%Y%m%d%H%M%S}"]


def _fingerprint(blob: bytes) -> str:
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
