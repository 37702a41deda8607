"""The worker process: listens for the bell through arq, polls beside it, and survives the loss of either server."""

import asyncio
import contextlib
import signal
from typing import Any, Final

import structlog
from arq.worker import Worker, func

from app.core import memory
from app.core.bell import dump_job, load_job, redis_settings
from app.core.config import Settings
from workers.house import House

log = structlog.get_logger(__name__)

_FINISH_SECONDS: Final = 2.0
_RESTART_SECONDS: Final = 1.0


async def run(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT."""
    house = House(settings)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    memory.settle()
    house.bell.start()
    tasks = [
        asyncio.create_task(house.rounds.poll_for_ever(settings.worker_poll_seconds), name="poll"),
        asyncio.create_task(_listen(house), name="listen"),
        *(asyncio.create_task(tick, name="tick") for tick in house.ticks()),
    ]
    log.info("worker_started")
    await stop.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await house.rounds.finish(_FINISH_SECONDS)
    await house.close()
    log.info("worker_stopped")


async def _listen(house: House) -> None:
    """Hear the bell. arq ends when Redis goes away; polling covers until it is back."""
    while True:
        worker = Worker(
            functions=[func(_wake, name="wake", keep_result=0)],
            queue_name=house.settings.worker_queue,
            redis_settings=redis_settings(house.settings.redis_url.get_secret_value(), patient=True),
            ctx={"house": house},
            handle_signals=False,
            poll_delay=0.02,
            max_jobs=100,
            queue_read_limit=1000,
            job_timeout=60,
            max_tries=1,
            keep_result=0,
            health_check_interval=10,
            job_serializer=dump_job,
            job_deserializer=load_job,
        )
        try:
            await worker.async_run()
        except asyncio.CancelledError:
            with contextlib.suppress(Exception):
                await worker.close()
            raise
        except Exception as error:
            log.warning("bell_lost", error=type(error).__name__)
            with contextlib.suppress(Exception):
                await worker.close()
        await asyncio.sleep(_RESTART_SECONDS)


async def _wake(ctx: dict[str, Any], kind: str, shop_id: int) -> None:
    house: House = ctx["house"]
    house.rounds.spawn(kind, shop_id)
