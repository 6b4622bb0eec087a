"""Keys and tokens that the environment holds, kept out of what is shown and written."""

import os
import re

from evals.errors import UserError

_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL|(?:^|_)(?:PASS|PASSWD|PASSPHRASE|AUTH)$", re.IGNORECASE)
# A name and a password in an address, or a token in a web address.
_USER = re.compile(r"(?<=://)[^/\s?#]*:[^/\s?#]*(?=@)|(?<=https://)[^/\s?#]+(?=@)|(?<=http://)[^/\s?#]+(?=@)")
# Shorter values are words such as "true", which stand in texts for other reasons.
_SHORTEST = 8
_NAMED: set[str] = set()
_VARIABLE = re.compile(r"\$\{(\w+)\}")


def variables(address: str) -> list[str]:
    """The environment variables that an address names, as `${NAME}`; none in a path."""
    return _VARIABLE.findall(address) if "://" in address else []


def filled_in(address: str) -> str:
    """The address with the values of its variables. Raises UserError for one that the environment lacks."""
    for name in variables(address):
        if name not in os.environ:
            cure = f"export {name}=..., on every node; `daa submit --env {name}` sends it"
            raise UserError(f"the environment has no {name}", address, cure)
    return _VARIABLE.sub(lambda found: os.environ[found[1]], address) if variables(address) else address


def keep_secret(name: str) -> None:
    """Have this process redact the value of a variable, whatever the variable is called."""
    _NAMED.add(name)


def redacted(text: str) -> str:
    """The text with the names of secret environment variables in place of their values: servers repeat in errors what they were sent.

    Secret are those that are called so, and those of `keep_secret`.
    """
    text = _USER.sub("...", text)
    secrets = [(n, value) for n, value in os.environ.items() if (n in _NAMED or _SECRET.search(n)) and len(value) >= _SHORTEST]
    for name, value in sorted(secrets, key=lambda secret: -len(secret[1])):
        text = text.replace(value, f"${name}")
    return text
