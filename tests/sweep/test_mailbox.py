import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from posttrain.sweep.mailbox import SUPERSEDED, Mailbox
from posttrain.sweep.protocol import Job, Outcome, Ready, Report

JOB = Job("t0001", "trial", {})


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(coroutine, 5))


async def pending(task: "asyncio.Task[Any]") -> bool:
    await asyncio.sleep(0.01)
    return not task.done()


async def started(mailbox: Mailbox, group: int = 7) -> int:
    """A slot with its group ready and JOB taken; returns the job's serial."""
    await mailbox.announce("s", group, "node")
    assert isinstance(await mailbox.next_event("s", True), Ready)
    await mailbox.send("s", JOB)
    taken = await mailbox.take("s", group, 0)
    assert taken is not None
    return taken[0]


def test_a_job_goes_out_and_its_outcome_comes_back():
    async def story() -> None:
        mailbox = Mailbox()
        serial = await started(mailbox)
        await mailbox.finish("s", 7, serial, Outcome(JOB, {"value": 1}))
        assert await mailbox.next_event("s", True) == Outcome(JOB, {"value": 1})

    run(story())


def test_every_rank_gets_a_job_once():
    async def story() -> None:
        mailbox = Mailbox()
        serial = await started(mailbox)
        assert await mailbox.take("s", 7, 0) == (serial, JOB)  # the other rank
        again = asyncio.create_task(mailbox.take("s", 7, serial))
        assert await pending(again)
        await mailbox.end("s")
        assert await again is None

    run(story())


def test_a_report_waits_until_the_slot_asks_for_more():
    async def story() -> None:
        mailbox = Mailbox()
        serial = await started(mailbox)
        report = asyncio.create_task(mailbox.report("s", 7, serial, Report(5, {"objective": 1.0})))
        assert await mailbox.next_event("s", True) == Report(5, {"objective": 1.0})
        assert await pending(report)
        following = asyncio.create_task(mailbox.next_event("s", True))
        assert await report is None
        following.cancel()

    run(story())


def test_a_stop_is_the_answer_to_the_waiting_report():
    async def story() -> None:
        mailbox = Mailbox()
        serial = await started(mailbox)
        report = asyncio.create_task(mailbox.report("s", 7, serial, Report(5, {})))
        await mailbox.next_event("s", True)
        assert await mailbox.stop("t0001", "asha")
        assert await pending(report)
        following = asyncio.create_task(mailbox.next_event("s", True))
        assert await report == "asha"
        following.cancel()
        assert not await mailbox.stop("t0099", "asha")

    run(story())


def test_a_stop_is_the_schedulers_and_leaves_the_next_job_alone():
    async def story() -> None:
        mailbox = Mailbox()
        serial = await started(mailbox)
        watch = asyncio.create_task(mailbox.watch("s", 7, serial))
        await mailbox.stop("t0001", "asha")
        assert await pending(watch)
        await mailbox.finish("s", 7, serial, Outcome(JOB))
        assert await watch is None
        await mailbox.next_event("s", True)
        await mailbox.send("s", Job("t0002", "trial", {}))
        report = asyncio.create_task(mailbox.report("s", 7, serial + 1, Report(5, {})))
        await mailbox.next_event("s", True)
        following = asyncio.create_task(mailbox.next_event("s", True))
        assert await report is None
        following.cancel()

    run(story())


def test_an_interrupt_wakes_the_watch_and_is_no_answer_to_a_report():
    async def story() -> None:
        mailbox = Mailbox()
        serial = await started(mailbox)
        watch = asyncio.create_task(mailbox.watch("s", 7, serial))
        report = asyncio.create_task(mailbox.report("s", 7, serial, Report(5, {})))
        await mailbox.next_event("s", True)
        await mailbox.stop_all("interrupted")
        assert await watch == "interrupted"
        following = asyncio.create_task(mailbox.next_event("s", True))
        assert await report is None
        following.cancel()

    run(story())


def test_stopping_all_reaches_jobs_that_are_still_to_be_sent():
    async def story() -> None:
        mailbox = Mailbox()
        await mailbox.stop_all("interrupted")
        serial = await started(mailbox)
        assert await mailbox.watch("s", 7, serial) == "interrupted"
        assert await mailbox.stopping() == "interrupted"

    run(story())


def test_a_new_group_clears_the_desk_and_tells_what_was_lost():
    async def story() -> None:
        mailbox = Mailbox()
        serial = await started(mailbox)
        report = asyncio.create_task(mailbox.report("s", 7, serial, Report(5, {})))
        assert await pending(report)
        await mailbox.fault("s", "worker 0 died")
        assert await mailbox.cause("s") == "worker 0 died"
        await mailbox.announce("s", 8, "other node")
        assert await report == SUPERSEDED
        assert await mailbox.next_event("s", True) == Ready("other node", lost=True, cause="worker 0 died")
        assert await mailbox.report("s", 7, serial, Report(6, {})) == SUPERSEDED
        await mailbox.finish("s", 7, serial, Outcome(JOB))  # from beyond the grave: nobody hears it
        await mailbox.send("s", JOB)
        assert await mailbox.take("s", 8, 0) == (serial + 1, JOB)

    run(story())


def test_an_idle_group_that_is_replaced_does_not_make_the_slot_send_twice():
    async def story() -> None:
        mailbox = Mailbox()
        serial = await started(mailbox)
        await mailbox.finish("s", 7, serial, Outcome(JOB))
        await mailbox.next_event("s", True)
        await mailbox.announce("s", 8, "node")
        await mailbox.send("s", JOB)
        assert await pending(asyncio.create_task(mailbox.next_event("s", True)))

    run(story())


@pytest.mark.parametrize("taken", [True, False])
def test_withdrawing_tells_whether_the_workers_have_the_job(taken):
    async def story() -> None:
        mailbox = Mailbox()
        await mailbox.announce("s", 7, "node")
        await mailbox.send("s", JOB)
        if taken:
            await mailbox.take("s", 7, 0)
        assert await mailbox.withdraw("s", "enough") is taken

    run(story())


def test_notes_are_collected():
    async def story() -> None:
        mailbox = Mailbox()
        waiting = asyncio.create_task(mailbox.notes())
        assert await pending(waiting)
        await mailbox.note("t0001", {"step": 1})
        assert [note.event for note in await waiting] == [{"step": 1}]

    run(story())
