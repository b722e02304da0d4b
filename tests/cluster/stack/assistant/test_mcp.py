"""An assistant reads the deployed stack through `./wct mcp`."""

import asyncio
import json
from typing import Any

from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from cli.options import ROOT


def test_an_assistant_finds_a_trace_and_its_log_lines() -> None:
    assert asyncio.run(asyncio.wait_for(_investigate(), timeout=60))


async def _investigate() -> list[dict[str, Any]]:
    """Returns spans of the crawler in a trace that the gateway began."""
    command = StdioServerParameters(command=str(ROOT / "wct"), args=["mcp", "local"])
    async with Client(stdio_client(command)) as client:

        async def ask(tool: str, **arguments: Any) -> Any:
            result = await client.call_tool(tool, arguments)
            [part] = result.content
            text = getattr(part, "text", "")
            assert not result.is_error, text
            return json.loads(text)

        assert "Watchdog" in {alert["name"] for alert in (await ask("alerts"))["alerts"]}
        assert (await ask("query_metrics", promql="sum(up)"))["series"]
        assert (await ask("query_logs", logql='{service_name="gateway"}', minutes=600))["lines"]
        assert "rollout" in await ask("rollout")
        traces = (await ask("search_traces", service="web-crawler", minutes=600))["traces"]
        spans = (await ask("get_trace", trace_id=traces[0]["trace_id"]))["spans"]
        return [span for span in spans if span["service"] == "web-crawler"]
