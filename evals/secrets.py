"""Keys and tokens that the environment holds, kept out of what is shown and written."""

import os
import re

_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL|(?:^|_)(?:PASS|PASSWD|PASSPHRASE|AUTH)$", re.IGNORECASE)
# A name and a password in an address, or a token in a web address.
_USER = re.compile(r"(?<=://)[^/\s?#]*:[^/\s?#]*(?=@)|(?<=https://)[^/\s?#]+(?=@)|(?<=http://)[^/\s?#]+(?=@)")
# Shorter values are words such as "true", which stand in texts for other reasons.
_SHORTEST = 8


def redacted(text: str, *names: str) -> str:
    """The text with the names of secret environment variables in place of their values: servers repeat in errors what they were sent.

    Secret are those that are called so, and those of `names`.
    """
    text = _USER.sub("...", text)
    secrets = [(n, value) for n, value in os.environ.items() if (n in names or _SECRET.search(n)) and len(value) >= _SHORTEST]
    for name, value in sorted(secrets, key=lambda secret: -len(secret[1])):
        text = text.replace(value, f"${name}")
    return text
