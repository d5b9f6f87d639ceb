"""Bundled pages: a first table while the control plane is built."""

from __future__ import annotations

from importlib.resources import as_file, files

from rich.console import Console

from tokenfactory.cli.table import render_table
from tokenfactory.runtime.files import read_frames, read_objects
from tokenfactory.runtime.offline import Replay


def show_bundled(console: Console) -> None:
    """Runs the line on the pages that ship with the package and prints its table."""
    with as_file(files("tokenfactory.sandbox").joinpath("bundled")) as folder:
        resources = read_objects([folder / "pools.yaml"])
        objects = read_objects([folder / "objects.yaml"])
        results = Replay(resources, objects).run(read_frames(folder / "metrics"))
    last = {result.key: result for result in results}.values()
    console.print("The line on bundled pages, as `tokenfactory once` runs it:", style="dim")
    console.print(render_table((str(item.key), item.status) for item in last))
