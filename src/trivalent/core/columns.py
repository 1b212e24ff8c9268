"""Flat tables of documents: CSV, Parquet, data frames and the database take their columns from here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trivalent.core.schema import Form, Json


class Columns:
    """A flat table of documents: the name of each column, and the place of its cell in a document.

    Attributes
    ----------
    places : dict of str
        Keys that lead to the cell, separated by dots.
    types : dict of str
        Types of the columns, as Arrow names them.
    """

    def __init__(self, form: Form, places: Mapping[str, str]) -> None:
        self.places = dict(places)
        self._cells: dict[str, tuple[list[str], Form]] = {}
        for name, place in places.items():
            keys, inner = place.split("."), form
            for key in keys:
                inner = inner.at(key)
            self._cells[name] = keys, inner
        self.types = {name: inner.cell for name, (_, inner) in self._cells.items()}

    def row(self, document: Mapping[str, Any]) -> Json:
        """Pick the cells; None where a document has null or nothing on the way."""
        row = {}
        for name, (keys, form) in self._cells.items():
            data: Any = document
            for key in keys:
                data = None if data is None else data.get(key)
            row[name] = None if data is None else form.in_cell(data)
        return row
