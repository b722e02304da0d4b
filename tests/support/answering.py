"""A client of an API server whose answers a test defines."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import kubernetes

from tests.support.http_server import Request, Response, http_server


@contextmanager
def answering(content_type: str, answer: Callable[[str], tuple[int, str]]) -> Iterator[kubernetes.client.ApiClient]:
    """Starts the API server.

    Args:
        content_type: Of all answers.
        answer: Path of a GET → status and body.

    Yields:
        A client.
    """

    def respond(request: Request) -> Response:
        status, body = answer(request.path)
        return Response(body, status, {"Content-Type": content_type})

    with http_server(respond) as url:
        yield kubernetes.client.ApiClient(kubernetes.client.Configuration(host=url))
