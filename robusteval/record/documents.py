"""What all our JSON documents share: a dataclass, its published schema, and the versions that are read."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")
Schema = dict[str, Any]


@dataclass(frozen=True)
class Document(Generic[T]):
    """A kind of document. versions: what its field `schema` may say, the one that is written first; file: of its
    published schema; refine: adds to a schema in place what types cannot say; package: the folder of the schema."""

    kind: type[T]
    versions: tuple[str, ...]
    file: str
    refine: Callable[[Schema], None] = lambda _: None
    package: str = "robusteval.record"

    def build_schema(self) -> Schema:
        """The JSON schema, made from the dataclasses; the committed copy is `schema`."""
        made = self._adapter.json_schema()
        made["$schema"] = "https://json-schema.org/draft/2020-12/schema"
        made["title"] = self.versions[0]
        allowed = {"const": self.versions[0]} if len(self.versions) == 1 else {"enum": list(self.versions)}
        made["properties"]["schema"] = {**allowed, "type": "string"}
        self.refine(made)
        return made

    @functools.cached_property
    def schema(self) -> Schema:
        """The published schema, as committed."""
        text = resources.files(self.package).joinpath(self.file).read_text(encoding="utf-8")
        loaded: Schema = json.loads(text)
        return loaded

    def plain(self, made: T) -> Schema:
        """The document as JSON has it, but for numbers that JSON cannot carry."""
        data: Schema = self._adapter.dump_python(made, mode="python")
        return data

    def misfit(self, data: Schema) -> tuple[str, str] | None:
        """(place, what is wrong there) of the first thing in parsed JSON that does not fit the published schema, if
        any. Raises RecursionError for data that are nested too deeply."""
        import jsonschema

        first = next(iter(jsonschema.Draft202012Validator(self.schema).iter_errors(data)), None)
        return None if first is None else (first.json_path, first.message[:200])

    @functools.cached_property
    def _adapter(self) -> TypeAdapter[T]:
        from pydantic import TypeAdapter  # not where a document is only read: `verify` runs without it

        return TypeAdapter(self.kind)
