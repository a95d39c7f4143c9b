"""What operators see: logs, metrics, traces. Imported by the upper floors only.

Lower rooms return facts (rows claimed, stage timings, replies) and the upper floors record them
here: that also keeps secrets out of logs, labels and spans by construction.

- `logs`: how lines are written. `meters`: every metric there is. `tally`: counts by account.
- `sharing`: one set of numbers for all processes of a run. `pulse`: what is looked at each second.
"""
