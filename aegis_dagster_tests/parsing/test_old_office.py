"""Old office files, through LibreOffice: converted within walls, refused with a true remedy where it is not there."""

import io
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import olefile
import psutil
import pytest
from docling_core.types.doc.document import DoclingDocument

from aegis_dagster.composition.project import Project
from aegis_dagster.errors import DocumentError, FailureCode
from aegis_dagster.office import MODULES, Office, find_office
from aegis_dagster.settings import Settings
from aegis_dagster.workers.confinement import Wall, walls_here
from aegis_dagster.workers.pool import WorkerPool
from aegis_dagster_tests.parsing.conftest import Parse
from aegis_dagster_tests.support import bad_files as samples
from aegis_dagster_tests.support.missing import missing
from aegis_dagster_tests.support.waiting import until

INSTALL = "apt-get install --no-install-recommends " + " ".join(sorted({package for _, package in MODULES.values()}))
RTF = b"{\\rtf1\\ansi Quince words.{\\footnote Sorrel note.}\\par}"
ALL = frozenset(MODULES)


@pytest.fixture(scope="module")
def office() -> Office:
    found = find_office()
    if found is None or found.formats != ALL:
        missing(f"LibreOffice is not installed: {INSTALL}")
    return found


def xlsx() -> bytes:
    from openpyxl import Workbook

    book = Workbook()
    book.active.title = "Prices"
    book.active["A1"], book.active["B1"], book.active["A2"], book.active["B2"] = "Part", "Price", "Bolt", 4711
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def old(office: Office, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Files in the old formats, as LibreOffice saves them."""
    folder = tmp_path_factory.mktemp("old")
    made = {"rtf": RTF}
    program = str(Path(office.program).with_name("soffice"))
    profile = f"-env:UserInstallation={(folder / 'profile').as_uri()}"
    for kind, data, source in (("doc", samples.docx(["Quince words."]), "docx"), ("xls", xlsx(), "xlsx")):
        (folder / f"a.{source}").write_bytes(data)
        command = [
            program,
            profile,
            "--headless",
            "--convert-to",
            kind,
            "--outdir",
            str(folder),
            f"{folder}/a.{source}",
        ]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        made[kind] = (folder / f"a.{kind}").read_bytes()
    return made


@dataclass
class Asked:
    """Parses by a worker that has an office."""

    folder: Path
    pool: WorkerPool

    async def __call__(self, data: bytes, name: str, *, seconds: float = 100) -> tuple[dict[str, Any], str]:
        """The manifest and the text."""
        out = self.folder / "staging" / name
        out.mkdir(parents=True)
        (self.folder / name).write_bytes(data)
        limits = {"max_pages": 1000, "max_megabytes": 200, "max_pictures": 2000, "max_picture_megabytes": 500}
        payload = {
            "path": str(self.folder / name),
            "suffix": Path(name).suffix,
            "revision": None,
            "out_dir": str(out),
            "options": {**limits, "pdf_route": "rules", "docling_models": None, "ocr": False},
        }
        manifest = await self.pool.run("parse", payload, timeout_seconds=seconds)
        return manifest, DoclingDocument.load_from_json(out / "document.json").export_to_markdown()


@asynccontextmanager
async def worker(folder: Path, office: Office | None, memory_mb: int = 2000) -> AsyncIterator[Asked]:
    pool = WorkerPool(
        workers=1,
        memory_mb=memory_mb,
        temporary=folder / "workers",
        writable=[folder / "staging"],
        office=office,
    )
    try:
        yield Asked(folder, pool)
    finally:
        await pool.close()


async def refusal(folder: Path, office: Office | None, *, memory_mb: int = 2000, seconds: float = 100) -> DocumentError:
    """How the worker refuses a file in RTF."""
    async with worker(folder, office, memory_mb) as ask:
        with pytest.raises(DocumentError) as caught:
            await ask(RTF, "a.rtf", seconds=seconds)
    return caught.value


async def test_old_formats_are_read_as_what_they_would_be_today(
    old: dict[str, bytes], office: Office, tmp_path: Path
) -> None:
    (tmp_path / "secret.txt").write_text("the secret words")
    link = f'{{\\field{{\\*\\fldinst INCLUDETEXT "{tmp_path}/secret.txt"}}{{\\fldrslt old result}}}}'
    linked = b"{\\rtf1\\ansi Quince words. " + link.encode() + b"\\par}"
    files = {"a.rtf": RTF, "a.doc": old["doc"], "a.xls": old["xls"], "linked.rtf": linked}
    texts = {}
    async with worker(tmp_path, office) as ask:
        for name, data in files.items():
            manifest, texts[name] = await ask(data, name)
            assert (manifest["format"], manifest["route"]) == (name.rpartition(".")[2], "libreoffice")
            collected = (tmp_path / "staging" / name / "source_text.json").read_text("utf-8")
            assert ("4711" if name == "a.xls" else "Quince words.") in collected  # the text that chunks are held to
    assert "4711" in texts.pop("a.xls")
    assert all("Quince words." in text for text in texts.values())
    assert "secret words" not in texts["linked.rtf"]
    assert not list(Path("/tmp").glob("OSL_PIPE_*")), "a socket was left behind"


def pretended(folder: Path, script: str) -> Office:
    """A program in the place of LibreOffice: it runs in the worker's folder and is to write `in.docx`."""
    program = folder / "install" / "program" / "soffice.bin"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return Office(str(program), "7.4", ALL)


async def test_the_program_reaches_nothing_but_its_own_folder(tmp_path: Path) -> None:
    if set(walls_here()) != set(Wall):
        missing("the kernel does not offer all walls: `aegis doctor` tells which stand")
    (tmp_path / "secret.txt").write_text("the secret words\n")
    attacks = [
        f"read line < {tmp_path}/secret.txt",
        f"echo x > {tmp_path}/elsewhere",
        f"echo x > {tmp_path}/staging/elsewhere",
        "/bin/true",
        "(exit 0)",  # a process of its own
    ]
    tried = "\n".join(f"{{ {attack}; }} 2>/dev/null && exit 3" for attack in attacks[:3])
    # A shell that cannot start a process ends; so these come last, and each in a run of its own.
    for attack in ("true", *attacks[3:]):
        folder = tmp_path / attack.strip("/()").replace("/", "-").replace(" ", "-")
        error = await refusal(folder, pretended(folder, f"echo x > in.docx\n{tried}\n{attack}\nexit 0"))
        refused = "LibreOffice cannot open it" in error.message
        assert refused == (attack != "true"), "what it wrote is no archive, and is taken only if nothing was refused"
    assert not list(tmp_path.rglob("elsewhere"))


async def test_a_program_that_hangs_ends_with_its_worker(tmp_path: Path) -> None:
    office = pretended(tmp_path, "while :; do :; done")
    error = await refusal(tmp_path, office, seconds=3)
    assert error.code is FailureCode.TIMEOUT
    until(lambda: not any(office.program in (p.info["cmdline"] or []) for p in psutil.process_iter(["cmdline"])))


async def test_what_the_program_needs_counts_against_the_limit(tmp_path: Path) -> None:
    office = pretended(tmp_path, "x=0123456789; while :; do x=$x$x; done")
    error = await refusal(tmp_path, office, memory_mb=300)
    assert error.code is FailureCode.MEMORY_LIMIT
    assert "save it as .docx" in error.remedy


async def test_a_file_that_cannot_be_converted_is_damaged(tmp_path: Path) -> None:
    error = await refusal(tmp_path, pretended(tmp_path, "exit 3"))
    assert error.code is FailureCode.CORRUPT_FILE
    assert "LibreOffice cannot open it" in error.message


@pytest.mark.parametrize("installed", [None, frozenset({"xls"})])
async def test_without_the_program_the_remedy_names_its_package(
    tmp_path: Path, installed: frozenset[str] | None
) -> None:
    office = None if installed is None else replace(pretended(tmp_path, "exit 0"), formats=installed)
    error = await refusal(tmp_path, office)
    assert error.code is FailureCode.UNSUPPORTED_FORMAT
    assert "apt-get install --no-install-recommends libreoffice-writer-nogui" in error.remedy
    assert "save the file as .docx" in error.remedy


def test_saving_it_as_advised_leads_to_a_document(office: Office, parse: Parse, tmp_path: Path) -> None:
    with pytest.raises(DocumentError) as caught:
        parse(RTF, "a.rtf")
    advised = "soffice --convert-to docx FILE"
    assert advised in caught.value.remedy
    (tmp_path / "a.rtf").write_bytes(RTF)
    program = str(Path(office.program).with_name("soffice"))
    command = [program, *advised.replace("FILE", "a.rtf").split()[1:], "--headless"]
    environment = {**os.environ, "HOME": str(tmp_path)}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, timeout=120)
    assert "Quince words." in parse((tmp_path / "a.docx").read_bytes(), "a.docx").markdown


@pytest.mark.parametrize("kind", ["doc", "xls"])
def test_a_password_is_told(old: dict[str, bytes], parse: Parse, tmp_path: Path, kind: str) -> None:
    """The marks of [MS-DOC] 2.5.2 and [MS-XLS] 2.4.117 that the content is encrypted."""
    file = tmp_path / f"a.{kind}"
    file.write_bytes(old[kind])
    with olefile.OleFileIO(file, write_mode=True) as compound:
        stream = "WordDocument" if kind == "doc" else "Workbook"
        content = bytearray(compound.openstream(stream).read())
        if kind == "doc":
            content[11] |= 1
        else:
            second = 4 + int.from_bytes(content[2:4], "little")
            content[second : second + 2] = b"\x2f\x00"
        compound.write_stream(stream, bytes(content))
    with pytest.raises(DocumentError) as caught:
        parse(file.read_bytes(), file.name)
    assert caught.value.code is FailureCode.ENCRYPTED_FILE


def test_the_program_is_found_in_the_path_and_tells_what_it_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    office = pretended(tmp_path, "exit 0")
    (tmp_path / "bin").mkdir()
    place = Path(office.program)
    (place.parent / "soffice").write_text("#!/bin/sh\n")
    (place.parent / "soffice").chmod(0o755)
    (place.parent / "bootstraprc").write_text("[Bootstrap]\nProductKey=LibreOffice 24.8\n")
    (place.parent / "libswlo.so").touch()
    (tmp_path / "bin" / "soffice").symlink_to(place.parent / "soffice")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert find_office() == Office(office.program, "24.8", frozenset({"doc", "rtf"}))
    by_suffix = Project(Settings(home=tmp_path / "home")).identities.by_suffix
    assert by_suffix == dict.fromkeys((".doc", ".dot", ".rtf"), "LibreOffice 24.8")
