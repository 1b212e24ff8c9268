"""Documents told once: dataclasses whose annotations say how each field stands in JSON.

The annotations alone give what is written, what is read and refused, the JSON Schema, and the columns of
tables (`core.columns`). Besides its type a field may be annotated with a description (a string), a `Form`
where the type does not say enough, `Added` where older documents lack it, `SPREAD` where its keys stand
among those of its parent, and `DERIVED` where it follows from the others.

>>> @dataclass(frozen=True)
... class Clip:
...     name: Annotated[str, "as it is shown"]
...     length_s: Annotated[Annotated[float, Number(minimum=0, unit="s")] | None, "None for a text"]
>>> form = Object(Clip)
>>> form.write(Clip("a.mp4", 2.5))
{'name': 'a.mp4', 'length_s': 2.5}
>>> form.read({"name": "a.mp4", "length_s": "2.5"})
Traceback (most recent call last):
    ...
trivalent.core.errors.SchemaError: expected a number at length_s, got '2.5'; the document is damaged: ...

Keys that nobody knows are let through unread: a later version may have added them.
"""

from __future__ import annotations

import base64
import binascii
import inspect
import math
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, is_dataclass
from enum import StrEnum
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import numpy as np

from trivalent.core.errors import SchemaError
from trivalent.core.types import FloatArray

Json = dict[str, Any]
#: Marks a field whose keys stand among those of its parent.
SPREAD = object()
#: Marks a field that follows from the others: it is written, and checked where it stands, but not taken.
DERIVED = object()


@dataclass(frozen=True)
class Added:
    """Marks a field that a later version brought: what it is in documents that were written before.

    `left_out`: it is not written where it is still that.
    """

    before: Any
    left_out: bool = False


class Form:
    """How the values of one type stand in a document; this one changes nothing and takes anything.

    Attributes
    ----------
    cell : str
        Type of a column of a table that holds it, as Arrow names types.
    """

    cell = "string"

    def write(self, value: Any) -> Any:
        """Turn a value into what JSON knows."""
        return value

    def read(self, data: Any, path: str = "") -> Any:
        """Invert `write`.

        Raises
        ------
        SchemaError
            The data are not of this form; it names the place.
        """
        return data

    def schema(self, parts: Json) -> Json:
        """Return the JSON Schema, which refers to definitions that it puts into `parts`."""
        return {}

    def at(self, key: str) -> Form:
        """Form of what stands under a key."""
        raise KeyError(key)

    def in_cell(self, data: Any) -> Any:
        """Turn what is in a document into the cell of a table."""
        return data


class Text(Form):
    """A string, maybe one of a few."""

    def __init__(self, *choices: str) -> None:
        self.choices = choices

    def read(self, data: Any, path: str = "") -> str:
        """Check and return it."""
        if not isinstance(data, str):
            raise _misfit("a text", data, path)
        if self.choices and data not in self.choices:
            raise _misfit(f"one of {', '.join(self.choices)}", data, path)
        return data

    def schema(self, parts: Json) -> Json:
        """Describe it."""
        return {"enum": [*self.choices], "type": "string"} if self.choices else {"type": "string"}


class _Member(Form):
    """A member of an enumeration of strings."""

    def __init__(self, kind: type[StrEnum]) -> None:
        self.kind, self.members = kind, {str(m): m for m in kind}

    def write(self, value: Any) -> str:
        return str(value)

    def read(self, data: Any, path: str = "") -> StrEnum:
        member = self.members.get(data) if isinstance(data, str) else None
        if member is None:
            raise _misfit(f"one of {', '.join(self.members)}", data, path)
        return member

    def schema(self, parts: Json) -> Json:
        told = {"description": inspect.getdoc(self.kind), "enum": [*self.members], "type": "string"}
        return _defined(parts, self.kind.__name__, lambda: told)


class _Flag(Form):
    """True or false."""

    cell = "bool"

    def read(self, data: Any, path: str = "") -> bool:
        if not isinstance(data, bool):
            raise _misfit("true or false", data, path)
        return data

    def schema(self, parts: Json) -> Json:
        return {"type": "boolean"}


class Number(Form):
    """A number with what bounds it, its unit, and whether it is whole.

    NaN passes the bounds: JSON cannot say it, and who writes JSON refuses it.
    """

    def __init__(
        self,
        *,
        minimum: float | None = None,
        maximum: float | None = None,
        unit: str = "",
        whole: bool = False,
    ) -> None:
        self.unit, self.whole, self.cell = unit, whole, "int64" if whole else "double"
        self.bounds = {k: v for k, v in {"minimum": minimum, "maximum": maximum}.items() if v is not None}
        self._types = (int,) if whole else (int, float)
        self._low = -math.inf if minimum is None else minimum
        self._high = math.inf if maximum is None else maximum

    def read(self, data: Any, path: str = "") -> float:
        """Check and return it; a whole number stays one."""
        if isinstance(data, bool) or not isinstance(data, self._types):
            raise _misfit("a whole number" if self.whole else "a number", data, path)
        if data < self._low or data > self._high:
            bounds = "of at least {:g}" if self._high == math.inf else "from {:g} to {:g}"
            raise _misfit(f"a number {bounds.format(self._low, self._high)}", data, path)
        return data

    def schema(self, parts: Json) -> Json:
        """Describe it."""
        return {"type": "integer" if self.whole else "number", **self.bounds}


class _Base64(Form):
    """Bytes, as a string in base64."""

    def write(self, value: bytes) -> str:
        return base64.b64encode(value).decode()

    def read(self, data: Any, path: str = "") -> bytes:
        try:
            return base64.b64decode(data, validate=True)
        except (TypeError, ValueError, binascii.Error) as error:
            raise _misfit("bytes in base64", data, path) from error

    def schema(self, parts: Json) -> Json:
        return {"type": "string", "contentEncoding": "base64"}


class _Maybe(Form):
    """A value or null."""

    def __init__(self, inner: Form) -> None:
        self.inner, self.cell = inner, inner.cell

    def write(self, value: Any) -> Any:
        return None if value is None else self.inner.write(value)

    def read(self, data: Any, path: str = "") -> Any:
        return None if data is None else self.inner.read(data, path)

    def schema(self, parts: Json) -> Json:
        return {"anyOf": [self.inner.schema(parts), {"type": "null"}]}

    def at(self, key: str) -> Form:
        return self.inner.at(key)


class _Items(Form):
    """A tuple, as a list. In a table strings are joined, and anything else is counted."""

    def __init__(self, inner: Form) -> None:
        self.inner, self.cell = inner, "string" if isinstance(inner, Text) else "int64"

    def write(self, value: Any) -> list[Any]:
        return [self.inner.write(v) for v in value]

    def read(self, data: Any, path: str = "") -> tuple[Any, ...]:
        if not isinstance(data, list | tuple):
            raise _misfit("a list", data, path)
        return tuple(self.inner.read(v, f"{path}[{i}]") for i, v in enumerate(data))

    def schema(self, parts: Json) -> Json:
        return {"items": self.inner.schema(parts), "type": "array"}

    def in_cell(self, data: Any) -> Any:
        return "; ".join(data) if self.cell == "string" else len(data)


class _Keyed(Form):
    """A dictionary by strings, or by the members of an enumeration."""

    def __init__(self, keys: Form, inner: Form) -> None:
        self.keys, self.inner = keys, inner

    def write(self, value: Any) -> Json:
        return {self.keys.write(k): self.inner.write(v) for k, v in value.items()}

    def read(self, data: Any, path: str = "") -> dict[Any, Any]:
        return {
            self.keys.read(k, path): self.inner.read(v, f"{path}.{k}")
            for k, v in _object(data, path).items()
        }

    def schema(self, parts: Json) -> Json:
        told = {"additionalProperties": self.inner.schema(parts), "type": "object"}
        return told if isinstance(self.keys, Text) else {**told, "propertyNames": self.keys.schema(parts)}

    def at(self, key: str) -> Form:
        self.keys.read(key)
        return self.inner


class Suffixed(Form):
    """A dictionary that is spread among the keys of its parent, told from them by a suffix.

    Parameters
    ----------
    names : tuple of str
        Keys to describe; there may be others, and none need be there.
    suffix : str
    inner : Form
    """

    def __init__(self, names: tuple[str, ...], *, suffix: str, inner: Form) -> None:
        self.names, self.suffix, self.inner = names, suffix, inner

    def write(self, value: Any) -> Json:
        """Write each under its longer name."""
        return {f"{k}{self.suffix}": self.inner.write(v) for k, v in value.items()}

    def read(self, data: Any, path: str = "") -> dict[str, Any]:
        """Read those whose key ends so."""
        return {
            k.removesuffix(self.suffix): self.inner.read(v, _join(path, k))
            for k, v in data.items()
            if k.endswith(self.suffix)
        }

    def definition(self, parts: Json) -> Json:
        """Describe the keys that it brings to its parent."""
        told = self.inner.schema(parts)
        keys = [f"{name}{self.suffix}" for name in self.names]
        return {
            "properties": {k: _titled(k, told) for k in keys},
            "required": [],
            "patternProperties": {f"{self.suffix}$": told},
        }


class Labelled(Form):
    """An array of numbers, as an object with one key for each; it has a definition of its own."""

    def __init__(self, title: str, description: str, *, labels: tuple[str, ...], inner: Number) -> None:
        self.title, self.description, self.labels, self.inner = title, description, labels, inner

    def write(self, value: FloatArray) -> Json:
        """Name each."""
        return {label: float(value[i]) for i, label in enumerate(self.labels)}

    def read(self, data: Any, path: str = "") -> FloatArray:
        """Order them by the labels."""
        data = _object(data, path)
        numbers = [self.inner.read(_get(data, label, path), f"{path}.{label}") for label in self.labels]
        return np.array(numbers, dtype=np.float64)

    def schema(self, parts: Json) -> Json:
        """Describe it."""
        return _defined(parts, self.title, lambda: self._definition(parts))

    def _definition(self, parts: Json) -> Json:
        return {
            "additionalProperties": True,
            "description": self.description,
            "properties": {label: _titled(label, self.inner.schema(parts)) for label in self.labels},
            "required": [*self.labels],
            "type": "object",
        }

    def at(self, key: str) -> Form:
        """Form of one number."""
        return {label: self.inner for label in self.labels}[key]


class Curve(Form):
    """An array of numbers, as a list with null for NaN."""

    def write(self, value: FloatArray) -> list[float | None]:
        """List them."""
        return [None if np.isnan(x) else x for x in value.tolist()]

    def read(self, data: Any, path: str = "") -> FloatArray:
        """Read them all at once: there are thousands."""
        numbers = isinstance(data, list | tuple) and {type(x) for x in data} <= {float, int, NoneType}
        if not numbers:
            raise _misfit("a list of numbers and null", data, path)
        return np.array(data, dtype=np.float64)

    def schema(self, parts: Json) -> Json:
        """Describe it."""
        return {"items": {"anyOf": [{"type": "number"}, {"type": "null"}]}, "type": "array"}


@dataclass(frozen=True)
class _Field:
    """A field of a dataclass, as its annotation tells it."""

    name: str
    form: Form
    description: str
    spread: bool
    added: Added | None
    derived: bool

    def read(self, data: Json, path: str) -> Any:
        if self.spread:
            return self.form.read(data, path)
        if self.name not in data and (self.added or self.derived):
            return self.added.before if self.added else None
        return self.form.read(_get(data, self.name, path), _join(path, self.name))

    def schema(self, parts: Json) -> Json:
        told = _titled(self.name, self.form.schema(parts))
        if self.added and not isinstance(self.added.before, tuple | dict):
            told["default"] = self.added.before
        inner = self.form.inner if isinstance(self.form, _Maybe) else self.form
        unit = f", in {inner.unit}" if isinstance(inner, Number) and inner.unit else ""
        return told | ({"description": self.description + unit} if self.description else {})


class Object(Form):
    """A dataclass, as an object with a definition of its own.

    Parameters
    ----------
    kind : type
    title : str, optional
        Name of the definition; that of the class by default.
    keep : callable, optional
        Says of the name of a field whether it belongs to the document.
    constants : mapping, optional
        Keys with texts that stand in front, such as the name of the schema.
    """

    def __init__(
        self,
        kind: type,
        *,
        title: str | None = None,
        keep: Callable[[str], bool] = lambda _: True,
        constants: Mapping[str, str] | None = None,
    ) -> None:
        self.kind, self.title, self.constants = kind, title or kind.__name__, dict(constants or {})
        hints = get_type_hints(kind, include_extras=True)
        self._fields = tuple(_field(name, hint) for name, hint in hints.items() if keep(name))
        self._own = {f.name for f in self._fields if not f.spread}
        self._spread = any(f.spread for f in self._fields)

    def write(self, value: Any) -> Json:
        """Write field after field, in their order."""
        written: Json = dict(self.constants)
        for f in self._fields:
            held = getattr(value, f.name)
            if f.added and f.added.left_out and held == f.added.before:
                continue
            data = f.form.write(held)
            written.update(data if f.spread else {f.name: data})
        return written

    def read(self, data: Any, path: str = "") -> Any:
        """Make the object."""
        return self.kind(**self.values(data, path))

    def values(self, data: Any, path: str = "") -> Json:
        """Read the fields by their names."""
        data = _object(data, path)
        for key, expected in self.constants.items():
            if _get(data, key, path) != expected:
                raise _misfit(repr(expected), data[key], _join(path, key))
        rest = {k: v for k, v in data.items() if k not in self._own} if self._spread else {}
        values = {f.name: f.read(rest if f.spread else data, path) for f in self._fields}
        return {f.name: values[f.name] for f in self._fields if not f.derived}

    def schema(self, parts: Json) -> Json:
        """Refer to the definition."""
        return _defined(parts, self.title, lambda: self.definition(parts))

    def definition(self, parts: Json) -> Json:
        """Describe the object."""
        constants = {k: {"const": v, "type": "string"} for k, v in self.constants.items()}
        properties: Json = {k: _titled(k, told) for k, told in constants.items()}
        required = [*self.constants]
        patterns: Json = {}
        for f in self._fields:
            if f.spread:
                inner = f.form.definition(parts)  # type: ignore[attr-defined] # what is spread has one
                properties |= inner["properties"]
                required += inner["required"]
                patterns |= inner.get("patternProperties", {})
            else:
                properties[f.name] = f.schema(parts)
                required += [] if f.added or f.derived else [f.name]
        return {
            "additionalProperties": True,
            "description": inspect.getdoc(self.kind),
            "properties": properties,
            "required": required,
            "type": "object",
            **({"patternProperties": patterns} if patterns else {}),
        }

    def at(self, key: str) -> Form:
        """Form of a field, or of one that is spread."""
        for f in self._fields:
            if f.name == key and not f.spread:
                return f.form
            if f.spread and isinstance(f.form, Object) and key in f.form._own:
                return f.form.at(key)
        raise KeyError(key)


def json_schema(form: Object) -> Json:
    """Describe documents of a form in JSON Schema (2020-12)."""
    parts: Json = {}
    told = {"title": form.title, **form.definition(parts)}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **told, "$defs": parts}


_SCALARS: dict[Any, Form] = {
    str: Text(),
    bool: _Flag(),
    int: Number(whole=True),
    float: Number(),
    bytes: _Base64(),
}


def _form_of(hint: Any) -> Form:
    """Find the form of an annotation."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        own = [note for note in arguments[1:] if isinstance(note, Form)]
        return own[0] if own else _form_of(arguments[0])
    if origin in (Union, UnionType):
        (inner,) = (a for a in arguments if a is not NoneType)
        return _Maybe(_form_of(inner))
    if origin is tuple:
        return _Items(_form_of(arguments[0]))
    if origin is dict:
        return _Keyed(*map(_form_of, arguments))
    if is_dataclass(hint):
        return Object(hint)  # type: ignore[arg-type]
    return _SCALARS[hint] if hint in _SCALARS else _Member(hint)


def _field(name: str, hint: Any) -> _Field:
    notes = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    description = next((n for n in notes if isinstance(n, str)), "")
    added = next((n for n in notes if isinstance(n, Added)), None)
    return _Field(name, _form_of(hint), description, SPREAD in notes, added, DERIVED in notes)


def _object(data: Any, path: str) -> Any:
    if not isinstance(data, Mapping):
        raise _misfit("an object", data, path)
    return data


def _get(data: Json, key: str, path: str) -> Any:
    if key not in data:
        raise _misfit("a value", ..., _join(path, key))
    return data[key]


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _misfit(expected: str, data: Any, path: str) -> SchemaError:
    got = "nothing" if data is ... else reprlib.repr(data)
    return SchemaError("analysis.misfit", expected=expected, path=path or "the top", got=got)


def _defined(parts: Json, title: str, definition: Callable[[], Json]) -> Json:
    """Refer to a definition, which is made at the first reference."""
    if title not in parts:
        parts[title] = {"title": title}  # in front of those that it refers to
        parts[title] |= definition()
    return {"$ref": f"#/$defs/{title}"}


def _titled(key: str, schema: Json) -> Json:
    """Give a title to what has no definition of its own, as generators of clients expect."""
    if any("$ref" in one for one in (schema, *schema.get("anyOf", ()))):
        return dict(schema)
    return {**schema, "title": key.replace("_", " ").title()}
