"""`tokenfactory explain POOL`: every number with its inputs, to be checked by hand."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from tokenfactory.cli.explanation import render
from tokenfactory.cli.reach import Installation, ask, current_namespace, forwarded
from tokenfactory.errors import InvalidSpec, UnreadableInput
from tokenfactory.runtime.offline import open_files

DEFAULT_NAMESPACE = "default"


class Output(StrEnum):
    TEXT = "text"
    JSON = "json"


def explain(
    pool: Annotated[str, typer.Argument(help="name of the InferencePool")],
    *,
    namespace: Annotated[
        str, typer.Option("-n", "--namespace", help="the pool's namespace; the context's when left out")
    ] = "",
    operator_namespace: Annotated[
        str, typer.Option("--operator-namespace", help="where the operator runs")
    ] = "tokenfactory-system",
    lease_name: Annotated[
        str, typer.Option("--lease-name", help="the operator's leader Lease")
    ] = "tokenfactory-operator",
    explain_port: Annotated[
        int, typer.Option("--explain-port", min=1, max=65535, help="the operator's --explain-port")
    ] = 8081,
    context: Annotated[str, typer.Option("--context", help="context of the kubeconfig")] = "",
    operator: Annotated[
        str, typer.Option("--operator", help="URL of a port-forward of your own, instead of kubectl")
    ] = "",
    resources: Annotated[
        list[Path] | None, typer.Option("-f", "--filename", help="from files: as of `once`")
    ] = None,
    objects: Annotated[list[Path] | None, typer.Option("--objects", help="from files: as of `once`")] = None,
    metrics: Annotated[Path | None, typer.Option("--metrics", help="from files: as of `once`")] = None,
    output: Annotated[Output, typer.Option("-o", "--output", help="text or json")] = Output.TEXT,
) -> None:
    """Every published number of a pool: formula, inputs, pods, window, basis, grade and source.

    Exit code 1: the pool has no numbers. 2: the input can't be read, or the operator can't be reached.
    """
    try:
        if resources or objects or metrics:
            found = _from_files(pool, namespace, resources or [], objects or [], metrics)
        elif operator:
            found = ask(operator, namespace=namespace or DEFAULT_NAMESPACE, pool=pool)
        else:
            where = Installation(
                namespace=operator_namespace, lease_name=lease_name, port=explain_port, context=context
            )
            asked = namespace or current_namespace(context) or DEFAULT_NAMESPACE
            with forwarded(where) as url:
                found = ask(url, namespace=asked, pool=pool)
    except (UnreadableInput, InvalidSpec) as error:
        print(f"tokenfactory explain: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    if found is None:
        place = f" in {namespace}" if namespace else ""
        print(f"tokenfactory explain: there are no numbers of {pool}{place}: see -n", file=sys.stderr)
        raise typer.Exit(1)
    print(json.dumps(found, indent=2, ensure_ascii=False) if output is Output.JSON else render(found))


def _from_files(
    pool: str, namespace: str, resources: list[Path], objects: list[Path], metrics: Path | None
) -> Mapping[str, Any] | None:
    replay, frames = open_files(resources, objects, metrics)
    replay.run(frames)
    found = {
        key.namespace: document
        for key, document in replay.explain().items()
        if key.name == pool and namespace in ("", key.namespace)
    }
    if len(found) > 1:
        raise UnreadableInput(f"{pool} is in several namespaces: give -n")
    return next(iter(found.values()), None)
