"""Files become pairs, and every row that is none is refused with its line and a cure."""

import json
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from evals.prompts import Message
from orchestrator.errors import DataFormatError, UserError
from orchestrator.preferences.reading import load_pairs
from orchestrator.preferences.sources import parts_of
from tests.preferences.files import write_gzip, write_lines, write_parquet

PLAIN = {"prompt": "say fox", "chosen": "fox", "rejected": "dog"}
TURNS = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "say fox"}]
ROWS = [PLAIN, {**PLAIN, "chosen_reward": 2, "rejected_reward": 0.5}, {**PLAIN, "score_chosen": 9.0, "score_rejected": 1.0}]


def refusal(file: Path, content: str) -> DataFormatError:
    """The error that this content of a file raises."""
    file.write_text(content)
    with pytest.raises(DataFormatError) as refused:
        load_pairs(file)
    return refused.value


@pytest.mark.parametrize(
    ("name", "write"),
    [("pairs.jsonl", write_lines), ("pairs.jsonl.gz", write_gzip), ("pairs.json.gz", write_gzip), ("pairs.parquet", write_parquet)],
)
def test_every_format_gives_the_same_pairs(name: str, write: Callable[[Path, Sequence[Mapping[str, Any]]], None], tmp_path: Path) -> None:
    write(tmp_path / name, ROWS)
    pairs = load_pairs(tmp_path / name)
    assert [(pair.prompt, pair.chosen, pair.rejected) for pair in pairs] == [((Message("user", "say fox"),), "fox", "dog")] * 3
    assert [(pair.chosen_reward, pair.rejected_reward) for pair in pairs] == [(None, None), (2.0, 0.5), (9.0, 1.0)]


@pytest.mark.parametrize(("name", "write"), [("pairs.jsonl", write_lines), ("pairs.parquet", write_parquet)])
def test_conversational_rows_keep_their_turns_and_the_last_answer(
    name: str, write: Callable[[Path, Sequence[Mapping[str, Any]]], None], tmp_path: Path
) -> None:
    answers = {side: [{"role": "assistant", "content": text}] for side, text in (("chosen", "fox"), ("rejected", "dog"))}
    write(tmp_path / name, [{"prompt": TURNS, **answers}])
    (pair,) = load_pairs(tmp_path / name)
    assert pair.prompt == (Message("system", "be brief"), Message("user", "say fox"))
    assert (pair.chosen, pair.rejected) == ("fox", "dog")


def test_an_implicit_prompt_is_all_but_the_last_turn_of_the_chosen_conversation(tmp_path: Path) -> None:
    row = {side: [*TURNS, {"role": "assistant", "content": text}] for side, text in (("chosen", "fox"), ("rejected", "dog"))}
    write_lines(tmp_path / "pairs.jsonl", [row])
    (pair,) = load_pairs(tmp_path / "pairs.jsonl")
    assert pair.prompt == (Message("system", "be brief"), Message("user", "say fox"))
    assert (pair.chosen, pair.rejected) == ("fox", "dog")


def test_a_limit_takes_the_first_rows_and_reads_no_further(tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_text(f"{json.dumps(PLAIN)}\n{json.dumps(ROWS[1])}\nnot JSON\n")
    assert [pair.chosen_reward for pair in load_pairs(tmp_path / "pairs.jsonl", limit=2)] == [None, 2.0]


def test_empty_lines_are_passed_over_and_still_counted(tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_text(f"\n{json.dumps(PLAIN)}\n\n{json.dumps(PLAIN)}\n")
    assert [pair.origin for pair in load_pairs(tmp_path / "pairs.jsonl")] == [f"{tmp_path / 'pairs.jsonl'}:{line}" for line in (2, 4)]


def test_a_file_behind_a_web_address_has_another_version_when_it_was_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()

        def version() -> str:
            (part,) = parts_of(f"http://127.0.0.1:{server.server_port}/pairs.jsonl")
            return part.version()

        versions = []
        for second in (1, 1, 2):
            (tmp_path / "pairs.jsonl").write_text('{"prompt": "same length"}\n')
            os.utime(tmp_path / "pairs.jsonl", (second, second))
            versions.append(version())
        server.shutdown()
    assert versions[0] == versions[1] != versions[2]


class Signed(SimpleHTTPRequestHandler):
    """Serves files to those who know the signature."""

    def send_head(self):
        if not self.path.endswith("?sig=canary-signature"):
            self.send_error(403)
            return None
        return super().send_head()


def test_a_signature_of_the_environment_opens_an_address_and_stands_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (tmp_path / "pairs.jsonl").write_text(json.dumps(PLAIN) + "\n")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Signed, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/pairs.jsonl?${{DATA_TOKEN}}"
        with pytest.raises(UserError, match="the environment has no DATA_TOKEN") as refused:
            load_pairs(address)
        monkeypatch.setenv("DATA_TOKEN", "sig=canary-signature")
        (pair,) = load_pairs(address)
        versions = [part.version() for part in parts_of(address)]
        server.shutdown()
    assert pair.origin == f"{address}:1"
    assert "canary" not in str(versions)
    assert "daa submit --env DATA_TOKEN" in refused.value.cure


def test_a_missing_file_is_named_with_the_setting_to_correct(tmp_path: Path) -> None:
    with pytest.raises(DataFormatError, match=r"there is no data file .*absent\.jsonl") as refused:
        load_pairs(tmp_path / "absent.jsonl")
    assert refused.value.code == "DAA-0201"
    assert refused.value.where == "data.train"
    assert "path" in refused.value.cure


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_a_file_without_rows_is_refused(content: str, tmp_path: Path) -> None:
    error = refusal(tmp_path / "pairs.jsonl", content)
    assert "no rows" in error.what
    assert error.where == str(tmp_path / "pairs.jsonl")
    assert '"prompt"' in error.cure


@pytest.mark.parametrize("name", ["prompt", "chosen", "rejected"])
@pytest.mark.parametrize("value", [None, "", []])
def test_a_row_without_one_of_the_three_is_refused_with_its_line_and_what_a_row_needs(name: str, value: object, tmp_path: Path) -> None:
    row = {**PLAIN, name: value} if value is not None else {key: text for key, text in PLAIN.items() if key != name}
    error = refusal(tmp_path / "pairs.jsonl", f"{json.dumps(PLAIN)}\n{json.dumps(row)}\n")
    assert (f"`{name}` is empty" if value == "" and name != "prompt" else f"no `{name}`") in error.what
    assert error.where == f"{tmp_path / 'pairs.jsonl'}:2"
    assert error.cure.startswith('each row needs "prompt", "chosen" and "rejected"')


def test_a_row_with_other_names_is_told_which_names_it_has(tmp_path: Path) -> None:
    error = refusal(tmp_path / "pairs.jsonl", json.dumps({"question": "?", "winner": "a", "loser": "b"}))
    assert "it has: loser, question, winner" in error.what


def test_a_parquet_row_that_is_no_pair_is_named(tmp_path: Path) -> None:
    write_parquet(tmp_path / "pairs.parquet", [PLAIN, {**PLAIN, "rejected": None}])
    with pytest.raises(DataFormatError, match="no `rejected`") as refused:
        load_pairs(tmp_path / "pairs.parquet")
    assert refused.value.where == f"{tmp_path / 'pairs.parquet'}, row 2"


@pytest.mark.parametrize(
    ("line", "what", "cure"),
    [
        ('{"prompt": "say', "not JSON", "one JSON object on each line"),
        ('["say fox", "fox", "dog"]', "not a JSON object", '"prompt"'),
        ('{"prompt": "a", "chosen": [{"role": "assistant"}], "rejected": "b"}', "cannot be read", '"role", "content"'),
        ('{"prompt": [{"content": "a"}], "chosen": "a", "rejected": "b"}', "cannot be read", '"role", "content"'),
        ('{"prompt": "a", "chosen": 5, "rejected": "b"}', "cannot be read", '"prompt"'),
        ('{"prompt": "a", "chosen": "a", "rejected": "b", "score_chosen": "high", "score_rejected": 1}', "cannot be read", '"prompt"'),
    ],
)
def test_a_line_that_is_no_row_is_refused_with_its_number_and_a_cure(line: str, what: str, cure: str, tmp_path: Path) -> None:
    error = refusal(tmp_path / "pairs.jsonl", f"{json.dumps(PLAIN)}\n{json.dumps(PLAIN)}\n{line}\n")
    assert what in error.what
    assert error.where == f"{tmp_path / 'pairs.jsonl'}:3"
    assert cure in error.cure
