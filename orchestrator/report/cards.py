"""Methods as a table and as one card each, for the screen."""

import inspect
from collections.abc import Mapping
from dataclasses import fields

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Column, Table

from orchestrator.distributions import Choice, Distribution, LogUniform
from orchestrator.objectives import METHODS, Objective, method_named
from orchestrator.policy.scores import Needs

_NEEDS: Mapping[str, str] = {
    "reference": "reference",
    "reward": "rewards",
    "neighbour_step": "reference logits",
    "position_kl": "reference logits",
    "candidates": "all scored responses",
    "mismatched": "mismatched responses",
    "extra_references": "further references",
    "whole_batch": "whole batch",
}
SYMBOLS = (
    "lw, ll: log-probabilities of the chosen and the rejected response; Lw, Ll: their lengths in tokens; m = l/L; lw0, ll0: under the "
    "reference; d = l - l0; D = dw - dl; s: sigmoid; sg: no gradient; dr = r(yw) - r(yl) of rewards r; k: over all responses to a prompt"
)


def needs_in_words(needs: Needs) -> str:
    """What must be measured or given besides the policy's log-probabilities."""
    named = {words: None for need, words in _NEEDS.items() if getattr(needs, need)}
    return ", ".join(named) or "pairs only"


def range_in_words(distribution: Distribution) -> str:
    """A searched range: 0.001–0.3 log, or a | b."""
    if isinstance(distribution, Choice):
        return " | ".join(map(str, distribution.options))
    return f"{distribution.low:g}–{distribution.high:g}{' log' if isinstance(distribution, LogUniform) else ''}"


def methods_table() -> RenderableType:
    """All methods: what each needs, its hyperparameters with defaults and searched ranges, its source and how far it was checked."""
    table = Table(
        "method", *(Column(name, overflow="fold") for name in ("needs", "hyperparameters: default (searched)", "paper")), "status"
    )
    for name, method in METHODS.items():
        table.add_row(
            name, needs_in_words(method().needs), escape("\n".join(_hyperparameters(method))), escape(method.paper), method.status
        )
    return table


def method_card(name: str) -> RenderableType:
    """One method: when to choose it, formula, needs, hyperparameters and source. Raises SettingsError for no method's name."""
    method = method_named(name)
    table = Table("hyperparameter", "default", "searched", box=None, pad_edge=False)
    for item in fields(method):  # pyright: ignore[reportArgumentType]
        searched = method.search_space.get(item.name)
        table.add_row(item.name, str(item.default), range_in_words(searched) if searched else "")
    facts = {
        "loss": method.formula(),
        "needs": needs_in_words(method().needs),
        "paper": method.paper or "none given",
        "status": STATUS[method.status],
        "in a file": f'method = "{name}", or "{name}" among search.methods; its ranges under [search.space.{_key(name)}]',
    }
    lines = [
        f"[bold]{name}[/bold]",
        escape(inspect.getdoc(method) or ""),
        "",
        *(f"[bold]{key}[/bold]  {escape(facts[key])}" for key in facts),
    ]
    return Group("\n".join(lines), "", table, "", f"[dim]{escape(SYMBOLS)}[/dim]")


def _hyperparameters(method: type[Objective]) -> list[str]:
    words = []
    for key, default in method().hyperparameters().items():
        searched = method.search_space.get(key)
        words.append(f"{key} {default}" + (f" ({range_in_words(searched)})" if searched else ""))
    return words


def _key(name: str) -> str:
    """A method's name as a key of TOML."""
    return name if name.replace("_", "").isalnum() else f'"{name}"'


STATUS: Mapping[str, str] = {
    "code-checked": "code-checked: losses and gradients equal those of the authors' or a peer's code that was run",
    "paper text": "paper text: written from the paper or from a third party's reading of it; no authors' code was run",
    "derived": "derived: worked out from the paper's abstract or objective; unconfirmed",
    "unchecked": "unchecked: a method of your own",
}
