"""The MCP server, asked over the protocol."""

import asyncio
from typing import Any

from mcp.client.client import Client

from stack.assistant.server import server
from tests.support.assistant import PreparedSources, tools

ALERTS: dict[str, Any] = {"/api/v1/alerts": {"data": {"alerts": []}}}


def _ask(name: str, **arguments: Any) -> tuple[bool, str]:
    """Calls a tool; returns whether that failed, and the text of the answer."""

    async def call() -> tuple[bool, str]:
        async with Client(server("dev", tools(PreparedSources(ALERTS)))) as client:
            result = await client.call_tool(name, arguments)
            return bool(result.is_error), "".join(getattr(part, "text", "") for part in result.content)

    return asyncio.run(call())


def test_every_tool_is_read_only_and_explains_itself_and_its_arguments() -> None:
    async def listed() -> list[Any]:
        async with Client(server("dev", tools(PreparedSources({})))) as client:
            return list((await client.list_tools()).tools)

    offered = asyncio.run(listed())
    assert len(offered) == 7
    for tool in offered:
        assert tool.annotations.read_only_hint, tool.name
        assert tool.description, tool.name
        for name, schema in tool.input_schema["properties"].items():
            assert schema.get("description") or name == "limit", f"{tool.name}: {name}"


def test_an_answer_comes_over_the_protocol() -> None:
    failed, text = _ask("alerts")
    assert not failed
    assert '"alerts": []' in text


def test_an_error_says_what_is_wrong() -> None:
    assert _ask("get_trace", trace_id="a" * 32)[1].endswith("it was not sampled")
    failed, text = _ask("query_metrics", promql="sum(")
    assert failed
    assert "404: no such page" in text


def test_an_argument_that_could_leave_its_query_is_refused() -> None:
    failed, text = _ask("search_traces", service='gateway" } || { name = "')
    assert failed
    assert "pattern" in text
