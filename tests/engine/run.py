"""`make test-engine`: the operator against two real vLLM servers. Exit code 1 when a number is wrong."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.engine.comparison import compare
from tests.engine.environment import InstallFailed, provide
from tests.engine.report import render
from tests.engine.story import Story
from tokenfactory.sandbox.assets import provide_assets


def main() -> int:
    parser = argparse.ArgumentParser(prog="make test-engine", description=__doc__)
    parser.add_argument("--report", type=Path, help="write the page there, such as docs/accuracy.md")
    parser.add_argument("--seconds", type=float, default=300.0, help="least seconds of load")
    parser.add_argument("--keep", type=Path, help="a folder for the servers' logs and pages, kept")
    options = parser.parse_args()
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - started:6.0f} s  {text}", file=sys.stderr, flush=True)

    try:
        engine = provide()
    except InstallFailed as failed:
        print(failed, file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="tokenfactory-engine-") as scratch:
        work = options.keep or Path(scratch)
        story = Story(provide_assets(), engine, work, load_seconds=options.seconds, say=say)
        record = story.play()
        verdict = compare(record)
        page = render(record, verdict)
    print(page[page.index("## The last run") :])
    if options.report:
        options.report.write_text(page, encoding="utf-8")
    return 0 if verdict.ok else 1


if __name__ == "__main__":
    sys.exit(main())
