"""`aegis backup` and `aegis restore`: a consistent copy of the truth, and a home made of it.

A backup is a folder: `aegis.db`, `artifacts/`, `root` and, written last, `backup.json`. Vectors are made again from the
database's cache. Dagster's history of runs is not truth and not copied.
"""

import asyncio
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aegis_dagster import __version__
from aegis_dagster.cli.output import err, out
from aegis_dagster.cli.terminal import escape
from aegis_dagster.composition.artifacts import ArtifactStore, artifact_store, copy_artifacts
from aegis_dagster.composition.project import Project
from aegis_dagster.domain.document_state import DocumentState
from aegis_dagster.domain.identifiers import DocumentId, text_hash
from aegis_dagster.domain.stages import Stage
from aegis_dagster.errors import ConfigurationError, Deferred, DocumentError, OperatorError, ServiceError, StoreBusy
from aegis_dagster.ports import Progress
from aegis_dagster.settings import Settings, load_settings, remember_root
from aegis_dagster.stages.chunk import read_chunks
from aegis_dagster.stages.context import Workbench
from aegis_dagster.stages.embed import embed_chunks
from aegis_dagster.stages.reading import sound_folder
from aegis_dagster.stores.artifacts import FolderArtifacts
from aegis_dagster.stores.backup import copy_sqlite, reading, sqlite_problems
from aegis_dagster.stores.catalog.repairs import CatalogRepairs
from aegis_dagster.stores.clock import SystemClock
from aegis_dagster.stores.faults import Place, service_error

DATABASE, ARTIFACTS, ROOT, CONTENTS = "aegis.db", "artifacts", "root", "backup.json"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Copied:
    """What a backup holds, or what was restored."""

    target: str
    artifacts: int
    left_out: int  # damaged or gone: a run makes them again
    documents_published: int = 0  # of a restored home, whose vectors were made again

    def to_json(self) -> dict[str, Any]:
        """The JSON contract of `backup`."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Restored(Copied):
    """What was restored. The truth is there, even if vectors are missing."""

    documents_without_vectors: int = 0
    why: str = ""  # and what helps

    @property
    def next_step(self) -> str:
        """What to run."""
        return "run `aegis ingest`: it makes the missing vectors." if self.documents_without_vectors else ""

    def to_json(self) -> dict[str, Any]:
        """The JSON contract of `restore`."""
        return asdict(self) | {"next": self.next_step}


def back_up(project: Project, target: Path, progress: Progress) -> Copied:
    """Copy database and artifacts into a new folder. A run may go on meanwhile.

    Artifacts are hard links where target and home are on one disk, else copies.
    Raises ConfigurationError, ServiceError.
    """
    settings = project.settings
    source = _sqlite_file(settings)
    if os.path.lexists(target):
        raise ConfigurationError(f"{target} exists already.", remedy="name a folder that does not exist yet.")
    try:
        source.stat()
    except FileNotFoundError as error:
        told = f"{settings.home} has nothing to back up."
        raise ConfigurationError(told, remedy="run `aegis ingest FOLDER` first.") from error
    unfinished = target.with_name(f".{target.name}.unfinished-{os.getpid()}")
    with _written(unfinished):
        unfinished.mkdir(parents=True, mode=0o700)
        try:
            _copy_database(source, unfinished / DATABASE, progress)
            _refuse_damage(unfinished / DATABASE, source)
            # Artifacts after the database: what it names is there, or was replaced since and is made again.
            copied, left_out = _copy_artifacts(
                unfinished / DATABASE, project.artifacts, unfinished / ARTIFACTS, _linked, progress
            )
            if settings.root is not None:
                remember_root(unfinished, settings.root)
            contents = {"format": _FORMAT, "version": __version__, "artifacts": copied, "left_out": left_out}
            contents["database_sha256"] = _sha256(unfinished / DATABASE)
            (unfinished / CONTENTS).write_text(json.dumps(contents, indent=1), "utf-8")
            unfinished.rename(target)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return Copied(str(target), copied, left_out)


def restore(settings: Settings, source: Path, progress: Progress) -> Restored:
    """Make the settings' home of a backup, and its vectors as far as they are in the cache.

    Raises ConfigurationError, ServiceError; not when only vectors are missing.
    """
    database = _sqlite_file(settings)
    contents = _contents(source)
    for taken in (database, settings.artifacts_dir, settings.vectors_dir, settings.home / ROOT):
        if os.path.lexists(taken):
            raise ConfigurationError(
                f"The home {settings.home} is in use: there is {taken}.",
                remedy="restore into a new home: set AEGIS_HOME to a folder that does not exist yet, or move the old "
                "home away first.",
            )
    with _written(source):
        if _sha256(source / DATABASE) != contents.get("database_sha256"):
            raise ServiceError(f"{source / DATABASE} is not as it was backed up.", remedy="use another backup.")
    _refuse_damage(source / DATABASE, source / DATABASE)
    unfinished = database.with_name(f".{database.name}.unfinished")
    with _written(settings.home):
        try:
            database.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
            unfinished.unlink(missing_ok=True)
            _copy_database(source / DATABASE, unfinished, progress)
            backed_up = FolderArtifacts(source / ARTIFACTS, SystemClock())
            if settings.artifacts.url is None:
                target = settings.artifacts_dir
                copied, left_out = _copy_artifacts(unfinished, backed_up, target, shutil.copyfile, progress)
            else:
                wanted = CatalogRepairs(reading(unfinished), SystemClock()).artifacts()
                left_out = copy_artifacts(wanted, backed_up, artifact_store(settings, SystemClock()), progress)
                copied = len(wanted) - left_out
            if (source / ROOT).is_file():
                shutil.copyfile(source / ROOT, settings.home / ROOT)
            unfinished.rename(database)  # last: a home without it counts as new
        except BaseException:
            unfinished.unlink(missing_ok=True)
            (settings.home / ROOT).unlink(missing_ok=True)
            shutil.rmtree(settings.artifacts_dir, ignore_errors=True)
            raise
    return Restored(str(settings.home), copied, left_out, *_publish(settings.home, progress))


def print_copied(done: Copied, words: str) -> None:
    """Print what was copied."""
    out.print(f"{words} {escape(done.target)}: the database and {done.artifacts} artifacts.")
    if done.documents_published:
        out.print(f"The vectors of {done.documents_published} documents were made again from the cache.")
    if isinstance(done, Restored) and done.documents_without_vectors:
        err.print(
            f"[yellow]the vectors of {done.documents_without_vectors} documents are missing:[/] {escape(done.why)}\n"
            f"[bold]next:[/] {escape(done.next_step)}"
        )
    if done.left_out:
        err.print(
            f"[yellow]left out:[/] {done.left_out} artifacts that are damaged or gone. `aegis ingest` makes them "
            "again; `aegis audit` names them."
        )


def _publish(home: Path, progress: Progress) -> tuple[int, int, str]:
    """Publish the documents that were embedded when the backup was made, as far as the cache holds their vectors.

    Returns how many are published and how many are not, and why. No error ends this: what is left is pending.
    """
    published, left, why = 0, 0, ""
    try:
        project = Project(load_settings(home))
        try:
            repairs = CatalogRepairs(project.engine, project.clock)
            embedded = repairs.published()
            left = len(embedded)
            project.catalog.reset_stage(Stage.EMBED)
            try:
                asyncio.run(_publish_cached(project, list(embedded), progress))
            finally:
                published = len(repairs.published())
                left -= published
        finally:
            project.close()
    except (OperatorError, Deferred, ServiceError) as error:
        why = f"{error.message} Remedy: {error.remedy}"
    return published, left, why or ("the cache does not hold them." if left else "")


async def _publish_cached(project: Project, ids: Sequence[DocumentId], progress: Progress) -> None:
    async with project.workbench(progress) as bench:
        found = bench.states.of(project.documents.get(ids))
        await embed_chunks([state.document for state in found if _is_cached(state, bench)], bench)


def _is_cached(state: DocumentState, bench: Workbench) -> bool:
    """Whether no text of a document has to be embedded anew, which may have a price."""
    try:
        chunks = read_chunks(sound_folder(bench.artifacts, Stage.CHUNK, state.wanted[Stage.CHUNK]))
    except DocumentError:  # left out of the backup
        return False
    hashes = {text_hash(chunk.embedded_text) for chunk in chunks}
    return bench.embedding_cache.get(bench.embedder.model, hashes).keys() == hashes


def _sqlite_file(settings: Settings) -> Path:
    url = settings.database_url
    if not url.startswith("sqlite:///"):
        raise ConfigurationError(
            "The database is on a server, which this command does not copy.",
            remedy="use the server's own tools: first `pg_dump --format=custom` (and `pg_restore`) for the database, "
            f"then a copy of {settings.artifacts.url or settings.artifacts_dir} (docs/guides/BACKUP.md).",
        )
    return Path(url.removeprefix("sqlite:///"))


def _contents(source: Path) -> dict[str, Any]:
    try:
        contents = json.loads((source / CONTENTS).read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise ConfigurationError(
            f"{source} is not a complete backup: it has no readable {CONTENTS}.",
            remedy="name the folder that `aegis backup` made.",
        ) from error
    if not isinstance(contents, dict) or contents.get("format") != _FORMAT:
        raise ConfigurationError(
            f"{source} was made by another version of aegis_dagster.",
            remedy="restore it with the version that made it.",
        )
    return contents


def _refuse_damage(file: Path, named: Path) -> None:
    try:
        problems = sqlite_problems(file)
    except StoreBusy:
        raise
    except ServiceError:  # it names the copy, which nobody keeps
        problems = ["it cannot be read to its end"]
    if problems:
        raise ServiceError(
            f"The database {named} is damaged: {problems[0]}.",
            remedy="keep it, and use an older backup; `sqlite3 FILE .recover` saves what can be read.",
        )


def _copy_database(source: Path, target: Path, progress: Progress) -> None:
    done = 0

    def advance(left: int, total: int) -> None:
        nonlocal done
        if not done:
            progress.start("database", total)
        progress.advance("database", total - left - done)
        done = total - left

    copy_sqlite(source, target, advance)
    progress.finish("database")


def _copy_artifacts(
    database: Path, source: ArtifactStore, target: Path, copy: Callable[[Path, Path], object], progress: Progress
) -> tuple[int, int]:
    """Copy every artifact that a database names and that is sound. Returns how many were, and were not."""
    wanted = CatalogRepairs(reading(database), SystemClock()).artifacts()
    copied, left_out = FolderArtifacts(target, SystemClock()), 0
    by_inode: dict[int, Path] = {}
    progress.start("artifacts", len(wanted))
    for stage, fingerprint in wanted:
        folder = copied.path(stage, fingerprint)
        with suppress(FileNotFoundError), source.reading():  # swept or replaced meanwhile
            if source.damage(stage, fingerprint) is None:
                if not isinstance(source, FolderArtifacts):  # a local copy: the next file may have its inode
                    by_inode = {}
                _copy_files(source.path(stage, fingerprint), folder, copy, by_inode)
        if copied.damage(stage, fingerprint) is not None:
            shutil.rmtree(folder, ignore_errors=True)
            left_out += 1
        progress.advance("artifacts")
    progress.finish("artifacts")
    return len(wanted) - left_out, left_out


def _copy_files(source: Path, target: Path, copy: Callable[[Path, Path], object], by_inode: dict[int, Path]) -> None:
    """Copy a folder. by_inode: what was copied of files with several names; equal pictures stay one file."""
    for base, _, files in os.walk(source):
        folder = target / Path(base).relative_to(source)
        folder.mkdir(parents=True)
        for file in files:
            original, made = Path(base) / file, folder / file
            status = original.stat()
            earlier = by_inode.get(status.st_ino)
            if earlier is not None and earlier.exists():  # it is gone with an artifact that was left out
                _linked(earlier, made)
            else:
                copy(original, made)
            if status.st_nlink > 1:
                by_inode[status.st_ino] = made


def _linked(source: Path, target: Path) -> None:
    """A hard link; a copy where the disk has none, or the target is on another one."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP):
            raise
        shutil.copyfile(source, target)


@contextmanager
def _written(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise service_error(error, Place(str(place), place, "")) or ServiceError(
            f"{place} cannot be written: {error}.", remedy="use a folder on another disk."
        ) from error


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
