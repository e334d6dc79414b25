"""Messages to a clicker, as a front end sends them."""


def one(points=(), labels=(), box=None, choice=None) -> dict:
    """An object in the JSON of a front end."""
    points = [list(point) for point in points]
    labels = list(labels) or [1] * len(points)
    return {"points": points, "labels": labels, "box": box, "choice": choice}


def session(*objects, current=None) -> dict:
    """The state that a front end sends."""
    return {"objects": list(objects), "current": current or one()}


def receive(clicker, state) -> None:
    """Gives a widget a message from a front end, as the kernel does."""
    data = {"method": "update", "state": {"_session": state}, "buffer_paths": []}
    clicker._handle_msg({"content": {"data": data}, "buffers": []})
