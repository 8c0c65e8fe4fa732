"""The command `aegis`."""

from aegis_dagster.environment import collect_garbage_rarely


def main() -> None:
    """Run the command line."""
    collect_garbage_rarely()  # before the commands are imported
    from aegis_dagster.cli.app import main as run

    run()
