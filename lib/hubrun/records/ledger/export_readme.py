"""The README.txt of an exported run: how to verify it with `ssh-keygen` and `sha256sum` alone."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from hubrun.records.ledger import signature
from hubrun.records.ledger.contents import Attempt
from hubrun.records.ledger.manifest import Record

README = "README.txt"
SUMS = "SHA256SUMS"
ALLOWED = "allowed_signers.example"

_HEAD = """\
The record of one run of hubrun: what was done to a server, by whom, and what came of it.

    site      {site}
    run       {run}, attempt {attempt} ({mode}: {status})
    started   {started}
    operator  {login} on {host}
    signed by {signer}

{run}/manifest.json is an in-toto Statement (https://in-toto.io/Statement/v1): it names every file of the run with
its SHA-256, and says what was done. The notebooks are what ran, with what they printed.

How to verify it. Run the commands in this folder, in a POSIX shell; each ends with exit code 0 if all is well.
They need sha256sum, find, sed (GNU coreutils, findutils and sed) and ssh-keygen (OpenSSH 8.9 or newer), nothing of hubrun.


1. Nothing was damaged on the way

  $ sha256sum -c --quiet --strict SHA256SUMS

This proves that the files are those that were packed. It does not prove who packed them: whoever changes a file can
change SHA256SUMS as well.


2. The files are those that the manifest names, and no others

  $ cd {run}
  $ sed -n '/^ "subject": \\[$/,/^ \\]/{{/^   "name": "/{{s/.*: "//;s/",$//;h}};/^    "sha256": "/{{s/.*: "//;s/"$/  /;G;s/\\n//;p}}}}' manifest.json > ../subjects
  $ test ! -s ../subjects || sha256sum -c --quiet --strict ../subjects
  $ test "$(find . ! -type d ! -path ./manifest.json ! -path ./manifest.json.sig | wc -l)" -eq "$(wc -l < ../subjects)"
  $ cd ..
  $ rm subjects

The first command takes the list of digests out of the manifest. This proves that no file was changed, taken away or
added since the manifest was written: as far as the manifest can be trusted, which is what the next step is for.

"""

_SIGNED = """
3. {place} was signed by {principal}

  $ ssh-keygen -Y verify -f allowed_signers.example -I {principal} -n {namespace} -s {place}.sig < {place}

This proves that whoever holds the private half of the key
{fingerprint} signed this manifest, and so every file that it names.
The key in allowed_signers.example is the one that the manifest names. That it is the operator's must come from
elsewhere: ask them for it (ssh-keygen -lf KEY.pub prints its fingerprint), and put your own file in the place of
allowed_signers.example.
"""

_UNSIGNED = """
3. {place} is not signed

{reason}.
So the steps above show damage, not forgery: whoever has the files could have made them all again. What can vouch for
them is a later run of the same site that is signed and names this manifest: step 4.
"""

_CHAIN = """

4. Its place among the runs of the site

Each manifest names the SHA-256 of the manifest that was closed before it for the same site ("previous"), so that
none of them can be changed, removed or put between later without breaking the one that follows.
{before}
What the next manifest must name under "previous", and what whoever keeps the records may note down elsewhere:

  $ echo '{sha256}  {place}' | sha256sum -c --quiet --strict
"""


def readme(attempts: Sequence[Attempt], records: Sequence[Record]) -> str:
    """The text, from the run's manifests and what they say, first attempt first."""
    last = records[-1]
    places = [attempt.place.partition("/")[2] for attempt in attempts]
    text = _HEAD.format(
        site=last.site, run=last.run, attempt=last.attempt, mode=last.mode, status=last.status, started=last.started,
        login=last.operator.login or "unknown", host=last.operator.host or "unknown",
        signer=last.signer.fingerprint or "nobody",
    )  # fmt: skip
    for record, place in zip(records, places, strict=True):
        text += _signature(record, place)
    before = "This is the first.\n"
    if link := last.previous:
        before = f"Before this one, {link.run} (attempt {link.attempt}) was closed, with the SHA-256\n{link.sha256}.\n"
    return text + _CHAIN.format(before=before, sha256=attempts[-1].sha256, place=places[-1])


def allowed_line(record: Record) -> str:
    """The line of a file of allowed signers for who signed this."""
    return signature.allowed_line(record.signer, record.operator.login, record.operator.host)


def _signature(record: Record, place: str) -> str:
    if not record.signer.fingerprint:
        return _UNSIGNED.format(place=place, reason=record.signer.unsigned or "No reason is given")
    principal = shlex.quote(allowed_line(record).partition(" ")[0])
    return _SIGNED.format(
        place=place, principal=principal, namespace=signature.NAMESPACE, fingerprint=record.signer.fingerprint
    )
