"""`tokenfactory once`: the line on files, to a table or JSON."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tokenfactory.cli.table import WIDE, render_table
from tokenfactory.errors import InvalidSpec, UnreadableInput
from tokenfactory.runtime.files import read_frames, read_objects
from tokenfactory.runtime.offline import Replay, Result

LINE_WIDTH = 240


class Output(StrEnum):
    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    JSONL = "jsonl"


def once(
    resources: Annotated[
        list[Path], typer.Option("-f", "--filename", help="InferencePools and TokenFactories, YAML or JSON")
    ],
    objects: Annotated[
        list[Path], typer.Option("--objects", help="pods and nodes (kubectl get pods,nodes -o yaml)")
    ],
    metrics: Annotated[
        Path,
        typer.Option(
            "--metrics",
            help="pages: <unix-seconds>/<pod>_<port>.prom and <node>_dcgm.prom; an objects.yaml beside them "
            "replaces --objects from that time on",
        ),
    ],
    output: Annotated[
        Output,
        typer.Option("-o", "--output", help="table, wide, json (the last cycle) or jsonl (every cycle)"),
    ] = Output.TABLE,
) -> None:
    """Run the line once on files: what the operator would publish, without a cluster.

    Exit code 2: the input can't be read.
    """
    try:
        results = Replay(read_objects(resources), read_objects(objects)).run(read_frames(metrics))
    except (UnreadableInput, InvalidSpec) as error:
        print(f"tokenfactory once: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    last = _last_of_each(results)
    match output:
        case Output.TABLE | Output.WIDE:
            columns = WIDE if output is Output.WIDE else ()
            table = render_table(((str(item.key), item.status) for item in last), wide=columns)
            Console(width=LINE_WIDTH).print(table)
        case Output.JSON:
            print(json.dumps([item.document() for item in last], indent=2))
        case Output.JSONL:
            for item in results:
                print(json.dumps(item.document()))


def _last_of_each(results: tuple[Result, ...]) -> tuple[Result, ...]:
    return tuple({result.key: result for result in results}.values())
