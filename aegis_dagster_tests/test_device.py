"""Which device a setting stands for, with a package `torch` of our own on the path that tells of other cards."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from aegis_dagster.device import find_device, may_use_card, ocr_engine
from aegis_dagster.errors import ConfigurationError

TORCH = """
import warnings
class cuda:
    def device_count(): return len({cards!r})
    def is_available():
        if {warning!r}: warnings.warn({warning!r})
        return bool({cards!r})
    def get_device_name(index): return {cards!r}[index]
"""


class Machine:
    """One with these cards, and this torch."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.devices, self._path, self._patch = folder / "dev", folder / "path", monkeypatch
        self.devices.mkdir()
        monkeypatch.setitem(sys.modules, "torch", None)  # Python's way to say: not installed

    def plug_in(self) -> None:
        """A card, as the kernel shows it."""
        (self.devices / "nvidia0").touch()

    def install(self, cards: tuple[str, ...] = (), *, cuda: str | None = "13.0", warning: str = "") -> None:
        """torch, which sees these cards."""
        package = self._path / "torch"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(TORCH.format(cards=cards, warning=warning), "utf-8")
        (package / "version.py").write_text(f"cuda: Optional[str] = {cuda!r}\nhip: Optional[str] = None\n", "utf-8")
        self._patch.syspath_prepend(str(self._path))
        self._patch.delitem(sys.modules, "torch")

    def find(self, setting: str) -> str:
        return str(find_device(setting, self.devices))

    def refusal(self, setting: str) -> str:
        with pytest.raises(ConfigurationError) as caught:
            find_device(setting, self.devices)
        return str(caught.value)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def test_cards_are_taken_by_number_the_first_by_itself(machine: Machine) -> None:
    machine.plug_in()
    machine.install(("NVIDIA H100", "NVIDIA L4"))
    assert [machine.find(setting) for setting in ("auto", "cuda", "cuda:1", "cpu")] == [
        "cuda:0 (NVIDIA H100)",
        "cuda:0 (NVIDIA H100)",
        "cuda:1 (NVIDIA L4)",
        "cpu",
    ]
    told = machine.refusal("cuda:7")
    assert "cuda:7, but there is only cuda:0 (NVIDIA H100), cuda:1 (NVIDIA L4)" in told and "AEGIS_DEVICE" in told


def test_without_torch_auto_takes_the_cpu_and_a_wanted_card_names_the_extra(machine: Machine) -> None:
    machine.plug_in()
    found = find_device("auto", machine.devices)
    assert (found.name, found.card, found.why) == ("cpu", "", "torch is not installed")
    assert "aegis_dagster[gpu]" in machine.refusal("cuda")


def test_torch_without_cuda_is_told_before_it_is_loaded(machine: Machine) -> None:
    machine.plug_in()
    machine.install(cuda=None)
    assert find_device("auto", machine.devices).why == "torch is installed without CUDA"
    assert "as it comes from PyPI" in machine.refusal("cuda:0")
    assert "torch" not in sys.modules


def test_a_machine_without_a_card_loads_no_torch(machine: Machine) -> None:
    machine.install(("never asked",))
    assert find_device("auto", machine.devices).why == "this machine has no NVIDIA card"
    assert "nvidia-smi" in machine.refusal("cuda")
    assert not may_use_card("auto", machine.devices)
    assert "torch" not in sys.modules


def test_a_card_that_torch_cannot_use_is_told_in_its_words(machine: Machine) -> None:
    machine.plug_in()
    machine.install(warning="CUDA initialization: the driver is too old\nsecond line")
    assert may_use_card("auto", machine.devices)
    why = "torch can use no card: CUDA initialization: the driver is too old"
    assert find_device("auto", machine.devices).why == why
    assert why in machine.refusal("cuda") and "second line" not in machine.refusal("cuda")


def test_the_cpu_is_taken_without_a_look_at_anything(machine: Machine) -> None:
    machine.plug_in()
    machine.install(("NVIDIA H100",))
    assert not may_use_card("cpu", machine.devices) and machine.find("cpu") == "cpu"
    assert "torch" not in sys.modules


@pytest.mark.parametrize(
    ("setting", "providers", "card"),
    [
        ("auto", ["CUDAExecutionProvider", "CPUExecutionProvider"], 0),
        ("cuda:1", ["CUDAExecutionProvider", "CPUExecutionProvider"], 1),
        ("cuda:1", ["CPUExecutionProvider"], None),
        ("cpu", ["CUDAExecutionProvider"], None),
    ],
)
def test_ocr_takes_the_card_where_onnxruntime_can(
    machine: Machine, setting: str, providers: list[str], card: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.plug_in()
    runtime = SimpleNamespace(get_available_providers=lambda: providers)
    monkeypatch.setitem(sys.modules, "onnxruntime", runtime)
    told = ocr_engine(setting, machine.devices)
    assert told.get("EngineConfig.onnxruntime.cuda_ep_cfg.device_id") == card
    assert told.get("EngineConfig.onnxruntime.use_cuda", False) == (card is not None)
