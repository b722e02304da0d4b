"""What a bill of materials says about packages."""

from pathlib import Path

from checks.supply_chain.materials import debian_components, pinned


def test_pinned_packages_are_read_with_and_without_a_condition() -> None:
    lock = 'Click==8.1 ; python_version >= "3.11" \\\n    --hash=sha256:0\nhttpx==0.28.1 \\\n    --hash=sha256:1\n'
    assert pinned(lock) == {"click": "8.1", "httpx": "0.28.1"}


def test_the_layers_packages_are_components_with_debian_s_names(tmp_path: Path) -> None:
    (tmp_path / "base.packages").write_text("libstdc++6_12.2.0-14+deb12u1_amd64.deb\nzlib1g_1%3a1.2.13_amd64.deb\n")
    (tmp_path / "python.packages").write_text("zlib1g_1%3a1.2.13_amd64.deb\n")
    first, second = debian_components(tmp_path)
    assert (first["name"], first["version"]) == ("libstdc++6", "12.2.0-14+deb12u1")
    assert first["purl"] == "pkg:deb/debian/libstdc%2B%2B6@12.2.0-14%2Bdeb12u1?arch=amd64&distro=debian-12"
    assert second["version"] == "1:1.2.13"
    assert second["purl"].startswith("pkg:deb/debian/zlib1g@1%3a1.2.13?")


def test_a_machine_without_the_layers_has_none(tmp_path: Path) -> None:
    assert debian_components(tmp_path) == []
