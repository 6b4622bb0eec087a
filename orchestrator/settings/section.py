"""What every part of the settings is."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

# A Hugging Face directory or hub identifier, or a name that an endpoint knows.
ModelName = Annotated[str, Field(min_length=1)]


class Section(BaseModel):
    """A part of the settings: immutable, and no key without a meaning."""

    model_config = ConfigDict(extra="forbid", frozen=True)
