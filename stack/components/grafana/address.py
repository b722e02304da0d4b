"""The variables with which Grafana knows the URL at which people open it."""

from urllib.parse import urlsplit


def address_variables(url: str) -> dict[str, str | bool]:
    """Return the variables for a URL without a slash at its end.

    Links, redirects and the callbacks of OAuth begin with it. A path of the URL stays in the requests: a proxy that
    removes it is not needed.
    """
    return {
        "GF_SERVER_ROOT_URL": f"{url}/",
        "GF_SERVER_SERVE_FROM_SUB_PATH": urlsplit(url).path != "",
    }
