"""Alembic's entry: run the revisions on the connection, and in the transaction, of the caller.

Alembic executes this file; nothing imports it.
"""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    # SQLite can roll DDL back too, once BEGIN is sent by hand as our engine does.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
