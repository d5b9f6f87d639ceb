"""Real Prometheus, Alertmanager and Helm for the tests that need them, built when first asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROVIDER = Path(__file__).parents[2] / "hack" / "provide.py"


def provide_tools(name: str) -> Path:
    """The folder with the binaries of a set of hack/provide.py: `prometheus`, `alertmanager` or `helm`."""
    answer = subprocess.run(
        [sys.executable, str(PROVIDER), name], stdout=subprocess.PIPE, text=True, check=True
    )
    return Path(answer.stdout.splitlines()[-1])
