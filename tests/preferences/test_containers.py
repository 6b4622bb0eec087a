"""The same pairs come out of every kind of file, of directories, of addresses and of data sets that the hub's library loads."""

import bz2
import csv
import gzip
import json
import lzma
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pytest
from pyarrow import parquet

from orchestrator.errors import DataFormatError, SettingsError
from orchestrator.preferences.reading import load_pairs, read_pairs
from orchestrator.preferences.rows import Row
from orchestrator.preferences.sources import check_source, hub_rows, is_hub_name
from tests.preferences.files import write_gzip, write_lines, write_parquet
from tests.preferences.test_formats import ROWS as SPELLINGS
from tests.preferences.test_formats import TOOLS

ROWS = [{"prompt": f"say {word}", "chosen": word, "rejected": "dog", "score_chosen": 2.5, "score_rejected": 1.0} for word in ("fox", "ox")]
TURNS = [{"role": "user", "content": "say fox"}]
Write = Callable[[Path, Sequence[Mapping[str, Any]]], object]


def lines(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """JSONL."""
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def write_csv(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """CSV whose lists are JSON."""
    with file.open("w", newline="") as cells:
        table = csv.DictWriter(cells, list(rows[0]))
        table.writeheader()
        table.writerows({key: value if isinstance(value, str) else json.dumps(value) for key, value in row.items()} for row in rows)


CONTAINERS: dict[str, Write] = {
    "pairs.jsonl": write_lines,
    "pairs.ndjson": write_lines,
    "pairs.jsonl.gz": write_gzip,
    "pairs.jsonl.bz2": lambda file, rows: file.write_bytes(bz2.compress(lines(rows))),
    "pairs.jsonl.xz": lambda file, rows: file.write_bytes(lzma.compress(lines(rows))),
    "pairs.json": lambda file, rows: file.write_text(json.dumps(rows, indent=1)),
    "data.json": lambda file, rows: file.write_text(json.dumps({"version": 1, "data": rows})),
    "pairs.json.gz": lambda file, rows: file.write_bytes(gzip.compress(json.dumps(rows).encode())),
    "lines.json": write_lines,
    "pairs.parquet": write_parquet,
    "pairs.csv": write_csv,
    "pairs.CSV": write_csv,
}


@pytest.fixture
def memory() -> str:
    """An address of fsspec's memory, empty."""
    system = fsspec.filesystem("memory")
    if system.exists("/pairs"):
        system.rm("/pairs", recursive=True)
    system.makedirs("/pairs", exist_ok=True)
    return "memory://pairs"


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_container_gives_the_same_pairs(name: str, tmp_path: Path) -> None:
    CONTAINERS[name](tmp_path / name, ROWS)
    found = [(pair.prompt[0].content, pair.chosen, pair.rejected, pair.chosen_reward) for pair in load_pairs(tmp_path / name)]
    assert found == [("say fox", "fox", "dog", 2.5), ("say ox", "ox", "dog", 2.5)]


@pytest.mark.parametrize("name", ["pairs.csv", "pairs.parquet", "pairs.json"])
def test_conversations_keep_their_turns_in_every_container(name: str, tmp_path: Path) -> None:
    CONTAINERS[name](tmp_path / name, [{"prompt": TURNS, "chosen": [{"role": "assistant", "content": "[fox]"}], "rejected": "[dog]"}])
    (pair,) = load_pairs(tmp_path / name)
    assert ([turn.as_dict() for turn in pair.prompt], pair.chosen, pair.rejected) == (TURNS, "[fox]", "[dog]")


def test_lists_as_python_writes_them_are_read_from_csv(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text(f'prompt,chosen,rejected\n"{TURNS}",fox,"a ""dog"", [1]"\n')
    (pair,) = load_pairs(tmp_path / "pairs.csv")
    assert ([turn.as_dict() for turn in pair.prompt], pair.rejected) == (TURNS, 'a "dog", [1]')


@pytest.mark.parametrize(
    "text", ['{"name": "Ada"}', "[1, 2, 3]", "[]", '["fox"]', '[{"name": "Ada"}]', "{'name': 'Ada'}", '{"from": "Ada", "to": "Bob"}']
)
def test_an_answer_in_json_stays_a_text_in_csv(text: str, tmp_path: Path) -> None:
    write_csv(tmp_path / "pairs.csv", [{"prompt": text, "chosen": text, "rejected": "dog"}])
    (pair,) = load_pairs(tmp_path / "pairs.csv")
    assert (pair.prompt[0].content, pair.chosen) == (text, text)


OTHERS = [{"query": "say fox", "winner": "fox", "loser": "dog", "chosen": "unused"}]
NAMES = {"prompt": "query", "chosen": "winner", "rejected": "loser"}


@pytest.mark.parametrize("name", ["pairs.jsonl", "pairs.parquet", "pairs.csv"])
def test_columns_under_other_names_are_read_by_the_names_that_the_settings_give(name: str, tmp_path: Path) -> None:
    CONTAINERS[name](tmp_path / name, OTHERS)
    (pair,) = read_pairs(tmp_path / name, refuse=True, columns=NAMES).pairs
    assert (pair.prompt[0].content, pair.chosen, pair.rejected) == ("say fox", "fox", "dog")
    turned = {**NAMES, "chosen": "loser", "rejected": "winner"}
    assert [pair.chosen for pair in read_pairs(tmp_path / name, columns=turned).pairs] == ["dog"]


def test_a_column_that_no_row_has_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    write_lines(tmp_path / "pairs.jsonl", OTHERS * 2)
    with pytest.raises(DataFormatError, match=r"data\.columns names `question`") as refused:
        read_pairs(tmp_path / "pairs.jsonl", columns={**NAMES, "prompt": "question"})
    assert refused.value.where == str(tmp_path / "pairs.jsonl")
    assert "chosen, loser, query, winner" in refused.value.cure


@pytest.mark.parametrize("name", SPELLINGS)
def test_every_format_is_read_from_csv_as_from_other_files(name: str, tmp_path: Path) -> None:
    for container in ("rows.jsonl", "rows.csv"):
        CONTAINERS[f"pairs{Path(container).suffix}"](tmp_path / container, [{**row, "tools": TOOLS} for row in SPELLINGS[name]])
    found, expected = (load_pairs(tmp_path / container) for container in ("rows.csv", "rows.jsonl"))
    assert [replace(pair, origin="") for pair in found] == [replace(pair, origin="") for pair in expected]


def test_earlier_turns_are_read_from_csv(tmp_path: Path) -> None:
    write_csv(tmp_path / "rows.csv", [{"instruction": "say fox", "history": [["hello", "hi"]], "chosen": "fox", "rejected": "dog"}])
    (pair,) = load_pairs(tmp_path / "rows.csv")
    assert [turn.content for turn in pair.prompt] == ["hello", "hi", "say fox"]


def test_a_directory_of_shards_is_read_in_the_order_of_names_and_other_files_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    write_lines(tmp_path / "b" / "2.jsonl", ROWS[1:])
    write_parquet(tmp_path / "a.parquet", ROWS[:1])
    (tmp_path / "README.md").write_text("not data")
    pairs = load_pairs(tmp_path)
    assert [pair.origin for pair in pairs] == [f"{tmp_path}/a.parquet, row 1", f"{tmp_path}/b/2.jsonl:1"]
    assert [pair.chosen for pair in load_pairs(f"{tmp_path}/b/*.jsonl")] == ["ox"]


def test_an_address_is_read_like_a_file_and_a_directory_behind_it_like_a_directory(memory: str) -> None:
    for name, rows in (("1.jsonl", ROWS[:1]), ("2.jsonl.gz", ROWS[1:])):
        with fsspec.open(f"{memory}/{name}", "wb") as file:
            file.write(gzip.compress(lines(rows)) if name.endswith("gz") else lines(rows))  # pyright: ignore[reportAttributeAccessIssue]
    assert [pair.chosen for pair in load_pairs(f"{memory}/1.jsonl")] == ["fox"]
    assert [(pair.chosen, pair.origin) for pair in load_pairs(memory)] == [
        ("fox", "memory://pairs/1.jsonl:1"),
        ("ox", "memory://pairs/2.jsonl.gz:1"),
    ]


def test_a_set_that_the_hubs_library_loads_gives_its_rows_by_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("datasets")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "set").mkdir()
    write_lines(tmp_path / "set" / "train.jsonl", ROWS)
    write_lines(tmp_path / "set" / "test.jsonl", ROWS[:1])
    assert len(list(hub_rows(str(tmp_path / "set"), "train"))) == 2
    assert [row.origin for row in hub_rows(str(tmp_path / "set"), "test")] == [f"{tmp_path / 'set'} (test), row 1"]
    with pytest.raises(DataFormatError, match="the data set cannot be loaded") as refused:
        list(hub_rows(str(tmp_path / "set"), "validation"))
    assert refused.value.code == "DAA-0202"
    assert "'validation'" in refused.value.cure


def test_a_configuration_of_a_hub_set_is_read_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("datasets")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "set").mkdir()
    for name, rows in (("one", ROWS[:1]), ("both", ROWS)):
        write_lines(tmp_path / "set" / f"{name}.jsonl", rows)
    files = "".join(f"- config_name: {name}\n  data_files: {name}.jsonl\n" for name in ("one", "both"))
    (tmp_path / "set" / "README.md").write_text(f"---\nconfigs:\n{files}---\n")
    assert [len(list(hub_rows(str(tmp_path / "set"), "train", name))) for name in ("one", "both")] == [1, 2]
    with pytest.raises(DataFormatError, match="the data set cannot be loaded") as refused:
        list(hub_rows(str(tmp_path / "set"), "train"))
    assert "data.config" in refused.value.cure


def test_pictures_and_sounds_of_a_hub_row_are_not_opened_and_its_tools_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    pair, picture = {"prompt": "say fox", "chosen": "fox", "rejected": "dog"}, {"bytes": None, "path": "http://127.0.0.1:9/credentials"}
    kinds = {name: datasets.Value("string") for name in pair} | {"tools": datasets.List(datasets.Json())}
    kinds |= {"a": datasets.Image(), "b": datasets.List(datasets.Image()), "c": {"d": datasets.Image()}}
    row = {**pair, "tools": TOOLS, "a": picture, "b": [picture], "c": {"d": picture}}
    table = datasets.Dataset.from_list([row], features=datasets.Features(kinds)).data.table
    (tmp_path / "set").mkdir()
    parquet.write_table(table, tmp_path / "set" / "train.parquet")
    (found,) = hub_rows(str(tmp_path / "set"), "train")
    assert isinstance(found, Row) and found.values == {**pair, "tools": TOOLS}


@pytest.mark.parametrize(
    ("source", "is_hub"),
    [
        ("owner/name", True),
        ("owner/name.v2", True),
        ("data/pairs.jsonl", False),
        ("./owner/name", False),
        ("name", False),
        ("a/b/c", False),
    ],
)
def test_a_name_of_the_hub_is_told_from_a_path(source: str, is_hub: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_hub_name(source) == is_hub
    (tmp_path / "owner" / "name").mkdir(parents=True)
    assert not is_hub_name("owner/name")


def test_what_is_not_there_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(DataFormatError, match="there is no data file absent") as refused:
        check_source("absent.jsonl", "data.mixture")
    assert refused.value.where == "data.mixture"
    for source in ("s3://bucket/pairs.jsonl", "owner/name", str(tmp_path)):
        check_source(source, "data.train")


def test_a_hub_name_without_the_library_for_it_is_refused_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("orchestrator.preferences.sources.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match="owner/name needs a package") as refused:
        check_source("owner/name", "data.train")
    assert "daa-orchestrator[data]" in refused.value.cure
    check_source("hf://datasets/owner/name/train.parquet", "data.train")


def test_a_compressed_file_without_the_package_that_unpacks_it_is_refused_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fsspec.utils.compressions", {"gz": "gzip"})
    file = tmp_path / "pairs.jsonl.zst"
    file.write_bytes(b"\x28\xb5\x2f\xfd")
    check_source(str(file), "data.train")
    with pytest.raises(SettingsError, match=r"unpacking \.zst needs a package") as refused:
        load_pairs(tmp_path)
    assert refused.value.where == str(file) and "pip install zstandard" in refused.value.cure


def test_an_empty_directory_and_an_unknown_kind_of_address_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataFormatError, match="there is no data file"):
        load_pairs(tmp_path)
    with pytest.raises(DataFormatError, match="the data cannot be reached") as refused:
        load_pairs("nosuch://bucket/pairs.jsonl")
    assert refused.value.code == "DAA-0202"


@pytest.mark.parametrize("name", ["pairs.jsonl.gz", "pairs.parquet"])
def test_a_damaged_file_is_named(name: str, tmp_path: Path) -> None:
    CONTAINERS[name](tmp_path / name, ROWS)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-20])
    with pytest.raises(DataFormatError, match=r"damaged|not a readable") as refused:
        read_pairs(tmp_path / name)
    assert refused.value.where == str(tmp_path / name)


def test_a_row_of_a_csv_file_is_named_by_its_last_line(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text('prompt,chosen,rejected\nsay fox,"fo\nx",dog\nsay fox,fox,\n')
    found = read_pairs(tmp_path / "pairs.csv")
    assert [pair.origin for pair in found.pairs] == [f"{tmp_path / 'pairs.csv'}:3"]
    assert [bad.origin for bad in found.bad] == [f"{tmp_path / 'pairs.csv'}:4"]
