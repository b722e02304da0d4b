"""librdkafka's mock Kafka cluster, with calls that the Python client lacks: it can be stopped and started."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import confluent_kafka

_PRODUCER = 0
_PRODUCE = 0  # the protocol's number of the request
_REFUSED = 29  # topic authorization failed: an error that the client does not retry


def _library() -> ctypes.CDLL:
    package = Path(confluent_kafka.__file__).parent
    (path,) = package.with_name("confluent_kafka.libs").glob("librdkafka-*")
    library = ctypes.CDLL(str(path))
    pointer = ctypes.c_void_p
    for name, result, arguments in (
        ("rd_kafka_conf_new", pointer, []),
        ("rd_kafka_new", pointer, [ctypes.c_int, pointer, ctypes.c_char_p, ctypes.c_size_t]),
        ("rd_kafka_destroy", None, [pointer]),
        ("rd_kafka_conf_set", ctypes.c_int, [pointer, *[ctypes.c_char_p] * 3, ctypes.c_size_t]),
        ("rd_kafka_flush", ctypes.c_int, [pointer, ctypes.c_int]),
        ("rd_kafka_mock_cluster_new", pointer, [pointer, ctypes.c_int]),
        ("rd_kafka_mock_cluster_destroy", None, [pointer]),
        ("rd_kafka_mock_group_initial_rebalance_delay_ms", None, [pointer, ctypes.c_int32]),
        ("rd_kafka_mock_cluster_bootstraps", ctypes.c_char_p, [pointer]),
        ("rd_kafka_mock_broker_set_down", ctypes.c_int, [pointer, ctypes.c_int32]),
        ("rd_kafka_mock_broker_set_up", ctypes.c_int, [pointer, ctypes.c_int32]),
        (
            "rd_kafka_mock_push_request_errors_array",
            None,
            [pointer, ctypes.c_int16, ctypes.c_size_t, ctypes.POINTER(ctypes.c_int)],
        ),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class Brokers:
    """One broker, which keeps its messages while it is down."""

    def __init__(self, library: ctypes.CDLL, cluster: int) -> None:
        self._library = library
        self._cluster = cluster
        self.addresses: str = library.rd_kafka_mock_cluster_bootstraps(cluster).decode()

    def down(self) -> None:
        """Closes all connections and accepts none."""
        assert self._library.rd_kafka_mock_broker_set_down(self._cluster, 1) == 0

    def up(self) -> None:
        """Accepts connections again."""
        assert self._library.rd_kafka_mock_broker_set_up(self._cluster, 1) == 0

    def refuse(self, messages: int) -> None:
        """Refuses the next produce requests, as many as `messages`."""
        errors = (ctypes.c_int * messages)(*[_REFUSED] * messages)
        self._library.rd_kafka_mock_push_request_errors_array(self._cluster, _PRODUCE, messages, errors)


@contextmanager
def mock_brokers() -> Iterator[Brokers]:
    """A new cluster inside this process, reached over TCP."""
    library = _library()
    error = ctypes.create_string_buffer(512)
    owner = library.rd_kafka_new(_PRODUCER, library.rd_kafka_conf_new(), error, len(error))
    assert owner, error.value
    cluster = library.rd_kafka_mock_cluster_new(owner, 1)
    try:
        # For more members of a new group; the default of 3 s would be most of the time of a test with restarts.
        library.rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, 100)
        yield Brokers(library, cluster)
    finally:
        library.rd_kafka_mock_cluster_destroy(cluster)
        library.rd_kafka_destroy(owner)


def send_raw(addresses: str, topic: str, value: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    """Sends to partition 0 with header names of any bytes; the Python client only sends text."""
    library = _library()
    error = ctypes.create_string_buffer(512)
    configuration = library.rd_kafka_conf_new()
    library.rd_kafka_conf_set(configuration, b"bootstrap.servers", addresses.encode(), error, len(error))
    client = library.rd_kafka_new(_PRODUCER, configuration, error, len(error))
    assert client, error.value
    # Each argument with the number of its kind (RD_KAFKA_VTYPE_...): topic, partition, value, flag to copy, headers.
    arguments: list[Any] = [ctypes.c_int(1), ctypes.c_char_p(topic.encode()), ctypes.c_int(3), ctypes.c_int32(0)]
    arguments += [
        ctypes.c_int(4),
        ctypes.c_char_p(value),
        ctypes.c_size_t(len(value)),
        ctypes.c_int(7),
        ctypes.c_int(2),
    ]
    for name, content in headers:
        arguments += [ctypes.c_int(9), ctypes.c_char_p(name), ctypes.c_char_p(content), ctypes.c_ssize_t(len(content))]
    try:
        assert library.rd_kafka_producev(ctypes.c_void_p(client), *arguments, ctypes.c_int(0)) == 0
        assert library.rd_kafka_flush(client, 5000) == 0
    finally:
        library.rd_kafka_destroy(client)
