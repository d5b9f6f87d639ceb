"""From the body of a resource to its spec, or to one InvalidSpec that names the field and the fix.

No message repeats what a tenant wrote: values may be long or secret. Only field names are shown, shortened.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, TypeVar, get_args

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from tokenfactory.api.inferencepool import InferencePoolSpec
from tokenfactory.api.rules import RULE_ERROR, Spec
from tokenfactory.api.tokenfactory import TokenFactorySpec
from tokenfactory.errors import InvalidSpec

LONGEST_NAME = 64
LONGEST_PATH = 256
LONGEST_MESSAGE = 512
Parsed = TypeVar("Parsed", bound=Spec)

FIXES: Mapping[str, str] = MappingProxyType(
    {
        "missing": "is missing: add it",
        "extra_forbidden": "is not a field of this resource: remove it or correct its name",
        "string_type": "must be a string: put it in quotes",
        "int_type": "must be a whole number, not in quotes",
        "int_from_float": "must be a whole number",
        "bool_type": "must be true or false, not in quotes",
        "tuple_type": "must be a list",
        "dict_type": "must be a map",
        "model_type": "must be an object",
        "model_attributes_type": "must be an object",
        "enum": "must be one of {expected}",
        "greater_than_equal": "must be at least {ge}",
        "less_than_equal": "must be at most {le}",
        "string_too_long": "must have at most {max_length} characters",
        "too_long": "must have at most {max_length} entries",
        "too_short": "must have at least {min_length} entries",
        "string_pattern_mismatch": "must match {pattern}",
    }
)


def parse_pool(body: Mapping[str, Any]) -> InferencePoolSpec:
    """The spec of an InferencePool. Raises InvalidSpec, for the first field at fault."""
    return _parse(body, InferencePoolSpec)


def parse_factory(body: Mapping[str, Any]) -> TokenFactorySpec:
    """The spec of a TokenFactory. Raises InvalidSpec, for the first field at fault."""
    return _parse(body, TokenFactorySpec)


def _parse(body: Mapping[str, Any], model: type[Parsed]) -> Parsed:
    spec = body.get("spec")
    if spec is None:
        raise InvalidSpec("spec", "is missing: add it")
    if not isinstance(spec, Mapping):
        raise InvalidSpec("spec", "must be an object")
    try:
        return model.model_validate(dict(spec), by_alias=True, by_name=False)
    except ValidationError as invalid:
        details = invalid.errors(include_url=False, include_input=False)
    except RecursionError:
        raise InvalidSpec("spec", "is nested too deeply: use the fields of this resource only") from None
    raise _first(details, model)


def _first(details: Sequence[ErrorDetails], model: type[Spec]) -> InvalidSpec:
    """The error to show: an unknown field before the rest, since a misspelt name often causes them."""
    chosen = min(details, key=lambda detail: detail["type"] != "extra_forbidden")
    more = f" ({len(details) - 1} more to correct)" if len(details) > 1 else ""
    return InvalidSpec(_path(chosen), (_fix(chosen, model) + more)[:LONGEST_MESSAGE])


def _fix(detail: ErrorDetails, model: type[Spec]) -> str:
    context = detail.get("ctx", {})
    if detail["type"] == "extra_forbidden" and (meant := _meant(detail["loc"], model)):
        return f"is not a field of this resource: did you mean {meant}?"
    if detail["type"] == RULE_ERROR:
        return str(context["message"])
    return FIXES.get(detail["type"], "is not valid: see its description").format(**context)


def _meant(location: tuple[int | str, ...], model: type[Spec]) -> str:
    """The field whose name is nearest to the unknown one at `location`; empty when none is near."""
    *parents, unknown = location
    within: type[Spec] | None = model
    for part in parents:
        if within is not None and isinstance(part, str):
            within = next(
                (_spec_in(field.annotation) for name, field in _fields(within) if name == part), None
            )
    names = {name.lower(): name for name, _ in _fields(within)} if within is not None else {}
    near = get_close_matches(str(unknown)[:LONGEST_NAME].lower(), names, n=1, cutoff=0.75)
    return names[near[0]] if near else ""


def _fields(model: type[Spec]) -> Iterator[tuple[str, FieldInfo]]:
    """The fields by the names that people write."""
    return ((field.alias or name, field) for name, field in model.model_fields.items())


def _spec_in(annotation: Any) -> type[Spec] | None:
    """The kind of object that a field holds, by itself, in a list or beside None."""
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        return annotation
    return next(filter(None, map(_spec_in, get_args(annotation))), None)


def _path(detail: ErrorDetails) -> str:
    path = "spec"
    for part in detail["loc"]:
        path += f"[{part}]" if isinstance(part, int) else f".{_shown(part)}"
    inner = str(detail.get("ctx", {}).get("path", ""))
    return (path + inner)[:LONGEST_PATH]


def _shown(name: str) -> str:
    """A field name that is safe to print and to log: printable ASCII, shortened."""
    printable = "".join(sign if " " < sign <= "~" else "?" for sign in name[: LONGEST_NAME + 1])
    return printable if len(printable) <= LONGEST_NAME else printable[: LONGEST_NAME - 3] + "..."
