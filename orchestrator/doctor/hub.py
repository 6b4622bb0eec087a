"""The Hugging Face hub: is it in reach, is the token good, may it read the models and data sets of the settings?"""

import os
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from evals.errors import first_line
from evals.model_files import check_model, is_path, model_stamp
from orchestrator.doctor.findings import Finding, fail, ok, warn
from orchestrator.errors import ModelError

_SECONDS = 10.0
_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "*.py"]


def check_hub(models: Sequence[str], data_sets: Sequence[str]) -> list[Finding]:
    """The hub's answer about everything that is not on this machine's disks."""
    wanted = [*((name, "model") for name in models if not is_path(name)), *((name, "dataset") for name in data_sets)]
    if (out_of_reach := _unreachable()) is not None:
        if not wanted:
            return [warn("hub", f"{out_of_reach}; nothing is taken from it", "none, as long as all models and data are paths")]
        return [_without_hub(name, kind, out_of_reach) for name, kind in wanted]
    return [_token(), *(_access(name, kind) for name, kind in wanted)]


def check_models(models: Sequence[str]) -> list[Finding]:
    """Whether directories hold models. Raises ModelError for one that does not."""
    local = [model for model in models if is_path(model)]
    for model in local:
        check_model(model)
    return [ok("model", f"{model} has weights and tokenizer") for model in local]


def kept_model(model: str) -> Path | None:
    """The directory of a model that is on this machine, downloaded earlier or always; None where it is not."""
    if is_path(model):
        return Path(model).expanduser()
    from huggingface_hub import snapshot_download

    # Of a download that was broken off, something is missing.
    with suppress(OSError, ValueError, ModelError):
        directory = Path(snapshot_download(model, allow_patterns=_FILES, local_files_only=True))
        model_stamp(directory)
        return directory
    return None


def _unreachable() -> str | None:
    """Why the hub cannot be asked; None when it answers."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set, the hub is not asked"
    try:
        get_session().head(constants.ENDPOINT, timeout=_SECONDS)
    except _network_errors() as error:
        return f"{constants.ENDPOINT} is out of reach: {first_line(error)}"
    return None


def _network_errors() -> Any:
    """What the hub's client raises: its HTTP library's root error among others, under whichever name that library goes."""
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils import get_session

    library = import_module(type(get_session()).__module__.partition(".")[0])
    return OSError, library.HTTPError, HfHubHTTPError


def _without_hub(name: str, kind: str, why: str) -> Finding:
    if kind == "model" and kept_model(name) is not None:
        return warn("hub", f"{why}; the model {name} is in this machine's cache", "none, as long as the cache is kept")
    cure = "unset HF_HUB_OFFLINE" if os.environ.get("HF_HUB_OFFLINE") else "open the way to the hub (HTTPS_PROXY, HF_ENDPOINT of a mirror)"
    command = f"hf download {name}{' --repo-type dataset' if kind == 'dataset' else ''}"
    return fail("hub", f"{why}, and the {kind} {name} is not here", f"{cure}, or `{command}` where there is one and give the path")


def _token() -> Finding:
    from huggingface_hub import HfApi, get_token

    if get_token() is None:
        return ok("hub token", "none: only public models and data sets can be read")
    try:
        return ok("hub token", f"of {HfApi().whoami()['name']}")
    except _network_errors() as error:
        return fail("hub token", f"the hub refuses it: {first_line(error)}", "export HF_TOKEN with a valid one, or `hf auth login`")


def _access(name: str, kind: str) -> Finding:
    from huggingface_hub import auth_check, constants, get_token
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError

    page = f"{constants.ENDPOINT}/{'datasets/' if kind == 'dataset' else ''}{name}"
    try:
        auth_check(name, repo_type=kind)
    except GatedRepoError:
        who = "there is no token" if get_token() is None else "this token may not read it"
        return fail("hub", f"the {kind} {name} is gated, and {who}", f"ask for access at {page}, then export HF_TOKEN on every node")
    except (RepositoryNotFoundError, HFValidationError):
        fix = "correct the name, or export HF_TOKEN of somebody who may see it"
        return fail("hub", f"there is no {kind} {name}, or it is private", fix)
    except _network_errors() as error:
        return fail(
            "hub", f"the hub does not say whether {name} may be read: {first_line(error)}", "try again; see https://status.huggingface.co"
        )
    return ok("hub", f"the {kind} {name} may be read")
