"""What a job is sent of the working directory: which files, how large they are together, and one archive of them."""

import logging
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from ray._private.ray_constants import RAY_RUNTIME_ENV_IGNORE_GITIGNORE, get_runtime_env_default_excludes
from ray._private.runtime_env.packaging import get_excludes_from_ignore_files

from orchestrator.errors import UserError

Ignored = Callable[[Path], bool]

MEBIBYTE = 1024**2
# Ray's bound on a package; and what its job server, which stands before it, takes in one request.
LARGEST = 500 * MEBIBYTE
LARGEST_ARCHIVE = 100 * MEBIBYTE
_BIGGEST_SHOWN = 5
# Beside Ray's own list, .gitignore and .rayignore: at the top, where data, models and runs lie by custom (below it, they may be packages),
# and whatever begins with a dot, which a home directory has many keys in; anywhere, what tools leave.
_LEFT_OUT_AT_THE_TOP = {"runs", "data", "datasets", "eval-data", "models", "checkpoints", "wandb", "mlruns", "build", "dist"}
_LEFT_OUT = {
    *(".cache", ".pytest_cache", ".ruff_cache", ".mypy_cache", ".hypothesis", ".ipynb_checkpoints", ".tox", "node_modules"),
    *(".hg", ".svn", ".DS_Store"),
}
# Names of files and directories that hold passwords and private keys: these are never sent. Nor are files of the other names, save code;
# a directory of such a name may be a package.
_SECRETS = (
    *(".env*", "*.env", "*netrc", ".npmrc", ".pypirc", ".git", ".git-credentials", ".ssh", ".gnupg", "*.pem*", "*.key", "*.p12", "*.pfx"),
    *("*.jks", "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", ".aws", ".azure", "gcloud", ".docker", ".kube", ".ray", ".huggingface"),
    *(".boto", ".s3cfg", ".pgpass", ".databrickscfg", "secret", "secrets", "credentials"),
)
_SECRET_FILES = ("*credential*", "*secret*", "*kubeconfig*", "service-account*", "service_account*", "*token", "*token.txt", "*token.json")
_CODE = (".py", ".pyi")
_LOG = logging.getLogger(__name__)
_KEYS_CURE = "name another file; keys belong on the nodes, and `daa submit --env NAME` sends one of this machine's environment"
_CURE = "copy it into the working directory, or name it by an absolute path on a file system that all nodes share, or by an address"


@dataclass(frozen=True)
class Sent:
    """The files, by their paths in the working directory, and their sizes in bytes; and the paths that the cluster must have itself.

    `withheld` is left out for being named like what holds keys.
    """

    directory: Path
    sizes: Mapping[Path, int]
    on_the_cluster: Mapping[str, str]
    withheld: Sequence[Path] = ()

    @property
    def size(self) -> int:
        """All files together, in bytes."""
        return sum(self.sizes.values())

    @property
    def biggest(self) -> list[tuple[Path, int]]:
        """The largest files first."""
        return sorted(self.sizes.items(), key=lambda each: -each[1])[:_BIGGEST_SHOWN]

    def told(self) -> str:
        """How much is sent, in words."""
        return f"{len(self.sizes)} file{'s' if len(self.sizes) != 1 else ''}, {self.size / MEBIBYTE:.1f} MiB"

    def refusal(self, why: str) -> UserError:
        """The error of files that are too large together; it names the biggest."""
        shown = "\n".join(f"  {size / MEBIBYTE:8.1f} MiB  {file}" for file, size in self.biggest)
        cure = "name what the job does not need in .rayignore, and put data on a file system that all nodes share"
        return UserError(f"too much to send: {why}; the biggest files are\n{shown}", str(self.directory), cure)

    def pack(self, archive: Path) -> None:
        """Write the files to a zip archive whose bytes depend on nothing but them, so that the same ones are sent once.

        Raises UserError when the job server would not take it.
        """
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
            for file in sorted(self.sizes):
                entry = zipfile.ZipInfo(str(file))
                entry.external_attr = ((self.directory / file).stat().st_mode & 0xFFFF) << 16
                entry.compress_type = zipfile.ZIP_DEFLATED
                with packed.open(entry, "w") as into, (self.directory / file).open("rb") as content:
                    while block := content.read(MEBIBYTE):
                        into.write(block)
        if (size := archive.stat().st_size) > LARGEST_ARCHIVE:
            raise self.refusal(f"{self.told()}, packed {size / MEBIBYTE:.1f}; the job server takes {LARGEST_ARCHIVE // MEBIBYTE}")


def to_send(directory: Path, named: Mapping[str, str]) -> Sent:
    """The files of `directory` that a job needs: what no list leaves out, and what its settings name, left out or not, save secrets.

    `named` are the paths that settings and command line name, by the place that names them. Raises UserError for a path that leaves the
    directory or holds secrets, and when the files are too large together.
    """
    directory = directory.resolve()
    withheld: list[Path] = []
    walked = set(_walk(directory, [_by_default(directory, withheld)], frozenset({directory})))
    # A link is sent where its target is.
    chosen = {file for file in walked if file.resolve() in walked}
    on_the_cluster: dict[str, str] = {}
    for place, name in named.items():
        if Path(name).is_absolute() or name.startswith("~"):
            on_the_cluster[place] = name
        else:
            chosen.update(_named(directory, place, name))
    sent = Sent(directory, {file.relative_to(directory): file.stat().st_size for file in sorted(chosen)}, on_the_cluster, withheld)
    if sent.size > LARGEST:
        raise sent.refusal(f"{sent.told()}, and Ray takes {LARGEST // MEBIBYTE} MiB")
    return sent


def _walk(directory: Path, ignored: Sequence[Ignored], around: frozenset[Path]) -> Iterator[Path]:
    """The files below a directory that are not ignored, in order; `around` are those that it lies in, for links that lead back."""
    of_git = os.environ.get(RAY_RUNTIME_ENV_IGNORE_GITIGNORE, "0") != "1"
    ignored = [*ignored, *get_excludes_from_ignore_files(directory, include_gitignore=of_git, logger=_LOG)]
    for path in sorted(directory.iterdir()):
        if any(each(path) for each in ignored):
            continue
        if path.is_file():
            yield path
        elif path.is_dir() and (real := path.resolve()) not in around and not _is_environment(path):
            yield from _walk(path, ignored, around | {real})


def _by_default(directory: Path, withheld: list[Path]) -> Ignored:
    """What no list of the user's needs to name; the paths that hold secrets are put into `withheld`."""
    names = _LEFT_OUT | set(get_runtime_env_default_excludes())

    def is_left_out(path: Path) -> bool:
        at_the_top = path.parent == directory
        by_custom = at_the_top and path.is_dir() and path.name in _LEFT_OUT_AT_THE_TOP
        if by_custom or path.name in names or path.name.endswith(".egg-info") or _leaves(path, directory):
            return True
        if is_secret := _is_secret(Path(path.name), path.parent):
            withheld.append(path.relative_to(directory))
        return is_secret or (at_the_top and path.name.startswith("."))

    return is_left_out


def _is_secret(path: Path, directory: Path) -> bool:
    """Whether a path in the directory is named like what holds keys."""
    name = path.name.lower()
    if any(fnmatchcase(part.lower(), secret) for part in path.parts for secret in _SECRETS):
        return True
    return any(fnmatchcase(name, secret) for secret in _SECRET_FILES) and not name.endswith(_CODE) and not (directory / path).is_dir()


def _leaves(path: Path, directory: Path) -> bool:
    """True for a link to something elsewhere: it may be anything, a key too, and of any size."""
    return path.is_symlink() and not path.resolve().is_relative_to(directory)


def _is_environment(directory: Path) -> bool:
    return (directory / "pyvenv.cfg").is_file() or (directory / "conda-meta").is_dir()


def _named(directory: Path, place: str, name: str) -> Iterator[Path]:
    """The files at a relative path that something names; none where there is no such path, as for the name of a model on the hub."""
    for path in _at(directory, place, Path(os.path.normpath(directory / name)), name):
        where, real = path.relative_to(directory), path.resolve()
        if not real.is_relative_to(directory):
            raise UserError(f"{where} is a link that leads out of the working directory, which is all that is sent", place, _CURE)
        if _is_secret(where, directory) or _is_secret(real.relative_to(directory), directory):
            what = f"{where} is" if path == real else f"{where} leads to {real.relative_to(directory)}, which is"
            raise UserError(f"{what} named like what holds passwords or keys, which is never sent", place, _KEYS_CURE)
        if path.is_file():
            yield path


def _at(directory: Path, place: str, inside: Path, name: str) -> Iterator[Path]:
    """The files there. A directory that is named comes itself before its files, of which those that hold secrets are left out."""
    if not inside.is_relative_to(directory):
        raise UserError(f"{name} lies outside the working directory, which is all that is sent", place, _CURE)
    # Any text of the settings may come here: one that is too long for a path is none.
    if os.path.isfile(inside):
        yield inside
    elif os.path.isdir(inside) and inside != directory:
        yield inside
        yield from (file for file in sorted(inside.rglob("*")) if file.is_file() and not _is_secret(file.relative_to(inside), inside))
    elif any(mark in name for mark in "*?[") and Path(name).suffix and not any(map(str.isspace, name)):
        yield from (file for file in sorted(directory.glob(os.path.normpath(name))) if file.is_file())
