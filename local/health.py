"""Asks a component's health check."""

import http.client


def answers(address: str, port: int, path: str) -> bool:
    """Whether GET `path` answers with status 200 within two seconds."""
    connection = http.client.HTTPConnection(address, port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
