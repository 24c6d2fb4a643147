"""Sends a message to the operator: by mail through a relay, to a webhook, or both."""

from __future__ import annotations

import http.client
import json
import smtplib
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from email.message import EmailMessage
from typing import Any

_SECONDS = 30


class NotSent(Exception):
    """Why a message did not arrive, in a line without secrets."""


def send(settings: Mapping[str, Any], subject: str, text: str) -> None:
    """Send it to all of the settings' addresses; each is tried. Raises NotSent.

    settings: domain, to (mail addresses), smtp ("host:port"), user, password, webhook; what is not wanted is empty.
    """
    wrong = []
    for wanted, how in ((settings["to"], _mail), (settings["webhook"], _post)):
        try:
            if wanted:
                how(settings, subject, text)
        except NotSent as error:
            wrong.append(str(error))
    if wrong:
        raise NotSent("; ".join(wrong))


def _mail(settings: Mapping[str, Any], subject: str, text: str) -> None:
    host, _, port = settings["smtp"].rpartition(":")
    mail = EmailMessage()
    mail["Subject"], mail["To"] = subject, ", ".join(settings["to"])
    # An address of which the relay knows that it is one of its own.
    mail["From"] = settings["user"] if "@" in settings["user"] else settings["to"][0]
    # What answers mail by itself must not answer this (RFC 3834).
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(text)
    context = ssl.create_default_context()
    try:
        # RFC 8314: port 465 is TLS from the first byte on.
        relay = (
            smtplib.SMTP_SSL(host, int(port), timeout=_SECONDS, context=context)
            if port == "465"
            else smtplib.SMTP(host, int(port), timeout=_SECONDS)
        )
        with relay:
            if port != "465" and (settings["user"] or relay.has_extn("starttls")):
                relay.starttls(context=context)
            if settings["user"]:
                relay.login(settings["user"], settings["password"])
            relay.send_message(mail)
    except (OSError, smtplib.SMTPException) as error:
        raise NotSent(f"mail by {settings['smtp']}: {error or type(error).__name__}") from None


def _post(settings: Mapping[str, Any], subject: str, text: str) -> None:
    # {"text": …} is what Slack, Mattermost, Rocket.Chat, Google Chat, and Discord at …/slack take.
    body = json.dumps({"text": f"{subject}\n{text}"}).encode()
    try:
        request = urllib.request.Request(settings["webhook"], body, {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=_SECONDS).close()  # nosec B310 - https, by the schema
    except urllib.error.HTTPError as error:
        raise NotSent(f"the webhook answers with {error.code}") from None
    except (OSError, ValueError, http.client.HTTPException) as error:  # whatever it says, it must not say the address
        raise NotSent(f"the webhook: {getattr(error, 'reason', None) or type(error).__name__}") from None
