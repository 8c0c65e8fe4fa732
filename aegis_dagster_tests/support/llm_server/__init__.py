"""The scripted LLM server: OpenAI-compatible and Ollama over real HTTP, in its own process.

It answers, refuses, breaks and hangs as a script says, and keeps its own account of calls and tokens, so that
tests can compare it with the ledger.
"""

from aegis_dagster_tests.support.llm_server.behaviours import Behaviour, Dialect, Kind, Rule, UsageShape
from aegis_dagster_tests.support.llm_server.counting import PICTURE_TOKENS, Tokens, count_words, packed, vector
from aegis_dagster_tests.support.llm_server.running import LLMServer, Unscripted, scripted_server
from aegis_dagster_tests.support.llm_server.script import Record

__all__ = [
    "PICTURE_TOKENS",
    "Behaviour",
    "Dialect",
    "Kind",
    "LLMServer",
    "Record",
    "Rule",
    "Tokens",
    "Unscripted",
    "UsageShape",
    "count_words",
    "packed",
    "scripted_server",
    "vector",
]
