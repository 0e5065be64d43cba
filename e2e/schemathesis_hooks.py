"""What schemathesis has to be told beside its configuration."""

import schemathesis


@schemathesis.serializer(
    "application/vnd.influx.line-protocol",
    "application/senml+cbor",
    "application/vnd.weir.columns+protobuf",
)
def as_it_is(ctx, value):
    """Formats that schemathesis does not know are sent as the text or bytes that were made up."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
