"""The watched root as the settings give it: its adapter, and which paths lie below it."""

from collections.abc import Callable
from pathlib import Path

from aegis_dagster.domain.identifiers import DocumentId, composed
from aegis_dagster.domain.stages import Document
from aegis_dagster.errors import OutsideRoot
from aegis_dagster.ports import Clock, DocumentSource
from aegis_dagster.remote.hang_guard import Patience
from aegis_dagster.settings import Settings, as_url, normalized, refuse_secrets
from aegis_dagster.sources.attachments import SourceWithAttachments
from aegis_dagster.sources.local_folder import WatchedFolder
from aegis_dagster.sources.patient_source import PatientSource
from aegis_dagster.sources.remote_folder import RemoteFolder


def source_of(
    settings: Settings,
    root: str | Path,
    clock: Clock,
    patience: Patience,
    mails: Callable[[DocumentId], Document | None],
) -> DocumentSource:
    """A local folder or a URL, read with patience, and what is attached to its mails.

    mails: the catalog's document of a mail.
    """
    listing, most = settings.listing, settings.parse.max_megabytes
    source: DocumentSource
    if isinstance(root, str):
        source = RemoteFolder(
            root,
            options=settings.root_options,
            ignore=listing.ignore,
            settle_seconds=listing.settle_seconds,
            clock=clock,
            downloads=settings.home / "downloads",
            max_megabytes=most,
        )
    else:
        source = WatchedFolder(
            root,
            ignore=listing.ignore,
            settle_seconds=listing.settle_seconds,
            clock=clock,
            max_megabytes=most,
            home=settings.home,
        )
    from aegis_dagster.parsing.mail.attachments import attached_documents, rules_of

    limits = settings.mail.limits
    return PatientSource(
        SourceWithAttachments(
            source,
            read=lambda data, suffix: attached_documents(data, suffix, limits).documents,
            rules=rules_of(limits),
            mails=mails,
            copies=settings.home / "downloads",
        ),
        patience,
    )


def scope_of(path: Path, root: str | Path, patience: Patience) -> str:
    """A path or URL relative to the root, "" for the root itself; the file need not exist. Raises OutsideRoot."""
    refuse_secrets(path)
    if isinstance(root, str):
        return _scope_of_url(path, root)
    written = normalized(path)
    scope = _below(written, root)
    if scope is None:  # read the disk, which may hang, only if the names do not suffice
        scope = patience.ask(lambda: _below(written.resolve(), root.resolve()))
    if scope is not None:
        return scope if scope.isascii() else patience.ask(lambda: _as_stored(root, scope))
    folder = written if written.is_dir() else written.parent
    raise OutsideRoot(
        f"{path} is not below the watched root {root}.",
        remedy=f"copy it there, or use a home of its own: AEGIS_HOME=.aegis-{folder.name} aegis ingest {folder}",
    )


def _scope_of_url(path: Path, root: str) -> str:
    url = (as_url(path) or "").rstrip("/")
    below = as_url(Path(root)) or root  # both normalised by pathlib: `//` becomes one slash
    if url == below or url.startswith(below + "/"):
        return url.removeprefix(below).removeprefix("/")
    raise OutsideRoot(
        f"{path} is not below the watched root {root}.",
        remedy=f"name a URL below it, e.g. {root}/FOLDER, or use a home of its own: AEGIS_HOME=.aegis-other.",
    )


def _as_stored(root: Path, scope: str) -> str:
    """The scope as the disk has it, where it differs only in how accents are stored; as it is if nothing is there."""
    folder = root
    for part in scope.split("/"):
        if not (folder / part).exists() and folder.is_dir():
            part = next((each.name for each in folder.iterdir() if composed(each.name) == composed(part)), part)
        folder /= part
    return folder.relative_to(root).as_posix()


def _below(path: Path, folder: Path) -> str | None:
    """A path relative to a folder, "" for the folder itself; None: it lies elsewhere."""
    if not path.is_relative_to(folder):
        return None
    relative = path.relative_to(folder)
    return "" if relative == Path() else relative.as_posix()
