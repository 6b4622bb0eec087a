"""The cluster file is one that Ray accepts."""

from pathlib import Path
from typing import Any

import yaml


def test_rays_own_validator_accepts_the_cluster_file() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    settings: dict[str, Any] = yaml.safe_load((Path(__file__).parents[2] / "cluster.yaml").read_text())
    validate_config(prepare_config(settings))
    assert settings["head_node_type"] in settings["available_node_types"]
