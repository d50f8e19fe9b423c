"""What operators do in bulk."""

from sqlalchemy.ext.asyncio import AsyncEngine

from activities.bulk import BulkActivities
from activities.bulk_settling import BulkSettler
from activities.bulk_starts import BulkStarts
from contracts import queues
from database.bulk import BulkRepository
from hosting.process import Hosted, Process, TaskQueue
from workflows.bulk import BulkWorkflow


def host_bulk(process: Process, engine: AsyncEngine) -> Hosted:
    """Begin bulk actions, do them, and settle those whose process is gone."""
    bulks = BulkRepository(engine)
    bulk = BulkActivities(bulks, process.client)
    return Hosted(
        task_queues=[
            TaskQueue(queues.BATCHES, activities=[bulk.do_next_of_bulk, bulk.cancel_bulk], workflows=[BulkWorkflow])
        ],
        handlers=BulkStarts(process.client).handlers,
        beside=[BulkSettler(process.client, bulks).run],
    )
