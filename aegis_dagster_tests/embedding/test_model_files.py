"""Making the exported model: once, completely or not at all."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aegis_dagster.embedding.model_files import ensure_model, model_dir, tokenizer_file
from aegis_dagster.errors import ConfigurationError

ASK = (
    "import sys, logging; from pathlib import Path; logging.basicConfig(level='INFO')\n"
    "from aegis_dagster.embedding.model_files import ensure_model\n"
    "print(ensure_model(Path(sys.argv[1]))); assert 'torch' not in sys.modules"
)


@pytest.mark.slow
def test_processes_that_ask_at_once_share_one_export(tmp_path: Path) -> None:
    asking = [
        subprocess.Popen(
            [sys.executable, "-c", ASK, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    answers = [process.communicate(timeout=240) for process in asking]
    assert [process.returncode for process in asking] == [0, 0], answers
    assert {out.strip() for out, _ in answers} == {str(model_dir(tmp_path))}
    assert sum(err.count("Exporting") for _, err in answers) == 1
    assert tokenizer_file(tmp_path).is_file()
    assert ensure_model(tmp_path) == model_dir(tmp_path)


def test_a_killed_export_leaves_no_model_behind(tmp_path: Path) -> None:
    target = model_dir(tmp_path)
    exporting = subprocess.Popen(
        [sys.executable, "-c", ASK, str(tmp_path)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(f".{target.name}-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    exporting.send_signal(signal.SIGKILL)
    exporting.wait()
    assert list(tmp_path.glob(f".{target.name}-*")), "the export never began"
    assert not target.exists()
    assert ensure_model(tmp_path) == target
    assert not list(tmp_path.glob(f".{target.name}-*"))


def test_a_missing_extra_is_named_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)  # Python's way to say: not installed
    with pytest.raises(ConfigurationError, match=r"onnx not installed.*aegis_dagster\[ingestion\]"):
        ensure_model(tmp_path)


def test_a_cache_that_cannot_be_written_is_reported_with_its_remedy(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("in the way", "utf-8")
    with pytest.raises(ConfigurationError, match="AEGIS_MODEL_CACHE"):
        ensure_model(file / "cache")
