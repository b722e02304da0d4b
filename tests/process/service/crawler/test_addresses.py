"""Where a user may send the crawler, and that it goes where it looked."""

import http.server
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import pytest

from checks.harness.certificates import self_signed
from checks.harness.ports import free_port
from lean_tracing import SettingsError
from lean_tracing.testing import Recorder
from service.crawler.addresses import Address, AddressRule, GuardedTransport
from service.crawler.config import CrawlerSettings
from service.crawler.fetch import Fetcher, FetchFailed
from service.crawler.network import DEADLINE, Deadline, DeadlineTransport
from tests.support.sites import page, serving


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "168.63.129.16",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "::1",
        "::",
        "fe80::1",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:7f00:1::",
        # Below: what Python takes for public, in some of its versions or in all.
        "192.0.0.8",
        "192.0.0.192",
        "192.88.99.1",
        "198.18.0.1",
        "203.0.113.1",
        "100.100.100.200",
        "64:ff9b:1::7f00:1",
        "64:ff9b:1::5db8:d822",
        "::7f00:1",
        "::5db8:d822",
        "::ffff:0:7f00:1",
        "::ffff:168.63.129.16",
        "2001:0:5db8:d822:0:0:80ff:fffe",
        "2606:4700::5efe:a00:1",
        "2606:4700::200:5efe:7f00:1",
        "2606:4700::100:5efe:7f00:1",
        "2606:4700::300:5efe:7f00:1",
        "2002:808:808::5efe:7f00:1",
        "2002:808:808::200:5efe:a9fe:a9fe",
        "2001:0:7f00:1::f7f7:f7f7",
        "2001:0:a00:1::f7f7:f7f7",
        "2001:0:0:0::f7f7:f7f7",
        "2001:0:808:808:0:5efe:f5ff:fffe",
        "100::1",
        "100:0:0:1::1",
        "2001:2::1",
        "2001:10::1",
        "2001:db8::1",
        "3fff::1",
        "4000::1",
        "5f00::1",
        "fe80::1%eth0",
        "2606:4700::1%eth0",
        "fec0::1",
        "feff::1",
        "ff0e::1",
    ],
)
def test_not_public(address: str) -> None:
    assert not AddressRule().allows("site.example", 80, ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "93.184.216.34",
        "192.0.0.9",
        "192.0.0.10",
        "192.31.196.1",
        "2606:2800:220:1::1",
        "2001:1::1",
        "2001:4860::1",
        "2001:20::1",
        "2620:4f:8000::1",
        "::ffff:93.184.216.34",
        "64:ff9b::5db8:d822",
        "2002:5db8:d822::1",
        "2001:0:5db8:d822:0:0:a247:27dd",
        "2606:4700::5efe:5db8:d822",
        "2606:4700::300:5efe:5db8:d822",
        "2002:808:808::5efe:5db8:d822",
        "2001:0:808:808::f7f7:f7f7",
    ],
)
def test_public(address: str) -> None:
    assert AddressRule().allows("site.example", 80, ipaddress.ip_address(address))


def test_only_the_listed_hosts_and_networks_are_allowed() -> None:
    rule = AddressRule(hosts=frozenset({"gateway:8080", "wiki"}), networks=(ipaddress.ip_network("10.1.0.0/16"),))
    inside = ipaddress.ip_address("10.96.0.7")
    assert rule.allows("Gateway", 8080, inside)
    assert not rule.allows("gateway", 9090, inside)
    assert not rule.allows("gateway.example", 8080, inside)
    assert rule.allows("wiki", 9090, inside)
    assert rule.allows("any", 80, ipaddress.ip_address("10.1.9.9"))
    assert rule.allows("any", 80, ipaddress.ip_address("::ffff:10.1.9.9"))
    assert not rule.allows("any", 80, inside)
    assert not rule.allows("any", 80, ipaddress.ip_address("2002:a01:909::5efe:7f00:1"))
    assert rule.allows("any", 80, ipaddress.ip_address("2002:a01:909::5efe:a01:1"))
    local_nat64 = AddressRule(networks=(ipaddress.ip_network("64:ff9b:1::/48"),))
    assert local_nat64.allows("any", 80, ipaddress.ip_address("64:ff9b:1::a00:1"))


@pytest.mark.parametrize(
    ("variable", "value"),
    [("CRAWLER_ALLOWED_HOSTS", "http://gateway"), ("CRAWLER_ALLOWED_NETWORKS", "10.0.0.1/8")],
)
def test_wrong_settings_are_refused(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=variable):
        CrawlerSettings.from_env({variable: value})


class _Names:
    """A resolver whose answer differs each time."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> Sequence[Address]:
        self.asked.append(host)
        return [ipaddress.ip_address(self.answers.pop(0))]


def test_the_connection_goes_to_the_checked_address() -> None:
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200)

    names = _Names("93.184.216.34", "127.0.0.1")
    transport = GuardedTransport(AddressRule(), httpx.MockTransport(answer), names)
    with httpx.Client(transport=transport) as client:
        response = client.get("https://rebinding.example/page")
    (request,) = requests
    assert request.url == "https://93.184.216.34/page"
    assert request.headers["host"] == "rebinding.example"
    assert request.extensions["sni_hostname"] == "rebinding.example"
    assert response.url == "https://rebinding.example/page"
    assert names.asked == ["rebinding.example"]


class _Site(http.server.BaseHTTPRequestHandler):
    asked: list[str]

    def do_GET(self) -> None:  # the library's name
        self.asked.append(self.path)
        self.send_response(302 if self.path == "/redirect" else 200)
        if self.path == "/redirect":
            self.send_header("Location", f"http://localhost:{self.server.server_port}/secret")  # type: ignore[attr-defined]
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Writes no log."""


@pytest.fixture
def site() -> Iterator[tuple[int, list[str]]]:
    asked: list[str] = []
    handler = type("Site", (_Site,), {"asked": asked})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", free_port()), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server.server_port, asked
    server.shutdown()
    server.server_close()


def test_every_redirect_is_checked(recorder: Recorder, site: tuple[int, list[str]]) -> None:
    port, asked = site
    rule = AddressRule(hosts=frozenset({f"127.0.0.1:{port}"}))
    fetcher = Fetcher(recorder.traces, seconds=5, max_bytes=1000, max_redirects=3, rule=rule)
    assert fetcher.fetch(f"http://127.0.0.1:{port}/").status_code == 200
    for url in (f"http://127.0.0.1:{port}/redirect", f"http://localhost:{port}/", f"http://2130706433:{port}/"):
        with pytest.raises(FetchFailed, match="not a public one"):
            fetcher.fetch(url)
    assert asked == ["/", "/redirect"]
    fetcher.stop()


@pytest.mark.parametrize("name", ["site.example", "other.example"])
def test_tls_verifies_the_requested_name(name: str, tmp_path: Path) -> None:
    key, certificate = self_signed("site.example")
    (tmp_path / "pem").write_bytes(key + certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pem")
    answer = page(b"over TLS")
    asked: list[str] = []
    context.sni_callback = lambda _socket, server_name, _context: asked.append(str(server_name))

    def over_tls(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as encrypted:
            encrypted.recv(65536)
            answer(encrypted)

    trust = ssl.create_default_context(cadata=certificate.decode())
    rule = AddressRule(networks=(ipaddress.ip_network("127.0.0.0/8"),))
    transport = GuardedTransport(rule, DeadlineTransport(trust), _Names("127.0.0.1"))
    with serving(over_tls, reads=False) as port, httpx.Client(transport=transport) as client:
        request = client.build_request(
            "GET", f"https://{name}:{port}/", extensions={DEADLINE: Deadline(time.monotonic() + 5)}
        )
        if name == "site.example":
            assert client.send(request).text == "over TLS"
        else:
            with pytest.raises(httpx.ConnectError, match="certificate"):
                client.send(request)
    assert asked == [name]
