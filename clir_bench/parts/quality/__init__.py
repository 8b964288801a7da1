"""Measures of a translation's quality, siblings of one shape.

Each has ``name``, ``better`` (``higher`` or ``lower``), ``score(sources, translations, references, language) -> list[float | None]`` with one value a
translation (None: this one cannot be scored), ``summary`` (the same arguments) with what is computed of all texts of a language together, and ``facts()``:
all that decides a value, ``signature`` first.
"""
