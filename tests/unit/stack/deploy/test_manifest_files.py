"""`./wct render --certificates`: what a tool that applies a repository of manifests gets."""

import ssl
from pathlib import Path

import pytest
import yaml

from contracts import secret_keys
from contracts.metadata import Manifest
from stack.components.encryption.authority import Authority
from stack.deploy.manifest_files import _write
from tests.support.command_line import wct

SEED = "a-random-text-of-the-tests-which-is-long-enough"
VARIABLE = secret_keys.variable(secret_keys.AUTHORITY_SEED)


def read(file: Path) -> dict[tuple[str, str], Manifest]:
    return {(item["kind"], item["metadata"]["name"]): item for item in yaml.safe_load_all(file.read_text())}


def test_certificates_are_in_a_file_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, SEED)
    output, certificates = tmp_path / "stack.yaml", tmp_path / "certificates.yaml"
    result = wct("render", "staging", f"--output={output}", f"--certificates={certificates}")
    assert result.exit_code == 0, result.output
    assert certificates.stat().st_mode & 0o077 == 0, "it has private keys"
    objects, issued = read(output), read(certificates)
    assert SEED not in output.read_text() + certificates.read_text()
    assert "-----BEGIN PRIVATE KEY-----" not in output.read_text()
    assert objects["Secret", secret_keys.SECRET]["stringData"][secret_keys.AUTHORITY_SEED] == "${authoritySeed}"
    assert objects["ConfigMap", "stack-authority"]["data"]["ca.crt"] == Authority(SEED).certificate
    assert {("Secret", f"{name}-certificate") for name in ("gateway", "kafka", "postgres", "grafana")} <= issued.keys()
    assert not issued.keys() & objects.keys()
    key, certificate = (issued["Secret", "gateway-certificate"]["stringData"][name] for name in ("tls.key", "tls.crt"))
    (tmp_path / "pair.pem").write_text(key + certificate)
    ssl.create_default_context().load_cert_chain(tmp_path / "pair.pem")


def test_without_the_option_the_manifests_are_for_review(tmp_path: Path) -> None:
    result = wct("render", "staging", f"--output={tmp_path / 'stack.yaml'}")
    assert "--certificates" in result.stderr
    assert not wct("render", "dev", f"--output={tmp_path / 'stack.yaml'}").stderr


@pytest.mark.parametrize(("stack", "message"), [("dev", "has no certificates"), ("staging", f"{VARIABLE} is not set")])
def test_certificates_that_cannot_be_made(
    stack: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    result = wct("render", stack, f"--certificates={tmp_path / 'certificates.yaml'}")
    assert result.exit_code == 1
    assert message in result.stderr
    assert not (tmp_path / "certificates.yaml").exists()


@pytest.mark.parametrize(
    ("seed", "reason"), [("changeme", "is no seed"), ("${authoritySeed}", "is a reference to a secret, not its value")]
)
def test_certificates_of_no_seed_are_not_made(
    seed: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, seed)
    result = wct("render", "staging", f"--certificates={tmp_path / 'certificates.yaml'}")
    assert result.exit_code == 1
    assert reason in result.stderr
    assert seed not in result.stderr
    assert not (tmp_path / "certificates.yaml").exists()


def test_certificates_are_in_no_file_that_others_have_open(tmp_path: Path) -> None:
    file = tmp_path / "certificates.yaml"
    file.write_text("")
    file.chmod(0o644)
    with file.open() as opened_by_others:
        _write([{"kind": "Secret", "metadata": {"name": "a"}}], file, is_private=True)
        assert not opened_by_others.read()
    assert file.stat().st_mode & 0o077 == 0
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_both_options_cannot_name_one_file(tmp_path: Path) -> None:
    result = wct("render", "staging", f"--output={tmp_path / 'a'}", f"--certificates={tmp_path / 'a'}")
    assert result.exit_code == 1
    assert "the same file" in result.stderr
