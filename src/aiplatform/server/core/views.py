"""Views: columns that a higher domain publishes for statements in lower domains.

A higher domain may import a lower one, but not vice versa (see docs/architecture.md). If a lower
domain needs columns of a higher one, it declares a :class:`View` of these columns. The domain that
owns the table writes the statement, and the composition root connects the two. PostgreSQL plans a
join with such a view like a join with the table.
"""

from typing import Any

from sqlalchemy import Select, Subquery


class View:
    """A set of columns from another domain's table that statements can join."""

    def __init__(self, name: str, *columns: str) -> None:
        """Declare a view with its SQL name and the names of its columns."""
        self.name = name
        self.columns = columns
        self._table: Subquery | None = None

    def publish(self, statement: Select[*tuple[Any, ...]]) -> None:
        """Set the statement that yields the columns; the composition root calls this."""
        table = statement.subquery(self.name)
        assert set(table.c.keys()) == set(self.columns), (self.name, table.c.keys())
        self._table = table

    @property
    def table(self) -> Subquery:
        """The subquery to select from or to join.

        Raises:
            RuntimeError: no domain has published it.
        """
        if self._table is None:
            raise RuntimeError(f"nobody publishes {self.name}: call compose() first")
        return self._table

    @property
    def c(self) -> Any:
        """The view's columns, as attributes; see :attr:`table`."""
        return self.table.c
