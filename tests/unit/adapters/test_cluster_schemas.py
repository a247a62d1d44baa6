"""OpenAPI as API servers give it, made into strict JSON schemas."""

from __future__ import annotations

from typing import Any

from pytest_deploy.adapters.cluster_schemas import group_path, schema_of

KIND = "x-kubernetes-group-version-kind"


def document(**schemas: dict[str, Any]) -> dict[str, Any]:
    """An OpenAPI document with these schemas; the first is a Thing of example.com/v1."""
    first = next(iter(schemas))
    schemas[first][KIND] = [{"group": "example.com", "version": "v1", "kind": "Thing"}]
    return {"components": {"schemas": schemas}}


def strict(**schemas: dict[str, Any]) -> dict[str, Any]:
    """The strict schema of Thing."""
    found = schema_of(document(**schemas), "example.com/v1", "Thing")
    assert found is not None
    return dict(found)


def test_where_a_group_is_served() -> None:
    """The core group has a place of its own."""
    assert group_path("v1") == "api/v1"
    assert group_path("apps/v1") == "apis/apps/v1"


def test_a_kind_that_is_not_served_has_no_schema() -> None:
    """Group, version and kind must all be right."""
    made = document(Thing={"type": "object"})
    assert schema_of(made, "example.com/v1", "Other") is None
    assert schema_of(made, "example.com/v2", "Thing") is None
    assert schema_of(made, "v1", "Thing") is None


def test_unknown_fields_are_closed_out_everywhere() -> None:
    """In referenced schemas and list items too, but neither in maps nor where unknown fields are kept."""
    made = strict(
        Thing={
            "type": "object",
            "properties": {
                "spec": {"allOf": [{"$ref": "#/components/schemas/Spec"}], "default": {}},
                "labels": {"type": "object", "additionalProperties": {"type": "string", "default": ""}},
                "free": {"type": "object", "properties": {"a": {}}, "x-kubernetes-preserve-unknown-fields": True},
                "raw": {"type": "object"},
            },
        },
        Spec={"type": "object", "properties": {"items": {"type": "array", "items": {
            "type": "object", "properties": {"name": {"type": "string"}}}}}},
    )  # fmt: skip
    assert made["additionalProperties"] is False
    assert made["properties"]["labels"]["additionalProperties"] == {"type": "string"}
    assert "additionalProperties" not in made["properties"]["free"]
    assert "additionalProperties" not in made["properties"]["raw"]
    spec = made["definitions"]["Spec"]
    assert spec["additionalProperties"] is False
    assert spec["properties"]["items"]["items"]["additionalProperties"] is False
    assert {"allOf": [{"$ref": "#/definitions/Spec"}]} in made["properties"]["spec"]["anyOf"]


def test_null_is_allowed_where_a_field_may_be_left_out() -> None:
    """And not where it is required, unless its schema says so."""
    made = strict(
        Thing={
            "type": "object",
            "required": ["must", "may"],
            "properties": {
                "must": {"type": "string"}, "may": {"type": "string", "nullable": True},
                "can": {"type": "string"}, "one": {"type": "string", "enum": ["a"]},
            },
        }
    )["properties"]  # fmt: skip
    assert made["must"] == {"type": "string"}
    assert made["may"] == {"type": ["string", "null"]}
    assert made["can"] == {"type": ["string", "null"]}
    assert made["one"] == {"anyOf": [{"type": "string", "enum": ["a"]}, {"type": "null"}]}


def test_numbers_or_text() -> None:
    """Both ways of writing int-or-string, and quantities."""
    made = strict(
        Thing={
            "type": "object",
            "required": ["a", "b", "c"],
            "properties": {
                "a": {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
                "b": {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]},
                "c": {"oneOf": [{"type": "string"}, {"type": "number"}]},
            },
        }
    )["properties"]
    assert made["a"] == made["b"] == {"type": ["integer", "string"]}
    assert made["c"] == {"anyOf": [{"type": "string"}, {"type": "number"}]}


def test_rules_of_a_crd_close_nothing_out() -> None:
    """A rule that names one field of an object does not forbid its others."""
    made = strict(
        Thing={
            "type": "object",
            "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
            "anyOf": [{"required": ["a"]}, {"required": ["b"], "properties": {"b": {"pattern": "x"}}}],
            "not": {"required": ["a", "b"]},
        }
    )
    assert made["allOf"] == [
        {"anyOf": [{"required": ["a"]}, {"required": ["b"], "properties": {"b": {"pattern": "x"}}}]},
        {"not": {"required": ["a", "b"]}},
    ]
    assert made["additionalProperties"] is False


def test_schemas_that_refer_to_themselves_end() -> None:
    """As the schema of CRDs does."""
    made = strict(Thing={"type": "object", "properties": {"inner": {"$ref": "#/components/schemas/Thing"}}})
    assert set(made["definitions"]) == {"Thing"}


def test_an_embedded_resource_may_name_itself() -> None:
    """apiVersion, kind and metadata are always allowed in it."""
    made = strict(
        Thing={"type": "object", "properties": {"a": {"type": "string"}}, "x-kubernetes-embedded-resource": True}
    )
    assert {"apiVersion", "kind", "metadata", "a"} == set(made["properties"])
