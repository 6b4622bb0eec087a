"""What a job is sent of a working directory: no more than it needs, no less, and never something from outside."""

import os
import random
import zipfile
from pathlib import Path

import pytest

from orchestrator.cluster.submit import sending
from orchestrator.cluster.submit.sending import to_send
from orchestrator.errors import UserError


def filled(directory: Path, *files: str) -> Path:
    """A directory with these files, each with its own name in it."""
    for file in files:
        (directory / file).parent.mkdir(parents=True, exist_ok=True)
        (directory / file).write_text(file)
    return directory


def names(directory: Path, **named: str) -> set[str]:
    return {str(file) for file in to_send(directory, named).sizes}


def test_code_is_sent_and_what_tools_runs_and_secrets_leave_is_not(tmp_path: Path) -> None:
    filled(tmp_path, "a.toml", "my_po.py", "pkg/models/net.py", "pkg/data/rows.py")
    filled(tmp_path, ".git/config", "runs/a/ledger.jsonl", "data/pairs.jsonl", "models/m/model.safetensors", "pkg/__pycache__/x.pyc")
    filled(tmp_path, ".venv/lib/x.py", "own/pyvenv.cfg", "own/lib/y.py", ".pytest_cache/z", "x.egg-info/PKG-INFO", ".env", "pkg/.env")
    assert names(tmp_path) == {"a.toml", "my_po.py", "pkg/models/net.py", "pkg/data/rows.py"}


def test_a_checkout_is_sent_with_every_module() -> None:
    root = Path(__file__).parents[2]
    ours = {file.relative_to(root) for package in ("orchestrator", "evals", "jobs") for file in (root / package).rglob("*.py")}
    assert ours - to_send(root, {}).sizes.keys() == set()


def test_gitignore_and_rayignore_count_in_every_directory(tmp_path: Path) -> None:
    filled(tmp_path, "a.py", "big.bin", "sub/b.py", "sub/log.txt", "sub/old/c.py", "secret/key")
    (tmp_path / ".gitignore").write_text("*.bin\nsecret/\n")
    (tmp_path / "sub" / ".rayignore").write_text("*.txt\nold\n")
    assert names(tmp_path) == {"a.py", "sub/.rayignore", "sub/b.py"}


def test_what_the_settings_name_is_sent_though_a_list_leaves_it_out(tmp_path: Path) -> None:
    filled(tmp_path, "a.toml", "data/pairs.jsonl", "data/other.jsonl", "models/tiny/config.json", "parts/one.jsonl", "parts/two.jsonl")
    (tmp_path / ".gitignore").write_text("parts/\n")
    named = {"data.train": "data/pairs.jsonl", "model.base": "models/tiny", "judge.model": "owner/on-the-hub"}
    assert names(tmp_path, **named) == {"a.toml", "data/pairs.jsonl", "models/tiny/config.json"}
    assert {"parts/one.jsonl", "parts/two.jsonl"} <= names(tmp_path, **{"data.train": "parts/*.jsonl"})


@pytest.mark.parametrize("path", ["../pairs.jsonl", "data/../../pairs.jsonl"])
def test_a_path_that_leaves_the_directory_is_refused_with_its_key_and_the_cure(tmp_path: Path, path: str) -> None:
    filled(tmp_path, "pairs.jsonl", "project/a.toml")
    with pytest.raises(UserError, match="outside the working directory") as refusal:
        to_send(tmp_path / "project", {"data.train": path})
    assert refusal.value.where == "data.train"
    assert "file system that all nodes share" in refusal.value.cure


def test_a_text_that_is_too_long_for_a_path_is_none(tmp_path: Path) -> None:
    filled(tmp_path, "run.toml")
    assert names(tmp_path, **{"rounds.revision.instruction": "Rewrite it. " * 40}) == {"run.toml"}


def test_absolute_paths_are_the_clusters_and_are_told(tmp_path: Path) -> None:
    sent = to_send(filled(tmp_path, "a.toml"), {"data.train": "/shared/pairs.jsonl", "cache": "~/cache"})
    assert sent.on_the_cluster == {"data.train": "/shared/pairs.jsonl", "cache": "~/cache"}


def test_links_that_lead_out_or_back_are_not_followed(tmp_path: Path) -> None:
    filled(tmp_path, "outside/huge.bin", "project/sub/a.py")
    (tmp_path / "project" / "link").symlink_to(tmp_path / "outside")
    (tmp_path / "project" / "key").symlink_to(tmp_path / "outside" / "huge.bin")
    (tmp_path / "project" / "sub" / "back").symlink_to(tmp_path / "project")
    (tmp_path / "project" / "sub" / "loop").symlink_to(tmp_path / "project" / "sub")
    (tmp_path / "project" / "b.py").symlink_to(tmp_path / "project" / "sub" / "a.py")
    assert names(tmp_path / "project") == {"sub/a.py", "b.py"}


@pytest.mark.parametrize("named", ["link/rows.jsonl", "link", "rows.jsonl", "*.jsonl", "li*/rows.jsonl", "mixed"])
def test_a_named_path_that_a_link_leads_out_of_the_directory_is_refused(tmp_path: Path, named: str) -> None:
    filled(tmp_path, "outside/rows.jsonl", "project/mixed/own.jsonl")
    (tmp_path / "project" / "link").symlink_to(tmp_path / "outside")
    (tmp_path / "project" / "rows.jsonl").symlink_to(tmp_path / "outside" / "rows.jsonl")
    (tmp_path / "project" / "mixed" / "rows.jsonl").symlink_to(tmp_path / "outside" / "rows.jsonl")
    with pytest.raises(UserError, match="a link that leads out of the working directory") as refusal:
        to_send(tmp_path / "project", {"data.train": named})
    assert refusal.value.where == "data.train"
    assert "file system that all nodes share" in refusal.value.cure


SECRETS = (".env", ".env.local", ".envrc", ".netrc", ".git/config", ".ssh/id_rsa", "id_ed25519", "sub/.aws/credentials", "tls/Server.PEM")


def test_what_is_named_like_what_holds_keys_is_never_sent_nor_what_links_to_it_or_to_anything_left_out(tmp_path: Path) -> None:
    filled(tmp_path, "a.toml", *SECRETS, "data/rows.jsonl", "other/kept/token.txt", "sub/b.py", "zoo/c.py")
    (tmp_path / "other" / ".gitignore").write_text("kept/\n")
    (tmp_path / "evil").mkdir()
    for number, target in enumerate((*SECRETS, "data/rows.jsonl", "other/kept/token.txt")):
        (tmp_path / "evil" / f"{number}.jsonl").symlink_to(tmp_path / target)
    for number, target in enumerate((".ssh", ".git", "data", "other/kept", "sub/.aws")):
        (tmp_path / "evil" / f"directory-{number}").symlink_to(tmp_path / target)
    (tmp_path / "at").symlink_to(tmp_path / "zoo")
    assert names(tmp_path) == {"a.toml", "other/.gitignore", "sub/b.py", "zoo/c.py", "at/c.py"}
    withheld = {".env", ".env.local", ".envrc", ".netrc", ".ssh", "id_ed25519", "sub/.aws", "tls/Server.PEM"}
    assert set(map(str, to_send(tmp_path, {}).withheld)) >= withheld, "a user is told"


@pytest.mark.parametrize("named", [*SECRETS, ".git", ".ssh", "link.jsonl", "*.jsonl", "mixed", ".env*.local"])
def test_what_is_named_like_what_holds_keys_is_refused_where_the_settings_name_it_or_a_link_to_it(tmp_path: Path, named: str) -> None:
    filled(tmp_path, *SECRETS, "mixed/own.jsonl")
    (tmp_path / "link.jsonl").symlink_to(tmp_path / ".env")
    (tmp_path / "mixed" / "rows.jsonl").symlink_to(tmp_path / ".git" / "config")
    with pytest.raises(UserError, match="named like what holds passwords or keys") as refusal:
        to_send(tmp_path, {"data.train": named})
    assert refusal.value.where == "data.train"
    assert "keys belong on the nodes" in refusal.value.cure


@pytest.mark.parametrize(
    "file",
    [
        *(
            ".azure/msal_token_cache.json",
            ".boto",
            ".config/gcloud/application_default_credentials.json",
            ".databrickscfg",
            ".huggingface/token",
        ),
        *(
            ".docker/config.json",
            ".npmrc",
            ".pgpass",
            ".ray/auth_token",
            ".s3cfg",
            ".vault-token",
            "client.p12",
            "credentials.json",
            "hf_token",
        ),
        *(
            "id_ed25519_work",
            "id_rsa.old",
            "keystore.jks",
            "kubeconfig.yaml",
            "my.pem.bak",
            "prod.env",
            "secrets.toml",
            "secrets/openai.txt",
        ),
        *("service-account.json", "token.txt", "wandb.netrc", "Client.PFX"),
    ],
)
@pytest.mark.parametrize("below", ["", "home/"])
def test_files_in_which_tools_keep_their_keys_are_not_sent(tmp_path: Path, file: str, below: str) -> None:
    assert names(filled(tmp_path, "a.toml", f"{below}{file}")) == {"a.toml"}


def test_code_data_and_tokenizers_with_such_words_in_their_names_are_sent(tmp_path: Path) -> None:
    kept = {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "tokenizer.model", "secrets.py"}
    kept |= {"next_token/net.py", "evals/token.py", "credentials.py", "id_map.json", "tokens/0.parquet", "environment.yml"}
    assert names(filled(tmp_path, *kept)) == kept


def test_what_begins_with_a_dot_at_the_top_is_sent_where_the_settings_name_it(tmp_path: Path) -> None:
    filled(tmp_path, ".mine/pairs.jsonl", ".mine/other.jsonl", "pkg/.hidden.py")
    assert names(tmp_path) == {"pkg/.hidden.py"}
    assert names(tmp_path, **{"data.train": ".mine/pairs.jsonl"}) == {"pkg/.hidden.py", ".mine/pairs.jsonl"}


def test_a_model_that_was_cloned_is_sent_without_its_repository(tmp_path: Path) -> None:
    filled(tmp_path, "models/mine/config.json", "models/mine/.git/config", "models/mine/.env")
    assert names(tmp_path, **{"model.base": "models/mine"}) == {"models/mine/config.json"}


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with 5 MiB that pack well, where bounds are smaller than Ray's."""
    monkeypatch.setattr(sending, "LARGEST", 4 * sending.MEBIBYTE)
    monkeypatch.setattr(sending, "LARGEST_ARCHIVE", sending.MEBIBYTE)
    filled(tmp_path, "large/a.toml")
    (tmp_path / "large" / "big.txt").write_bytes(b"x" * (2 * sending.MEBIBYTE))
    (tmp_path / "large" / "bigger.txt").write_bytes(b"x" * (3 * sending.MEBIBYTE))
    return tmp_path / "large"


def test_too_much_is_refused_before_anything_is_packed_naming_the_biggest(large: Path) -> None:
    with pytest.raises(UserError, match=r"3 files, 5\.0 MiB, and Ray takes 4 MiB") as refusal:
        to_send(large, {})
    assert [line.split()[-1] for line in refusal.value.what.splitlines()[1:]] == ["bigger.txt", "big.txt", "a.toml"]
    assert ".rayignore" in refusal.value.cure


def test_what_packs_well_is_sent_and_what_does_not_is_refused(large: Path) -> None:
    (large / "bigger.txt").unlink()
    to_send(large, {}).pack(large.parent / "one.zip")
    (large / "big.txt").write_bytes(random.Random(0).randbytes(2 * sending.MEBIBYTE))
    with pytest.raises(UserError, match=r"packed 2\.0; the job server takes 1"):
        to_send(large, {}).pack(large.parent / "two.zip")


def test_the_same_files_make_the_same_bytes(tmp_path: Path) -> None:
    project = filled(tmp_path / "project", "b.py", "a/run.sh")
    (project / "a" / "run.sh").chmod(0o755)
    to_send(project, {}).pack(tmp_path / "one.zip")
    os.utime(project / "b.py", (1_000_000_000, 1_000_000_000))
    to_send(project, {}).pack(tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as packed:
        assert packed.namelist() == ["a/run.sh", "b.py"]
        assert packed.getinfo("a/run.sh").external_attr >> 16 & 0o777 == 0o755
