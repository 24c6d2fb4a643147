"""What the person sees whose launch was refused: what happened, and what to do.

The pages say the same to everybody. What only the operator should know is in the log: `Refusal`. In the texts {lms} is
the name of the LMS that launched.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .refusals import Reason


@dataclass(frozen=True)
class Page:
    """`status` is HTTP's; `advice` is for who is here, `help` for whom they ask when that was of no use."""

    status: int
    title: str
    what: str
    advice: str
    help: str = ""

    def of(self, lms: str) -> Page:
        """The page with the LMS's name in it, such as Moodle or "your learning platform"."""
        texts = {name: getattr(self, name).replace("{lms}", lms) for name in ("title", "what", "advice", "help")}
        return replace(self, **{name: text[:1].upper() + text[1:] for name, text in texts.items()})


# Where it is not known which of several LMSs somebody comes from.
ANY_LMS = "your learning platform"

TEMPLATE = "lti-refused.html"

_AGAIN = "Go back to your course in {lms}, reload the page there, and click the link again."
_OPERATOR = "If it happens again, tell your teacher or whoever runs this hub, with the line below."

PAGES = {
    Reason.NO_SESSION: Page(
        403,
        "Come in from your course",
        "You are not logged in. There is no password here: {lms} says who you are.",
        "Go to your course in {lms} and click the link to JupyterHub. Your files are as you left them.",
    ),
    Reason.GET: Page(
        405,
        "Come in from your course",
        "This address works only when {lms} opens it; a bookmark, or reloading the page, does not say who you are.",
        "Go to your course in {lms} and click the link to JupyterHub.",
    ),
    Reason.MALFORMED: Page(
        400,
        "This was not a launch",
        "What arrived here is not what {lms} sends when somebody clicks a link to JupyterHub.",
        _AGAIN,
        _OPERATOR,
    ),
    Reason.WRONG_MESSAGE: Page(
        400,
        "This link cannot be used that way",
        "{lms} asked for something else than to open JupyterHub, such as to choose content.",
        "Teachers: add JupyterHub to your course as a plain link (a module item that opens in a new tab), or use its "
        "entry in the course navigation.",
        _OPERATOR,
    ),
    Reason.SIGNATURE_METHOD: Page(
        400,
        "This launch is signed in a way that this hub does not know",
        "With LTI 1.1 this hub takes signatures by HMAC-SHA1. This launch is signed by another method, such as HMAC-SHA256.",
        "Tell your teacher; trying again does not help.",
        "Teachers: set the tool's signature method in {lms} to HMAC-SHA1, or use LTI 1.3.",
    ),
    Reason.LTI_VERSION: Page(
        400,
        "This launch is LTI 2.0",
        "This hub takes launches of LTI 1.1 and LTI 1.3. LTI 2.0 (LTI-2p0) was withdrawn by its makers.",
        "Tell your teacher; trying again does not help.",
        "Teachers: add JupyterHub to {lms} as a tool of LTI 1.3, or of LTI 1.1.",
    ),
    Reason.UNTRUSTED: Page(
        401,
        "This launch is not trusted",
        "The hub cannot be sure that this launch comes from {lms}, or it was changed on the way.",
        _AGAIN,
        "If it happens again, the tool in {lms} and this hub do not agree on key, secret or address. Teachers: tell "
        "whoever runs this hub, with the line below.",
    ),
    Reason.EXPIRED: Page(
        401,
        "This launch is too old",
        "A launch is good for some minutes. This one waited longer, perhaps in a tab that was left open.",
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
        "Each launch works once, and this browser is not logged in as the person whom it let in. Reloading this page, or "
        "going back to it, sends the old one again.",
        _AGAIN,
        "If it happens again and again, tell whoever runs this hub, with the line below.",
    ),
    Reason.NO_NAME: Page(
        400,
        "{lms} does not say who you are",
        "The launch came without the id by which this hub knows you.",
        "Log in to {lms}, go back to your course, reload the page there, and click the link again.",
        "Nothing of yours is lost. Teachers: whoever looks at a public course without logging in has no such id. If this "
        "happens to people who are logged in, tell whoever runs this hub, with the line below.",
    ),
    Reason.NO_PEOPLE: Page(
        503,
        "The hub cannot find out which home is yours",
        "The hub cannot read or write its list of who is who. To be sure that nobody gets into somebody else's home, it "
        "lets nobody in until that is repaired.",
        "Nothing of yours is lost. Tell your teacher, or whoever runs this hub, with the line below.",
        "Come back later from your course.",
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
        "The cookie that belongs to this launch did not come with it. Your browser may block cookies, the link may have "
        "opened inside another page, or the launch took longer than ten minutes.",
        "Allow cookies for this site, and let the link open in a new tab. " + _AGAIN,
        _OPERATOR,
    ),
    Reason.LMS_ERROR: Page(
        403,
        "{lms} did not say who you are",
        "The hub asked {lms} who you are, and got an error for an answer. Often you are no longer logged in there, "
        "or the page in {lms} was open for too long.",
        "Log in to {lms} again. " + _AGAIN,
        _OPERATOR,
    ),
    Reason.NO_KEYS: Page(
        503,
        "The hub cannot reach {lms}",
        "To check a launch the hub needs a key that {lms} publishes, and it does not get it.",
        "Try again in a minute. " + _AGAIN,
        _OPERATOR,
    ),
    Reason.NOT_IN_COURSE: Page(
        403,
        "You are not a student or teacher of this course",
        "JupyterHub is for the students of a course and those who teach it. {lms} says that you are something else there, "
        "such as an observer or an administrator.",
        "If you should be in this course, tell your teacher.",
        "Teachers: give this person a role of a student, teacher, teaching assistant or designer in the course.",
    ),
    Reason.NOT_ADMITTED: Page(
        403,
        "You are not admitted",
        "{lms} says who you are, but this hub does not let you in.",
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
    Reason.NOT_STAFF: Page(
        403,
        "Links are chosen by who teaches the course",
        "{lms} does not say that you teach this course.",
        "Ask who teaches it to add the link.",
        _OPERATOR,
    ),
    Reason.LATE_CLICK: Page(
        400,
        "This button was good for one minute",
        "It works once, and only for a minute after your course showed it.",
        "Go back to your course, reload the page there, and click the button again.",
        _OPERATOR,
    ),
    Reason.REGISTRATION_LINK: Page(
        403,
        "This registration link does not work",
        "The link was used already, has expired, or is not complete. Nothing was changed.",
        "Ask whoever runs this hub for a new one, and paste the whole of it.",
    ),
    Reason.REGISTRATION: Page(
        400,
        "The hub was not registered",
        "{lms} and this hub did not come to terms: an address did not answer, or said something else than the hub expects.",
        "Try the same link again: it works until the hub is registered. If the tool is in the list of {lms} already, "
        "delete it there first.",
        "If it happens again, tell whoever runs this hub, with the line below: the hub's log says why.",
    ),
}

# /hub/lti13/register, opened by a person.
PASTE_LINK = Page(
    400,
    "This link is for {lms}",
    "It is a good link, but it is not for a browser: it makes {lms} and this hub known to each other.",
    "Copy the whole address and paste it into {lms}, where an administrator adds a tool by its registration URL.",
    "It works once. 05_canvas shows where to click.",
)

# At the gate before people's servers (`gate`).
NOT_YOURS = Page(
    403,
    "This is somebody else's server",
    "What it shows would run in your browser with your rights, so the hub opens it only to the person whose it is, and "
    "to those who were granted access to it.",
    "Your own server is where it always was: go to your course in {lms} and click the link to JupyterHub.",
    "Teachers: you see what students handed in with formgrader. Administrators: your role does not open other people's "
    "servers either. To work with somebody on theirs, give yourself a role of its own with access:servers for it.",
)
