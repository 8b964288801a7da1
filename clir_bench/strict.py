"""Files from people are parsed strictly: unknown keys refused, every problem of a file named at once with key, value and cure."""

from __future__ import annotations

import difflib
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class Strict(BaseModel):
    """A frozen record of a file: no unknown keys, no coercion, finite numbers only."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, populate_by_name=True)


def form(pattern: str, words: str, max_length: int | None = None) -> Any:
    """The Field of a text with a pattern, and what the pattern asks for in words: "org/model", "a time as ..."."""
    _FORMS[pattern] = words
    return Field(pattern=pattern, max_length=max_length)


def problems_in(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """One line a problem: ``key: what is wrong, with the value. The cure.``."""
    return [_line(dict(detail), model) for detail in error.errors(include_url=False)]


def _line(detail: dict[str, Any], model: type[BaseModel]) -> str:
    location, kind, value = detail["loc"], detail["type"], detail.get("input")
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".") or "file"
    if kind == "extra_forbidden":
        known = _keys_at(model, location[:-1])
        near = difflib.get_close_matches(str(location[-1]), known, n=1)
        return f"{key}: unknown key. " + (f"Did you mean {near[0]!r}?" if near else f"The keys here are {', '.join(sorted(known))}.")
    if kind == "missing":
        return f"{key}: missing. Add it."
    if kind == "json_invalid":
        return f"not JSON: {detail['ctx']['error']}"
    if kind == "string_pattern_mismatch" and (words := _FORMS.get(detail["ctx"]["pattern"])):
        return f"{key}: it should be {words}, but it is {_short(value)}"
    message = detail["msg"].removeprefix("Value error, ")
    return f"{key}: {message}" if kind == "value_error" else f"{key}: {message}, but it is {_short(value)}"


_FORMS: dict[str, str] = {}
"""Patterns in words: to a person a bare regular expression says little."""


def _keys_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys a nested record accepts, found by walking the field types."""
    current: type[BaseModel] | None = model
    for part in location:
        if isinstance(part, str) and current is not None and part in current.model_fields:
            current = _record_in(current.model_fields[part].annotation)
    return [field.alias or key for key, field in current.model_fields.items()] if current else []


def _record_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for inner in getattr(annotation, "__args__", ()) if (found := _record_in(inner))), None)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
