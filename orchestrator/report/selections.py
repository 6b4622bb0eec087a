"""The page that tells what a selection kept of a data set, beside what it left out."""

from collections.abc import Mapping, Sequence

import numpy as np

from orchestrator.preferences.pairs import PreferencePair, TokenizedPair
from orchestrator.report.plain_text import plain
from orchestrator.settings import SelectionSettings

_EXAMPLES = 3
_SHOWN = 300


def selection_page(
    settings: SelectionSettings,
    pairs: Sequence[PreferencePair],
    tokenized: Sequence[TokenizedPair],
    margins: Mapping[str, np.ndarray],
    kept: Sequence[int],
) -> str:
    """Markdown: counts, quantiles of margins and lengths of the kept and of the others, the pairs with the widest margins of both.

    `margins` are named columns (N,), NaN where unknown.
    """
    inside = np.zeros(len(pairs), dtype=bool)
    inside[list(kept)] = True
    columns = {**margins, **_lengths(tokenized)}
    lines = [
        f"# {len(kept)} of {len(pairs)} pairs, by {settings.metric}",
        "",
        ", ".join(f"{key} = {value}" for key, value in settings.model_dump().items()),
        "",
        "| | kept: 10 %, median, 90 % | left out: 10 %, median, 90 % |",
        "|---|---|---|",
        *(f"| {name} | {_quantiles(values[inside])} | {_quantiles(values[~inside])} |" for name, values in columns.items()),
        f"| chosen is longer | {_longer(tokenized, inside)} | {_longer(tokenized, ~inside)} |",
        "",
    ]
    explicit = np.nan_to_num(columns["reward margin"], nan=-1.0)
    for title, side in (("Kept", inside), ("Left out", ~inside)):
        widest = [place for place in np.argsort(-explicit, kind="stable") if side[place]][:_EXAMPLES]
        lines += [f"## {title}: the widest reward margins", "", *(line for place in widest for line in _shown(pairs[place]))]
    return "\n".join(lines) + "\n"


def _lengths(tokenized: Sequence[TokenizedPair]) -> dict[str, np.ndarray]:
    sides = {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"}
    return {f"{side}, tokens": np.array([float(len(getattr(pair, name))) for pair in tokenized]) for side, name in sides.items()}


def _quantiles(values: np.ndarray) -> str:
    known = values[~np.isnan(values)]
    return ", ".join(f"{value:.3g}" for value in np.quantile(known, (0.1, 0.5, 0.9))) if len(known) else ""


def _longer(tokenized: Sequence[TokenizedPair], side: np.ndarray) -> str:
    found = [len(pair.chosen) > len(pair.rejected) for pair, is_in in zip(tokenized, side, strict=True) if is_in]
    return f"{100 * sum(found) / len(found):.1f} %" if found else ""


def _shown(pair: PreferencePair) -> list[str]:
    parts = {"prompt": pair.prompt[-1].content, "chosen": pair.chosen, "rejected": pair.rejected}
    cut = {name: text if len(text) <= _SHOWN else f"{text[:_SHOWN]} …" for name, text in parts.items()}
    rewards = "" if pair.chosen_reward is None else f" (rewards {pair.chosen_reward:g} and {pair.rejected_reward:g})"
    quoted = {name: "\n> ".join(map(plain, text.splitlines())) for name, text in cut.items()}
    return [f"{plain(pair.origin)}{rewards}", "", *(f"> **{name}**: {text}\n>" for name, text in quoted.items()), ""]
