"""LightRAG is imported late, and does nothing on the side."""

import subprocess
import sys
from pathlib import Path

from aegis_dagster_tests.support.places import REPOSITORY


def run_fresh(script: str, folder: Path) -> str:
    """Output of a script in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=folder, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_an_extractor_loads_lightrag_only_when_it_asks(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        f"sys.path.append({str(REPOSITORY)!r})\n"
        "from aegis_dagster_tests.support.gateways import ScriptedGateway\n"
        "from aegis_dagster.extraction.by_model import ModelExtractor\n"
        "from aegis_dagster.domain.llm import AskedFor, Classification, Quality\n"
        "one = ModelExtractor(ScriptedGateway(), classification=Classification.INTERNAL,"
        " quality=Quality.STANDARD, max_tokens=9)\n"
        "assert not {'lightrag', 'numpy', 'pipmaster'} & set(sys.modules)\n"
        "one.task_for('text', AskedFor())\n"
        "assert 'lightrag.operate' in sys.modules\n"
        "print(*[name for name in sys.modules if name.startswith(('lightrag.llm', 'torch', 'openai', 'litellm'))])\n"
    )
    assert run_fresh(script, tmp_path).strip() == ""


def test_lightrag_reads_no_env_file_and_installs_nothing(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DASHSCOPE_API_KEY=of-somebody-else\n")
    script = (
        "import os, dotenv\n"
        "before = dotenv.load_dotenv\n"
        "from aegis_dagster.extraction.lightrag_library import lightrag\n"
        "lightrag()\n"
        "assert 'DASHSCOPE_API_KEY' not in os.environ\n"
        "assert dotenv.load_dotenv is before\n"
        "import pipmaster\n"
        "for install in (pipmaster.install, pipmaster.install_if_missing, pipmaster.ensure_packages):\n"
        "    try: install('something')\n"
        "    except Exception as error: print(type(error).__name__)\n"
    )
    assert run_fresh(script, tmp_path).split() == ["ConfigurationError"] * 3


def test_without_lightrag_the_message_says_what_to_install(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "sys.modules['lightrag'] = None\n"
        "from aegis_dagster.extraction.lightrag_library import lightrag\n"
        "try: lightrag()\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    said = run_fresh(script, tmp_path)
    assert said.startswith("ConfigurationError")
    assert "pip install 'aegis_dagster[ingestion]'" in said
