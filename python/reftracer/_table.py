"""Results that are lists of rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Generic, TypeVar, overload

from reftracer._arrow import stream_capsule

#: Name and type of each column: "text", "int", "float" or "bool".
Columns = tuple[tuple[str, str], ...]


class Row:
    """Something that is a row of a table."""

    COLUMNS: ClassVar[Columns] = ()

    def row(self) -> dict[str, Any]:
        """Plain columns: text, numbers, None for what is not known."""
        raise NotImplementedError


R_co = TypeVar("R_co", bound=Row, covariant=True)

#: Rows that the repr of a table shows.
SHOWN = 10


class Table(Generic[R_co]):
    """A list of results.

    It has a length, an order and indexes, and is a source for anything that knows the Arrow PyCapsule interface:
    ``pyarrow.table(rows)``, ``polars.DataFrame(rows)``, ``pandas.DataFrame(rows.rows())``
    and, from pandas 3 on, ``pandas.DataFrame.from_arrow(rows)``.
    (No collections.abc.Sequence: polars would take the rows' attributes apart.)
    """

    def __init__(
        self, kind: type[R_co], items: Iterable[R_co], title: str, remark: str = ""
    ) -> None:
        """title: what the rows are, in the plural; a remark may follow in the repr."""
        self._kind = kind
        self._items = tuple(items)
        self._title = title
        self._remark = remark

    @overload
    def __getitem__(self, index: int) -> R_co: ...

    @overload
    def __getitem__(self, index: slice) -> Table[R_co]: ...

    def __getitem__(self, index: int | slice) -> R_co | Table[R_co]:
        if isinstance(index, slice):
            return Table(self._kind, self._items[index], self._title, self._remark)
        return self._items[index]

    def __iter__(self) -> Iterator[R_co]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Table):
            return self._items == other._items
        if isinstance(other, (list, tuple)):
            return self._items == tuple(other)
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self._items)

    def rows(self) -> list[dict[str, Any]]:
        """One dict of plain columns for each row."""
        return [item.row() for item in self._items]

    def columns(self) -> dict[str, list[Any]]:
        """The same by column: ``pandas.DataFrame(table.columns())``."""
        rows = self.rows()
        return {name: [row[name] for row in rows] for name, _ in self._kind.COLUMNS}

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The Arrow PyCapsule interface. requested_schema: not used; consumers cast."""
        return stream_capsule(self._kind.COLUMNS, self.columns())

    def __repr__(self) -> str:
        title = self._title if len(self) != 1 else _singular(self._title)
        title = f"{len(self):,} {title}{self._remark}"
        lines = [f"{title}:" if self else f"<{title}>"]
        lines += [f"  {item}" for item in self._items[:SHOWN]]
        if len(self) > SHOWN:
            lines.append(f"  … {len(self) - SHOWN:,} more")
        return "\n".join(lines)


def _singular(plural: str) -> str:
    noun, _, rest = plural.partition(" ")
    return " ".join(filter(None, [noun.removesuffix("s"), rest]))
