"""Removes a model's visible reasoning from its answer."""

import re

_TAG = re.compile(r"<(/?)think(?:ing)?>", re.IGNORECASE)


def without_thinking(answer: str) -> str:
    """The answer without <think>…</think>, even if one of the two tags is missing. Linear in its length."""
    kept: list[str] = []
    thinking, position = False, 0
    for tag in _TAG.finditer(answer):
        if not thinking:
            kept.append(answer[position : tag.start()])
        if tag[1] and not thinking:
            kept.clear()  # the model's template contains the opening tag
        thinking = not tag[1]
        position = tag.end()
    if not thinking:
        kept.append(answer[position:])
    return "".join(kept).strip()
