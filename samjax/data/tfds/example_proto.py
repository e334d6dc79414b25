"""Serialization of `tf.train.Example`, the message in TFDS's records, without TensorFlow.

The message is a map from the name of a feature to a list of bytes, of 32-bit floats or
of 64-bit integers. Its definition is public; it is built here in a descriptor pool of
its own, so that it cannot conflict with another definition of the same name.

TFDS's own serializer writes the same messages, but the features of each in an order
that changes from process to process, so that files are not reproducible; and it takes a
hundred times as long, as it encodes every mask of an image separately.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, Literal

Kind = Literal["bytes", "float", "int64"]


def write_example(features: Mapping[str, tuple[Kind, Sequence[Any]]]) -> bytes:
    """Serializes an example deterministically.

    Args:
        features: The kind and the values of each feature by its name, with slashes
            between the levels of a nested one.

    Raises:
        ValueError: A value is not of its kind, or out of range.
    """
    example = _example_class()()
    for name, (kind, values) in features.items():
        try:
            getattr(example.features.feature[name], f"{kind}_list").value.extend(values)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"the values of {name!r} are not {kind}: {error}"
            ) from error
        # An empty list needs its kind set explicitly.
        getattr(example.features.feature[name], f"{kind}_list").SetInParent()
    return example.SerializeToString(deterministic=True)


def read_example(data: bytes) -> Mapping[str, Any]:
    """Parses an example.

    Args:
        data: A serialized `tf.train.Example`.

    Returns:
        The features by their names, for `list_of`.

    Raises:
        ValueError: The bytes are not such a message.
    """
    from google.protobuf.message import DecodeError

    try:
        return _example_class().FromString(data).features.feature
    except DecodeError as error:
        raise ValueError(
            f"got {len(data)} bytes that are no tf.train.Example ({error}): the record "
            "is damaged, or it is of another kind"
        ) from error


def list_of(features: Mapping[str, Any], name: str, kind: Kind) -> list[Any]:
    """Returns the values of a feature.

    Args:
        features: The result of `read_example`.
        name: Name of the feature, with slashes between the levels of a nested one.
        kind: The expected kind of the values.

    Raises:
        ValueError: The example has no such feature, or it is of another kind.
    """
    # Indexing a protobuf map of messages would insert the name.
    if name not in features:
        raise ValueError(f"the example has no feature {name!r}")
    feature = features[name]
    got = feature.WhichOneof("kind")
    if got != f"{kind}_list":
        raise ValueError(f"got {got} for the feature {name!r}, expected {kind}_list")
    return list(getattr(feature, got).value)


@functools.cache
def _example_class() -> Any:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="samjax/example.proto", package="samjax", syntax="proto3"
    )

    def add(
        message: Any, name: str, number: int, kind: int, of: str = "", repeated=False
    ):
        label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
        return message.field.add(
            name=name,
            number=number,
            type=kind,
            label=label,
            type_name=f".samjax.{of}" if of else None,
        )

    kinds = {
        "BytesList": field.TYPE_BYTES,
        "FloatList": field.TYPE_FLOAT,
        "Int64List": field.TYPE_INT64,
    }
    feature = descriptor_pb2.DescriptorProto(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, (name, kind) in enumerate(kinds.items(), start=1):
        add(file.message_type.add(name=name), "value", 1, kind, repeated=True)
        lower = name.replace("List", "_list").lower()
        alternative = add(feature, lower, number, field.TYPE_MESSAGE, of=name)
        alternative.oneof_index = 0
    file.message_type.append(feature)
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    add(entry, "key", 1, field.TYPE_STRING)
    add(entry, "value", 2, field.TYPE_MESSAGE, of="Feature")
    of = "Features.FeatureEntry"
    add(features, "feature", 1, field.TYPE_MESSAGE, of=of, repeated=True)
    example = file.message_type.add(name="Example")
    add(example, "features", 1, field.TYPE_MESSAGE, of="Features")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    descriptor = pool.FindMessageTypeByName("samjax.Example")
    return message_factory.GetMessageClass(descriptor)
