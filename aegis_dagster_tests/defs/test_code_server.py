"""Which program a code location is, whose runs start warm."""

import json
import subprocess
import sys

_SHOW = (
    "import json, sys\n"
    "from dagster._grpc import server\n"
    "from aegis_dagster.defs.code_server import serve_warm\n"
    "serve_warm()\n"
    "print(json.dumps([server.get_python_environment_entry_point(each) for each in sys.argv[1:]]))\n"
)


def test_a_location_with_an_interpreter_of_its_own_keeps_it() -> None:
    command = [sys.executable, "-c", _SHOW, sys.executable, "/opt/other/bin/python"]
    ours, others = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert ours == [sys.executable, "-m", "aegis_dagster.defs.code_server"]
    assert others == ["/opt/other/bin/python", "-m", "dagster"]
