"""The instance that demo, UI and CI run under is the one that the root dagster.yaml describes."""

import os
import shutil
from pathlib import Path

import dagster as dg

from alaas_pipeline.definitions import build_defs
from alaas_pipeline.resources import Pools
from alaas_pipeline_tests.end_to_end.world import World, paint, pool_entry

ROOT = Path(__file__).resolve().parents[2]


def test_the_live_instance_is_configured_by_the_root_dagster_yaml(world: World) -> None:
    with world.instance() as instance:
        assert os.environ["DAGSTER_HOME"] == str(world.home.dagster)
        assert instance.root_directory == str(world.home.dagster)
        assert instance.telemetry_enabled is False
        assert instance.nux_enabled is False
        assert instance.managed_python_loggers == ["alaas_pipeline"]
        assert instance.python_log_level == "INFO"
        assert instance.run_monitoring_enabled is True
        assert instance.run_monitoring_max_runtime_seconds == 43200
        assert instance.run_retries_enabled is True
        assert instance.run_retries_max_retries == 1
        assert instance.run_retries_retry_on_asset_or_op_failure is False
        queue = instance.get_concurrency_config().run_queue_config
        assert queue is not None
        assert queue.max_concurrent_runs == 2
        (limit,) = queue.tag_concurrency_limits
        assert limit == {"key": "dagster/partition", "value": {"applyLimitPerUniqueValue": True}, "limit": 1}
    assert (world.home.dagster / "dagster.yaml").read_bytes() == (ROOT / "dagster.yaml").read_bytes()


def test_a_lost_dagster_home_loses_no_round(world: World) -> None:
    paint(world.root / "photos", {"cats": 4})
    world.declare(pool_entry("Pets", str(world.root / "photos"), images_per_round=2))
    with world.instance() as instance:
        assert world.run(instance, "pets", "prepare_pool").success
        key = world.open_round("pets")
        instance.add_dynamic_partitions("rounds.pets", [key])
    shutil.rmtree(world.home.dagster)
    with world.instance() as instance:
        assert instance.get_dynamic_partitions("rounds.pets") == []
        defs = build_defs()
        resources = {"pools": Pools(home=str(world.home.root))}
        context = dg.build_sensor_context(instance=instance, definitions=defs, resources=resources)
        result = defs.resolve_sensor_def("label_loop")(context)
        assert instance.get_dynamic_partitions("rounds.pets") == [key]
    assert isinstance(result, dg.SensorResult)
    (request,) = result.run_requests or []
    assert (request.job_name, request.partition_key) == ("pets__prepare_round", key)
