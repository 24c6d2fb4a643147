"""Grades by LTI 1.1: Basic Outcomes (IMS LTI Implementation Guide 1.1.1, 6; LTI Basic Outcomes Management 1.1).

A message in XML, signed with the consumer's key and secret: OAuth 1.0 in the header, with the digest of the body
(OAuth Request Body Hash 1.0). A grade is a number from 0 to 1, and each message says the whole of it: sent again, it
is the same grade.
"""

from __future__ import annotations

import math
import secrets
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from oauthlib.oauth1 import SIGNATURE_TYPE_AUTH_HEADER, Client

from .calls import Calls, ServiceError

_NAMESPACE = "http://www.imsglobal.org/services/ltiv1p1/xsd/imsoms_v1p0"
_MESSAGE = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    f'<imsx_POXEnvelopeRequest xmlns="{_NAMESPACE}"><imsx_POXHeader><imsx_POXRequestHeaderInfo>'
    "<imsx_version>V1.0</imsx_version><imsx_messageIdentifier>{id}</imsx_messageIdentifier>"
    "</imsx_POXRequestHeaderInfo></imsx_POXHeader><imsx_POXBody><{kind}Request><resultRecord><sourcedGUID>"
    "<sourcedId>{sourcedid}</sourcedId></sourcedGUID>{result}</resultRecord></{kind}Request></imsx_POXBody>"
    "</imsx_POXEnvelopeRequest>"
)
_RESULT = "<result><resultScore><language>en</language><textString>{}</textString></resultScore></result>"
_XML = "application/xml"


class Outcomes:
    """The service of one consumer. All methods raise ServiceError."""

    def __init__(self, key: str, secret: str, calls: Calls) -> None:
        self._key, self._secret, self._calls = key, secret, calls

    async def replace(self, url: str, sourcedid: str, grade: float) -> None:
        """Set the grade, from 0 to 1, for the person and link that `sourcedid` says."""
        # The guide allows no more than 1: extra points end there.
        await self._tell(url, "replaceResult", sourcedid, _RESULT.format(f"{min(max(grade, 0.0), 1.0):.6g}"))

    async def read(self, url: str, sourcedid: str) -> float | None:
        """The grade that the LMS has, None for none."""
        said = await self._tell(url, "readResult", sourcedid)
        text = said.findtext(f".//{{{_NAMESPACE}}}resultScore/{{{_NAMESPACE}}}textString") or ""
        try:
            grade = float(text)
        except ValueError:
            return None
        return grade if math.isfinite(grade) else None

    async def delete(self, url: str, sourcedid: str) -> None:
        """Take the grade back."""
        await self._tell(url, "deleteResult", sourcedid)

    async def _tell(self, url: str, kind: str, sourcedid: str, result: str = "") -> ElementTree.Element:
        body = _MESSAGE.format(id=secrets.token_hex(16), kind=kind, sourcedid=escape(sourcedid), result=result)

        def signed() -> tuple[dict[str, str], bytes]:
            signer = Client(self._key, client_secret=self._secret, signature_type=SIGNATURE_TYPE_AUTH_HEADER)
            _, headers, data = signer.sign(url, "POST", body=body, headers={"Content-Type": _XML})
            return {**headers, "Accept": _XML}, data.encode()

        return _read((await self._calls.ask("POST", url, signed)).body)


def _read(body: bytes) -> ElementTree.Element:
    """The message that came back, of which the header says what came of ours (6.1.4)."""
    # An entity can only be declared in a document type, which no message has.
    if b"<!" in body:
        raise ServiceError("the LMS answered what is not a message of this service")
    try:
        said = ElementTree.fromstring(body)  # nosec B314 - see above
    except (ElementTree.ParseError, ValueError, LookupError):
        raise ServiceError("the LMS answered what is not XML") from None
    major = (said.findtext(f".//{{{_NAMESPACE}}}imsx_codeMajor") or "").strip().lower()
    if major != "success":
        why = " ".join((said.findtext(f".//{{{_NAMESPACE}}}imsx_description") or "").split())[:200]
        raise ServiceError(f"the LMS did not take it ({major or 'no word of success'}): {why}")
    return said
