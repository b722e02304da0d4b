"""Smaller parts: keys, configuration, mounts, listeners, the firewall's clean-up."""

import json
import stat
from pathlib import Path

import pytest
import yaml
from cryptography import x509

from local import components, configuration, firewall, mounts, network, pki, preflight
from local.archive import write_program_archive
from local.layout import GATEWAY
from local.namespace import Namespace
from local.nodes import first_nodes
from local.paths import HOME_VARIABLE, Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(root=tmp_path)
    pki.create(home.run / "pki")
    return home


def test_the_home_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "a" / ".." / "b"))
    assert Home.default().root == tmp_path / "b"


def test_keys_are_private_and_name_who_they_speak_for(home: Home) -> None:
    keys = home.run / "pki"
    assert pki.is_usable(keys)
    assert all(stat.S_IMODE(key.stat().st_mode) == 0o600 for key in keys.glob("*.key"))
    kubelet = x509.load_pem_x509_certificate((keys / "kubelet-node2.crt").read_bytes())
    assert kubelet.subject.rfc4514_string() == "CN=system:node:node2,O=system:nodes"
    kubelet.verify_directly_issued_by(x509.load_pem_x509_certificate((keys / "ca.crt").read_bytes()))


def test_incomplete_keys_are_not_usable(home: Home) -> None:
    (home.run / "pki" / "proxy.crt").unlink()
    assert not pki.is_usable(home.run / "pki")


def write_files(home: Home, *, upstream_dns: bool = True) -> None:
    configuration.write_control_plane(home, upstream_dns=upstream_dns)
    for node in first_nodes(2):
        configuration.write_node(home, node, cni_directory=Path("/usr/lib/cni"))


def all_components(home: Home) -> list[components.Component]:
    return [
        *components.control_plane(home),
        *(
            component
            for node in first_nodes(2)
            for component in components.node_components(
                home, node, containerd="/usr/bin/containerd", masquerade_all=False, queues_work=True
            )
        ),
    ]


def test_a_kubeconfig_is_private_and_has_the_agreed_context(home: Home) -> None:
    write_files(home)
    assert stat.S_IMODE(home.kubeconfig.stat().st_mode) == 0o600
    document = yaml.safe_load(home.kubeconfig.read_text())
    assert document["current-context"] == "local"
    assert document["clusters"][0]["cluster"]["server"] == f"https://{GATEWAY}:6443"


def test_unchanged_files_are_not_written_again(home: Home) -> None:
    write_files(home)
    first = {path: path.stat().st_mtime_ns for path in home.run.rglob("*") if path.is_file()}
    write_files(home)
    assert {path: path.stat().st_mtime_ns for path in first} == first


def test_dns_forwards_only_where_there_is_something_to_forward_to(home: Home, tmp_path: Path) -> None:
    resolv = tmp_path / "resolv.conf"
    resolv.write_text("# nothing\nsearch example\n")
    assert not configuration.has_upstream_dns(resolv)
    resolv.write_text("nameserver 192.0.2.1\n")
    assert configuration.has_upstream_dns(resolv)
    for upstream in (True, False):
        write_files(home, upstream_dns=upstream)
        assert ("forward ." in (home.run / "Corefile").read_text()) is upstream


def test_a_component_is_outdated_when_what_it_reads_changes(home: Home) -> None:
    write_files(home)

    def prints() -> dict[str, str]:
        return {component.name: component.fingerprint() for component in all_components(home)}

    first = prints()
    assert prints() == first
    write_files(home, upstream_dns=False)
    assert {name for name, value in prints().items() if value != first[name]} == {"dns"}


def test_nothing_listens_beyond_this_machine(home: Home) -> None:
    for component in all_components(home):
        address = component.node.address if component.node else GATEWAY
        for flag in component.command:
            name, _, value = flag.partition("=")
            if name.endswith("bind-address") or name == "--nodeport-addresses":
                assert value.startswith(("127.0.0.1", address)), flag


def test_mounts_are_found_below_a_directory_only(tmp_path: Path) -> None:
    listing = tmp_path / "mounts"
    listing.write_text(
        "a /run/x tmpfs rw 0 0\nb /run/x/with\\040blank tmpfs rw 0 0\nc /run/xy tmpfs rw 0 0\nd / ext4 rw 0 0\n"
    )
    assert mounts.below(Path("/run/x"), listing) == [Path("/run/x"), Path("/run/x/with blank")]


@pytest.mark.parametrize(
    ("text", "width", "address"),
    [
        ("0100007F", 8, "127.0.0.1"),
        ("00000000", 8, "0.0.0.0"),
        ("0" * 32, 32, "::"),
        ("0000000000000000FFFF00000100007F", 32, "127.0.0.1"),
    ],
)
def test_the_kernels_spelling_of_addresses(text: str, width: int, address: str) -> None:
    assert preflight._address(text, width) == address


SAVED = """\
*nat
:PREROUTING ACCEPT [0:0]
:KUBE-SERVICES - [0:0]
:CNI-aaaa - [0:0]
:DOCKER - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A PREROUTING -j DOCKER
-A KUBE-SERVICES -j CNI-aaaa
COMMIT
*filter
:FORWARD DROP [0:0]
-A FORWARD -o crawl0 -m comment --comment web-crawl-tracing -j ACCEPT
-A FORWARD -j LOG
COMMIT
"""


def test_the_firewall_loses_our_rules_and_chains_and_keeps_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    restored: list[str] = []

    def fake(namespace: Namespace, *command: str, stdin: str = "", check: bool = True) -> str:
        if command[0].endswith("-restore"):
            restored.append(stdin)
        return SAVED if command[0].endswith("-save") else ""

    monkeypatch.setattr(Namespace, "run", fake)
    firewall.remove_chains("iptables", keep={"nat/CNI-aaaa"})
    assert restored == [
        '*nat\n-D PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES\n'
        "-F KUBE-SERVICES\n-X KUBE-SERVICES\nCOMMIT\n"
        "*filter\n-D FORWARD -o crawl0 -m comment --comment web-crawl-tracing -j ACCEPT\nCOMMIT\n"
    ]


def test_what_was_before_is_written_whole_and_read_back(tmp_path: Path) -> None:
    settings = network.MachineState(boot="b", settings={"net/ipv4/ip_forward": "0"}, chains={"iptables": ["nat/X"]})
    assert network.MachineState.load(tmp_path / "before.json") is None
    settings.save(tmp_path / "before.json")
    assert network.MachineState.load(tmp_path / "before.json") == settings


def test_an_archive_of_the_same_program_is_the_same(tmp_path: Path) -> None:
    program = tmp_path / "pause"
    program.write_bytes(b"program")
    for name in ("a.tar", "b.tar"):
        write_program_archive(tmp_path / name, "localhost/pause:1", program)
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    assert json.dumps("localhost/pause:1").encode() in (tmp_path / "a.tar").read_bytes()


def test_each_home_has_a_control_group_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(HOME_VARIABLE, raising=False)
    groups = {Home.default().cgroup, Home(root=tmp_path / "a").cgroup, Home(root=tmp_path / "b").cgroup}
    assert len(groups) == 3
    assert Home.default().cgroup == "web-crawl-tracing"
