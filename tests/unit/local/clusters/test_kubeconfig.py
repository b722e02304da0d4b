"""The context that is copied out of the user's kubeconfig."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from local.clusters.kubeconfig import contexts, copy_context
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


@pytest.mark.parametrize("text", ["", "{", "[]", "contexts: 1", "contexts: [{}]"])
def test_a_file_that_is_no_kubeconfig_has_no_contexts(text: str, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(text)
    assert contexts(str(tmp_path / "config")) == ()
    assert contexts(str(tmp_path / "missing")) == ()
