"""Measures what a folder costs: cold, nothing changed, an eighth edited, an eighth deleted, another embedding model.

    .venv/bin/python -m scripts.benchmark_phases FOLDER [--repeat 3] [--embedder minilm] [--peers VENV] [--json]
    .venv/bin/python -m scripts.benchmark_phases --peps 320

Works on a copy of FOLDER in a temporary place, with a home of its own and no graph. Each phase is a new process. The
numbers are medians over the repetitions, which run in turns.

`--embedder instant` (the default) asks a server on loopback that answers at once: what is left is what the product
costs. `minilm` embeds on this machine; its other model is the server's.

`--peers VENV` runs CocoIndex and LlamaIndex beside it, from a virtual environment made by
`python3.11 -m venv VENV; VENV/bin/pip install cocoindex==1.0.26 llama-index-core==0.14.25` (for minilm also
`onnxruntime tokenizers`). They read only .md and .txt, so compare on a folder of these. `peer_cocoindex.py` and
`peer_llamaindex.py` are what their users would write.

Memory is the peak of all processes, shared pages counted once. `processes` are those that were seen, every 0.2 s.
`files` are those in the store that are new or changed. `calls` are those that the server saw; a peer counts its own.
"""
