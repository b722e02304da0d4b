"""The application that is measured: small, the same for every variant, and with nothing of tracing in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from sqlalchemy import Column, Engine, Integer, MetaData, String, Table, create_engine, insert
from sqlalchemy.pool import StaticPool

TOPIC_IN = "measured-in"
TOPIC_OUT = "measured-out"
BODY = b'{"email": "ada@example.com", "query": "what is here?", "url": "http://gateway:8080/demo"}'

_metadata = MetaData()
_tasks = Table(
    "tasks",
    _metadata,
    Column("number", Integer, primary_key=True),
    Column("email", String(254)),
    Column("query", String(2000)),
    Column("url", String(2048)),
)
_insert = insert(_tasks)


class Task(BaseModel):
    """What is stored and published."""

    email: str
    query: str
    url: str


class Store:
    """Tasks in SQLite, in memory: the statement is real, the disk's noise stays out."""

    def __init__(self) -> None:
        self.engine: Engine = create_engine(
            "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
        )
        _metadata.create_all(self.engine)

    def add(self, task: Task) -> None:
        """One INSERT in a transaction of its own."""
        with self.engine.begin() as connection:
            connection.execute(_insert, task.model_dump())

    def clear(self) -> None:
        """Empties it, behind the back of what traces statements."""
        connection = self.engine.raw_connection()
        connection.cursor().execute("DELETE FROM tasks")
        connection.commit()
        connection.close()


def build(create: Callable[[Task], Any]) -> FastAPI:
    """GET /items/{id} does nothing, POST /tasks calls `create`; both on the event loop, so no thread adds its noise."""
    app = FastAPI()

    @app.get("/items/{item_id}")
    async def item(item_id: int) -> dict[str, int]:
        return {"id": item_id}

    @app.post("/tasks", status_code=202)
    async def submit(task: Task) -> dict[str, str]:
        create(task)
        return {"status": "new"}

    return app
