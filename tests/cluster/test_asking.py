"""Errors keep their words on the way through actors."""

import pytest
from ray.exceptions import RayTaskError

from orchestrator.cluster.asking import unwrapped
from orchestrator.cluster.placement import require
from orchestrator.errors import ClusterError, ModelError
from orchestrator.settings import ClusterSettings


def through_an_actor(error: Exception) -> RayTaskError:
    return RayTaskError("respond", "a traceback of many lines", error)


def test_a_refusal_comes_out_of_two_actors_as_it_went_in() -> None:
    refusal = ModelError("this is no model", "/somewhere", "give another")
    twice = through_an_actor(through_an_actor(refusal).as_instanceof_cause())
    assert unwrapped(twice.as_instanceof_cause()) is refusal


def test_another_error_stays_as_it_is() -> None:
    error = through_an_actor(ZeroDivisionError("a fault"))
    assert unwrapped(error) is error


def test_gpus_that_the_cluster_does_not_have_are_named_with_the_cure() -> None:
    with pytest.raises(ClusterError, match="the run needs 4 GPUs and the cluster has 0") as refused:
        require(ClusterSettings(workers=4, gpus_per_worker=1), {"CPU": 8.0})
    assert "add nodes" in refused.value.cure


def test_what_fits_exactly_is_accepted() -> None:
    require(ClusterSettings(workers=2, cpus_per_worker=0.5), {"CPU": 2.0})
