"""What `pytest --nbval` runs the lessons under: no clock decides."""


def pytest_itemcollected(item):
    """Wait an hour for the output of a cell that has ended; nbval waits 5 s, and has no option."""
    if hasattr(item, "output_timeout"):
        item.output_timeout = 3600
