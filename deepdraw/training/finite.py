"""A loss that is not finite ends a run with what is needed to look into it: the step, the drawings, the command."""

from __future__ import annotations

from deepdraw.runtime import resume_command, shown, write_json
from deepdraw.training.fitter import Training

FILE = "not_finite.json"  # in the run directory
_LISTED = 5  # key ids in the message; all are in the file


def check_finite(training: Training) -> list[float]:
    """The sums of `State.recent` over all ranks, which must all call it.

    Raises FloatingPointError if a loss since the last call was infinite or not a number, and then leaves step, epoch
    and key ids of the batch in `not_finite.json`.
    """
    state = training.state
    (recent,) = state.ranks.sum([state.recent])
    if recent.isfinite().all():
        state.losses.clear()
        return recent.tolist()
    raise FloatingPointError(_message(training))


def _message(training: Training) -> str:
    state, accum = training.state, training.recipe.grad_accum
    first = state.step_in_epoch * accum - len(state.losses)  # batch of the epoch: that of the first loss
    own = next((first + n for n, loss in enumerate(state.losses) if not loss.isfinite()), None)
    all_found = state.ranks.gather(None if own is None else (own, _key_ids(training, own)))
    found = [one for one in all_found if one is not None]
    advice = "lower optimizer.lr or use precision=fp32"
    if not found:  # a checkpoint held the sum already, as those of deepdraw 0.1 could
        return f"the loss is not finite at step {state.step}: {advice}; the checkpoints are from before"
    batch = min(number for number, _ in found)
    ids = [key_id for number, own_ids in found if number == batch for key_id in own_ids]
    step = state.step - state.step_in_epoch + batch // accum + 1
    file = training.directory / FILE
    if state.ranks.is_first:
        write_json(file, {"step": step, "epoch": state.epoch + 1, "batch": batch + 1, "key_ids": ids})
    listed = ", ".join(map(str, ids[:_LISTED])) + (", ..." if len(ids) > _LISTED else "")
    return (
        f"the loss is not finite at step {step}, of {len(ids)} drawings with the key ids {listed} (all in {shown(file)}"
        f"): {advice}; `{resume_command(training.directory, 'train.log_every=1')}` repeats it from the last checkpoint"
    )


def _key_ids(training: Training, batch: int) -> list[int]:
    """The key ids of a batch of the epoch, unsigned: batches are a function of seed, epoch and number."""
    ids = next(iter(training.train.epoch(training.state.epoch, first=batch))).key_ids
    return [key_id % 2**64 for key_id in ids.tolist()]
