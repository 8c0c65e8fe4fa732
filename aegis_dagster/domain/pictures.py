"""Decides which pictures are worth describing."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """Measurements of a picture that need no understanding of it."""

    content_hash: str  # sha256 hex digest over size and pixels; equal for equal pictures in different files
    width: int  # pixels
    height: int  # pixels
    colors: int  # distinct colours, with transparency rendered on white; counted up to 256


def reason_to_skip(facts: PictureFacts, *, min_side_pixels: int, max_aspect: float, min_colors: int) -> str | None:
    """Why a picture is not described; None if it is.

    "too_small": its shorter side is below `min_side_pixels` (a bullet, an icon).
    "extreme_aspect": its longer side is more than `max_aspect` times the shorter one (a rule, a banner).
    "few_colors": it has fewer than `min_colors` colours (an empty box, a line).
    """
    shorter, longer = sorted((facts.width, facts.height))
    if shorter < min_side_pixels:
        return "too_small"
    if longer > max_aspect * shorter:
        return "extreme_aspect"
    if facts.colors < min_colors:
        return "few_colors"
    return None
