"""Things with content: what each look means, forward and back, on Redis and in the twin alike."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lockstep.worker.operation.content import Effect
from lockstep.worker.operation.model import AttemptState, HostName, Outcome, State, Undo
from lockstep.worker.operation.thing import Digest, Likeness, ThingEnd, ThingLook
from lockstep.worker.operation.transitions import Busy, Forward, Progress, Refusal
from tests.contract.bench import LIMITS, Bench
from tests.contract.contents import FOREIGN, GONE, OLD, REWRITTEN, TARGET, THING, A, B, Thing, look


@pytest.fixture
def thing(bench: Bench) -> Thing:
    return Thing(bench).accepted()


def test_an_answer_leaves_the_outcome_to_a_look(thing: Thing) -> None:
    thing.written(A)
    assert thing.step(A).outcome is None
    assert thing.trace(A).was == "old"
    assert thing.shown(A, "a2", TARGET) == Progress(Forward.DONE, Outcome.APPLIED)
    assert thing.shown(B, "b1", TARGET) == Progress(Forward.DONE, Outcome.UNCHANGED)
    assert thing.store.operation(thing.id).state is State.COMMITTED  # type: ignore[union-attr]


def test_the_targets_own_form_is_learned_and_then_is_the_target(thing: Thing) -> None:
    thing.written(A)
    assert thing.shown(A, "a2", REWRITTEN).outcome is Outcome.APPLIED
    thing.written(B, Effect.UNKNOWN)
    assert thing.shown(B, "b2", REWRITTEN).outcome is Outcome.APPLIED
    thing.bench.pass_time(1)
    assert {step.trace.as_seen for step in thing.store.steps(thing.id) if step.trace} == {"rewritten"}


def test_the_same_target_again_is_met_by_the_form_that_was_learned_for_it(bench: Bench) -> None:
    thing = Thing(bench).accepted(A).written(A)
    assert thing.shown(A, "a2", REWRITTEN).outcome is Outcome.APPLIED
    again = Thing(bench, name="again").accepted(A)
    assert again.shown(A, "a1", REWRITTEN).outcome is Outcome.UNCHANGED
    other = Thing(bench, name="other")
    other.asked = replace(other.asked, target=Digest("other"))
    assert other.accepted(A).shown(A, "a1", REWRITTEN).next is Forward.SEND
    other.roll_back()
    bench.pass_time(1)
    other.settled(A, REWRITTEN)
    elsewhere = Thing(bench, name="elsewhere").accepted(A)
    assert elsewhere.shown(A, "a1", TARGET).outcome is Outcome.UNCHANGED
    assert elsewhere.trace(A).as_seen is None


def test_what_was_before_is_never_learned_though_it_is_like_the_target(bench: Bench) -> None:
    thing = Thing(bench).accepted(A)
    like = look("old", Likeness.LIKE)
    thing.written(A, before=like)
    assert thing.shown(A, "a2", like).next is Forward.MISSED, "a write may not show yet"
    bench.pass_time(LIMITS.settle + LIMITS.call + 1)
    said = thing.shown(A, "a3", like)
    assert (said.next, said.outcome) == (Forward.FAILED, Outcome.REFUSED)
    assert said.reason == "said yes (204), and changed nothing"
    assert len(thing.step(A).attempts) == 1, "never a second write"


def test_a_third_hand_is_not_learned_and_not_overwritten(thing: Thing) -> None:
    thing.written(A)
    said = thing.shown(A, "a2", FOREIGN)
    assert (said.next, said.outcome) == (Forward.FAILED, Outcome.REFUSED)
    assert "changed by somebody else" in (said.reason or "")
    assert thing.restore(A, FOREIGN).next is Forward.PERSON
    assert thing.trace(A).foreign == "foreign"
    assert thing.store.text(thing.id, "foreign") == "text of foreign", "for people"


def test_something_else_is_looked_at_again_while_a_write_may_land(thing: Thing) -> None:
    thing.written(A, Effect.UNKNOWN)
    assert thing.shown(A, "a2", FOREIGN).next is Forward.MISSED
    assert thing.shown(A, "a3", OLD).next is Forward.SEND, "what was before is written over again"


def test_before_is_what_the_last_look_showed_until_something_of_ours_may_have_landed(thing: Thing) -> None:
    thing.written(A, Effect.NOT_SENT)
    assert thing.shown(A, "a2", FOREIGN).next is Forward.SEND
    assert thing.trace(A).was == "foreign"
    thing.wrote(A, "a2", Effect.UNKNOWN)
    thing.shown(A, "a3", OLD)
    assert thing.trace(A).was == "foreign"


def test_what_an_operation_must_not_start_from_is_refused_before_anything_is_written(thing: Thing) -> None:
    said = thing.shown(A, "a1", look("old", barred="it is there with other content: use set"))
    assert (said.outcome, said.reason) == (
        Outcome.REFUSED,
        "refused (it is there with other content: use set)",
    )
    assert not thing.step(A).touched
    assert thing.store.operation(thing.id).ended  # type: ignore[union-attr]


def test_replaced_fails_and_is_named_unless_an_earlier_attempt_may_be_what_was_replaced(bench: Bench) -> None:
    thing = Thing(bench).accepted(A)
    thing.shown(A, "a1", GONE)
    said = thing.wrote(A, "a1", Effect.REPLACED)
    assert (said.outcome, "overwritten" in (said.reason or "")) == (Outcome.REFUSED, True)
    assert thing.trace(A).overwrote
    other = Thing(bench, name="two")
    other.asked = replace(other.asked, lock="vhost/other", texts={})
    other.accepted(A)
    other.shown(A, "a1", GONE)
    other.wrote(A, "a1", Effect.UNKNOWN)
    assert other.shown(A, "a2", GONE).next is Forward.SEND
    assert other.wrote(A, "a2", Effect.REPLACED).next is Forward.OPEN
    assert other.shown(A, "a3", TARGET).outcome is Outcome.APPLIED


def test_a_contested_write_is_refused_unless_a_look_shows_the_target(thing: Thing) -> None:
    thing.written(A, Effect.CONTESTED)
    assert thing.shown(A, "a2", TARGET).outcome is Outcome.UNCHANGED, "it was not ours"
    thing.written(B, Effect.CONTESTED)
    assert thing.shown(B, "b2", OLD).outcome is Outcome.REFUSED


def test_later_counts_as_no_write_and_started_is_never_repeated(bench: Bench) -> None:
    thing = Thing(bench).accepted(A, retries=0)
    thing.written(A, Effect.LATER)
    assert thing.shown(A, "a2", OLD).next is Forward.SEND
    thing.wrote(A, "a2", Effect.STARTED)
    assert thing.shown(A, "a3", OLD).next is Forward.MISSED
    assert thing.shown(A, "a4", TARGET).outcome is Outcome.APPLIED
    assert len(thing.step(A).open_attempts) == 1, "it is settled before the end"


def test_a_kind_that_must_not_repeat_a_write_waits_while_one_is_open(bench: Bench) -> None:
    thing = Thing(bench, once=True).accepted(A)
    thing.written(A, Effect.UNKNOWN)
    assert thing.shown(A, "a2", OLD).next is Forward.MISSED


@pytest.mark.parametrize("asked_for", [TARGET, REWRITTEN])
def test_a_secret_counts_by_an_answer_alone(bench: Bench, asked_for: ThingLook) -> None:
    thing = Thing(bench, secret=True).accepted(A)
    assert thing.shown(A, "a1", OLD).next is Forward.SEND
    thing.wrote(A, "a1", Effect.UNKNOWN)
    assert thing.shown(A, "a2", asked_for).next is Forward.SEND, "a look cannot tell"
    thing.wrote(A, "a2", Effect.APPLIED)
    assert thing.shown(A, "a3", asked_for).outcome is Outcome.APPLIED


def test_a_secret_is_written_where_all_else_is_as_asked(bench: Bench) -> None:
    assert Thing(bench, secret=True).accepted(A).shown(A, "a1", TARGET).next is Forward.SEND


def test_each_host_is_restored_to_its_own_content_by_a_look(thing: Thing) -> None:
    thing.written(A).written(B, before=look("other"))
    thing.roll_back()
    assert thing.restore(A, TARGET).next is Forward.SEND
    thing.wrote(A, "u1", Effect.APPLIED)
    assert thing.step(A).undo is Undo.NEEDED, "an answer proves nothing"
    assert thing.restore(A, OLD, "u2").next is Forward.RESTORED
    assert thing.restore(B, REWRITTEN).next is Forward.SEND, "the target, not yet seen, is ours"
    thing.wrote(B, "u1", Effect.APPLIED)
    assert thing.restore(B, look("other"), "u2").next is Forward.RESTORED
    kept = thing.store.operation(thing.id)
    assert kept is not None
    assert kept.state is State.ROLLED_BACK
    left = thing.store.contents_left(THING)
    assert {host: (each.digest, each.text) for host, each in left.items()} == {
        A: ("old", "text of old"),
        B: ("other", "text of other"),
    }


def test_a_restore_waits_for_what_is_open(thing: Thing) -> None:
    thing.written(A, Effect.UNKNOWN)
    thing.roll_back()
    assert thing.restore(A, OLD).next is Forward.SETTLE
    thing.settled(A, OLD)
    assert thing.step(A).undo is Undo.RESTORED
    assert thing.step(A).attempts[0].state is AttemptState.SETTLED


def test_a_kind_whose_writes_take_longer_to_show_is_given_that_time(bench: Bench) -> None:
    longer = 40 * LIMITS.settle  # a busy machine takes its time between two lines
    thing = Thing(bench, settle=longer).accepted().written(A, Effect.UNKNOWN).written(B)
    bench.pass_time(LIMITS.call + LIMITS.settle)
    assert thing.shown(B, "b2", OLD).next is Forward.MISSED, "it said yes, and may show it yet"
    thing.roll_back()
    bench.pass_time(LIMITS.send_within)
    thing.restore(A, OLD)
    bench.pass_time(LIMITS.settle)
    assert thing.restore(A, OLD).next is Forward.SETTLE, "it may land yet"
    bench.pass_time(longer)
    assert Forward.RESTORED in [thing.restore(A, OLD).next for _ in range(2)], "one closes, one proves"


def test_nothing_is_undone_where_nothing_landed_whatever_is_shown(thing: Thing) -> None:
    thing.written(A, Effect.NOT_SENT)
    thing.roll_back()
    assert thing.restore(A, FOREIGN).next is Forward.RESTORED
    assert thing.store.operation(thing.id).ended  # type: ignore[union-attr]


def test_what_is_like_the_old_content_proves_an_undo_that_changed_something(thing: Thing) -> None:
    thing.written(A)
    thing.roll_back()
    like = look("like old", Likeness.LIKE, like=("records",))
    assert thing.restore(A, like).next is Forward.SEND, "it may be the target in another form"
    thing.wrote(A, "u1", Effect.APPLIED)
    assert thing.restore(A, like, "u2").next is Forward.SEND, "the inverse changed nothing"
    thing.wrote(A, "u2", Effect.APPLIED)
    assert thing.restore(A, look("old again", like=("records",)), "u3").next is Forward.RESTORED
    assert thing.step(A).lost_fields == ("records",)


def test_an_undo_whose_answer_was_lost_is_proved_by_what_is_like_the_old_content(thing: Thing) -> None:
    thing.written(A)
    thing.roll_back()
    assert thing.restore(A, TARGET).next is Forward.SEND
    thing.wrote(A, "u1", Effect.UNKNOWN)
    like = look("old again", like=("records",))
    assert thing.restore(A, like, "u2").next is Forward.SETTLE, "the inverse may land once more"
    thing.settled(A, like)
    assert thing.step(A).undo is Undo.RESTORED
    assert thing.step(A).lost_fields == ("records",)


@pytest.mark.parametrize(
    ("once", "effect", "then"),
    [
        (True, Effect.UNKNOWN, Forward.SETTLE),
        (False, Effect.STARTED, Forward.SETTLE),
        (False, Effect.UNKNOWN, Forward.SEND),
    ],
)
def test_no_second_inverse_is_sent_beside_one_that_has_begun_or_may_not_be_repeated(
    bench: Bench, once: bool, effect: Effect, then: Forward
) -> None:
    thing = Thing(bench, once=once).accepted().written(A).roll_back()
    assert thing.restore(A, TARGET).next is Forward.SEND
    thing.wrote(A, "u1", effect)
    assert thing.restore(A, TARGET, "u2").next is then


def test_a_person_has_a_third_hands_content_written_over_and_only_what_was_seen(thing: Thing) -> None:
    thing.written(A)
    thing.roll_back()
    assert thing.store.resolve(thing.id, A, "alice") is Refusal.NOT_PENDING
    assert thing.restore(A, FOREIGN).next is Forward.PERSON
    assert thing.store.resolve(thing.id, A, "alice") is None
    assert thing.restore(A, look("newer"), "u1").next is Forward.PERSON, "nobody has seen that"
    assert thing.store.resolve(thing.id, HostName("c"), "alice") is Refusal.UNKNOWN
    assert thing.store.resolve(thing.id, A, "alice") is None
    assert thing.restore(A, look("newer"), "u1").next is Forward.SEND


def test_what_a_person_says_is_taken_up_at_once(thing: Thing) -> None:
    thing.written(A)
    thing.roll_back()
    thing.store.claim(thing.id)
    thing.restore(A, FOREIGN)
    thing.store.postpone(thing.id, A, 600_000, "a person is to look at it")
    assert not thing.store.due(10)
    thing.store.resolve(thing.id, A, "alice")
    assert thing.store.due(10) == (thing.id,)
    claim = thing.store.claim(thing.id, resume=True)
    assert claim is not None
    assert claim.hosts == (A,)


def test_things_that_share_a_lock_exclude_each_other(thing: Thing) -> None:
    other = Thing(thing.bench, name="two")
    assert other.accept() == Busy(thing.id)


def test_what_a_commit_leaves_is_kept_beside_the_record_and_the_secret_is_not(bench: Bench) -> None:
    thing = Thing(bench, secret=True).accepted(A)
    assert thing.store.text(thing.id, "secret") == "sealed"
    thing.written(A)
    thing.shown(A, "a2", TARGET)
    assert thing.store.text(thing.id, "secret") is None
    (left,) = thing.store.contents_left(THING).values()
    assert isinstance(left, ThingEnd)
    assert (left.digest, left.text, left.fingerprint) == ("target", "text of target", "url-of-a")
    order = thing.store.order(thing.id)
    assert order is not None
    assert order.content == thing.asked


@pytest.mark.parametrize("effect", [Effect.REFUSED, Effect.MISDIRECTED])
def test_an_answer_that_ends_it_ends_it(thing: Thing, effect: Effect) -> None:
    thing.shown(A, "a1", OLD)
    said = thing.wrote(A, "a1", effect)
    assert said.next is Forward.FAILED
    assert said.outcome is (Outcome.REFUSED if effect is Effect.REFUSED else Outcome.UNKNOWN)
    assert thing.shown(B, "b1", OLD).next is Forward.OVER
