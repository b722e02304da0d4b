"""Counts the web sites that do not answer, so that no single user's input looks like an outage of the web."""

from collections import Counter, defaultdict
from typing import Final

MOST_SITES_OF_USER: Final = 100
_MOST_USERS: Final = 100


class UnreachableSites:
    """The sites that did not answer since any site answered, and the users who asked for them."""

    def __init__(self) -> None:
        self._sites: dict[str, set[str]] = {}

    def add_answer(self) -> None:
        """A site answered, so the way to the web is open."""
        self._sites = {}

    def add_failure(self, user: str, site: str) -> None:
        """A site did not answer a request of a user. More than 100 sites of a user, or 100 users, change nothing."""
        sites = self._sites.get(user)
        if sites is None and len(self._sites) == _MOST_USERS:
            return
        if sites is None or len(sites) < MOST_SITES_OF_USER:
            # A new mapping: the thread that serves the metrics may be reading the present one.
            self._sites = {**self._sites, user: {*(sites or ()), site}}

    @property
    def count(self) -> int:
        """Number of sites, without those that only one user asked for: the user with the most such sites."""
        users: defaultdict[str, list[str]] = defaultdict(list)
        for user, sites in self._sites.items():
            for site in sites:
                users[site].append(user)
        of_one_user = Counter(names[0] for names in users.values() if len(names) == 1)
        return len(users) - max(of_one_user.values(), default=0)
