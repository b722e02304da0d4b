"""Encodes items of one signal as OTLP export requests; redacts and filters their attributes on the way.

`opentelemetry-proto` reads the result back in the tests.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from lean_tracing.recent_cache import RecentCache
from lean_tracing.redaction import MIN_CARD, Redactor
from lean_tracing.shared_attributes import SharedAttributes
from lean_tracing.span import Limits
from lean_tracing.wire import DOUBLE, LENGTHS, any_value, sized, text, varint

if TYPE_CHECKING:
    from google.protobuf.message import Message

MAX_CACHED: Final = 4096
MAX_CACHED_LENGTH: Final = 128
_RESOURCE_ATTRIBUTES: Final = b"\x0a"
_SCOPE_ATTRIBUTES: Final = b"\x1a"
# Bytes for the tag and the length of each message around the items, at most.
_FRAME: Final = 16
# Bytes of a double, and one more than those of the longest integer.
_DOUBLE: Final = 8
_INTEGER: Final = 11
# What a key means for its values: they are left out; texts are searched, or numbers shown.
_DROPPED, _PLAIN, _NUMBERS = 1, 2, 4


class _Filter:
    """Attribute keys that are never exported; a `*` at the end of one stands for any rest."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._keys = frozenset(key for key in keys if not key.endswith("*"))
        self._prefixes = tuple(key[:-1] for key in keys if key.endswith("*"))

    def drops(self, key: str) -> bool:
        return key in self._keys or (bool(self._prefixes) and key.startswith(self._prefixes))


class AttributeEncoder:
    """Encodes attributes, and remembers those that occur often and hold nothing to redact."""

    def __init__(
        self,
        tag: bytes,
        redactor: Redactor,
        dropped: _Filter,
        length: int | None = None,
        native: ModuleType | None = None,
    ) -> None:
        """Creates an encoder with an empty cache.

        Args:
            tag: of the field that holds the attributes.
            redactor: of keys and values.
            dropped: keys that are left out.
            length: characters of each text in a value, at most; counted after the redaction.
            native: the native part.
        """
        self._tag = tag
        self._redactor = redactor
        self._dropped = dropped
        self._length = length
        # Of texts and booleans. Numbers are not among them, because 1 equals True, and are as fast without it.
        self._known = RecentCache(MAX_CACHED)
        self._keys: dict[str, bytes] = {}
        # What precedes a number, by its key; for integers, by the number's length as well.
        self._integer_heads: dict[str, tuple[bytes, ...]] = {}
        self._double_heads: dict[str, bytes] = {}
        self.native = native.Attributes(self, tag, length) if native is not None else None
        self.encode: Callable[[Mapping[str, object] | None], bytes] = (
            self.in_python if self.native is None else self.native.encode
        )

    def in_python(self, attributes: Mapping[str, object] | None) -> bytes:
        """All attributes, each with its tag."""
        if not attributes:
            return b""
        recent = self._known.recent
        parts: list[bytes] = []
        for key, value in attributes.items():
            encoded: bytes | None = None
            if type(value) is str or type(value) is bool:
                encoded = recent.get((key, value))
            elif type(value) is int:
                if (heads := self._integer_heads.get(key)) is not None and -MIN_CARD < value < MIN_CARD:
                    number = LENGTHS[value] if 0 <= value < len(LENGTHS) else varint(value)
                    encoded = heads[len(number)] + number
            elif type(value) is float and (head := self._double_heads.get(key)) and -MIN_CARD < value < MIN_CARD:
                encoded = head + DOUBLE(value)
            parts.append(self._one(key, value) if encoded is None else encoded)
        return b"".join(parts)

    def encode_shared(self, attributes: SharedAttributes) -> bytes:
        """The same for attributes that other spans have as well."""
        encoded = attributes.encoded
        if encoded is None or encoded[0] is not self:
            encoded = attributes.encoded = self, self.encode(attributes)
        return encoded[1]

    def describe(self, key: str) -> bytes | None:
        """What the native part has to know of a key: a byte with its meaning, and the encoded key.

        None for a key that is redacted, or too long to be kept.
        """
        if len(key) > MAX_CACHED_LENGTH or self._redactor.text(key) != key:
            return None
        dropped = self._dropped.drops(key) * _DROPPED
        shown = self._redactor.shows_text(key) * _PLAIN | self._redactor.shows_numbers(key) * _NUMBERS
        return LENGTHS[dropped | shown] + text(b"\x0a", key)

    def _one(self, key: str, value: object) -> bytes:
        may_be_known = type(value) is bool or (type(value) is str and len(value) <= MAX_CACHED_LENGTH)
        if may_be_known and (known := self._known.get((key, value))) is not None:
            return known
        if self._dropped.drops(key):
            return b""
        redacted = self._redactor.named(key, value, self._length)
        encoded = sized(self._tag, self._key(key) + sized(b"\x12", any_value(redacted)))
        # The cache holds nothing that was redacted, because it would hold it in clear.
        if may_be_known and redacted == value:
            self._known.put((key, value), encoded)
        return encoded

    def _key(self, key: str) -> bytes:
        encoded = self._keys.get(key)
        if encoded is None:
            redacted = self._redactor.text(key)
            encoded = text(b"\x0a", redacted)
            if redacted == key and len(key) <= MAX_CACHED_LENGTH:
                if len(self._keys) >= MAX_CACHED:
                    self._keys.clear()
                    self._integer_heads.clear()
                    self._double_heads.clear()
                self._keys[key] = encoded
                if self._redactor.shows_numbers(key):
                    self._integer_heads[key] = tuple(self._head(encoded, b"\x18", size) for size in range(_INTEGER))
                    self._double_heads[key] = self._head(encoded, b"\x21", _DOUBLE)
        return encoded

    def _head(self, key: bytes, tag: bytes, size: int) -> bytes:
        """What precedes the bytes of a number in an attribute."""
        value = LENGTHS[len(tag) + size] + tag
        return self._tag + LENGTHS[len(key) + 1 + len(value) + size] + key + b"\x12" + value


class Request:
    """An export request to which items are added. `size` is an upper limit of its length in bytes, and close to it."""

    __slots__ = ("_describe", "_last", "_last_items", "_resource", "_scopes", "items", "size")

    def __init__(self, resource: bytes, describe: Callable[[InstrumentationScope | None], bytes]) -> None:
        """Creates an empty request.

        Args:
            resource: encoded, with its tag and the URL of its schema.
            describe: encodes a scope in the same way.
        """
        self._resource = resource
        self._describe = describe
        self._scopes: dict[bytes, list[bytes]] = {}
        self._last: object = self  # the scope of the previous item, which is usually that of all items
        self._last_items: list[bytes] = []
        self.items = 0
        self.size = len(resource) + _FRAME

    def add(self, scope: InstrumentationScope | None, item: bytes) -> None:
        """Adds an item, which is encoded and has its tag."""
        if scope is not self._last:
            self._last, self._last_items = scope, self._items_of(scope)
        self._last_items.append(item)
        self.items += 1
        self.size += len(item)

    def _items_of(self, scope: InstrumentationScope | None) -> list[bytes]:
        header = self._describe(scope)
        if header not in self._scopes:
            self._scopes[header] = [header]
            self.size += len(header) + _FRAME
        return self._scopes[header]

    def encode(self) -> bytes:
        """Export{Trace,Logs}ServiceRequest; the fields of the two have the same numbers."""
        # Joined once: a request is longer than the processor's caches, and a copy of it costs as much as the encoding.
        parts = [self._resource]
        for items in self._scopes.values():
            parts += (b"\x12" + varint(sum(map(len, items))), *items)
        return b"".join((b"\x0a" + varint(sum(map(len, parts))), *parts))


class Encoder:
    """The common part of the encoders of both signals: all items belong to one resource."""

    _tag: bytes
    """Of the attributes of an item."""

    def __init__(
        self,
        resource: Resource,
        redactor: Redactor,
        dropped: Sequence[str] = (),
        value_length: int = Limits().value_length,
        native: ModuleType | None = None,
    ) -> None:
        """Creates an encoder.

        Args:
            resource: that of the process.
            redactor: of all texts.
            dropped: keys of attributes that are never exported, see `TracingSettings.filtered_attributes`.
            value_length: that of the spans' `Limits`. As in the specification, the resource has no such limit.
            native: the native part.
        """
        self._redactor = redactor
        self._native = native
        self._filter = _Filter(dropped)
        self._value_length = value_length
        self._attributes = self._with_tag(self._tag)
        self._scope_attributes = self._with_tag(_SCOPE_ATTRIBUTES)
        self.describe(resource)

    def _with_tag(self, tag: bytes) -> AttributeEncoder:
        return AttributeEncoder(tag, self._redactor, self._filter, self._value_length, self._native)

    def describe(self, resource: Resource) -> None:
        """Sets the resource of all further requests."""
        attributes = AttributeEncoder(_RESOURCE_ATTRIBUTES, self._redactor, self._filter)
        self._resource = sized(b"\x0a", attributes.encode(resource.attributes)) + _schema(resource.schema_url)

    def begin(self) -> Request:
        """An empty request."""
        return Request(self._resource, self._scope)

    def _scope(self, scope: InstrumentationScope | None) -> bytes:
        if scope is None:
            return sized(b"\x0a", text(b"\x0a", ""))
        version = text(b"\x12", scope.version) if scope.version else b""
        attributes = self._scope_attributes.encode(scope.attributes)
        return sized(b"\x0a", text(b"\x0a", scope.name) + version + attributes) + _schema(scope.schema_url)

    def item(self, item: Any) -> tuple[InstrumentationScope | None, bytes]:
        """The arguments of `Request.add`. Raises what a value raises that cannot be encoded."""
        raise NotImplementedError

    def split(self, payload: bytes) -> tuple[bytes, bytes]:
        """The first and the second half of an encoded request's items, each as a request."""
        raise NotImplementedError

    def __call__(self, items: Iterable[Any]) -> bytes:
        """One request of all items, of any size."""
        request = self.begin()
        for item in items:
            request.add(*self.item(item))
        return request.encode()


def _schema(url: str | None) -> bytes:
    return text(b"\x1a", url) if url else b""


def halve(kind: "type[Message]", payload: bytes, item_lists: Callable[[Any], Iterable[Any]]) -> tuple[bytes, bytes]:
    """The first and the second half of a request's items.

    Args:
        kind: the class of the request.
        payload: the encoded request.
        item_lists: finds the lists of items in a parsed request.
    """
    first, second = kind.FromString(payload), kind.FromString(payload)
    left = sum(map(len, item_lists(first))) // 2
    for head, tail in zip(item_lists(first), item_lists(second), strict=True):
        count = min(left, len(head))
        del head[count:], tail[:count]
        left -= count
    return first.SerializeToString(), second.SerializeToString()
