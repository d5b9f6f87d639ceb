"""`tokenfactory crd`: the CustomResourceDefinitions, rendered from the models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tokenfactory.api import crd as rendering


def crd(
    directory: Annotated[
        Path | None, typer.Option("--directory", "-d", help="write one file per CRD there, instead of stdout")
    ] = None,
) -> None:
    """Print the CRDs, or write them into a directory."""
    if directory is not None:
        rendering.write(directory)
        return
    for text in rendering.render().values():
        print("---")
        print(text, end="")
