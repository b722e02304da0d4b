"""What Grafana's pod is started with: the URL of its users, and no connection to the internet."""

from typing import Any

import pytest

from contracts import endpoints
from tests.support.program import dev_with


def environment(**settings: Any) -> dict[str, str]:
    """Return the variables of Grafana's container with these settings."""
    pod = dev_with(grafana=settings)["StatefulSet", endpoints.GRAFANA]
    (container,) = pod["spec"]["template"]["spec"]["containers"]
    return {item["name"]: item["value"] for item in container["env"] if "value" in item}


@pytest.mark.parametrize(
    ("url", "has_path", "is_secure"),
    [
        ("https://grafana.example.com", "false", "true"),
        ("https://example.com/grafana", "true", "true"),
        ("http://localhost:3000", "false", "false"),
    ],
)
def test_grafana_knows_the_url_of_its_users(url: str, has_path: str, is_secure: str) -> None:
    env = environment(url=url)
    assert env["GF_SERVER_ROOT_URL"] == f"{url}/"
    assert env["GF_SERVER_SERVE_FROM_SUB_PATH"] == has_path
    assert env["GF_SECURITY_COOKIE_SECURE"] == is_secure


def test_grafana_connects_to_nothing_outside_unless_a_setting_says_so() -> None:
    offline = {
        "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
        "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
        "GF_NEWS_NEWS_FEED_ENABLED": "false",
        "GF_SECURITY_DISABLE_GRAVATAR": "true",
        "GF_PLUGINS_PLUGIN_ADMIN_ENABLED": "false",
        "GF_PLUGINS_PREINSTALL_DISABLED": "true",
        "GF_PLUGINS_PUBLIC_KEY_RETRIEVAL_DISABLED": "true",
    }
    env = environment()
    assert {name: env[name] for name in offline} == offline
    assert env["GF_ANALYTICS_REPORTING_ENABLED"] == "false"
    online = environment(internet=True)
    assert not set(offline) & set(online)
    assert online["GF_ANALYTICS_REPORTING_ENABLED"] == "false", "usage is reported in no case"
