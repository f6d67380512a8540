"""What notebooks need beside the library: set-up, figures, the checks of the exercises, a count.

A notebook writes `from minimagen.lessons import checks, lesson`.
"""
