"""The variables with which Grafana connects to nothing outside the stack."""

from collections.abc import Mapping
from typing import Final

OFFLINE: Final[Mapping[str, bool]] = {
    "GF_ANALYTICS_CHECK_FOR_UPDATES": False,
    "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": False,
    "GF_ANALYTICS_FEEDBACK_LINKS_ENABLED": False,
    "GF_NEWS_NEWS_FEED_ENABLED": False,
    "GF_SECURITY_DISABLE_GRAVATAR": True,
    "GF_SNAPSHOTS_EXTERNAL_ENABLED": False,
    "GF_PLUGINS_PLUGIN_ADMIN_ENABLED": False,
    "GF_PLUGINS_PREINSTALL_DISABLED": True,
    "GF_PLUGINS_PUBLIC_KEY_RETRIEVAL_DISABLED": True,
}
