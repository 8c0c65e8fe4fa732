"""Errors of a server or of the library that speaks with it, in our words: theirs may say anything.

What they said goes to the log only, as a literal in which nothing acts.
"""

import logging
import os
from collections.abc import Iterator

_log = logging.getLogger(__name__)

_MOST_LOGGED = 1_000  # characters
_WORDS = (
    (FileNotFoundError, "it is not there"),
    (PermissionError, "access is denied"),
    (TimeoutError, "there is no answer in time"),
    (ConnectionError, "the connection fails"),
    (ImportError, "a package that it needs is not installed"),
    (ValueError, "the address or an option is not understood"),
    (TypeError, "an option is not understood"),
)
_NAMED = (  # classes of libraries that are not imported here, by a part of the name
    ("NoCredentials", "there are no credentials"),
    ("PartialCredentials", "the credentials are incomplete"),
    ("Timeout", "there is no answer in time"),
    ("EndpointConnection", "the connection fails"),
    ("ConnectionClosed", "the connection fails"),
)


def in_our_words(error: Exception) -> str:
    """What an error means, without its text: the status or the number in it, or else its class."""
    _log.info("said by a server: %s: %a", type(error).__name__, str(error)[:_MOST_LOGGED])
    causes = list(_causes(error))
    if status := next(filter(None, map(_status, causes)), 0):
        return f"the server answers with status {status}"
    for kind, words in _WORDS:
        if isinstance(error, kind):
            return words
    names = [kind.__name__ for cause in causes for kind in type(cause).__mro__]
    for part, words in _NAMED:
        if any(part in name for name in names):
            return words
    number = getattr(error, "errno", None)
    words = os.strerror(number) if isinstance(number, int) else "something fails that is not known here"
    return f"{words} ({type(error).__name__})"


def s3_code(error: BaseException) -> str:
    """S3's word for what is wrong, such as `NoSuchBucket`; "": it is not S3, or it says nothing."""
    for cause in _causes(error):
        response = getattr(cause, "response", None)
        told = response.get("Error") if isinstance(response, dict) else None
        if isinstance(told, dict):
            return str(told.get("Code", ""))
    return ""


def is_of_empty_object(error: BaseException) -> bool:
    """Whether a server refuses the first bytes of an object because it has none."""
    return any(_status(cause) == 416 for cause in _causes(error)) or s3_code(error) == "InvalidRange"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it came from."""
    seen: list[BaseException] = []
    while error not in seen:
        seen.append(error)
        yield error
        error = error.__cause__ or error


def _status(error: BaseException) -> int:
    """The status of HTTP in an error; 0: there is none. Each library has another place for it."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):  # botocore
        told = response.get("ResponseMetadata")
        places = iter([told.get("HTTPStatusCode") if isinstance(told, dict) else None])
    else:
        names = ("status", "status_code", "code")
        places = (getattr(each, name, None) for each in (error, response) for name in names)
    return next((found for found in places if isinstance(found, int) and 300 <= found < 600), 0)
