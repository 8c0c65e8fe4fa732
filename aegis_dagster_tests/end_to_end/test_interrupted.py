"""Ctrl-C while models answer: what was asked is kept, so that nothing is paid twice."""

import json
import signal
import time
from collections import Counter
from pathlib import Path

from aegis_dagster_tests.support.cli_process import Aegis
from aegis_dagster_tests.support.llm_server import Behaviour, Rule, scripted_server
from aegis_dagster_tests.support.projects import write_documents
from aegis_dagster_tests.support.projects_with_models import llm_settings


def test_an_interrupted_command_waits_for_its_calls_and_the_next_one_pays_none_of_them_again(tmp_path: Path) -> None:
    write_documents(tmp_path / "root", ["c/one.txt"], paragraphs=20)
    aegis = Aegis(tmp_path / "home", tmp_path / "root")
    with scripted_server() as server:
        llm = llm_settings(server)
        llm["providers"]["openai"]["concurrency"] = 2
        models = json.dumps(llm)
        server.script([Rule(Behaviour(latency_seconds=1.5))])
        with aegis.start("ingest", AEGIS_LLM=models, AEGIS_ENRICH__DESCRIBER="ocr") as process:
            while process.poll() is None and not server.records():
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=200)
        assert process.returncode == 130, errors
        assert "nothing new is begun" in errors and "Traceback" not in errors
        asked = len(server.records())
        assert all(record.answered for record in server.records())

        server.script([Rule()])
        assert aegis("ingest", "--json", AEGIS_LLM=models, AEGIS_ENRICH__DESCRIBER="ocr").json["done"] == 1
        prompts = Counter(json.dumps(record.body["messages"]) for record in server.records())
        assert len(server.records()) > asked > 0
        assert max(prompts.values()) == 1
