"""Fetches the keys of an LMS as the hub does: with its Python, its CAs, its limits, and as its account.

argv: the address; `--inner` where addresses inside the institution are allowed. It prints how many keys came, or what
went wrong, in one line.
"""

import asyncio
import sys

from hubrun_hub.lti import jwks, outbound


def main(arguments: list[str]) -> str:
    """What came of it; exits with one line when there are no keys to be had."""
    (url,) = (argument for argument in arguments if argument != "--inner")
    try:
        keys = asyncio.run(jwks.fetch(url, "--inner" in arguments))
    except outbound.InnerAddress as error:
        sys.exit(f"{url}: {error}")
    except Exception as error:  # whatever is wrong with what an LMS sends, the hub could not use it
        sys.exit(f"{url}: {str(error) or f'no answer within {jwks.TIMEOUT_S} s'}"[:300])
    if not keys:
        sys.exit(f"{url}: there is no RSA key for signatures")
    return f"{len(keys)} key{'s' if len(keys) > 1 else ''} for signatures"


if __name__ == "__main__":
    print(main(sys.argv[1:]))
