"""Imports the operator's libraries without what they bring along and the operator never uses.

kopf and structlog try optional libraries at import, and `kubernetes` runs its synchronous client before one
can get to `kubernetes.aio`: requests, oauthlib, charset_normalizer and 230 modules more, 11 MiB of 83 in a
process that lives for months (docs/performance.md). Nothing is patched, and nothing lasts: after the block
everything imports as ever.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec, module_from_spec

_NEVER_USED = ("kubernetes.client", "rich")
"""What kopf and structlog import if they find it: for models of the synchronous client, for tracebacks."""


@contextmanager
def lean_imports() -> Iterator[None]:
    """In this block the libraries of `_NEVER_USED` are not found and `kubernetes` is an empty package.

    So `kubernetes.aio` is imported without its parent's `__init__`. What was imported before stays as it is.
    """
    spec = find_spec("kubernetes")
    hidden = dict.fromkeys(_NEVER_USED)
    shown = {"kubernetes": module_from_spec(spec)} if spec is not None else {}
    stand_ins = {name: it for name, it in {**hidden, **shown}.items() if name not in sys.modules}
    sys.modules.update(stand_ins)  # type: ignore[arg-type]  # None is documented: the import fails
    try:
        yield
    finally:
        for name, it in stand_ins.items():
            if sys.modules.get(name) is it:
                del sys.modules[name]
