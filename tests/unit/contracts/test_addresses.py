"""Addresses in the settings: those that every client understands are accepted, and all others are refused."""

import pytest
from pydantic import TypeAdapter, ValidationError

from contracts.addresses import BaseAddress, HostAndPort, WebAddress


@pytest.mark.parametrize(
    "text",
    [
        "http://localhost:3000",
        "https://example.com/a/b",
        "http://[::1]:9090/prometheus",
        "http://10.0.0.1",
        "https://login.example.com/end?next=https://example.com",
    ],
)
def test_addresses_of_the_web(text: str) -> None:
    assert TypeAdapter(WebAddress).validate_python(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "http://example.com:99999",
        "http://example.com:0",
        "http://example.com:port",
        "http://[bad",
        "http://:9090",
        "http://user@example.com",
        "http://münchen.example.com",
        "http://example.com/größe",
        "http://example.com/",
        "example.com:9090",
        "grpc://example.com",
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(WebAddress).validate_python(text)


@pytest.mark.parametrize("text", ["https://example.com?tenant=a", "https://example.com/#/a"])
def test_paths_can_be_added_to_a_base_address(text: str) -> None:
    with pytest.raises(ValidationError, match="clients add paths"):
        TypeAdapter(BaseAddress).validate_python(text)


@pytest.mark.parametrize("text", ["db:5432", "db-1.example.com:1", "10.0.0.1:65535", "my_db:5432"])
def test_host_and_port(text: str) -> None:
    assert TypeAdapter(HostAndPort).validate_python(text) == text


@pytest.mark.parametrize(
    "text", ["db", "db:0", "db:65536", "db:99999", ":5432", "dé:5432", "postgres://db:5432", "..:1"]
)
def test_no_host_or_no_port(text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(HostAndPort).validate_python(text)
