"""The picture of a report's first screen for the README: python -m tests.report.picture REPORT.html PICTURE.png"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.report.browser import CHROMIUM, Look, launched


def main(report: Path, picture: Path) -> None:
    """Says so, and leaves the picture as it is, where there is no Chromium."""
    if CHROMIUM is None:
        sys.stderr.write(f"{picture} stays as it is: chromium is not installed.\n")
        return
    with launched() as browser, Look(browser, 1280) as look:
        look.open(report.resolve()).screenshot(path=picture)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
