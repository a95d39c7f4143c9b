"""What operators see: logs, metrics, traces. Imported by the upper floors only.

Lower rooms return facts (rows claimed, stage timings, replies) and the upper floors record them
here: that also keeps secrets out of logs, labels and spans by construction.

- `logs`: how lines are written; `lines`: what each of them passes; `activity`: those of a delivery.
- `tracing`: whether there are spans, and where they go; `context`: the W3C's text for them.
- `meters`: every metric there is. `tally`: counts by account,
  under `names`.
- `sharing`: one set of numbers for all processes of a run. `pulse`: what is looked at each second.
"""
