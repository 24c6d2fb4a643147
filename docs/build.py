"""`./hubrun docs [--serve]`: what the bootstrap runs. Its help is there (`hubrun`)."""

from __future__ import annotations

import sys
from pathlib import Path

import reference_pages
from mkdocs.__main__ import cli as mkdocs

PROJECT = Path(__file__).resolve().parents[1]


def main(arguments: list[str]) -> None:
    """Write the generated pages, then build the site; a warning is an error. Ends the program with an exit code."""
    unknown = [each for each in arguments if each != "--serve"]
    if unknown:
        print(f"hubrun: there is no option {unknown[0]}: see ./hubrun docs --help", file=sys.stderr)
        sys.exit(2)
    reference_pages.write()
    config = ["--config-file", str(PROJECT / "mkdocs.yml")]
    if arguments:
        mkdocs(["serve", "--strict", "--open", *config])
    try:
        mkdocs(["build", "--strict", *config])
    except SystemExit as ended:
        if ended.code:
            raise
    print(PROJECT / "site" / "index.html")


if __name__ == "__main__":
    main(sys.argv[1:])
