"""Reads an OTLP traces export in protobuf from standard input, by OpenTelemetry's own definitions, and prints it as JSON.

What they do not know is an error, and so is what they would write otherwise: one field out of place shows.
"""

import sys

from google.protobuf import json_format
from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


def unknown(message, path):
    """Paths at which message has fields that its definition has not."""
    yield from (f"{path}.{field.field_number}" for field in UnknownFieldSet(message))
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for i, one in enumerate(value if hasattr(value, "__len__") and not hasattr(value, "ListFields") else [value]):
            yield from unknown(one, f"{path}.{field.name}[{i}]")


raw = sys.stdin.buffer.read()
request = ExportTraceServiceRequest()
if request.ParseFromString(raw) != len(raw):
    sys.exit("bytes were left over")
strangers = list(unknown(request, "request"))
if strangers:
    sys.exit(f"unknown fields: {strangers}")
if request.SerializeToString(deterministic=True) != raw:
    sys.exit("the same request is written otherwise")
print(json_format.MessageToJson(request, indent=None))
