from alaas_pipeline_tests.faults.points import Counting


def test_requests_that_are_under_way_at_once_keep_their_numbers() -> None:
    counting = Counting()
    counting.turn(1)
    told = [("unsent", 7), ("unsent", 8), ("sent", 7), ("answered", 8), ("answered", 7)]
    points = [counting.point({"say": "request", "kind": "PUT /a", "place": place, "n": n}) for place, n in told]
    assert [point.nth for point in points] == [1, 2, 1, 2, 1]
    counting.turn(2)
    again = counting.point({"say": "request", "kind": "PUT /a", "place": "unsent", "n": 9})
    assert (again.era, again.nth) == (2, 1)
