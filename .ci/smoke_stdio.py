"""Talks to an installed server over stdio with the SDK's own client, and lists and calls tools."""

import sys

import anyio
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client


async def main(command: str) -> None:
    async with Client(stdio_client(StdioServerParameters(command=command))) as client:
        tools = (await client.list_tools()).tools
        assert len(tools) == 11, [tool.name for tool in tools]
        result = await client.call_tool(
            "dynaroute_classify_prompt", {"prompt": "Translate 'good morning' into Thai"}
        )
        assert not result.is_error, result
        assert result.structured_content["category"] == "Language Translation", result
        print("stdio:", len(tools), "tools, classified as", result.structured_content["category"])


anyio.run(main, sys.argv[1])
