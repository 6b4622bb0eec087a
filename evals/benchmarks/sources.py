"""Where the benchmarks' official files are published, each at a fixed revision and known again by the hash of its bytes."""

import ast
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

ALPACA_EVAL2, ARENA_HARD_V0_1, ARENA_HARD_V2_0, MT_BENCH = "alpaca_eval2", "arena_hard_v0.1", "arena_hard_v2.0", "mt_bench"

LICENCES: Mapping[str, str] = {
    ALPACA_EVAL2: "AlpacaEval's data are licensed CC BY-NC 4.0: not for commercial use.",
    ARENA_HARD_V0_1: "Arena-Hard-Auto is licensed Apache-2.0.",
    ARENA_HARD_V2_0: "Arena-Hard-Auto is licensed Apache-2.0.",
    MT_BENCH: "MT-Bench (FastChat) is licensed Apache-2.0, SimPO's reference answers MIT.",
}

_ALPACA_EVAL = "https://raw.githubusercontent.com/tatsu-lab/alpaca_eval/cd543a149df89434d8a54582c0151c0b945c3d20/"
_ALPACA_EVAL_HUB = "https://huggingface.co/datasets/tatsu-lab/alpaca_eval/resolve/2edc6fad8be6b14ea7230aabfd08188da6b8b814/"
_ARENA_HARD = "https://raw.githubusercontent.com/lmarena/arena-hard-auto/196f6b826783b3da7310e361a805fa36f0be83f3/"
_FASTCHAT = "https://raw.githubusercontent.com/lm-sys/FastChat/0e6d3e4beaab66f4d3f93db72541a4abab8af28d/"
_SIMPO = "https://raw.githubusercontent.com/princeton-nlp/SimPO/1b3e8f3528a23bce3da514a2dce8ea7490d4bc75/"


@dataclass(frozen=True)
class Source:
    """An official file: its place below the folder of benchmark data, its address, and the benchmarks that need it.

    Its bytes are pinned by their SHA-256; where that is None, by `git_blob`, the object id that the fixed commit gives the file. `makes`
    names files of our layout, each with the function that makes it from these bytes.
    """

    file: str
    url: str
    benchmarks: tuple[str, ...]
    sha256: str | None = None
    git_blob: str | None = None
    makes: Mapping[str, Callable[[bytes], bytes]] = field(default_factory=dict)

    @property
    def pin(self) -> str:
        """The hash that the file has, with its kind."""
        return f"git blob {self.git_blob}" if self.sha256 is None else f"SHA-256 {self.sha256}"

    def pin_of(self, content: bytes) -> str:
        """The hash of some bytes, of the same kind."""
        if self.sha256 is None:
            header = f"blob {len(content)}\0".encode()
            return f"git blob {hashlib.sha1(header + content, usedforsecurity=False).hexdigest()}"
        return f"SHA-256 {hashlib.sha256(content).hexdigest()}"


def instructions(outputs: bytes) -> bytes:
    """AlpacaEval's instructions, numbered in their official order, from the baseline's outputs."""
    return _numbered(outputs, "instruction", "dataset")


def baseline_outputs(outputs: bytes) -> bytes:
    """AlpacaEval's baseline, numbered in the official order, from its JSON list."""
    return _numbered(outputs, "instruction", "dataset", "generator", "output")


def judge_settings(module: bytes) -> bytes:
    """Arena-Hard's JUDGE_SETTINGS as JSON, from the Python file that assigns them, which is read and never run."""
    values: dict[str, Any] = {}
    for statement in ast.parse(module).body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            values[statement.targets[0].id] = _value(statement.value, values)
    return json.dumps(values["JUDGE_SETTINGS"], ensure_ascii=False, indent=1).encode() + b"\n"


def _value(node: ast.expr, values: Mapping[str, Any]) -> Any:
    """The value of an expression of constants, dictionaries and names assigned before."""
    if isinstance(node, ast.Dict):
        return {_value(key, values): _value(value, values) for key, value in zip(node.keys, node.values, strict=True) if key is not None}
    return values[node.id] if isinstance(node, ast.Name) else ast.literal_eval(node)


def _numbered(rows: bytes, *keys: str) -> bytes:
    """Some keys of a JSON list's rows, one row a line, after the row's number from 0."""
    chosen = [{"index": index, **{key: row[key] for key in keys}} for index, row in enumerate(json.loads(rows))]
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in chosen).encode()


# Hashes were computed from the blobs of these commits. Those of the two files of the hub are as a public table of that revision gives them,
# whose hash of the third file, the baseline's outputs, is that of the commit's blob.
SOURCES: tuple[Source, ...] = (
    Source(
        "alpaca_eval2/model_outputs.json",
        f"{_ALPACA_EVAL}results/gpt4_1106_preview/model_outputs.json",
        (ALPACA_EVAL2,),
        "83db546b872ddebee8965fd05fa48461ee3c32bc695c62fb57f2d214ff741ec4",
        makes={"alpaca_eval2/instructions.jsonl": instructions, "preference_text/baseline_outputs.jsonl": baseline_outputs},
    ),
    Source(
        "alpaca_eval2/instruction_difficulty.csv",
        f"{_ALPACA_EVAL_HUB}instruction_difficulty.csv",
        (ALPACA_EVAL2,),
        "e28d875bb334f75e17acd1e4ed659b261860e3db379cf5de29060301bed0a18b",
    ),
    Source(
        "alpaca_eval2/df_gamed.csv",
        f"{_ALPACA_EVAL_HUB}df_gamed.csv",
        (ALPACA_EVAL2,),
        "97aeec3f1c7de6dee6fd31fe66f1702623f4614c3efe1c6fc5f4927cd5fd674d",
    ),
    Source(
        "alpaca_eval2/judge/alpaca_eval_clf.txt",
        f"{_ALPACA_EVAL}src/alpaca_eval/evaluators_configs/alpaca_eval_clf_gpt4_turbo/alpaca_eval_clf.txt",
        (ALPACA_EVAL2,),
        "784227e6dc2832fc08c43d2c8ea3a308e7523780187a1aaad2f85e30bac85f62",
    ),
    Source(
        "alpaca_eval2/leaderboard.csv",
        f"{_ALPACA_EVAL}src/alpaca_eval/leaderboards/data_AlpacaEval_2/weighted_alpaca_eval_gpt4_turbo_leaderboard.csv",
        (ALPACA_EVAL2,),
        "fe32bf85c2f7429038faa4c9a884d1d131726454ff84a4b810a91c1c7a2aa0e9",
    ),
    Source(
        "arena_hard/judge_utils.py",
        f"{_ARENA_HARD}utils/judge_utils.py",
        (ARENA_HARD_V0_1, ARENA_HARD_V2_0),
        "cbb093f4fc27408d8447e946392f26f98538b1e3950f574aca91a0f7595167b4",
        makes={"arena_hard/judge_settings.json": judge_settings},
    ),
    Source(
        "arena_hard/question_v0.1.jsonl",
        f"{_ARENA_HARD}data/arena-hard-v0.1/question.jsonl",
        (ARENA_HARD_V0_1,),
        "2650242d2883f22b2abd498f273b6a7e02253cce533f5c91a858e1d44aa3002f",
    ),
    Source(
        "arena_hard/model_answer_v0.1_gpt-4-0314.jsonl",
        f"{_ARENA_HARD}data/arena-hard-v0.1/model_answer/gpt-4-0314.jsonl",
        (ARENA_HARD_V0_1,),
        "0f6abc84de4600fde987d9db70f838f4ecdbd27a2f1f4058c12aa322a6f791b2",
    ),
    Source(
        "arena_hard/arena-hard-v0.1.yaml",
        f"{_ARENA_HARD}config/arena-hard-v0.1.yaml",
        (ARENA_HARD_V0_1,),
        "87ac45a188421218349697b5eda95cc77f6e60b6f61495d67d8cfebba3210528",
    ),
    Source(
        "arena_hard/leaderboard_v0.1_20240731.csv",
        f"{_ARENA_HARD}leaderboard/arena_hard_leaderboard_20240731.csv",
        (ARENA_HARD_V0_1,),
        "dcc532f251a307f9cb23cb9ac04711e142157f32b934ee752a5456d336a6fe33",
    ),
    Source(
        "arena_hard/question_v2.0.jsonl",
        f"{_ARENA_HARD}data/arena-hard-v2.0/question.jsonl",
        (ARENA_HARD_V2_0,),
        "a75cef6623db6b27aec810497b059f0659705d7ff48dcbccc5bd5b130728ac73",
    ),
    Source(
        "arena_hard/model_answer_v2.0_o3-mini-2025-01-31.jsonl",
        f"{_ARENA_HARD}data/arena-hard-v2.0/model_answer/o3-mini-2025-01-31.jsonl",
        (ARENA_HARD_V2_0,),
        "c23a7c255eead99f7f86ad48aa1d8ccdb5b3334f2097e0e1e09184df87265e03",
    ),
    Source(
        "arena_hard/model_answer_v2.0_gemini-2.0-flash-001.jsonl",
        f"{_ARENA_HARD}data/arena-hard-v2.0/model_answer/gemini-2.0-flash-001.jsonl",
        (ARENA_HARD_V2_0,),
        git_blob="75513a4feb8e2f642a9bdb952d1c3ed245b9c952",
    ),
    Source(
        "arena_hard/arena-hard-v2.0.yaml",
        f"{_ARENA_HARD}config/arena-hard-v2.0.yaml",
        (ARENA_HARD_V2_0,),
        "ee68e5c6ac98a79720bf11014fc3f7fc3c3e5899153b3b08efe3db0e174215a0",
    ),
    Source(
        "arena_hard/README.md",
        f"{_ARENA_HARD}README.md",
        (ARENA_HARD_V2_0,),
        "f0563c344399179df0fb7abbb2503762b0446584ace78039f1f792058e0ab0dc",
    ),
    Source(
        "mt_bench/question.jsonl",
        f"{_FASTCHAT}fastchat/llm_judge/data/mt_bench/question.jsonl",
        (MT_BENCH,),
        "119565adbab82227089cefdb44c8d7e2cf04dc0a0ec233634c82e7d4e2a944f7",
    ),
    Source(
        "mt_bench/judge_prompts.jsonl",
        f"{_FASTCHAT}fastchat/llm_judge/data/judge_prompts.jsonl",
        (MT_BENCH,),
        "fd283293406d024f44c174b094ef48031d0687a4682fd3a56b29b138f80281b6",
    ),
    Source(
        "mt_bench/reference_answer_gpt-4.jsonl",
        f"{_FASTCHAT}fastchat/llm_judge/data/mt_bench/reference_answer/gpt-4.jsonl",
        (MT_BENCH,),
        "f957a5bc977badb66885ec970e6cd08527845780313f0995764260e5777b9b3f",
    ),
    Source(
        "mt_bench/reference_answer_gpt-4-1106-preview_SimPO.jsonl",
        f"{_SIMPO}eval/mt-bench/gpt-4-1106-preview.jsonl",
        (MT_BENCH,),
        "fe030678a33dbbd3d729e7569375150b8830a53f5b11f820a75b630db317f56f",
    ),
)
