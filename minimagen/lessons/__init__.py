"""Everything that notebooks need beside the library: set-up, figures, the checks of the exercises,
the count of it all. A notebook writes `from minimagen.lessons import checks, lesson`.
"""
