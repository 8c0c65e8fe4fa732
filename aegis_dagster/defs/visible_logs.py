"""The log lines of Dagster's processes: they quote names and messages, and people read them in terminals."""

import logging

from aegis_dagster.domain.visible import visible_lines


class VisibleRecord(logging.LogRecord):
    """A log record whose message and traceback show what cannot be seen; formatters add their colours later."""

    def getMessage(self) -> str:
        """See LogRecord."""
        if self.exc_info and not self.exc_text:
            self.exc_text = visible_lines(logging.Formatter().formatException(self.exc_info))
        return visible_lines(super().getMessage())


def guard_logs() -> None:
    """Let every record of this process be one of these, whoever logs it."""
    logging.setLogRecordFactory(VisibleRecord)
