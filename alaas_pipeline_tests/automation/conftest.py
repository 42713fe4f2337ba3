from alaas_pipeline_tests.bench import bench, empty_ledger, server

__all__ = ["bench", "empty_ledger", "server"]
