"""The route is chosen by the weights on this machine, and the identity names what decides the output."""

import sys
from pathlib import Path

import pytest

from aegis_dagster.errors import ConfigurationError
from aegis_dagster.parsing.converter import ConverterOptions, pdf_options
from aegis_dagster.parsing.identity import choose_pdf_route, parse_identity
from aegis_dagster.parsing.pdf.ocr_weights import shipped_ocr_weights
from aegis_dagster_tests.parsing.conftest import Parse
from aegis_dagster_tests.support import bad_files as samples


def with_weights(folder: Path) -> Path:
    """A folder as `docling-tools models download -o` lays it out."""
    layout = folder / "docling-project--docling-layout-heron"
    tables = folder / "docling-project--docling-models" / "model_artifacts" / "tableformer" / "accurate"
    for path in (layout / "model.safetensors", tables / "tm_config.json"):
        path.parent.mkdir(parents=True)
        path.touch()
    return folder


def test_auto_takes_the_models_where_their_weights_are(tmp_path: Path) -> None:
    assert choose_pdf_route("auto", with_weights(tmp_path)) == "models"


def test_auto_takes_the_rules_where_weights_are_missing(tmp_path: Path) -> None:
    (tmp_path / "docling-project--docling-layout-heron").mkdir()
    assert choose_pdf_route("auto", tmp_path) == "rules"


def test_rules_are_taken_even_where_weights_are(tmp_path: Path) -> None:
    assert choose_pdf_route("rules", with_weights(tmp_path)) == "rules"


def test_models_without_weights_are_refused_with_the_command_that_gets_them(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="docling-tools models download") as caught:
        choose_pdf_route("models", tmp_path)
    assert str(tmp_path) in caught.value.remedy


def test_the_identity_differs_by_route_and_ocr_and_names_versions() -> None:
    identities = {parse_identity(route, ocr) for route in ("models", "rules") for ocr in (True, False)}
    assert len(identities) == 4
    assert all("docling 2." in identity and "rules " in identity for identity in identities)
    assert "rapidocr 3." in parse_identity("rules", True)


def test_the_ocr_weights_are_on_this_machine() -> None:
    weights = shipped_ocr_weights()
    for path in (weights.detection, weights.recognition, weights.orientation):
        assert path is not None and Path(path).stat().st_size > 100_000


def read_by_models(parse: Parse, tmp_path: Path) -> None:
    folder = with_weights(tmp_path / "models")
    parse(samples.one_page_pdf(), "a.pdf", pdf_route="models", docling_models=str(folder))


def test_weights_without_the_libraries_that_run_them_name_the_extra(
    parse: Parse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # Python's way to say: not installed
    with pytest.raises(ConfigurationError, match=r"torch.* not installed") as caught:
        read_by_models(parse, tmp_path)
    assert "aegis_dagster[docling-models]" in caught.value.remedy


def test_weights_that_cannot_be_loaded_are_not_blamed_on_the_document(
    parse: Parse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where the extra is installed the empty files of weights fail, elsewhere these.
    for name in ("torch", "torchvision", "transformers", "docling_ibm_models"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('built for another machine')", "utf-8")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    with pytest.raises(ConfigurationError, match="models cannot be loaded"):
        read_by_models(parse, tmp_path)


def test_the_models_are_asked_for_tables_and_taken_from_their_folder(tmp_path: Path) -> None:
    folder = with_weights(tmp_path / "models")
    options = pdf_options(ConverterOptions("models", str(folder), ocr=False))
    assert (options.artifacts_path, options.do_table_structure, options.do_ocr) == (folder, True, False)
    elsewhere = pdf_options(ConverterOptions("models", str(tmp_path / "empty"), ocr=True))
    assert (elsewhere.artifacts_path, elsewhere.do_table_structure, elsewhere.do_ocr) == (None, True, True)
    by_rules = pdf_options(ConverterOptions("rules", str(folder), ocr=True))
    assert (by_rules.artifacts_path, by_rules.do_table_structure) == (None, False)


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda:1"])
def test_the_models_compute_on_the_device_of_the_settings(tmp_path: Path, device: str) -> None:
    options = pdf_options(ConverterOptions("models", str(with_weights(tmp_path)), ocr=False, device=device))
    assert options.accelerator_options.device == device


def test_a_card_that_is_not_there_is_not_blamed_on_the_weights(
    parse: Parse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("torch", "torchvision", "transformers", "docling_ibm_models"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    (tmp_path / "torch" / "version.py").write_text("cuda = None\n", "utf-8")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    for name in [name for name in sys.modules if name.partition(".")[0] == "torch"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ConfigurationError, match="is to be cuda:0, but torch is installed without CUDA"):
        parse(samples.one_page_pdf(), "a.pdf", pdf_route="models", docling_models=str(tmp_path), device="cuda:0")
