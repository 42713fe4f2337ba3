"""A pool whose images cost more than its grant: refused as a whole, before anything is spent or stored."""

from alaas_pipeline_tests.end_to_end.world import World, complaint, failure, paint, pool_entry, stored


def test_a_grant_that_does_not_suffice_changes_nothing_until_it_is_raised(world: World) -> None:
    paint(world.root / "photos", {"cats": 12, "dogs": 8})
    world.declare(pool_entry("Pets", str(world.root / "photos"), credit_grant=50))
    with world.instance() as instance:
        refused = world.run(instance, "pets", "prepare_pool")
        told = complaint(refused)
        assert "100 credits" in told
        assert "may spend 50" in told
        assert "credit_grant" in told
        assert "nothing was charged" in told
        assert stored(refused) == ["images"]
        pool = world.status("pets")
        assert (pool["credits"]["spent"], pool["credits"]["reserved"], pool["credits"]["spendable"]) == (0, 0, 50)
        assert (pool["counts"]["total"], pool["counts"]["embedded"]) == (20, 0)
        assert list(world.home.files.rglob("*.parquet")) == []

        world.declare(pool_entry("Pets", str(world.root / "photos"), credit_grant=300))
        paid = world.run(instance, "pets", "prepare_pool")
        assert paid.success, failure(paid)
    pool = world.status("pets")
    assert (pool["credits"]["spent"], pool["credits"]["spendable"], pool["counts"]["embedded"]) == (100, 200, 20)
