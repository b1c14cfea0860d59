"""The ledger: every fact that must survive, in SQLite (WAL) or PostgreSQL.

Source: architecture "The ledger is SQL"; the classes implement the protocols of usecases/ports.py.
"""

from cds_service.adapters.ledger.alerts import SqlAlerts
from cds_service.adapters.ledger.connection import connect, within
from cds_service.adapters.ledger.inbox import SqlInbox, SqlPushCredentials
from cds_service.adapters.ledger.intake import SqlIntakeBells, SqlIntakeCursors
from cds_service.adapters.ledger.jobs import SqlJobs
from cds_service.adapters.ledger.judgements import SqlJudgements
from cds_service.adapters.ledger.logs import SqlAuditLog, SqlCardLog, SqlReplays
from cds_service.adapters.ledger.lost_jobs import SqlLostJobs
from cds_service.adapters.ledger.results import SqlPublications, SqlResults
from cds_service.adapters.ledger.reviews import SqlReviews, SqlReviewWrites
from cds_service.adapters.ledger.tenants import SqlTenants
from cds_service.adapters.ledger.upgrade import check, upgrade
from cds_service.adapters.ledger.waiting_jobs import SqlWaitingJobs
from cds_service.adapters.ledger.worklist import SqlWorklist

__all__ = [
    "SqlAlerts",
    "SqlAuditLog",
    "SqlCardLog",
    "SqlInbox",
    "SqlIntakeBells",
    "SqlIntakeCursors",
    "SqlJobs",
    "SqlJudgements",
    "SqlLostJobs",
    "SqlPublications",
    "SqlPushCredentials",
    "SqlReplays",
    "SqlResults",
    "SqlReviewWrites",
    "SqlReviews",
    "SqlTenants",
    "SqlWaitingJobs",
    "SqlWorklist",
    "check",
    "connect",
    "upgrade",
    "within",
]
