"""What builds the data, the lessons, the classroom, the figures: `python -m tools.NAME`, from the
root of a checkout.
"""
