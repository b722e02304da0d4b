"""On the local stack, with traffic and with mistakes in it: every panel has data, every link leads somewhere."""

from pathlib import Path

from checks.dashboards.report import report
from checks.dashboards.stack import check_stack
from checks.harness.traffic import Traffic
from contracts import endpoints
from contracts.services import GATEWAY
from stack.kubernetes.client import connect
from stack.kubernetes.port_forward import forward
from stack.polling import CheckFailure, poll_until
from stack.settings import load
from tests.support.mistakes import make_mistakes


def test_every_query_and_every_link_works(tmp_path: Path) -> None:
    settings = load("local")
    last: list[str] = []
    with forward(connect(settings.cluster), settings.cluster.namespace, GATEWAY, endpoints.SERVICE_PORT) as gateway:

        def fine() -> bool:
            make_mistakes(gateway)
            checked = check_stack(settings, 5, lambda _: None)
            result, links = checked.result, checked.links
            last[:] = [f"{failure.dashboard}, {failure.where}: {failure.what}" for failure in result.failures]
            last.extend(f"{link.link}: {link.detail}" for link in links if not link.ok)
            (tmp_path / "report.html").write_text(report("local", "now", result, links, checked.window, checked.shots))
            if last:
                return False  # and what follows a broken link was left out
            assert (len(result.dashboards), len(links)) == (9, 6 if settings.logs.enabled else 4)
            return True

        with Traffic(gateway, rate=5):
            try:
                poll_until("data in every panel", fine, seconds=180, every=5)
            except CheckFailure as error:
                raise AssertionError("\n".join([str(error), *last])) from None
    assert (tmp_path / "report.html").stat().st_size > 5_000_000, "with what draws it inside"
