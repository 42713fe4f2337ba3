"""Boxes and polygons in pixels: turned with their image, clipped to it, measured. Origin at the top left."""

from alaas_pipeline.labels.annotation import Box, Polygon


def turn(polygon: Polygon, stored: tuple[int, int], orientation: int) -> Polygon:
    """Carry points from an image as stored to the image as shown.

    Args:
        polygon: points in pixels of the stored image.
        stored: its width and height in pixels.
        orientation: EXIF orientation, 5 to 8: those that swap the sides.
    """
    width, height = stored
    match orientation:
        case 5:
            return tuple((y, x) for x, y in polygon)
        case 6:
            return tuple((height - y, x) for x, y in polygon)
        case 7:
            return tuple((height - y, width - x) for x, y in polygon)
        case 8:
            return tuple((y, width - x) for x, y in polygon)
    raise ValueError(f"EXIF orientation {orientation} does not swap the sides.")


def corners(box: Box) -> Polygon:
    """Return the four corners of a box."""
    x, y, width, height = box
    return (x, y), (x + width, y), (x + width, y + height), (x, y + height)


def bounds(polygon: Polygon) -> Box:
    """Return the smallest upright box around points."""
    across, down = [x for x, _ in polygon], [y for _, y in polygon]
    return min(across), min(down), max(across) - min(across), max(down) - min(down)


def area(polygon: Polygon) -> float:
    """Return the area in square pixels (the shoelace formula)."""
    turned = (*polygon[1:], *polygon[:1])
    return abs(sum(x * below - after * y for (x, y), (after, below) in zip(polygon, turned, strict=True))) / 2


def clip_box(box: Box, width: float, height: float) -> Box | None:
    """Cut a box to an image; None if nothing of it is left."""
    x, y = max(box[0], 0.0), max(box[1], 0.0)
    right, bottom = min(box[0] + box[2], width), min(box[1] + box[3], height)
    return (x, y, right - x, bottom - y) if right > x and bottom > y else None


def clip_polygon(polygon: Polygon, width: float, height: float) -> Polygon | None:
    """Cut a polygon to an image, side by side (Sutherland and Hodgman); None if nothing of it is left."""
    for axis, edge, inwards in ((0, 0.0, 1), (0, width, -1), (1, 0.0, 1), (1, height, -1)):
        polygon = _cut(polygon, axis, edge, inwards)
    return polygon if len(polygon) >= 3 and area(polygon) > 0 else None


def _cut(polygon: Polygon, axis: int, edge: float, inwards: int) -> Polygon:
    kept: list[tuple[float, float]] = []
    for before, here in zip((*polygon[-1:], *polygon[:-1]), polygon, strict=True):
        was_in, is_in = (before[axis] - edge) * inwards >= 0, (here[axis] - edge) * inwards >= 0
        if was_in != is_in:
            share = (edge - before[axis]) / (here[axis] - before[axis])
            other = before[1 - axis] + share * (here[1 - axis] - before[1 - axis])
            kept.append((edge, other) if axis == 0 else (other, edge))
        if is_in:
            kept.append(here)
    return tuple(kept)
