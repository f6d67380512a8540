"""Is a drawing what its sentence says, and is it like real ones? Readers, measures, and the
examination of a cascade.
"""
