"""Chooses the variant that is measured, and imports only its libraries."""

from checks.bench.instrumentation import Instrumentation, Mode, Variant, is_over_http
from local.native_part import load_native_part


def load(variant: Variant, mode: Mode, service: str, endpoint: str) -> Instrumentation:
    """Return the variant's instrumentation; import only its own libraries.

    Args:
        variant: which one.
        mode: whether spans are recorded.
        service: service name of its spans.
        endpoint: URL of an OTLP receiver, for the variant's transport.
    """
    if variant == "bare":
        from checks.bench.bare import Bare

        return Bare()
    if variant == "stock":
        from checks.bench.stock import Stock

        return Stock(mode, service, endpoint)
    from checks.bench.ours import Ours

    if variant == "native":
        load_native_part()
    return Ours(mode, service, endpoint, native=variant == "native", over_http=is_over_http(variant))
