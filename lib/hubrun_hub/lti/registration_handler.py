"""/hub/lti13/register: the page that an LMS opens when its administrator pasted the hub's link (`dynamic_registration`)."""

# mypy: disable-error-code="import-not-found,misc,no-any-return"
from __future__ import annotations

import time
from pathlib import Path
from urllib.parse import urlsplit

from . import dynamic_registration, registration
from .launch_handler import LaunchHandler
from .pages import PASTE_LINK
from .presets import PRESETS
from .refusals import Reason, Refusal


class Register13(LaunchHandler):
    """By GET, as the specification has it (LTI-DR 1.0, 3.4). The token in the link is what admits, and it serves once.

    Canvas and Moodle show it in a frame of their own page. It has nothing that one could be made to click.
    """

    @property
    def content_security_policy(self) -> str:
        return "frame-ancestors https:"

    async def get(self) -> None:
        self.set_header("Referrer-Policy", "no-referrer")  # the address holds two tokens
        await self.answer(self._register())

    async def _register(self) -> None:
        door = self.authenticator
        folder = Path(door.registration_dir)
        token, configuration = self.get_argument("token", ""), self.get_argument("openid_configuration", "")
        consumer = dynamic_registration.consumer_of(folder, token, door.read_consumers(), time.time())
        if not configuration:
            await self.show(PASTE_LINK, "not-pasted", consumer.name)
            return
        # One at a time: of two that come together, the second finds that the link was used.
        async with door.registering:
            consumer = dynamic_registration.consumer_of(folder, token, door.read_consumers(), time.time())
            tool = registration.tool_registration(
                self.address(""),
                consumer.username_key or door.username_key,
                consumer.lms,
                title=door.tool_title,
                services=door.services,
            )
            registered = await dynamic_registration.register(
                consumer, configuration, self.get_argument("registration_token", ""), tool, door.inner_addresses
            )
            path = dynamic_registration.keep(Path(door.registered_dir), consumer.name, registered)
            if not any(each.name == consumer.name and each.platform for each in door.read_consumers()):
                path.unlink(missing_ok=True)
                raise Refusal(Reason.REGISTRATION, "its client id cannot be used (see above)", consumer.name)
        self.log.info("LTI consumer %s: %s", consumer.name, registered.line)
        html = await self.render_template(
            "hubrun-registered.html", lms=PRESETS[consumer.lms].title, host=urlsplit(consumer.awaits.issuer if consumer.awaits else "").netloc,
            title=door.tool_title,
        )  # fmt: skip
        self.set_header("Cache-Control", "no-store")
        self.finish(html)

    def _log(self) -> None:
        """Leave the query out of the hub's log: it holds two tokens."""
        self.request.uri = self.request.path
        super()._log()
