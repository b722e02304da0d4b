"""One FastAPI service with tracing: `uvicorn examples.fastapi_alone:app`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from lean_tracing import TracingSettings, start_tracing
from lean_tracing.asgi import TracingMiddleware

tracing = start_tracing(TracingSettings.from_env())


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    yield
    tracing.shutdown()  # sends what is left


api = FastAPI(lifespan=lifespan)


@api.get("/health")
def health() -> str:
    return "ok"


@api.get("/orders/{number}")
async def order(number: int) -> dict[str, int]:
    return {"number": number, "price": await price(number)}


@tracing.traces.traced(attributes=lambda number: {"order.number": number})
async def price(number: int) -> int:
    return 7 * number


app = TracingMiddleware(api, tracing.traces, excluded=["/health"])
