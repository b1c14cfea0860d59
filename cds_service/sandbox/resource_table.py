"""FHIR resources in one SQLite file, with versions and a search index.

Source: FHIR R4 http.html (create, update, conditional create, versions), search.html.
"""

import json
import sqlite3
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import RLock
from typing import Any

from cds_service.sandbox.config import utc_now
from cds_service.sandbox.fhir_search import Query, parse_query
from cds_service.sandbox.fhir_types import ID, require_type
from cds_service.sandbox.fhir_validation import validate
from cds_service.sandbox.outcomes import InvalidResource, Resource, VersionConflict
from cds_service.sandbox.search_parameters import indexed_values

_SCHEMA = """
CREATE TABLE IF NOT EXISTS resource (
    type TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (type, id)
);
CREATE TABLE IF NOT EXISTS search_index (
    type TEXT NOT NULL, id TEXT NOT NULL, name TEXT NOT NULL,
    low TEXT NOT NULL, high TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS search_by_value ON search_index (type, name, low);
CREATE INDEX IF NOT EXISTS search_by_resource ON search_index (type, id, name);
"""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a search: `total` counts all matches, not only these."""

    total: int
    resources: list[Resource]


class ResourceTable:
    """Resources by type and id. Thread-safe; every write is checked, versioned and indexed."""

    def __init__(self, path: Path, now: Callable[[], datetime] = utc_now) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._now = now
        self._lock = RLock()
        self._depth = 0
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file; the store is of no use afterwards."""
        with self._lock:
            self._db.close()

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Hold the store; what is written inside is kept only if nothing is raised."""
        with self._lock:
            if self._depth == 0:
                self._db.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
            except BaseException:
                self._depth -= 1
                if self._depth == 0:
                    self._db.execute("ROLLBACK")
                raise
            self._depth -= 1
            if self._depth == 0:
                self._db.execute("COMMIT")

    def read(self, type_: str, id_: str) -> Resource | None:
        """Return the current version, or None."""
        rows = self._rows("SELECT body FROM resource WHERE type = ? AND id = ?", (type_, id_))
        return json.loads(rows[0][0]) if rows else None

    def create(self, resource: Resource, new_id: str | None = None) -> Resource:
        """Keep a new resource under a new id (ours, or this unused one); return it as kept."""
        return self._write({**resource, "id": new_id or str(uuid.uuid4())}, version=1)

    def update(self, resource: Resource, if_match: str | None = None) -> Resource:
        """Keep the resource under its own id, as version 1 or the next one (update-as-create).

        Raises VersionConflict unless `if_match` is None or the current versionId.
        """
        with self.all_or_nothing():
            current = self.read(str(resource.get("resourceType")), str(resource.get("id")))
            version = current["meta"]["versionId"] if current else None
            if if_match is not None and if_match != version:
                raise VersionConflict("If-Match does not name the current version")
            return self._write(resource, version=int(version or 0) + 1)

    def remove(self, type_: str, id_: str) -> None:
        """Forget a resource; the chart's own right, which no REST client has."""
        with self.all_or_nothing():
            self._db.execute("DELETE FROM resource WHERE type = ? AND id = ?", (type_, id_))
            self._db.execute("DELETE FROM search_index WHERE type = ? AND id = ?", (type_, id_))

    def search(self, type_: str, params: Mapping[str, str]) -> list[Resource]:
        """Return what matches all of these FHIR search parameters (everything, without _count)."""
        return self.find(parse_query(require_type(type_), params.items())).resources

    def find(self, query: Query) -> Page:
        """Return one page of the query's matches."""
        where, values = ["resource.type = ?"], [query.type]
        for condition in query.conditions:
            where.append(
                "EXISTS (SELECT 1 FROM search_index s WHERE s.type = resource.type"  # noqa: S608  ours
                f" AND s.id = resource.id AND s.name = ? AND {condition.sql})"
            )
            values += [condition.name, *condition.values]
        matching = f"FROM resource WHERE {' AND '.join(where)}"
        order, order_values = _order(query)
        with self._lock:
            total = self._rows(f"SELECT count(*) {matching}", values)[0][0]
            rows = self._rows(
                f"SELECT body {matching} ORDER BY {order} LIMIT ? OFFSET ?",
                [*values, *order_values, -1 if query.count is None else query.count, query.offset],
            )
        return Page(total, [json.loads(body) for (body,) in rows])

    def _rows(self, sql: str, values: Any) -> list[Any]:  # noqa: ANN401  SQLite's own types
        with self._lock:
            return self._db.execute(sql, values).fetchall()

    def _write(self, resource: Resource, version: int) -> Resource:
        moment = self._now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        meta = {**resource.get("meta", {}), "versionId": str(version), "lastUpdated": moment}
        kept = validate({**resource, "meta": meta})
        type_, id_ = kept["resourceType"], kept.get("id")
        if not isinstance(id_, str) or not ID.fullmatch(id_):
            raise InvalidResource("a resource id has 1 to 64 letters, digits, '-' and '.'")
        with self.all_or_nothing():
            self._db.execute(
                "INSERT INTO resource (type, id, version, body) VALUES (?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET version = excluded.version, body = excluded.body",
                (type_, id_, version, json.dumps(kept)),
            )
            self._db.execute("DELETE FROM search_index WHERE type = ? AND id = ?", (type_, id_))
            self._db.executemany(
                "INSERT INTO search_index (type, id, name, low, high) VALUES (?, ?, ?, ?, ?)",
                {(type_, id_, value.name, value.low, value.high) for value in indexed_values(kept)},
            )
        return kept


def _order(query: Query) -> tuple[str, list[str]]:
    """Return the ORDER BY of the query (nulls last), ending in the id so that pages are stable."""
    terms = [
        "(SELECT min(s.low) FROM search_index s WHERE s.type = resource.type"  # noqa: S608  ours
        f" AND s.id = resource.id AND s.name = ?) {'DESC' if descending else 'ASC'} NULLS LAST"
        for _, descending in query.order
    ]
    return ", ".join([*terms, "resource.id"]), [name for name, _ in query.order]
