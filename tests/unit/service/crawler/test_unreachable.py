"""The count of the sites without an answer, with any input of a single user."""

from hypothesis import given
from hypothesis import strategies as st

from service.crawler.unreachable import MOST_SITES_OF_USER, UnreachableSites

_FAILURES = st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 9).map(str)))


def counted(*failures: tuple[str, str]) -> int:
    sites = UnreachableSites()
    for user, site in failures:
        sites.add_failure(user, site)
    return sites.count


def test_the_sites_of_one_user_do_not_count() -> None:
    assert counted() == 0
    assert counted(*(("a", f"site-{number}") for number in range(1_000))) == 0
    assert counted(("a", "1"), ("b", "2"), ("c", "3")) == 2
    assert counted(("a", "1"), ("a", "2"), ("b", "2")) == 1, "two users asked for one of them"


def test_a_site_with_an_answer_ends_the_count() -> None:
    sites = UnreachableSites()
    for number in range(5):
        sites.add_failure(f"user-{number}", f"site-{number}")
    assert sites.count == 4
    sites.add_answer()
    assert sites.count == 0


@given(_FAILURES)
def test_the_count_is_that_without_the_user_who_matters_most(failures: list[tuple[str, str]]) -> None:
    without = [len({site for user, site in failures if user != left_out}) for left_out in "abcd"]
    assert counted(*failures) == min(without)


def test_what_one_user_floods_leaves_room_for_others() -> None:
    flood = [("a", f"site-{number}") for number in range(100 * MOST_SITES_OF_USER)]
    assert counted(*flood, *((f"user-{number}", f"other-{number}") for number in range(12))) == 12
    many = [(f"user-{user}", f"site-{user}-{number}") for user in range(150) for number in range(150)]
    assert counted(*many) == 99 * MOST_SITES_OF_USER
