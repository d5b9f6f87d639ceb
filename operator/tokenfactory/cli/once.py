"""`tokenfactory once`: the line on files or on a recorded movie, to a table or JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from tokenfactory.cli.table import WIDE, render_table
from tokenfactory.errors import InvalidSpec, UnreadableInput
from tokenfactory.model import Role
from tokenfactory.runtime.files import read_objects
from tokenfactory.runtime.movie import Cast, in_movie, read_movie
from tokenfactory.runtime.offline import Replay, Result, open_files

LINE_WIDTH = 240
_DEFAULT_POOL = {"apiVersion": "tokenfactory.dev/v1alpha1", "kind": "InferencePool"}
_ROLES = {role.value: role for role in (Role.AGGREGATED, Role.PREFILL, Role.DECODE)}


class Output(StrEnum):
    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    JSONL = "jsonl"


def once(
    *,
    resources: Annotated[
        list[Path] | None,
        typer.Option("-f", "--filename", help="InferencePools and TokenFactories, YAML or JSON"),
    ] = None,
    objects: Annotated[
        list[Path] | None,
        typer.Option("--objects", help="pods and nodes (kubectl get pods,nodes -o yaml)"),
    ] = None,
    metrics: Annotated[
        Path | None,
        typer.Option(
            "--metrics",
            help="pages: <unix-seconds>/<pod>_<port>.prom and <node>_dcgm.prom; an objects.yaml beside them "
            "replaces --objects from that time on",
        ),
    ] = None,
    replay: Annotated[
        Path | None, typer.Option("--replay", help="a recorded movie in place of --objects and --metrics")
    ] = None,
    window_seconds: Annotated[
        int | None, typer.Option(min=30, max=3600, help="with --replay: the pool's window")
    ] = None,
    gpus: Annotated[int, typer.Option(min=1, max=1024, help="with --replay: GPUs of each server")] = 1,
    product: Annotated[str, typer.Option(help="with --replay: their product, as the node label has it")] = "",
    per_gpu_hour: Annotated[
        str | None, typer.Option(help="with --replay: the pool's price of a GPU-hour")
    ] = None,
    roles: Annotated[
        str, typer.Option(help="with --replay: roles of servers by index, such as 0=prefill,1=decode")
    ] = "",
    output: Annotated[
        Output,
        typer.Option("-o", "--output", help="table, wide, json (the last cycle) or jsonl (every cycle)"),
    ] = Output.TABLE,
) -> None:
    """Run the line on files or on a recorded movie: what the operator would publish, without a cluster.

    Exit code 2: the input can't be read.
    """
    try:
        if replay is not None:
            cast = Cast(gpus=gpus, product=product, roles=_read_roles(roles))
            terms = {"windowSeconds": window_seconds, "price": per_gpu_hour and {"perGPUHour": per_gpu_hour}}
            results = _replay(replay, cast, resources or [], terms=terms)
        else:
            recording, frames = open_files(resources or [], objects or [], metrics)
            results = recording.run(frames)
    except (UnreadableInput, InvalidSpec) as error:
        print(f"tokenfactory once: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    _show(results, output, movie=replay is not None)


def _replay(
    movie: Path, cast: Cast, resources: list[Path], *, terms: Mapping[str, Any]
) -> tuple[Result, ...]:
    """The movie through the pool of the files (a pool with every default without one) on `terms`."""
    given = read_objects(resources)
    pools = [body for body in given if body.get("kind") == "InferencePool"]
    if len(pools) > 1:
        raise UnreadableInput("a movie is replayed through one InferencePool: -f holds several")
    pool = in_movie(pools[0] if pools else _DEFAULT_POOL)
    pool["spec"] |= {key: value for key, value in terms.items() if value is not None}
    others = [body for body in given if body.get("kind") != "InferencePool"]
    film = read_movie(movie, cast)
    return Replay([pool, *others], film.objects, interval=film.spacing).run(film.frames)


def _read_roles(text: str) -> dict[int, Role]:
    found: dict[int, Role] = {}
    for part in filter(None, text.split(",")):
        index, _, role = part.partition("=")
        if not index.strip().isdecimal() or role.strip() not in _ROLES:
            raise UnreadableInput("--roles is a list like 0=prefill,1=decode (aggregated, prefill, decode)")
        found[int(index)] = _ROLES[role.strip()]
    return found


def _show(results: tuple[Result, ...], output: Output, *, movie: bool) -> None:
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
                print(json.dumps(item.line() if movie else item.document()))


def _last_of_each(results: tuple[Result, ...]) -> tuple[Result, ...]:
    return tuple({result.key: result for result in results}.values())
