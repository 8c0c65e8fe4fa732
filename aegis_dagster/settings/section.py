"""What every group of settings has in common."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A group of settings; unknown names are refused, so that a typing error does not silently leave a default."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
