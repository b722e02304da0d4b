"""The measured application: small, equal for all variants, and without tracing."""

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
    """A task that the application stores and publishes."""

    email: str
    query: str
    url: str


class Store:
    """Tasks in SQLite in memory: real statements, but no variation from a disk."""

    def __init__(self) -> None:
        self.engine: Engine = create_engine(
            "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
        )
        _metadata.create_all(self.engine)

    def add(self, task: Task) -> None:
        """Insert a task in one transaction."""
        with self.engine.begin() as connection:
            connection.execute(_insert, task.model_dump())

    def clear(self) -> None:
        """Delete all tasks over a raw connection, so that the statement is not traced."""
        connection = self.engine.raw_connection()
        connection.cursor().execute("DELETE FROM tasks")
        connection.commit()
        connection.close()


def build(create: Callable[[Task], Any]) -> FastAPI:
    """Return an application whose handlers run on the event loop, without threads.

    GET /items/{id} does nothing; POST /tasks calls `create`.
    """
    app = FastAPI()

    @app.get("/items/{item_id}")
    async def item(item_id: int) -> dict[str, int]:
        return {"id": item_id}

    @app.post("/tasks", status_code=202)
    async def submit(task: Task) -> dict[str, str]:
        create(task)
        return {"status": "new"}

    return app
