"""What Datadog's tracer sends to its agent, written out byte by byte."""

_STRINGS = (b"", b"shop", b"measured", b"task.status", b"new", b"attempt", b"process_id", b"GET /items")


def _text(value: bytes) -> bytes:
    return bytes([0xA0 | len(value)]) + value


def _span(name: int, tags: bytes, metrics: bytes) -> bytes:
    """Service, name, resource; ids of trace, span and parent; start, duration, error; tags, metrics; type."""
    ids = b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff" + b"\xce\x00\x01\x00\x00" + b"\x00"
    times = b"\xd3\x18\x7c\x00\x00\x00\x00\x00\x00" + b"\xcd\x03\xe8" + b"\x00"
    return b"\x9c" + bytes([1, name, name]) + ids + times + tags + metrics + b"\x00"


MEASURED = _span(2, b"\x81\x03\x04", b"\x82\x05\x01\x06\xcb\x40\xb0\x00\x00\x00\x00\x00\x00")
"""A span `measured` of `shop` with the tag task.status=new and the metrics attempt=1 and process_id=4096.0."""
STRINGS = bytes([0x90 | len(_STRINGS)]) + b"".join(map(_text, _STRINGS))
TWO_SPANS = b"\x92" + STRINGS + b"\x91\x92" + MEASURED + _span(7, b"\x80", b"\x80")
"""One trace with that span and one named `GET /items`."""
