"""What ends a command is told with a cure where there is one, and the command's end is told on a full disk as well."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from ray.exceptions import RayTaskError

from evals.chat_models.openai_model import OpenAIModel, OpenAIModelSettings
from evals.whole_files import replacing_bytes, save_json
from orchestrator.errors import DataFormatError
from orchestrator.report.mistakes import as_told, explain
from orchestrator.settings import OpenAISettings
from tests.full_disk import no_file_longer_than

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_an_error_of_ours_is_told_as_it_is() -> None:
    error = DataFormatError("no row", "file:1", "add one")
    assert as_told(error) is error


def test_a_name_that_no_encoding_holds_is_told_with_the_cure(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    error = DataFormatError("no pairs in caf\udce9.jsonl", "caf\udce9.jsonl", "name it otherwise")
    explain(error, error)
    told = capfd.readouterr().err
    assert "no pairs in caf\N{REPLACEMENT CHARACTER}.jsonl" in told and "cure:  name it otherwise" in told
    (log,) = tmp_path.glob("daa-error-*.log")
    assert "DataFormatError" in log.read_text()


@pytest.mark.parametrize(
    "judge",
    [
        lambda name: OpenAISettings(kind="openai", model="judge", api_key_env=name),
        lambda name: OpenAIModel(OpenAIModelSettings("judge", api_key_env=name)),
    ],
    ids=["settings", "model"],
)
def test_a_judges_key_stands_in_no_log_whatever_its_variable_is_called(
    judge: Callable[[str], object],
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    name = f"MY_{request.node.callspec.id}"
    monkeypatch.setenv(name, "canary-of-a-judge")
    judge(name)
    error = ValueError("you sent Bearer canary-of-a-judge")
    explain(as_told(error), error)
    (log,) = tmp_path.glob("daa-error-*.log")
    assert f"${name}" in log.read_text() and "canary" not in log.read_text() + capfd.readouterr().err


def test_a_full_disk_is_told_with_the_file_and_the_cure_and_the_file_stays(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    save_json(file, "before")
    with no_file_longer_than(0):
        with pytest.raises(OSError, match="too large") as json_failed:
            save_json(file, "after")
        with pytest.raises(OSError, match="too large") as bytes_failed, replacing_bytes(file) as content:
            content.write(b"after")
    assert [path.name for path in tmp_path.iterdir()] == ["settings.json"]
    assert file.read_text() == '"before"\n'
    for failed in (json_failed, bytes_failed):
        told = as_told(failed.value)
        assert (told.code, told.where, told.exit_code) == ("DAA-0703", str(file), 1)
        assert "make room" in told.cure and "--resume" in told.cure


def test_a_file_that_another_process_or_library_could_not_write_is_told_alike() -> None:
    ray = RayTaskError("write", "Traceback", FULL).as_instanceof_cause()
    library = RuntimeError("cannot save")
    library.__cause__ = ray
    spoken = ValueError("cannot save")
    spoken.__cause__, spoken.cause = library, "a word"  # pyright: ignore[reportAttributeAccessIssue]
    for error in (FULL, ray, library, spoken):
        assert as_told(error).code == "DAA-0703"
        assert "No space left" in as_told(error).what


def test_a_shared_path_that_is_gone_is_to_be_brought_back() -> None:
    told = as_told(OSError(errno.ESTALE, os.strerror(errno.ESTALE), "/shared/run"))
    assert (told.code, told.where) == ("DAA-0703", "/shared/run")
    assert "bring the disk back" in told.cure


ITSELF = ValueError("from itself")
ITSELF.__cause__ = ITSELF


@pytest.mark.parametrize("error", [ITSELF, ValueError("no"), FileNotFoundError(errno.ENOENT, "absent"), OSError("no number")])
def test_anything_else_is_a_fault(error: Exception) -> None:
    told = as_told(error)
    assert (told.code, told.exit_code) == ("DAA-0003", 1)
    assert repr(error) in told.what


def test_where_the_log_has_no_room_the_error_is_told_without_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with no_file_longer_than(0):
        explain(as_told(FULL), FULL)
    screen = capsys.readouterr().err
    assert "error DAA-0703: " in screen and "cure:  make room" in screen
    assert "log:   could not be written: File too large" in screen
