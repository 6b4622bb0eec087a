"""Every code block of the documents is tried: settings are accepted, Python runs, commands are ones that `daa` has; the site is built."""

import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import typer.main

from orchestrator import cli
from orchestrator.objectives import METHODS
from orchestrator.settings.reward import RewardSettings
from orchestrator.settings_file import check_settings, validated

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md"])
LANGUAGES = {"python", "toml", "sh", "text", "yaml", "json", "dockerfile", "html"}
# What a block leaves out because it shows something else.
BASE: Mapping[str, Any] = {
    "model": {"base": "x"},
    "data": {"train": "x"},
    "evaluation": {"prompts": "x"},
    "judge": {"kind": "verifier"},
}


def blocks(language: str) -> list[Any]:
    """The fenced blocks of a language, each named by its page and number."""
    listed = []
    for page in PAGES:
        found = re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
        listed += [pytest.param(text, id=f"{page.stem}-{number}") for number, text in enumerate(found, 1)]
    return listed


def commands() -> list[Any]:
    """The lines of shell blocks that call `daa`."""
    listed = []
    for block in blocks("sh"):
        text = re.sub(r"\\\n\s*", " ", block.values[0])
        for number, line in enumerate(re.split(r"\n|&&", text), 1):
            words = shlex.split(line, comments=True)
            if words and words[0] == "daa":
                listed.append(pytest.param(words[1:], id=f"{block.id}-{number}"))
    return listed


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_says_in_what_language_it_is(page: Path) -> None:
    fences = re.findall(r"^```(.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(fences) % 2 == 0
    assert {fence.removesuffix(" no-run") for fence in fences[::2]} <= LANGUAGES
    assert set(fences[1::2]) <= {""}


@pytest.mark.parametrize("text", blocks("toml"))
def test_settings_are_accepted(text: str) -> None:
    values = tomllib.loads(text)
    if "held_out_share" in values:
        validated(RewardSettings, values, "the page")
        return
    if "rounds" in values.get("search", {}).get("space", {}):
        values.setdefault("rounds", {"scorers": [{"kind": "verifier"}]})
    if not any("my_po" in name or "my_judge" in name for name in re.findall(r'"([^"]*)"', text)):
        check_settings({**BASE, **{key: merged(BASE.get(key), value) for key, value in values.items()}}, "the page")


def merged(base: Any, given: Any) -> Any:
    """The given section on top of what it leaves out; sources and judges replace each other."""
    if not isinstance(given, Mapping) or not isinstance(base, Mapping) or "mixture" in given or "kind" in given:
        return given
    return {**base, **given}


@pytest.mark.parametrize("text", blocks("python"))
def test_python_runs(text: str, tmp_path: Path) -> None:
    file = tmp_path / "block.py"
    file.write_text(text)
    environment = {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, str(file)], check=False, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("words", commands())
def test_commands_are_ones_that_there_are(words: list[str]) -> None:
    parse(typer.main.get_command(cli.app), "daa", words)


def parse(command: Any, name: str, words: list[str]) -> None:
    """Parse a command line without running it; fails for an unknown command, option or a missing argument."""
    inner = getattr(command, "commands", None)
    if inner is None:
        command.make_context(name, list(words))
        return
    assert words, f"`{name}` needs a command"
    assert words[0] in inner, f"there is no `{name} {words[0]}`"
    parse(inner[words[0]], f"{name} {words[0]}", words[1:])


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["serach", "x.toml"], "there is no `daa serach`"),
        (["search", "x.toml", "--directory", "y"], "No such option"),
        (["replay"], "Missing"),
    ],
)
def test_a_command_that_there_is_not_would_be_found(words: list[str], problem: str) -> None:
    with pytest.raises(Exception, match=problem):
        parse(typer.main.get_command(cli.app), "daa", words)


def test_the_site_is_built_with_a_card_for_each_method_and_all_settings(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path / "site")], cwd=ROOT, check=True, timeout=300
    )
    site = tmp_path / "site"
    cards = (site / "all-methods" / "index.html").read_text()
    assert all(f'id="{name}"' in cards for name in METHODS)
    settings = (site / "settings" / "index.html").read_text()
    assert all(f"<code>{key}</code>" in settings for key in ("micro_batch_tokens", "prompt_growth", "gpus_per_engine", "held_out_share"))
    assert '"$schema"' in (site / "settings.schema.json").read_text()
