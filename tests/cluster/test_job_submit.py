"""`ray job submit` against a local head: the job runs, and its failure is the command's failure."""

from pathlib import Path

import pytest

from tests.cluster.job_server import local_head, ray_job_submit
from tests.cluster.small_search import write_small_search

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]


def test_a_submitted_search_succeeds_and_a_refused_one_fails_with_its_reason(tiny_model: Path, tmp_path: Path) -> None:
    settings = write_small_search(tmp_path, tiny_model, trials=2, steps=8)
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(settings.read_text().replace("trials", "trails"))
    with local_head(tmp_path) as address:
        refused = ray_job_submit(address, "python", "-m", "jobs.search", str(wrong), "--dir", str(tmp_path / "refused"))
        done = ray_job_submit(address, "python", "-m", "jobs.search", str(settings), "--dir", str(tmp_path / "run"))
    assert refused.returncode != 0
    assert "did you mean 'trials'?" in refused.stdout
    assert "exit code 2" in refused.stdout + refused.stderr
    assert done.returncode == 0, done.stdout
    assert "winner:" in done.stdout
    assert (tmp_path / "run" / "leaderboard.json").is_file()
