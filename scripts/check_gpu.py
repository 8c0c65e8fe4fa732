"""Checks MiniLM on a card: vectors, speed beside the bare model, a full card, one that is not there, two processes.

    .venv/bin/python -m scripts.check_gpu [--device cuda:0] [--texts 14000] [--json check_gpu.json]

Needs torch (the extra `gpu`) and the weights, which `make setup` installs; takes two to three minutes. `--device cpu`
checks the same code on the CPU, without what only a card can show; speed is shown and not judged there. Ends with 1 if
a check fails.
"""

import argparse
import importlib.util
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from aegis_dagster.device import CPU, Device, find_device
from aegis_dagster.embedding.batches import CardFull, in_batches
from aegis_dagster.embedding.minilm import MiniLmEmbedder
from aegis_dagster.embedding.model_files import ensure_model, network_files
from aegis_dagster.embedding.on_card import CardEmbedder
from aegis_dagster.embedding.tokens import open_tokenizer, padded, token_ids
from aegis_dagster.embedding.torch_network import MOST_TOKENS, TorchNetwork
from aegis_dagster.errors import ConfigurationError, ServiceError
from aegis_dagster.ports import Vectors

REPOSITORY = Path(__file__).parents[1]
REFERENCE = REPOSITORY / "aegis_dagster_tests" / "embedding" / "reference_vectors.json"
_SAME = 1e-5  # largest difference of a component in fp32
_SIMILAR = 0.9999  # smallest cosine in fp16
_SHARE = 0.8  # of the bare model's texts a second
_ROUNDS = 3
_NARROW_MB = 1500  # free on the card, for a process that needs some 600 of it to begin with
_CONFINED = """
import sys, tempfile
from aegis_dagster.workers.confinement import confine
walls = confine(memory_mb=2000, writable=[tempfile.gettempdir()])
import psutil, torch
from torch.nn import functional
states = torch.rand(64, 3, 512, 512, device=sys.argv[1])
functional.conv2d(states, torch.rand(8, 3, 3, 3, device=sys.argv[1])).sum().item()
print(", ".join(walls), psutil.Process().memory_info().rss // 2**20)
"""


@dataclass
class Findings:
    """What was checked and measured."""

    device: str
    torch: str
    checks: dict[str, tuple[bool, str]] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, ok: bool, said: str) -> None:
        """Record a check and show it."""
        self.checks[name] = ok, said
        print(f"{'ok  ' if ok else 'FAIL'} {name:34} {said}", flush=True)

    def attempt(self, name: str, check: Callable[[], tuple[bool, str]]) -> None:
        """Run a check; one that breaks off has failed, and the others go on."""
        try:
            self.add(name, *check())
        except Exception as error:
            self.add(name, False, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")


class Greedy(TorchNetwork):
    """Plans as if the whole card were free, and counts how often it was not."""

    full = 0

    def most_tokens(self) -> int:
        """All that a batch may ever hold."""
        return MOST_TOKENS

    def begin(self, tokens: Sequence[Sequence[int]]) -> Any:
        """Begin a batch."""
        try:
            return super().begin(tokens)
        except CardFull:
            self.full += 1
            raise


def main() -> int:
    """Run what the arguments say. Returns the exit code."""
    arguments = _arguments()
    if arguments.fill is not None:
        return _fill(arguments.device, arguments.fill)
    if arguments.embed_to:
        return _embed_to(arguments.embed_to, arguments.device, _texts(arguments.texts)[: arguments.first])
    import torch

    device = find_device(arguments.device)
    found = Findings(str(device), torch.__version__)
    print(f"{device}, torch {torch.__version__}, {torch.get_num_threads()} threads\n")
    count = arguments.texts or (64 if device.name == CPU else 14_000)
    texts = _texts(count)
    vectors = _check_vectors(found, device, texts)
    for precision in ("fp32",) if device.name == CPU else ("fp32", "fp16"):
        found.attempt(f"speed in {precision}", partial(_speed, found, device, texts, precision))
    found.attempt("a card that is not there", lambda: _not_there(device))
    found.attempt("two processes at once", lambda: _two_processes(device, count, vectors))
    if device.name != CPU:
        found.attempt("a card with little room", lambda: _little_room(device, count, vectors))
        found.attempt("batches that do not fit", lambda: _halved(device, texts, vectors))
        found.attempt("a full card", lambda: _full(device))
        found.attempt("a confined worker", lambda: _confined(device))
    Path(arguments.json).write_text(json.dumps(asdict(found), indent=1), "utf-8")
    failed = [name for name, (ok, _) in found.checks.items() if not ok]
    print(f"\n{arguments.json}: {f'{len(failed)} failed' if failed else 'all is well'}")
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--texts", type=int, default=0, help="how many; default: 14,000, on the CPU 64")
    parser.add_argument("--json", default="check_gpu.json", help="the file for the figures")
    parser.add_argument("--fill", type=int, help=argparse.SUPPRESS)  # leave so many MiB of the card, until stdin ends
    parser.add_argument("--embed-to", help=argparse.SUPPRESS)  # a process that only embeds the first texts
    parser.add_argument("--first", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def _texts(count: int) -> list[str]:
    """Passages of this repository's pages, the same ones each time: most of 240 tokens, the others shorter."""
    pages = sorted(REPOSITORY.glob("docs/**/*.md"))
    text = "\n".join(page.read_text("utf-8") for page in pages)
    tokenizer = open_tokenizer(network_files() / "tokenizer.json")
    tokenizer.no_truncation()
    offsets = tokenizer.encode(text, add_special_tokens=False).offsets
    chance, found = random.Random(1), []
    for number in range(count):
        length = 238 if number % 3 else chance.randrange(20, 238)
        begin = chance.randrange(len(offsets) - length)
        found.append(text[offsets[begin][0] : offsets[begin + length - 1][1]])
    return sorted(found, key=lambda each: (-len(each), each))  # as the stage sends them


def _embedder(device: Device, precision: str, kind: type[TorchNetwork] = TorchNetwork) -> CardEmbedder:
    """The embedder with its network open."""
    files = network_files()
    embedder = CardEmbedder(lambda: kind(files, device.name, precision), files / "tokenizer.json", precision)
    embedder.embed_now(["Opened."])
    return embedder


def _all(embedder: CardEmbedder, texts: Sequence[str]) -> Vectors:
    """The vectors, asked for in calls as the stage makes them."""
    size = embedder.texts_per_call
    return np.concatenate([embedder.embed_now(texts[begin : begin + size]) for begin in range(0, len(texts), size)])


def _check_vectors(found: Findings, device: Device, texts: Sequence[str]) -> Vectors:
    """Compare with the CPU's and with stored ones. Returns the vectors of the first texts, which others must equal."""
    some = texts[:: max(1, len(texts) // 300)]
    few = _embedder(device, "fp32").embed_now(some)
    stored = json.loads(REFERENCE.read_text("utf-8"))
    ours = _embedder(device, "fp32").embed_now([row["text"] for row in stored])
    gap = _gap(ours, np.array([row["vector"] for row in stored]))
    found.add("stored vectors, fp32", gap < _SAME, f"largest difference {gap:.1e} of {len(stored)} texts")
    how, reference = _on_cpu(some)
    gap = _gap(few, reference)
    found.add("vectors as on the CPU, fp32", gap < _SAME, f"largest difference {gap:.1e} of {len(some)} texts, {how}")
    found.figures["difference_fp32"] = gap
    if device.name != CPU:
        half = _embedder(device, "fp16").embed_now(some)
        cosine, gap = float((half * reference).sum(1).min()), _gap(half, reference)
        said = f"smallest cosine {cosine:.6f}, largest difference {gap:.1e}"
        found.add("vectors as on the CPU, fp16", cosine > _SIMILAR, said)
        found.figures["difference_fp16"] = gap
    return _embedder(device, "fp32").embed_now(texts[:2000])


def _gap(one: Vectors, other: Any) -> float:
    return float(np.abs(one - other).max())


def _on_cpu(texts: Sequence[str]) -> tuple[str, Vectors]:
    """The vectors by onnxruntime where it is installed with what exports the model, otherwise by torch."""
    if all(importlib.util.find_spec(name) for name in ("onnxruntime", "onnx")):
        with tempfile.TemporaryDirectory() as cache:
            embedder = MiniLmEmbedder(ensure_model(Path(cache)), batch_size=4, threads=0)
            return "onnxruntime", embedder.embed_now(texts)
    return "torch", _embedder(Device(CPU), "fp32").embed_now(texts)


def _speed(found: Findings, device: Device, texts: Sequence[str], precision: str) -> tuple[bool, str]:
    """Texts a second: of ours, of the bare model on batches that lie ready, of the tokenizer alone."""
    embedder, tokenizer = _embedder(device, precision), open_tokenizer(network_files() / "tokenizer.json")
    tokens = token_ids(tokenizer, texts)
    most = MOST_TOKENS if device.name != CPU else 4096
    batches = [padded(batch) for _, batch in in_batches(tokens, most, list)]
    how, bare = _bare(device, precision)
    ways: dict[str, Callable[[], Any]] = {
        "ours": lambda: _all(embedder, texts),
        how: lambda: [bare(*batch).cpu() for batch in batches],
        "tokenizer": lambda: token_ids(tokenizer, texts),
    }
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(_ROUNDS if device.name != CPU else 2):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            best[name] = min(best[name], time.perf_counter() - began)
    speeds = {name: len(texts) / seconds for name, seconds in best.items()}
    found.figures |= {f"texts_per_second_{precision}_{name}": speed for name, speed in speeds.items()}
    ratio = speeds["ours"] / min(speeds[how], speeds["tokenizer"])
    said = ", ".join(f"{name} {speed:,.0f}/s" for name, speed in speeds.items())
    if device.name != CPU:
        said += _sizes(found, device, tokens, precision)
    # In fp16 the card waits for the tokenizer, and what is made of its answers in Python: shown, and not judged.
    judged = device.name != CPU and precision == "fp32"
    return ratio >= _SHARE or not judged, f"{said}; ratio {ratio:.2f} to the slower of the two"


def _sizes(found: Findings, device: Device, tokens: Sequence[Sequence[int]], precision: str) -> str:
    """How fast our network is with batches of several sizes, and what a token takes at the peak."""
    import torch

    network = TorchNetwork(network_files(), device.name, precision)
    for most in (MOST_TOKENS // 16, MOST_TOKENS // 4, MOST_TOKENS, MOST_TOKENS * 4):
        began = time.perf_counter()
        for _, begun in in_batches(tokens, most, network.begin):
            network.vectors(begun)
        found.figures[f"texts_per_second_{precision}_batch_{most}"] = len(tokens) / (time.perf_counter() - began)
    network.give_back()
    torch.cuda.reset_peak_memory_stats(device.name)
    before, batch = torch.cuda.memory_allocated(device.name), [tokens[0]] * (MOST_TOKENS // len(tokens[0]))
    network.vectors(network.begin(batch))
    each = (torch.cuda.max_memory_allocated(device.name) - before) / (len(batch) * len(tokens[0]))
    found.figures[f"bytes_per_token_{precision}"] = each
    return f", {each / 1024:.0f} KiB a token"


def _bare(device: Device, precision: str) -> tuple[str, Callable[[Any, Any], Any]]:
    """transformers' BertModel where it is installed, otherwise our network, without anything around it."""
    import torch

    kind = {"fp32": torch.float32, "fp16": torch.float16}[precision]
    if importlib.util.find_spec("transformers") is None:
        network = TorchNetwork(network_files(), device.name, precision)
        return "our network", lambda ids, lengths: network.begin(
            [row[:length].tolist() for row, length in zip(ids, lengths, strict=True)]
        )
    from transformers import BertModel

    model = BertModel.from_pretrained(str(network_files())).to(device.name, kind).eval()

    def run(ids: Any, lengths: Any) -> Any:
        with torch.inference_mode():
            mask = torch.from_numpy(np.arange(ids.shape[1]) < lengths[:, None]).to(device.name).long()
            states = model(input_ids=torch.from_numpy(ids).to(device.name), attention_mask=mask).last_hidden_state
            total = (states.float() * mask[:, :, None]).sum(1)
            return torch.nn.functional.normalize(total, dim=1)

    return "BertModel", run


def _not_there(device: Device) -> tuple[bool, str]:
    wanted = "cuda" if device.name == CPU else "cuda:99"
    try:
        there = find_device(wanted)
    except ConfigurationError as error:
        return True, str(error)
    # A machine with a card, told to use the CPU: `cuda` is there, rightly.
    return device.name == CPU and there.name != CPU, f"{wanted} is {there}"


def _two_processes(device: Device, count: int, vectors: Vectors) -> tuple[bool, str]:
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{number}.npy" for number in range(2)]
        running = [_embedding(device, file, count, len(vectors)) for file in files]
        ended = [process.communicate(timeout=400)[0].strip() for process in running]
        if any(process.returncode for process in running):
            return False, "; ".join(ended)
        gap = max(_gap(np.load(file), vectors) for file in files)
    return gap < _SAME, f"largest difference {gap:.1e}; {'; '.join(ended)}"


def _little_room(device: Device, count: int, vectors: Vectors) -> tuple[bool, str]:
    with tempfile.TemporaryDirectory() as folder, _filled(device, _NARROW_MB) as left:
        file = Path(folder) / "narrow.npy"
        process = _embedding(device, file, count, len(vectors))
        said = process.communicate(timeout=400)[0].strip()
        gap = _gap(np.load(file), vectors) if process.returncode == 0 else float("inf")
    return gap < _SAME, f"{left} MiB free for a new process: {said}; largest difference {gap:.1e}"


def _halved(device: Device, texts: Sequence[str], vectors: Vectors) -> tuple[bool, str]:
    opened: list[Greedy] = []

    class Counted(Greedy):
        """Keeps itself for the count."""

        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            opened.append(self)

    embedder = _embedder(device, "fp32", Counted)
    with _filled(device, 800) as left:
        gap = _gap(embedder.embed_now(texts[: len(vectors)]), vectors)
    said = f"{left} MiB free for batches of {MOST_TOKENS:,} tokens: {opened[0].full} times too full"
    return gap < _SAME and opened[0].full > 0, f"{said}, largest difference {gap:.1e}"


def _full(device: Device) -> tuple[bool, str]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "none.npy"
        with _filled(device, 0) as left:
            process = _embedding(device, file, 100, 100)
            said = process.communicate(timeout=400)[0].strip()
        again = _embedding(device, file, 100, 100)
        again.communicate(timeout=400)
    told = process.returncode == 3 and "nvidia-smi" in said
    return told and again.returncode == 0, f"{left} MiB free: {said}; afterwards it works: {again.returncode == 0}"


def _confined(device: Device) -> tuple[bool, str]:
    """Whether a worker behind its walls reaches the card, as docling's models must."""
    command = [sys.executable, "-P", "-c", _CONFINED, device.name]
    environment = {"PYTHONPATH": f"{REPOSITORY}:{':'.join(sys.path)}", "PATH": ""}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)
    if done.returncode:
        return False, " ".join(done.stderr.split())[-300:]
    walls, _, resident = done.stdout.strip().rpartition(" ")
    return True, f"computes on it behind {walls or 'no walls'}, {resident} MiB resident"


def _embedding(device: Device, file: Path, count: int, first: int) -> "subprocess.Popen[str]":
    """A process that embeds the first of so many texts into the file."""
    return _start(device, "--embed-to", str(file), "--texts", str(count), "--first", str(first))


def _start(device: Device, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "scripts.check_gpu", "--device", device.name, *arguments]
    return subprocess.Popen(
        command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def _embed_to(file: str, device: str, texts: Sequence[str]) -> int:
    """A process that embeds the texts into a file, and says how fast."""
    try:
        embedder = _embedder(find_device(device), "fp32")
        began = time.perf_counter()
        np.save(file, embedder.embed_now(texts))
    except ServiceError as error:
        print(error)
        return 3
    print(f"{len(texts) / (time.perf_counter() - began):,.0f} texts/s")
    return 0


@contextmanager
def _filled(device: Device, leave_mb: int) -> Iterator[int]:
    """Another process holds the card's memory, all but so much. Yields the MiB that are left."""
    process = _start(device, "--fill", str(leave_mb))
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline().split()[-1])
    finally:
        process.communicate()


def _fill(device: str, leave_mb: int) -> int:
    import torch

    held, size = [], 2**30
    while size >= 2**21:
        free, _ = torch.cuda.mem_get_info(device)
        if free - size < leave_mb * 2**20:
            size //= 2
            continue
        try:
            held.append(torch.empty(size, dtype=torch.uint8, device=device))
        except RuntimeError:
            size //= 2
    print("left", torch.cuda.mem_get_info(device)[0] // 2**20, flush=True)
    sys.stdin.read()
    return 0


if __name__ == "__main__":
    sys.exit(main())
