"""Whatever is written as settings is accepted or refused with code, place and cure, at once."""

import time
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from orchestrator.commands.benchmarks import is_of_a_search
from orchestrator.doctor.subject import subject_of
from orchestrator.errors import DaaError, SettingsError
from orchestrator.settings import BenchmarkSettings
from orchestrator.settings.reward import RewardSettings
from orchestrator.settings_file import check_files, check_settings, load_settings, validated
from tests.hostile.mutations import HUGE, VALUES, mutated, tables

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "jobs" / "examples").glob("*.toml"))
MUTATIONS = 200
OWN_FILES = """\
method = "dpo"
[model]
base = "/tmp"
references = ["/tmp"]
[data]
train = "pairs.jsonl"
[evaluation]
prompts = "prompts.jsonl"
[judge]
kind = "openai"
model = "judge"
"""


def load(example: Path, values: dict[str, Any]) -> None:
    """What a command does with the settings before anything heavy starts."""
    if example.name == "reward.toml":
        validated(RewardSettings, values, example.name)
    elif not is_of_a_search(example):
        validated(BenchmarkSettings, values, example.name)
    else:
        check_files(check_settings(values, example.name))


def outcome(example: Path, values: dict[str, Any]) -> str:
    """The word accepted, or the code of the refusal; anything but a DaaError is let through, and fails the test."""
    try:
        load(example, values)
    except DaaError as error:
        assert error.code and error.where and error.cure, f"{error!r} lacks a part"
        assert len(str(error)) < 8000
        return error.code
    return "accepted"


def test_two_hundred_mutations_of_the_examples_are_each_accepted_or_refused_with_code_place_and_cure() -> None:
    outcomes: Counter[str] = Counter()
    load(EXAMPLES[0], tomllib.loads(EXAMPLES[0].read_text()))
    for seed in range(MUTATIONS):
        example = EXAMPLES[seed % len(EXAMPLES)]
        values, done = mutated(tomllib.loads(example.read_text()), seed)
        start = time.process_time()
        outcomes[outcome(example, values)] += 1
        assert time.process_time() - start < 1, done
    assert outcomes["accepted"] and outcomes["DAA-0103"] and len(outcomes) > 3, outcomes


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:20])
def test_no_value_of_any_kind_in_the_place_of_a_name_or_a_path_is_an_accident(value: Any, tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text(OWN_FILES)
    for number, (_, table) in enumerate(tables(tomllib.loads(OWN_FILES))):
        for key in table:
            values = tomllib.loads(OWN_FILES)
            list(tables(values))[number][1][key] = value
            outcome(file, values)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"a = " + b"[" * 30_000, "DAA-0102"),
        (b"a = " + b"1" * 5000, "DAA-0102"),
        (b'name = "' + b"x" * 1_000_000 + b'"', "DAA-0102"),
        (b"[" + b"a." * 30_000 + b"a]", "DAA-0103"),
        (b'name = "a\0b"', "DAA-0102"),
        ('name = "a"'.encode("utf-16"), "DAA-0102"),
        (b'name = "a"\nname = "b"', "DAA-0102"),
        (b"", "DAA-0103"),
        (b"\xff\xfe\xfd", "DAA-0102"),
    ],
    ids=["brackets", "digits", "a megabyte", "dots", "NUL", "UTF-16", "a key twice", "empty", "no UTF-8"],
)
def test_a_file_that_is_no_settings_is_refused_by_its_place(content: bytes, code: str, tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_bytes(content)
    with pytest.raises(SettingsError) as refused:
        load_settings(file)
    assert (refused.value.code, refused.value.where.startswith(str(file)), bool(refused.value.cure)) == (code, True, True)


@pytest.mark.parametrize(
    "content",
    [
        "".join(f"k{n}=1\n" for n in range(2000)),
        ".".join("a" * 32_000) + "=1",
        "[judge]\n'a'" + ' . "b"' * 9000 + "=1",
        f'a = """\n{"a" + " " * 60_000}!"""',
    ],
    ids=["many unknown keys", "a key of many parts", "one of quoted parts", "many spaces"],
)
def test_settings_that_cannot_be_are_refused_at_once(content: str, tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(content)
    start = time.process_time()
    with pytest.raises(SettingsError) as refused:
        load_settings(tmp_path / "run.toml")
    assert refused.value.code == "DAA-0103"
    assert time.process_time() - start < 1


def test_a_key_may_have_many_parts_and_a_value_more(tmp_path: Path) -> None:
    dots = ".".join("a" * 40)
    (tmp_path / "run.toml").write_text(f'{".".join("k" * 20)} = "{dots}"\nname = ["{dots}", "{dots}"]\n')
    with pytest.raises(SettingsError, match=r"k: unknown key"):
        load_settings(tmp_path / "run.toml")


@pytest.mark.parametrize("content", ["[1]", "5", "null"])
def test_a_json_file_that_is_no_table_is_refused_by_whatever_reads_settings(content: str, tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    file.write_text(content)
    for read in (load_settings, is_of_a_search, subject_of):
        with pytest.raises(SettingsError, match="no table") as refused:
            read(file)
        assert (refused.value.code, refused.value.where) == ("DAA-0102", str(file))


@pytest.mark.parametrize("path", [HUGE, "a\0b", "/", "/proc/self/mem"], ids=["long", "NUL", "directory", "unreadable"])
def test_a_path_that_leads_to_no_file_is_refused_and_not_an_accident(path: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(path)
    assert refused.value.code in {"DAA-0101", "DAA-0102"} and refused.value.where and refused.value.cure


@pytest.mark.parametrize("marks", [b"\xef\xbb\xbf", b""], ids=["with a byte order mark", "with Windows line ends"])
def test_what_editors_on_windows_write_is_read(marks: bytes, tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    example = next(example for example in EXAMPLES if example.name == "demo.toml")
    file.write_bytes(marks + example.read_bytes().replace(b"\n", b"\r\n"))
    assert load_settings(file) == load_settings(example)
