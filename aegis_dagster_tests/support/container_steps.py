"""A job with steps that end in different ways, each in a container; and a process that runs it, which a test may kill.

`python -m aegis_dagster_tests.support.container_steps STEP...` runs these steps in the instance of DAGSTER_HOME; with
`--resume` it goes on with the one run there, whose process was killed.
"""

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.execution.api import execute_run_iterator

from aegis_dagster.defs.containers.executor import container_executor
from aegis_dagster.defs.containers.placing import IMAGE, KWARGS, VARIABLES, device_requests
from aegis_dagster.settings import load_settings

RESUME = "--resume"
_GPU = {KWARGS: {"device_requests": device_requests(1)}}


def _noted(context: dg.OpExecutionContext) -> None:
    """Write into the home that this step has begun, and what it sees."""
    variables = "\n".join(f"{name}={value}" for name, value in os.environ.items())
    (load_settings().home / f"{context.op.name}.{context.retry_number}").write_text(variables)


@dg.op
def plain(context: dg.OpExecutionContext) -> None:
    """Succeed."""
    _noted(context)


@dg.op(tags={**_GPU, VARIABLES: ["OPENAI_API_KEY"]})
def on_card(context: dg.OpExecutionContext) -> None:
    """Succeed with a GPU and a key."""
    _noted(context)


@dg.op(tags={KWARGS: {"user": "12345:12345"}})
def dies_at_once(context: dg.OpExecutionContext) -> None:
    """Never begin: this user may not read the instance."""


@dg.op
def killed_once(context: dg.OpExecutionContext) -> None:
    """Be killed at the first try."""
    _noted(context)
    if context.retry_number == 0:
        os.kill(os.getpid(), signal.SIGKILL)


@dg.op
def waits(context: dg.OpExecutionContext) -> None:
    """Work until somebody writes the file `go` into the home."""
    _noted(context)
    while not (load_settings().home / "go").exists():
        time.sleep(0.05)


@dg.op(tags={IMAGE: "127.0.0.1:9/none:1"})
def without_image(context: dg.OpExecutionContext) -> None:
    """Have an image that is nowhere."""


@dg.op(tags={KWARGS: {"mounts": [{"Type": "bind", "Source": "/nowhere", "Target": "/there"}]}})
def without_folder(context: dg.OpExecutionContext) -> None:
    """Have a folder mounted that is not there."""


@dg.op(tags={KWARGS: {"mem_limit": "many"}})
def with_wrong_option(context: dg.OpExecutionContext) -> None:
    """Have an option that docker-py refuses."""


@dg.op(tags={KWARGS: {"mem_limit": "90m"}})
def needs_much(context: dg.OpExecutionContext) -> None:
    """Need more memory than the limit, already for Dagster."""


_OPS = (plain, on_card, dies_at_once, killed_once, waits, without_image, without_folder, with_wrong_option, needs_much)


def steps() -> dg.JobDefinition:
    """The job; its executor has the settings of the environment."""

    @dg.job(executor_def=container_executor(load_settings()))
    def steps() -> None:
        for op in _OPS:
            op()

    return steps


def execute(instance: dg.DagsterInstance, *names: str, **config: Any) -> dg.JobExecutionResult:
    """Run some steps in this process. config: of the executor."""
    return dg.execute_job(
        dg.reconstructable(steps),
        instance=instance,
        op_selection=list(names),
        run_config={"execution": {"config": config}} if config else {},
    )


def seen(home: Path, name: str, attempt: int = 0) -> dict[str, str]:
    """The variables that a step saw."""
    lines = (home / f"{name}.{attempt}").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def main(names: Sequence[str]) -> None:
    """Run the steps, or go on with the run that is there."""
    with dg.DagsterInstance.get() as instance:
        if names == [RESUME]:
            (run,) = instance.get_runs()
            job = dg.reconstructable(steps).get_subset(op_selection=run.resolved_op_selection)
            list(execute_run_iterator(job, run, instance, resume_from_failure=True))
        else:
            execute(instance, *names)


if __name__ == "__main__":
    main(sys.argv[1:])
