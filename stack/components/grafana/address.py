"""What follows from the URL at which people open Grafana: its variables, and where it answers that it lives."""

from urllib.parse import urlsplit

from contracts import endpoints


def address_variables(url: str) -> dict[str, str | bool]:
    """Return the variables for a URL without a slash at its end.

    Links, redirects and the callbacks of OAuth begin with it. A path of the URL stays in the requests: a proxy that
    removes it is not needed. Browsers that signed in over HTTPS never send the session in clear.
    """
    parts = urlsplit(url)
    return {
        "GF_SERVER_ROOT_URL": f"{url}/",
        "GF_SERVER_SERVE_FROM_SUB_PATH": parts.path != "",
        "GF_SECURITY_COOKIE_SECURE": parts.scheme == "https",
    }


def alive_path(url: str) -> str:
    """Return the path at which Grafana answers while it lives: unlike that of its health, it is below the URL's."""
    return f"{urlsplit(url).path}{endpoints.GRAFANA_ALIVE}"
