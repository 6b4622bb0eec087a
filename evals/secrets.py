"""Keys and tokens that the environment holds, kept out of what is shown and written."""

import os
import re

_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)
# Shorter values are words such as "true", which stand in texts for other reasons.
_SHORTEST = 8


def redacted(text: str) -> str:
    """The text with the names of secret environment variables in place of their values: servers repeat in errors what they were sent."""
    secrets = [(name, value) for name, value in os.environ.items() if _SECRET.search(name) and len(value) >= _SHORTEST]
    for name, value in sorted(secrets, key=lambda secret: -len(secret[1])):
        text = text.replace(value, f"${name}")
    return text
