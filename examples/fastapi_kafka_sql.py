"""A request that publishes a message, and a consumer that writes a row, in one trace.

`KAFKA=localhost:9092 DATABASE=sqlite:///orders.db uvicorn examples.fastapi_kafka_sql:app`
"""

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from confluent_kafka import Consumer, Producer
from fastapi import FastAPI
from sqlalchemy import create_engine, text

from lean_tracing import TracingSettings, start_tracing
from lean_tracing.asgi import TracingMiddleware
from lean_tracing.kafka import TracingConsumer, TracingProducer
from lean_tracing.sqlalchemy import instrument_engine

TOPIC = "orders"
BROKERS = {"bootstrap.servers": os.environ["KAFKA"]}

tracing = start_tracing(TracingSettings.from_env())
engine = create_engine(os.environ["DATABASE"])
instrument_engine(engine, tracing.traces)
client = Producer(BROKERS)
producer = TracingProducer(client, tracing.traces, client_id="orders-api")
ending = threading.Event()


def consume() -> None:
    """Stores the orders until the service ends."""
    reader = Consumer({**BROKERS, "group.id": "orders", "auto.offset.reset": "earliest"})
    consumer = TracingConsumer(reader, tracing.traces, group="orders", client_id="orders-store")
    reader.subscribe([TOPIC])
    while not ending.is_set():
        message = reader.poll(0.2)
        if message is None or message.error():
            continue
        with consumer.process(message), engine.begin() as connection:  # the span of the message, and its statements
            connection.execute(text("INSERT INTO orders (number) VALUES (:number)"), {"number": message.value()})
    reader.close()


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    with tracing.traces.suppressed(), engine.begin() as connection:  # start-up work makes no spans
        connection.execute(text("CREATE TABLE IF NOT EXISTS orders (number BLOB)"))
    thread = threading.Thread(target=consume)
    thread.start()
    yield
    ending.set()
    await asyncio.to_thread(thread.join)
    await asyncio.to_thread(tracing.shutdown)


api = FastAPI(lifespan=lifespan)


@api.post("/orders/{number}", status_code=202)
def order(number: int) -> dict[str, int]:
    producer.produce(TOPIC, str(number).encode())
    client.flush(10)  # the span of the message ends with its acknowledgement
    return {"number": number}


app = TracingMiddleware(api, tracing.traces)
