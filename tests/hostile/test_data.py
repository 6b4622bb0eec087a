"""Data that are damaged or made to do harm are read, set aside row by row, or refused; never an accident, never all of the memory."""

import gzip
import io
import json
import tracemalloc
from collections.abc import Mapping
from pathlib import Path

import pytest

from evals.prompts import load_prompts
from orchestrator.errors import DataFormatError
from orchestrator.preferences import contents
from orchestrator.preferences.reading import Reading, load_pairs, read_pairs
from orchestrator.preferences.rows import write_quarantine
from orchestrator.preferences.sources import rows

ROW = {"prompt": "say fox", "chosen": "fox", "rejected": "dog"}
GOOD = json.dumps(ROW).encode() + b"\n"
MIB = 1 << 20


def row(**changes: object) -> bytes:
    """A line with some columns changed."""
    return json.dumps({**ROW, **changes}).encode() + b"\n"


def read(tmp_path: Path, content: bytes, name: str = "pairs.jsonl") -> Reading:
    """What reading with quarantine makes of a file; its bad rows can be written down."""
    file = tmp_path / name
    file.write_bytes(content)
    reading = read_pairs(file)
    assert all(bad.reason and bad.cure and str(file) in bad.origin for bad in reading.bad)
    write_quarantine(tmp_path / "quarantine.jsonl", (*reading.bad, *reading.set_aside))
    return reading


def parquet(columns: Mapping[str, object]) -> bytes:
    """A Parquet file in memory."""
    import pyarrow
    import pyarrow.parquet

    content = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), content)
    return content.getvalue()


BROKEN_ROWS = {
    "malformed UTF-8": b'{"prompt": "\xff\xfe", "chosen": "a", "rejected": "b"}\n',
    "half of a surrogate pair as bytes": GOOD.replace(b"fox", b"\xed\xa0\x80"),
    "half of a surrogate pair": row(prompt="\ud800"),
    "100k open brackets": b"[" * 100_000 + b"\n",
    "100k brackets, closed": b'{"prompt": ' + b"[" * 100_000 + b"]" * 100_000 + b', "chosen": "a", "rejected": "b"}\n',
    "100k objects": b'{"a":' * 100_000 + b"\n",
    "500 levels, which Python reads": row(chosen=json.loads("[" * 500 + "]" * 500)),
    "NUL bytes": b"\0\0\0\n",
    "a list": b"[1, 2]\n",
    "a number": b"1\n",
    "an unfinished line": GOOD[:20] + b"\n",
    "another schema": b'{"question": "a", "answer": "b"}\n',
    "NaN as a reward": row(chosen_reward=float("nan"), rejected_reward=1.0),
    "Infinity as a reward": row(chosen_reward=1.0, rejected_reward=float("inf")),
    "a reward that single precision does not hold": row(chosen_reward=1e39, rejected_reward=1.0),
    "rewards whose difference it does not hold": row(chosen_reward=3e38, rejected_reward=-3e38),
    "a reward of 400 digits": row(chosen_reward=10**400, rejected_reward=1),
    "a reward of 5000 digits": GOOD.replace(b"}", b', "chosen_reward": ' + b"9" * 5000 + b"}"),
    **{f"{json.dumps(value)} as {key}": row(**{key: value}) for key in ROW for value in (1, None, {}, [], [1], [[]], [{"role": 1}], "")},
    "an image in a message": row(prompt=[{"role": "user", "content": [{"type": "image", "image": "x"}]}]),
    "a number of tools": row(tools=5),
    "a number of answers": b'{"prompt": "a", "answers": 5}\n',
    "responses without rewards": b'{"prompt": "a", "responses": ["b", "c"], "rewards": [1]}\n',
    "a label that is neither": b'{"prompt": "a", "completion": "b", "label": "maybe"}\n',
    "history that is no list": b'{"instruction": "a", "chosen": "b", "rejected": "c", "history": [1]}\n',
}


@pytest.mark.parametrize("broken", BROKEN_ROWS.values(), ids=BROKEN_ROWS)
def test_a_broken_row_is_set_aside_and_the_rows_around_it_are_read(broken: bytes, tmp_path: Path) -> None:
    reading = read(tmp_path, GOOD + broken + GOOD)
    assert (len(reading.pairs), len(reading.bad)) == (2, 1)
    assert reading.bad[0].origin.endswith(":2")
    with pytest.raises(DataFormatError) as refused:
        load_pairs(tmp_path / "pairs.jsonl")
    assert refused.value.code == "DAA-0200" and refused.value.where.endswith(":2") and refused.value.cure


READ = {
    "a byte order mark": b"\xef\xbb\xbf" + GOOD,
    "Windows line ends": GOOD.replace(b"\n", b"\r\n"),
    "no line end": GOOD[:-1],
    "empty lines": b"\n\n" + GOOD + b"\n",
    "a key twice, of which the last counts": GOOD.replace(b"{", b'{"prompt": "first", '),
    "a letter beyond the first plane": row(chosen_note="\U0001f9ea"),
}


@pytest.mark.parametrize("content", READ.values(), ids=READ)
def test_what_other_programs_write_is_read(content: bytes, tmp_path: Path) -> None:
    (pair,) = read(tmp_path, content).pairs
    assert (pair.prompt[0].content, pair.chosen, pair.rejected) == tuple(ROW.values())


PAIR_TABLE: dict[str, list[object]] = {name: [value] for name, value in ROW.items()}
REFUSED = {
    "empty.jsonl": b"",
    "empty.json": b"",
    "empty.csv": b"",
    "empty.parquet": b"",
    "blank.jsonl": b"\n\n",
    "number.json": b"1",
    "brackets.json": b"[" * 100_000 + b"]" * 100_000,
    "truncated.jsonl.gz": gzip.compress(GOOD * 1000)[:-20],
    "plain.jsonl.gz": GOOD,
    "truncated.jsonl.xz": b"\xfd7zXZ\x00\x00",
    "corrupt.jsonl.bz2": b"BZh9xxxxxx",
    "truncated.parquet": parquet(PAIR_TABLE)[:-10],
    "text.parquet": GOOD,
    "schema.parquet": parquet({"a": [1, 2]}),
    "bytes.parquet": parquet({**PAIR_TABLE, "chosen": [b"\xff"]}),
    "latin.csv": b"prompt,chosen,rejected\n\xff,\xfe,r\n",
    "utf16.csv": "prompt,chosen,rejected\np,c,r\n".encode("utf-16"),
    "utf16_unmarked.csv": "prompt,chosen,rejected\np,c,r\n".encode("utf-16-le"),
    "unclosed.csv": b'prompt,chosen,rejected\n"p,c,r\np,c,r\n',
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_without_a_row_to_train_on_is_refused_with_its_place(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataFormatError) as refused:
        read(tmp_path, REFUSED[name], name)
    assert refused.value.code == "DAA-0200" and name in refused.value.where and refused.value.cure


BROKEN_VALUES = {
    "half of a surrogate pair": row(chosen="\ud83d"),
    "a text that is half of one": b'"\\ud83d"',
    "malformed UTF-8": b'{"prompt": "\xed\xa0\x80", "chosen": "c", "rejected": "\xff"}',
    "200 levels in a column that nobody reads": row(note=json.loads("[" * 200 + "]" * 200)),
    "a number": b"5",
}


@pytest.mark.parametrize("broken", BROKEN_VALUES.values(), ids=BROKEN_VALUES)
@pytest.mark.parametrize("form", [b"[%s]", b' {"data": [%s]}', b"\xef\xbb\xbf\n[%s]"])
def test_a_broken_row_of_a_json_array_is_set_aside(broken: bytes, form: bytes, tmp_path: Path) -> None:
    reading = read(tmp_path, form % b",".join((GOOD, broken, GOOD)), "pairs.json")
    assert (len(reading.pairs), [bad.origin.rpartition(" ")[2] for bad in reading.bad]) == (2, ["2"])


@pytest.mark.parametrize(
    ("content", "line"),
    [(b"[\n" + GOOD + b",\n" + GOOD + b",\n]", ":6"), (b"[" + GOOD + b",\n" + GOOD, ":4"), (b"[" + GOOD + b"," + b"[" * 100_000, "")],
    ids=["a comma after the last row", "cut off", "nested without end"],
)
def test_an_array_that_is_broken_itself_is_refused_as_one_with_its_line(content: bytes, line: str, tmp_path: Path) -> None:
    with pytest.raises(DataFormatError, match="this JSON array cannot be read") as refused:
        read(tmp_path, content, "pairs.json")
    assert refused.value.where == f"{tmp_path / 'pairs.json'}{line}"
    assert "close the array" in refused.value.cure


@pytest.mark.parametrize("broken", ["p,none,I like cats, dogs and birds.", "p,c,r,,1"])
def test_a_row_with_more_cells_than_the_header_is_set_aside_and_no_text_is_cut(broken: str, tmp_path: Path) -> None:
    reading = read(tmp_path, f"prompt,chosen,rejected\np,c,r\n{broken}\np,c,r\n".encode(), "pairs.csv")
    assert [pair.rejected for pair in reading.pairs] == ["r", "r"]
    assert [(bad.origin.rpartition(":")[2], bad.reason) for bad in reading.bad] == [("3", "this row has more cells than the header")]
    assert "quotation marks" in reading.bad[0].cure


def test_empty_cells_beyond_the_header_are_nothing_and_letters_after_a_quotation_spoil_one_row(tmp_path: Path) -> None:
    reading = read(tmp_path, b'prompt,chosen,rejected\np,c,r,\np,"c" ,r\np,c,r\n', "pairs.csv")
    assert [pair.rejected for pair in reading.pairs] == ["r", "r"]
    assert [(bad.origin.rpartition(":")[2], "comma" in bad.cure) for bad in reading.bad] == [("3", True)]
    (tmp_path / "pairs.csv").write_text('prompt,"chosen" ,rejected\np,c,r\n')
    with pytest.raises(DataFormatError, match="this is no CSV") as refused:
        read_pairs(tmp_path / "pairs.csv")
    assert refused.value.where == f"{tmp_path / 'pairs.csv'}:1"


@pytest.mark.parametrize("later", ["p,c,r", 'p,c,"r, s"'])
def test_a_quotation_mark_that_is_never_closed_swallows_no_rows_and_is_named_by_the_line_of_its_row(later: str, tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text(f'prompt,chosen,rejected\np,"c\nc",r\np,c,"open\n{later}\n{later}\n')
    with pytest.raises(DataFormatError, match="this is no CSV") as refused:
        read_pairs(tmp_path / "pairs.csv")
    assert refused.value.where == f"{tmp_path / 'pairs.csv'}:4" and "quotation mark" in refused.value.cure


HALVES = (b'"[{""role"": ""\\ud800""}]"', b"\"[{'from': '\\ud800'}]\"", b'"{""role"": ""user"", ""content"": ""\\udfff""}"')


@pytest.mark.parametrize("cell", [*HALVES, b"\xff", b"p,\xff"])
def test_a_row_of_a_table_whose_texts_are_none_is_set_aside(cell: bytes, tmp_path: Path) -> None:
    reading = read(tmp_path, b"prompt,chosen,rejected\n%s,c,r\np,c,r\n" % cell, "pairs.csv")
    assert (len(reading.pairs), [bad.origin.rpartition(":")[2] for bad in reading.bad]) == (1, ["2"])
    assert "UTF-8" in reading.bad[0].cure


def test_what_no_json_holds_stays_the_text_of_its_cell(tmp_path: Path) -> None:
    (pair,) = read(tmp_path, b'prompt,chosen,rejected\np,"{(1, 2): 3}","[{1}]"\n', "pairs.csv").pairs
    assert (pair.chosen, pair.rejected) == ("{(1, 2): 3}", "[{1}]")


def test_a_table_in_utf_16_is_told_to_be_saved_in_utf_8(tmp_path: Path) -> None:
    for name in ("utf16.csv", "utf16_unmarked.csv"):
        with pytest.raises(DataFormatError, match="UTF-16") as refused:
            read(tmp_path, REFUSED[name], name)
        assert "UTF-8" in refused.value.cure


def test_a_parquet_row_whose_text_is_none_is_set_aside_and_times_that_nobody_reads_do_no_harm(tmp_path: Path) -> None:
    import pyarrow

    texts = pyarrow.array([b"fox", b"\xff", b"ox"]).view(pyarrow.string())
    late = pyarrow.array([1 << 60] * 3, pyarrow.int64()).view(pyarrow.timestamp("ms"))
    columns = {"chosen": texts, "prompt": ["p"] * 3, "rejected": ["r"] * 3, "written": late}
    reading = read(tmp_path, parquet(columns), "pairs.parquet")
    assert [pair.chosen for pair in reading.pairs] == ["fox", "ox"]
    assert [bad.origin.rpartition(" ")[2] for bad in reading.bad] == ["2"]
    assert "`chosen`" in reading.bad[0].reason and "UTF-8" in reading.bad[0].cure


def test_a_cell_of_a_table_that_is_nested_without_end_is_a_text(tmp_path: Path) -> None:
    (pair,) = read(tmp_path, b"prompt,chosen,rejected\np,c," + b"[" * 100_000 + b"\n", "pairs.csv").pairs
    assert pair.rejected.startswith("[[[")


def test_a_line_of_a_hundred_megabytes_is_set_aside_within_bounded_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "LONGEST_LINE", MIB)
    content = GOOD + b'{"prompt": "' + b"x" * (100 * MIB) + b'"}\n' + GOOD
    reading, most = measured(tmp_path, content, "long.jsonl")
    assert (len(reading.pairs), [bad.origin.rpartition(":")[2] for bad in reading.bad]) == (2, ["2"])
    assert most < 10 * MIB


def test_a_bomb_of_gzip_is_set_aside_within_bounded_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "LONGEST_LINE", MIB)
    reading, most = measured(tmp_path, gzip.compress(GOOD + b" " * (100 * MIB), 1), "bomb.jsonl.gz")
    assert (len(reading.pairs), len(reading.bad)) == (1, 1)
    assert most < 10 * MIB


def test_a_json_array_beyond_all_measure_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "LARGEST_JSON", MIB)
    (tmp_path / "bomb.json.gz").write_bytes(gzip.compress(b"[" + b" " * (50 * MIB), 1))
    with pytest.raises(DataFormatError, match="a JSON array of more than 1 MiB"):
        read_pairs(tmp_path / "bomb.json.gz")


def test_a_text_that_parquet_repeats_is_taken_out_for_few_rows_at_a_time(tmp_path: Path) -> None:
    import pyarrow

    text = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 400, pyarrow.int32()), pyarrow.array(["x" * (MIB // 2)]))
    (tmp_path / "bomb.parquet").write_bytes(parquet({"prompt": ["p"] * 400, "chosen": text, "rejected": ["r"] * 400}))
    tracemalloc.start()
    assert sum(1 for _ in rows(tmp_path / "bomb.parquet")) == 400
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 30 * MIB


def test_a_parquet_row_beyond_all_measure_is_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "LONGEST_LINE", MIB)
    reading = read(tmp_path, parquet({"prompt": ["p", "q"], "chosen": ["c", "x" * (2 * MIB)], "rejected": ["r", "r"]}), "pairs.parquet")
    assert (len(reading.pairs), reading.bad[0].reason) == (1, "this row is longer than 1 MiB")
    assert "one row a line" in reading.bad[0].cure


def test_a_cell_that_python_would_take_gigabytes_to_read_stays_a_text(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text('prompt,chosen,rejected\np,"[' + "1," * MIB + 'None]",r\n')
    tracemalloc.start()
    (pair,) = load_pairs(tmp_path / "pairs.csv")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert pair.chosen.endswith("1,None]") and most < 40 * MIB


def test_a_table_whose_quotation_mark_never_closes_is_refused_within_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "LONGEST_LINE", MIB)
    (tmp_path / "pairs.csv").write_bytes(b'prompt,chosen,rejected\n"' + b"line\n" * MIB)
    with pytest.raises(DataFormatError, match="this is no CSV"):
        read_pairs(tmp_path / "pairs.csv")


def test_evaluation_prompts_that_are_broken_are_refused_with_their_line(tmp_path: Path) -> None:
    file = tmp_path / "prompts.jsonl"
    broken = (
        *(
            b"[" * 100_000,
            b"1",
            b'{"prompt": "\xff"}',
            b'{"prompt": "\xed\xa0\x80"}',
            b'{"prompt": "\\ud800"}',
            b'{"prompt": [1]}',
            b'{"prompt": 1}',
        ),
        *(b'{"messages": {"role": 1}}', b'{"prompt": null}', b'{"prompt": []}', b'{"prompt": "a", "answer": [5]}', b'{"prompt": {}}'),
    )
    for content in broken:
        file.write_bytes(b'{"prompt": "a"}\n' + content + b"\n")
        with pytest.raises(DataFormatError) as refused:
            load_prompts(file)
        assert refused.value.where == f"{file}:2" and refused.value.cure, content


def measured(tmp_path: Path, content: bytes, name: str) -> tuple[Reading, int]:
    """The reading of a file, and the most bytes that Python held meanwhile."""
    (tmp_path / name).write_bytes(content)
    tracemalloc.start()
    reading = read_pairs(tmp_path / name)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return reading, most
