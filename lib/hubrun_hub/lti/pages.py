"""What the person sees whose launch was refused: what happened, and what to do.

The pages say the same to everybody. What only the operator should know is in the log: `Refusal`.
"""

from __future__ import annotations

from dataclasses import dataclass

from .refusals import Reason


@dataclass(frozen=True)
class Page:
    """`status` is HTTP's; `advice` is for who is here, `help` for whom they ask when that was of no use."""

    status: int
    title: str
    what: str
    advice: str
    help: str = ""


TEMPLATE = "lti-refused.html"

_AGAIN = "Go back to your course in Canvas, reload the page there, and click the link again."
_OPERATOR = "If it happens again, tell your teacher or whoever runs this hub, with the line below."

PAGES = {
    Reason.NO_SESSION: Page(
        403,
        "Come in from your course",
        "You are not logged in. There is no password here: Canvas says who you are.",
        "Go to your course in Canvas and click the link to JupyterHub. Your files are as you left them.",
    ),
    Reason.GET: Page(
        405,
        "Come in from your course",
        "This address works only when Canvas opens it; a bookmark, or reloading the page, does not say who you are.",
        "Go to your course in Canvas and click the link to JupyterHub.",
    ),
    Reason.MALFORMED: Page(
        400,
        "This was not a launch",
        "What arrived here is not what Canvas sends when somebody clicks a link to JupyterHub.",
        _AGAIN,
        _OPERATOR,
    ),
    Reason.WRONG_MESSAGE: Page(
        400,
        "This link cannot be used that way",
        "Canvas asked for something else than to open JupyterHub, such as to choose content.",
        "Teachers: add JupyterHub to your course as a plain link (a module item that opens in a new tab), or use its "
        "entry in the course navigation.",
        _OPERATOR,
    ),
    Reason.UNTRUSTED: Page(
        401,
        "This launch is not trusted",
        "The hub cannot be sure that this launch comes from your Canvas, or it was changed on the way.",
        _AGAIN,
        "If it happens again, the tool in Canvas and this hub do not agree on key, secret or address. Teachers: tell "
        "whoever runs this hub, with the line below.",
    ),
    Reason.EXPIRED: Page(
        401,
        "This launch is too old",
        "A launch is good for half a minute. This one waited longer, perhaps in a tab that was left open.",
        _AGAIN,
        "If it happens again and again, a clock may be wrong. Tell whoever runs this hub, with the line below.",
    ),
    Reason.CLOCK: Page(
        401,
        "Two clocks do not agree",
        "According to the clock here, this launch comes from the future.",
        "Try again in a minute. " + _AGAIN,
        "If it happens again and again, tell whoever runs this hub, with the line below.",
    ),
    Reason.REPLAYED: Page(
        401,
        "This launch was used before",
        "Each launch works once. Reloading this page, or going back to it, sends the old one again.",
        _AGAIN,
        "If it happens again and again, tell whoever runs this hub, with the line below.",
    ),
    Reason.NO_NAME: Page(
        400,
        "Canvas does not say who you are",
        "The launch came without the name by which this hub knows you. To let you in under another one would give you "
        "a new, empty home, so the hub does not.",
        "Nothing of yours is lost. Tell your teacher; trying again does not help.",
        "Teachers: Student View has no such name. Otherwise the privacy setting of the tool in Canvas may have "
        "changed, or this person has no SIS id. Tell whoever runs this hub, with the line below.",
    ),
    Reason.OTHER_PERSON: Page(
        403,
        "This name is somebody else's",
        "This hub knows another person by the name that came with this launch.",
        "If you are who you say, nothing of yours is lost: tell your teacher. Trying again does not help.",
        "Teachers: a link's own custom fields or address must not say who comes. If Canvas merged two accounts of this "
        "person, tell whoever runs this hub, with the line below.",
    ),
    Reason.BAD_LINK: Page(
        400,
        "This link does not lead to a page here",
        "The link in your course asks the hub to open something that is not on this hub, or to take you for somebody "
        "else.",
        "Tell your teacher; trying again does not help.",
        "Teachers: make the link again. What follows custom_next= must be a path on this hub, such as "
        "/hub/user-redirect/lab, percent-encoded.",
    ),
    Reason.NO_COOKIE: Page(
        400,
        "The launch did not come back to where it began",
        "Your browser did not keep the cookie that belongs to this launch. It may block cookies, the link may have "
        "opened inside another page, or the launch took longer than ten minutes.",
        "Allow cookies for this site, and let the link open in a new tab. " + _AGAIN,
        _OPERATOR,
    ),
    Reason.LMS_ERROR: Page(
        403,
        "Canvas did not say who you are",
        "The hub asked Canvas who you are, and got an error for an answer. Often you are no longer logged in there, "
        "or the page in Canvas was open for too long.",
        "Log in to Canvas again. " + _AGAIN,
        _OPERATOR,
    ),
    Reason.NO_KEYS: Page(
        503,
        "The hub cannot reach Canvas",
        "To check a launch the hub needs a key that Canvas publishes, and it does not get it.",
        "Try again in a minute. " + _AGAIN,
        _OPERATOR,
    ),
    Reason.NOT_ADMITTED: Page(
        403,
        "You are not admitted",
        "Canvas says who you are, but this hub does not let you in.",
        "Tell your teacher, or whoever runs this hub.",
    ),
    Reason.DISK_FULL: Page(
        503,
        "The server's disk is full",
        "Your files are safe, but the hub cannot let anybody in until there is room again.",
        "Tell your teacher, or whoever runs this hub, with the line below. Then come back later from your course.",
    ),
    Reason.FRAMED: Page(
        400,
        "JupyterHub needs a tab of its own",
        "It was to open in a new tab, but your browser or app opened it inside another page, where it does not work.",
        "Open your course in a web browser, and click the link there.",
        "Teachers: let the link itself open in a new tab or window.",
    ),
    Reason.LATE_CLICK: Page(
        400,
        "This button was good for one minute",
        "It works once, and only for a minute after your course showed it.",
        "Go back to your course, reload the page there, and click the button again.",
        _OPERATOR,
    ),
}

# At the gate before people's servers (`gate`).
NOT_YOURS = Page(
    403,
    "This is somebody else's server",
    "What it shows would run in your browser with your rights, so the hub opens it only to the person whose it is, and "
    "to those who were granted access to it.",
    "Your own server is where it always was: go to your course in Canvas and click the link to JupyterHub.",
    "Teachers: you see what students handed in with formgrader. Administrators: your role does not open other people's "
    "servers either. To work with somebody on theirs, give yourself a role of its own with access:servers for it.",
)
