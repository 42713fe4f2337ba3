"""When things happen: the jobs of a pool, the sensors that close the loop, and the rule they follow."""
