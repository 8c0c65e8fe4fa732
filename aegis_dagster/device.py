"""Where models compute: on the CPU, or on an NVIDIA card by torch. Cheap to import: torch is loaded only to ask it."""

import importlib.util
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aegis_dagster.environment import hides_cards
from aegis_dagster.errors import ConfigurationError

CPU = "cpu"
_DEVICES = Path("/dev")
_SWITCH = "set AEGIS_DEVICE to `auto` or `cpu`"
_NO_TORCH = "torch is not installed"
_NO_CUDA = "torch is installed without CUDA"


@dataclass(frozen=True, slots=True)
class Device:
    """The CPU or one card."""

    name: str  # as torch writes it: "cpu" or "cuda:0"
    card: str = ""  # the card's name; "" for the CPU
    why: str = ""  # why `auto` took the CPU

    def __str__(self) -> str:
        return f"{self.name} ({self.card})" if self.card else self.name


def find_device(setting: str, devices: Path = _DEVICES) -> Device:
    """The device that `auto`, `cpu`, `cuda` or `cuda:N` stands for here; may load torch, which takes seconds.

    Raises ConfigurationError: a card is wanted, and there is none that torch can use, or none of this number.
    """
    if setting == CPU:
        return Device(CPU)
    why, cards = _obstacle(devices), list[str]()
    if not why:
        cards, why = _cards()
    if why and setting == "auto":
        return Device(CPU, why=why)
    if why:
        raise _refused(setting, why)
    number = int(setting.partition(":")[2] or 0)
    if number >= len(cards):
        there = ", ".join(f"cuda:{index} ({card})" for index, card in enumerate(cards))
        raise ConfigurationError(
            f"The device is to be {setting}, but there is only {there}.",
            remedy="set AEGIS_DEVICE to one of these; CUDA_VISIBLE_DEVICES, where it is set, hides the others.",
        )
    return Device(f"cuda:{number}", cards[number])


def may_use_card(setting: str, devices: Path = _DEVICES) -> bool:
    """Whether `find_device` may find a card, as far as that shows without loading torch."""
    return setting != CPU and not _obstacle(devices)


def onnx_card(setting: str, devices: Path = _DEVICES) -> int | None:
    """The number of the card that onnxruntime may compute on; None: the CPU, as always without onnxruntime-gpu."""
    if setting == CPU or not _has_card(devices):
        return None
    import onnxruntime

    has_cuda = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    return int(setting.partition(":")[2] or 0) if has_cuda else None


def ocr_engine(setting: str, devices: Path = _DEVICES) -> dict[str, Any]:
    """What RapidOCR is told about the device."""
    card = onnx_card(setting, devices)
    prefix = "EngineConfig.onnxruntime."
    return {} if card is None else {f"{prefix}use_cuda": True, f"{prefix}cuda_ep_cfg.device_id": card}


def _obstacle(devices: Path) -> str:
    """Why torch can use no card, as far as that shows without loading it; "" if nothing speaks against it."""
    found = importlib.util.find_spec("torch")
    if found is None:
        return _NO_TORCH
    version = Path(found.origin or "").with_name("version.py")
    if version.is_file() and re.search(r"^cuda\b.*= *None", version.read_text("utf-8"), re.MULTILINE):
        return _NO_CUDA
    return "" if _has_card(devices) else "this machine has no NVIDIA card"


def has_nvidia(devices: Path = _DEVICES) -> bool:
    """Whether the machine has a card of NVIDIA, driven by Linux itself."""
    return any(devices.glob("nvidia*"))


def _has_card(devices: Path) -> bool:
    return not hides_cards() and (has_nvidia(devices) or (devices / "dxg").exists())  # dxg: a card seen from WSL


def _cards() -> tuple[list[str], str]:
    """The names of the cards that torch can use; and, if there are none, why."""
    with warnings.catch_warnings(record=True) as told:  # torch warns and says no
        warnings.simplefilter("always")
        import torch

        try:
            cards = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
            if torch.cuda.is_available() and cards:
                return cards, ""
            said = [str(one.message) for one in told if "CUDA" in str(one.message)]
        except RuntimeError as error:
            said = [str(error)]
    reason = said[0].strip().partition("\n")[0] if said else ""
    return [], f"torch can use no card{': ' if reason else ''}{reason}"


def _refused(setting: str, why: str) -> ConfigurationError:
    remedies = {
        _NO_TORCH: f"pip install 'aegis_dagster[gpu]', or {_SWITCH}.",
        _NO_CUDA: f"install torch as it comes from PyPI, which is with CUDA, or {_SWITCH}.",
    }
    driver = f"look whether `nvidia-smi` lists the card, in a container also whether it was given one, or {_SWITCH}."
    return ConfigurationError(f"The device is to be {setting}, but {why}.", remedy=remedies.get(why, driver))
