"""The context that is copied out of the user's kubeconfig."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from local.clusters.kubeconfig import contexts, copy_context, default_kubeconfig
from local.failure import Failure


def kubeconfig(folder: Path, name: str, user: dict[str, Any], cluster: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / "config"
    file.write_text(
        yaml.safe_dump(
            {
                "clusters": [{"name": f"{name}-cluster", "cluster": {"server": "https://one", **cluster}}],
                "users": [{"name": f"{name}-user", "user": user}],
                "contexts": [{"name": name, "context": {"cluster": f"{name}-cluster", "user": f"{name}-user"}}],
                "current-context": name,
            }
        )
    )
    return file


def test_a_context_of_several_files_is_copied_with_absolute_paths(tmp_path: Path) -> None:
    first = kubeconfig(tmp_path / "a", "one", {"token": "t"}, {})
    second = kubeconfig(tmp_path / "b", "two", {"client-key": "key.pem"}, {"certificate-authority": "/ca.pem"})
    both = f"{first}:{second}"
    assert contexts(both) == ("one", "two")
    copy_context(both, "two", tmp_path / "copy")
    copied = yaml.safe_load((tmp_path / "copy").read_text())
    assert copied["users"] == [{"name": "local", "user": {"client-key": str(tmp_path / "b" / "key.pem")}}]
    assert copied["clusters"][0]["cluster"] == {"server": "https://one", "certificate-authority": "/ca.pem"}
    assert copied["current-context"] == "local"


def test_an_unknown_context_lists_the_known_ones(tmp_path: Path) -> None:
    file = kubeconfig(tmp_path / "a", "one", {}, {})
    with pytest.raises(Failure, match=r"no context 'two' in .*; its contexts: one"):
        copy_context(str(file), "two", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", "contexts: 1", "contexts: [{}]", "a: \xff", "[" * 3000])
def test_a_file_that_is_no_kubeconfig_has_no_contexts(text: str, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(text, encoding="latin-1")
    assert contexts(str(tmp_path / "config")) == ()
    assert contexts(str(tmp_path / "missing")) == ()


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("contexts: [{name: one, context: {user: u}}]", "no cluster None"),
        ("contexts: [{name: one, context: null}]", "no context 'one'"),
        ("contexts: [{name: one, context: {cluster: c}}]\nclusters: [{name: c, cluster: text}]", "no cluster 'c'"),
    ],
)
def test_a_kubeconfig_that_is_incomplete_is_refused(text: str, missing: str, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(text)
    with pytest.raises(Failure, match=missing):
        copy_context(str(tmp_path / "config"), "one", tmp_path / "copy")


def test_a_user_without_a_home_directory_has_to_set_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("os.getuid", lambda: 2**31)  # a user id that no list of users has
    with pytest.raises(Failure, match="no home directory: set HOME"):
        default_kubeconfig()
