"""What an API server accepts, as JSON schemas: its own OpenAPI, its CRDs included, made strict.

An unknown field is refused by these schemas, as ``kubectl --validate=strict`` refuses it; the API server itself drops
it in silence. null stands for "not set" wherever a field may be left out, as the API server reads it.
https://kubernetes.io/docs/concepts/overview/kubernetes-api/#openapi-v3
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_deploy.io.kube import Connection

__all__ = ["ClusterSchemas", "group_path", "schema_of"]

_REF = "#/components/schemas/"
_KIND = "x-kubernetes-group-version-kind"
_KEPT = frozenset({
    "enum", "exclusiveMaximum", "exclusiveMinimum", "format", "maximum", "maxItems", "maxLength", "maxProperties",
    "minimum", "minItems", "minLength", "minProperties", "multipleOf", "pattern", "required", "type", "uniqueItems",
})  # fmt: skip
_EMBEDDED = ("apiVersion", "kind", "metadata")


def group_path(api_version: str) -> str:
    """Return where the API server serves it: ``api/v1``, ``apis/apps/v1``."""
    return f"apis/{api_version}" if "/" in api_version else f"api/{api_version}"


@dataclass(kw_only=True)
class ClusterSchemas:
    """The API of one cluster; each part is read once."""

    connection: Connection = field(kw_only=False)
    _index: Mapping[str, Any] = field(default_factory=dict, init=False)
    _documents: dict[str, Mapping[str, Any]] = field(default_factory=dict, init=False)

    @property
    def server(self) -> str:
        """The API server's address."""
        return self.connection.server

    def version(self) -> str:
        """Return the server's version as Helm takes it: ``v1.34.4``; raises RemoteError."""
        return str(self.connection.read("/version").body.get("gitVersion", ""))

    def api_versions(self) -> tuple[str, ...]:
        """Return all groups and versions that it serves: ``v1``, ``apps/v1``; raises RemoteError."""
        paths = (path.partition("/")[2] for path in self._served() if path.startswith(("api/", "apis/")))
        return tuple(sorted(path for path in paths if path.count("/") == 1 or path == "v1"))

    def kinds(self, api_version: str) -> tuple[str, ...]:
        """Return the kinds of one of them, by the server's own discovery; raises RemoteError."""
        listed = self.connection.read(f"/{group_path(api_version)}").body.get("resources")
        rows = listed if isinstance(listed, list) else []
        return tuple(
            sorted({str(row["kind"]) for row in rows if isinstance(row, dict) and "/" not in str(row["name"])})
        )

    def schema(self, api_version: str, kind: str) -> Mapping[str, Any] | None:
        """Return the strict schema of a kind; None where the server does not serve it. Raises RemoteError."""
        if group_path(api_version) not in self._served():
            return None
        return schema_of(self._document(group_path(api_version)), api_version, kind)

    def _served(self) -> Mapping[str, Any]:
        if not self._index:
            paths = self.connection.read("/openapi/v3").body.get("paths")
            self._index = paths if isinstance(paths, dict) else {}
        return self._index

    def _document(self, path: str) -> Mapping[str, Any]:
        if path not in self._documents:
            where = str(self._served()[path]["serverRelativeURL"])
            self._documents[path] = self.connection.read(where).body
        return self._documents[path]


def schema_of(document: Mapping[str, Any], api_version: str, kind: str) -> Mapping[str, Any] | None:
    """Return the strict schema of a kind out of an OpenAPI v3 document, whole in itself; None: it is not in it."""
    group, _, version = api_version.rpartition("/")
    wanted = {"group": group, "version": version, "kind": kind}
    schemas: Mapping[str, Any] = document.get("components", {}).get("schemas", {})
    name = next((name for name, schema in schemas.items() if wanted in schema.get(_KIND, ())), None)
    if name is None:
        return None
    definitions: dict[str, Any] = {}
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current not in definitions:
            definitions[current] = _strict(schemas[current])
            waiting.extend(_references(schemas[current]))
    return {**definitions[name], "definitions": definitions}


def _references(node: object) -> Iterator[str]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key == "$ref" and isinstance(value, str):
                yield value.removeprefix(_REF)
            else:
                yield from _references(value)
    elif isinstance(node, list):
        for item in node:
            yield from _references(item)


def _strict(node: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema in JSON Schema's words, of which kubeconform reads draft 4."""
    if "$ref" in node:
        return {"$ref": "#/definitions/" + str(node["$ref"]).removeprefix(_REF)}
    made = {key: value for key, value in node.items() if key in _KEPT}
    # Its format and its patterns are of text alone.
    if node.get("x-kubernetes-int-or-string") or node.get("format") == "int-or-string":
        made = {"type": ["integer", "string"], **({"pattern": node["pattern"]} if "pattern" in node else {})}
    elif node.get("oneOf"):  # a quantity: 1, "1", "500m"
        made["anyOf"] = [_rule(rule) for rule in node["oneOf"]]
    # Of a built-in kind this is how a reference gets a default; of a CRD they are further rules, which name some of
    # the fields only.
    rules = [_strict(rule) if "$ref" in rule else _rule(rule) for rule in node.get("allOf", ())]
    if not node.get("x-kubernetes-int-or-string"):
        rules += [{"anyOf": [_rule(rule) for rule in node["anyOf"]]}] if node.get("anyOf") else []
    rules += [{"not": _rule(node["not"])}] if node.get("not") else []
    if rules:
        made["allOf"] = rules
    _add_fields(made, node)
    if isinstance(node.get("items"), Mapping):
        made["items"] = _strict(node["items"])
    return _or_null(made) if node.get("nullable") else made


def _add_fields(made: dict[str, Any], node: Mapping[str, Any]) -> None:
    fields: Mapping[str, Any] = node.get("properties", {})
    required = node.get("required", ())
    if fields:
        made["properties"] = {
            name: _strict(each) if name in required else _or_null(_strict(each)) for name, each in fields.items()
        }
    rest = node.get("additionalProperties")
    if isinstance(rest, Mapping):
        made["additionalProperties"] = _strict(rest)
    elif fields and rest is None and not node.get("x-kubernetes-preserve-unknown-fields"):
        made["additionalProperties"] = False
        if node.get("x-kubernetes-embedded-resource"):
            made["properties"] = {**{key: {} for key in _EMBEDDED}, **made["properties"]}


def _rule(node: Mapping[str, Any]) -> dict[str, Any]:
    """Return a rule on values, which says nothing of fields that it does not name."""
    made = {key: value for key, value in node.items() if key in _KEPT}
    if isinstance(node.get("properties"), Mapping):
        made["properties"] = {name: _rule(each) for name, each in node["properties"].items()}
    for key in ("items", "additionalProperties", "not"):
        if isinstance(node.get(key), Mapping):
            made[key] = _rule(node[key])
    for key in ("allOf", "anyOf", "oneOf"):
        if node.get(key):
            made[key] = [_rule(each) for each in _mappings(node[key])]
    return made


def _mappings(nodes: Iterable[Any]) -> Iterator[Mapping[str, Any]]:
    return (node for node in nodes if isinstance(node, Mapping))


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    if isinstance(schema.get("type"), str) and "enum" not in schema and "allOf" not in schema:
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]} if schema else schema
