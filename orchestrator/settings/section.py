"""What every part of the settings is."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of the settings: immutable, and no key without a meaning."""

    model_config = ConfigDict(extra="forbid", frozen=True)
