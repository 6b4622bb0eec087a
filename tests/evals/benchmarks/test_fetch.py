"""Official files come once, whole and verified, or it is said what to place where."""

import gzip
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from evals.benchmarks.fetch import ALL, DownloadError, Fetched, download, fetch
from evals.benchmarks.files import DATA_VARIABLE, benchmark_file
from evals.benchmarks.pins import PROMPT_SETS
from evals.benchmarks.sources import LICENCES, SOURCES, Source, baseline_outputs, instructions, judge_settings
from evals.errors import DataFormatError, MachineError, UserError
from tests.evals.benchmarks.file_server import FileServer
from tests.evals.benchmarks.official import DATA, needs_data
from tests.evals.fake_server import Answer

TABLE, NOTES = b"a,b\n1,2\n" * 1000, b"notes\n"
quickly = partial(download, timeout_s=5.0, pause_s=0.01)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy of the machine is in the way."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def site() -> Iterator[FileServer]:
    with FileServer() as server:
        server.answers = {"/table.csv": [Answer(TABLE)], "/notes.txt": [Answer(NOTES)]}
        yield server


def source(url: str, file: str, content: bytes, benchmark: str = "mt_bench") -> Source:
    """A file of the site, pinned by its SHA-256."""
    return Source(f"{benchmark}/{file}", f"{url}/{file}", (benchmark,), hashlib.sha256(content).hexdigest())


def pinned(url: str) -> list[Source]:
    """Both files of the site."""
    return [source(url, "table.csv", TABLE), source(url, "notes.txt", NOTES)]


def files_in(directory: Path) -> dict[str, bytes]:
    """What lies below a folder."""
    return {str(file.relative_to(directory)): file.read_bytes() for file in sorted(directory.rglob("*")) if file.is_file()}


def test_files_are_downloaded_once(site: FileServer, tmp_path: Path) -> None:
    told: list[Fetched] = []
    first = fetch(tmp_path / "new", sources=pinned(site.url), open_url=quickly, tell=told.append)
    assert files_in(tmp_path / "new") == {"mt_bench/table.csv": TABLE, "mt_bench/notes.txt": NOTES}
    assert [(row.file.name, row.state) for row in first] == [("table.csv", "downloaded"), ("notes.txt", "downloaded")]
    assert first[1].sha256 == hashlib.sha256(NOTES).hexdigest()
    assert told == first
    again = fetch(tmp_path / "new", sources=pinned(site.url), open_url=quickly)
    assert [row.state for row in again] == ["present", "present"]
    assert dict(site.asked) == {"/table.csv": 1, "/notes.txt": 1}


def test_wrong_bytes_are_refused_with_both_hashes_and_are_not_placed(site: FileServer, tmp_path: Path) -> None:
    site.answers["/table.csv"] = [Answer(b"<html>log in first</html>")]
    with pytest.raises(DataFormatError) as refused:
        fetch(tmp_path, sources=pinned(site.url), open_url=quickly)
    assert hashlib.sha256(TABLE).hexdigest() in refused.value.what
    assert hashlib.sha256(b"<html>log in first</html>").hexdigest() in refused.value.what
    assert files_in(tmp_path) == {}


def test_a_file_that_is_gone_is_asked_for_once_and_listed_and_the_others_are_placed(site: FileServer, tmp_path: Path) -> None:
    del site.answers["/table.csv"]
    with pytest.raises(DownloadError, match=r"1 of the official files could not be downloaded .*HTTP Error 404") as failed:
        fetch(tmp_path, sources=pinned(site.url), open_url=quickly)
    lines = failed.value.cure.splitlines()[1:]
    place, sha256 = tmp_path / "mt_bench" / "table.csv", hashlib.sha256(TABLE).hexdigest()
    assert lines == [f"curl -fL --create-dirs -o {place} {site.url}/table.csv  # SHA-256 {sha256}"]
    assert site.asked["/table.csv"] == 1
    assert files_in(tmp_path) == {"mt_bench/notes.txt": NOTES}


@pytest.mark.parametrize("hurt", [Answer(b"", 500), Answer(b"", 429), Answer(TABLE[:100], headers={"content-length": str(len(TABLE))})])
def test_what_may_pass_is_tried_again(hurt: Answer, site: FileServer, tmp_path: Path) -> None:
    site.answers["/table.csv"] = [hurt, hurt, Answer(TABLE)]
    fetch(tmp_path, sources=pinned(site.url), open_url=quickly)
    assert site.asked["/table.csv"] == 3
    assert files_in(tmp_path)["mt_bench/table.csv"] == TABLE


def test_a_connection_that_is_always_cut_leaves_no_half_a_file(site: FileServer, tmp_path: Path) -> None:
    site.answers["/table.csv"] = [Answer(TABLE[:100], headers={"content-length": str(len(TABLE))})]
    with pytest.raises(DownloadError, match="IncompleteRead"):
        fetch(tmp_path, sources=pinned(site.url), open_url=quickly)
    assert files_in(tmp_path) == {"mt_bench/notes.txt": NOTES}


def test_without_a_server_all_files_are_listed_and_a_host_is_asked_for_one_only(tmp_path: Path) -> None:
    with FileServer() as server:
        url = server.url
    asked: list[str] = []

    def counted(address: str) -> bytes:
        asked.append(address)
        return quickly(address)

    directory = tmp_path / "with space"
    with pytest.raises(MachineError, match="Connection refused") as failed:
        fetch(directory, sources=pinned(url), open_url=counted)
    assert asked == [f"{url}/table.csv"]
    assert [f"'{directory}/mt_bench/{name}'" in failed.value.cure for name in ("table.csv", "notes.txt")] == [True, True]
    assert failed.value.exit_code == 1
    assert not directory.exists()


def test_files_placed_by_hand_are_verified_and_need_no_network(tmp_path: Path) -> None:
    (tmp_path / "mt_bench").mkdir()
    (tmp_path / "mt_bench" / "table.csv").write_bytes(TABLE)
    (tmp_path / "mt_bench" / "notes.txt.gz").write_bytes(gzip.compress(NOTES))
    rows = fetch(tmp_path, sources=pinned("http://127.0.0.1:9"), open_url=lambda url: pytest.fail(f"asked for {url}"))
    assert [(row.file.name, row.state) for row in rows] == [("table.csv", "present"), ("notes.txt.gz", "present")]
    assert rows[1].sha256 == hashlib.sha256(NOTES).hexdigest()


@pytest.mark.parametrize(
    ("name", "content"),
    [("table.csv", b"mine"), ("table.csv.gz", gzip.compress(b"mine")), ("table.csv.gz", b"no")],
    ids=["plain", "compressed", "not compressed"],
)
def test_a_file_that_is_not_the_official_one_is_refused_and_kept(name: str, content: bytes, site: FileServer, tmp_path: Path) -> None:
    (tmp_path / "mt_bench").mkdir()
    (tmp_path / "mt_bench" / name).write_bytes(content)
    with pytest.raises(DataFormatError, match=r"not the official one|cannot be read") as refused:
        fetch(tmp_path, sources=pinned(site.url), open_url=quickly)
    assert "move it away" in refused.value.cure
    assert files_in(tmp_path) == {f"mt_bench/{name}": content}
    assert not site.asked


def test_only_the_files_of_the_chosen_benchmarks_come(site: FileServer, tmp_path: Path) -> None:
    sources = [source(site.url, "table.csv", TABLE, "alpaca_eval2"), source(site.url, "notes.txt", NOTES)]
    fetch(tmp_path, ["mt_bench"], sources, quickly)
    assert files_in(tmp_path) == {"mt_bench/notes.txt": NOTES}
    with pytest.raises(UserError, match="there is no benchmark 'mmlu'"):
        fetch(tmp_path, ["mmlu"], sources, quickly)


def test_files_of_our_layout_are_made_and_their_source_is_not_needed_again(site: FileServer, tmp_path: Path) -> None:
    made = Source("raw.txt", f"{site.url}/notes.txt", ("mt_bench",), hashlib.sha256(NOTES).hexdigest(), makes={"in/upper.txt": bytes.upper})
    rows = fetch(tmp_path, sources=[made], open_url=quickly)
    assert [(row.file.name, row.state) for row in rows] == [("raw.txt", "downloaded"), ("upper.txt", "made")]
    assert files_in(tmp_path) == {"raw.txt": NOTES, "in/upper.txt": b"NOTES\n"}
    (tmp_path / "raw.txt").unlink()
    (rest,) = fetch(tmp_path, sources=[made], open_url=quickly)
    assert (rest.file.name, rest.state) == ("upper.txt", "present")
    (tmp_path / "in" / "upper.txt").unlink()
    (tmp_path / "raw.txt").write_bytes(NOTES)
    fetch(tmp_path, sources=[made], open_url=quickly)
    assert files_in(tmp_path)["in/upper.txt"] == b"NOTES\n"
    assert site.asked["/notes.txt"] == 1


def test_a_file_is_known_by_its_git_blob_where_no_other_hash_is_at_hand(site: FileServer, tmp_path: Path) -> None:
    # What `git hash-object` says of "notes\n".
    blob = Source("notes.txt", f"{site.url}/notes.txt", ("mt_bench",), git_blob="bfa655111293037a5564088d1a9bbca4cbcf446b")
    fetch(tmp_path, sources=[blob], open_url=quickly)
    site.answers["/notes.txt"] = [Answer(b"other\n")]
    with pytest.raises(DataFormatError, match=f"expected git blob {blob.git_blob}"):
        fetch(tmp_path / "other", sources=[blob], open_url=quickly)


def test_two_processes_may_fetch_into_one_folder_at_once(site: FileServer, tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from evals.benchmarks.fetch import fetch
from evals.benchmarks.sources import Source
pins = {[(row.file, row.url, row.benchmarks, row.sha256) for row in pinned(site.url)]!r}
for repeat in range(20):
    fetch(Path({str(tmp_path)!r}) / str(repeat), sources=[Source(*pin) for pin in pins])
"""
    running = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) for _ in range(2)]
    assert [(process.communicate(timeout=120)[1], process.returncode) for process in running] == [("", 0), ("", 0)]
    assert len(files_in(tmp_path)) == 40
    assert set(files_in(tmp_path).values()) == {TABLE, NOTES}


def test_a_folder_that_cannot_be_written_is_refused(site: FileServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot be written"):
        fetch(tmp_path / "file", sources=pinned(site.url), open_url=quickly)


def test_a_write_that_fails_leaves_neither_a_part_nor_the_file(site: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(part: Path, place: Path) -> None:
        assert (part.read_bytes(), place.exists()) == (TABLE, False)
        raise OSError("the disk is gone")

    monkeypatch.setattr("os.replace", failing)
    with pytest.raises(UserError, match="the disk is gone"):
        fetch(tmp_path, sources=pinned(site.url), open_url=quickly)
    assert files_in(tmp_path) == {}


def test_the_proxy_of_the_environment_is_asked(site: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("no_proxy")
    monkeypatch.setenv("http_proxy", site.url)
    site.answers = {"http://files.invalid/notes.txt": [Answer(NOTES)]}
    assert quickly("http://files.invalid/notes.txt") == NOTES


def test_every_source_is_pinned_at_a_fixed_revision_and_has_a_licence() -> None:
    assert set(LICENCES) == set(ALL) == set(PROMPT_SETS)
    assert "CC BY-NC 4.0" in LICENCES["alpaca_eval2"]
    places = [place for row in SOURCES for place in (row.file, *row.makes)]
    assert len(places) == len(set(places))
    for row in SOURCES:
        assert row.benchmarks and set(row.benchmarks) <= set(ALL)
        assert re.fullmatch(r"SHA-256 [0-9a-f]{64}|git blob [0-9a-f]{40}", row.pin)
        assert re.match(r"https://(raw\.githubusercontent\.com|huggingface\.co/datasets)/.*/[0-9a-f]{40}/", row.url)


# Recovered from published fits, not the hub's own file.
RECOVERED = "alpaca_eval2/instruction_difficulty.csv"
AT_HAND = [row for row in SOURCES if row.file != RECOVERED and ((DATA / row.file).is_file() or (DATA / f"{row.file}.gz").is_file())]


@needs_data
@pytest.mark.parametrize("row", AT_HAND, ids=lambda row: row.file)
def test_the_files_at_hand_have_the_pinned_hashes(row: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(DATA))
    file = benchmark_file(row.file)
    content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    assert row.pin_of(content) == row.pin


def test_alpaca_evals_baseline_becomes_instructions_and_outputs_by_number() -> None:
    official = [
        {"dataset": "d", "instruction": "Où ?", "output": "Ici\u2028là", "generator": "g"},
        {"dataset": "e", "instruction": "b", "output": "c", "generator": "g"},
    ]
    asked, answered = instructions(json.dumps(official).encode()), baseline_outputs(json.dumps(official).encode())
    assert asked.decode().split("\n")[0] == '{"index": 0, "instruction": "Où ?", "dataset": "d"}'
    assert [json.loads(line) for line in answered.decode().split("\n")[:-1]] == [
        {"index": index, **row} for index, row in enumerate(official)
    ]


def test_judge_settings_are_read_from_python_that_is_never_run() -> None:
    module = b'raise SystemExit\nPROMPT = "one\\ntwo"\n\nJUDGE_SETTINGS = {"a": {"baseline": "b", "system_prompt": PROMPT}}\n'
    assert json.loads(judge_settings(module)) == {"a": {"baseline": "b", "system_prompt": "one\ntwo"}}
