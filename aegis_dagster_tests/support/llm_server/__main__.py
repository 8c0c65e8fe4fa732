"""Serve by hand: `python -m aegis_dagster_tests.support.llm_server --port 11435 --latency 0.2`.

Prints its URL as the first line. With --script a JSON file of rules (`Rule.as_json`). Ends on SIGTERM, and with
--until-stdin-closes also when whoever started it is gone, however it went.
"""

import argparse
import asyncio
import json
import sys
from pathlib import Path

from aiohttp import web

from aegis_dagster_tests.support.llm_server.app import ScriptedApp
from aegis_dagster_tests.support.llm_server.behaviours import Behaviour, Rule


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(prog="python -m aegis_dagster_tests.support.llm_server")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--models", default="qwen3:8b,qwen3-vl:8b,nomic-embed-text", help="names, with commas")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--script", type=Path, help="JSON file: a list of rules")
    parser.add_argument("--until-stdin-closes", action="store_true")
    asyncio.run(_serve(parser.parse_args()))


async def _serve(arguments: argparse.Namespace) -> None:
    scripted = ScriptedApp(tuple(arguments.models.split(",")))
    scripted.script.replace([Rule(Behaviour(latency_seconds=arguments.latency))])
    if arguments.script is not None:
        scripted.script.replace([Rule.from_json(rule) for rule in json.loads(arguments.script.read_text("utf-8"))])
    runner = web.AppRunner(scripted.application(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, arguments.host, arguments.port, backlog=1024)
    await site.start()
    port = runner.addresses[0][1]
    print(f"http://{arguments.host}:{port}", flush=True)
    if arguments.until_stdin_closes:
        await asyncio.to_thread(sys.stdin.buffer.read)
    else:
        await asyncio.Event().wait()


if __name__ == "__main__":
    main()
