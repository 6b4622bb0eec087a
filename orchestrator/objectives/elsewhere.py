"""What other tools call methods that have another name here; docs/methods.md has the table with their hyperparameters."""

from collections.abc import Mapping

# Each name with the tool that gives it, and ours.
ELSEWHERE: Mapping[str, tuple[str, str]] = {
    "sigmoid": ("TRL", "dpo"),
    "robust": ("TRL", "robust_dpo"),
    "exo_pair": ("TRL", "exo_pref"),
    "bco_pair": ("TRL", "bco"),
    "nca_pair": ("TRL", "nca"),
    "sigmoid_norm": ("TRL", "ln_dpo"),
    "dpo_norm": ("open-instruct", "ln_dpo"),
    "rpo_bwd_kl": ("NeMo", "rpo_bwd"),
    "rpo_fwd_kl": ("NeMo", "rpo_fwd"),
    "slic": ("HALOs", "slic_hf"),
    "exo-pref": ("EXO", "exo_pref"),
    "exo-rw": ("EXO", "exo_rw"),
    "dpo-rw": ("EXO", "rpo_bwd"),
    "chipo": ("oxRL", "chi_po"),
}


def known_elsewhere(name: str) -> str:
    """Whose name it is, and of which method here; nothing for a name that no table has."""
    tool, ours = ELSEWHERE.get(name, ("", ""))
    return f"{tool}'s {name} is {ours}" if tool else ""
