"""Makes Grafana's datasources, folders and dashboards those of the stack. What is right is not written again."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from stack.clients.http import QueryError
from stack.publisher.api import GrafanaApi
from stack.publisher.content import Content, Folder

_ASSIGNED: Final = ("id", "version")
"""Fields of a dashboard that Grafana sets."""
_MOST_DASHBOARDS: Final = 5000
"""Grafana's limit for one search."""


class Publisher:
    """Writes the content of a stack, again and again."""

    def __init__(self, api: GrafanaApi) -> None:
        self._api = api
        self._with_credentials: set[str] = set()
        """Uids of the datasources whose credentials this process has written: they cannot be read."""

    def publish(self, content: Content) -> list[str]:
        """Write what is missing or different, and delete what the stack no longer has.

        Returns:
            What was changed.

        Raises:
            QueryError: Grafana is unavailable or refuses; the rest was not written.
        """
        return list(self._publish(content))

    def _publish(self, content: Content) -> Iterator[str]:
        for datasource in content.datasources:
            yield from self._datasource(datasource)
        for folder in content.folders:
            yield from self._folder(folder)
            for uid, model in folder.dashboards.items():
                yield from self._dashboard(uid, model, content.folders, folder)
        for folder in content.folders:
            yield from self._delete_dashboards(folder)
        yield from self._delete_datasources(content)

    def _datasource(self, expected: Mapping[str, Any]) -> Iterator[str]:
        uid, secret = expected["uid"], "secureJsonData" in expected
        existing = self._api.read(f"datasources/uid/{uid}")
        if existing is None:
            self._api.create("datasources", expected)
        elif _differs(expected, existing) or (secret and uid not in self._with_credentials):
            self._api.replace(f"datasources/uid/{uid}", expected)
        else:
            return
        self._with_credentials.add(uid)
        yield f"datasource {uid}"

    def _folder(self, folder: Folder) -> Iterator[str]:
        existing = self._api.read(f"folders/{folder.uid}")
        if existing is None:
            self._api.create("folders", {"uid": folder.uid, "title": folder.title})
        elif existing["title"] != folder.title:
            self._api.replace(f"folders/{folder.uid}", {"title": folder.title, "overwrite": True})
        else:
            return
        yield f"folder {folder.uid}"

    def _dashboard(
        self, uid: str, model: Mapping[str, Any], folders: tuple[Folder, ...], folder: Folder
    ) -> Iterator[str]:
        existing = self._api.read(f"dashboards/uid/{uid}")
        if existing is not None:
            place = existing["meta"].get("folderUid", "")
            if place not in {item.uid for item in folders}:
                raise QueryError(
                    f"dashboard {uid} is in another folder of this Grafana ({place or 'General'}), so it is not the "
                    "stack's: set another grafana.external.prefix"
                )
            if place == folder.uid and _compared(existing["dashboard"]) == _compared(model):
                return
        body = {"dashboard": {**model, "id": None}, "folderUid": folder.uid, "overwrite": True}
        self._api.create("dashboards/db", body)
        yield f"dashboard {uid}"

    def _delete_dashboards(self, folder: Folder) -> Iterator[str]:
        """Delete dashboards that an earlier version of the stack had: people may keep theirs in the folder."""
        tags = {tag for model in folder.dashboards.values() for tag in model["tags"]}
        results = self._api.read("search", type="dash-db", folderUIDs=folder.uid, limit=_MOST_DASHBOARDS)
        for result in results or ():
            if result["uid"] not in folder.dashboards and tags.intersection(result.get("tags") or ()):
                self._api.delete(f"dashboards/uid/{result['uid']}")
                yield f"deleted dashboard {result['uid']}"

    def _delete_datasources(self, content: Content) -> Iterator[str]:
        declared = {item["uid"] for item in content.datasources}
        for uid in content.possible_datasources:
            if uid not in declared and self._api.read(f"datasources/uid/{uid}") is not None:
                self._api.delete(f"datasources/uid/{uid}")
                yield f"deleted datasource {uid}"


def _differs(expected: Mapping[str, Any], existing: Mapping[str, Any]) -> bool:
    fields = ("name", "type", "access", "url", "isDefault", "jsonData")
    return any(expected.get(field, False) != existing.get(field) for field in fields)


def _compared(model: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in model.items() if key not in _ASSIGNED}
