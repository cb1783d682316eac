"""What a run leaves behind while it works: numbers, pictures, and where it ran.

    metrics.py      <trial>/metrics.jsonl, the record that reports and resumed trials read
    tensorboard.py  <trial>/events.out.tfevents.*, the same numbers and frame strips for TensorBoard
    sessions.py     the HParams table of TensorBoard, as the sweep's driver fills it
    hparams.py      the records of that table: one for its columns, one for each trial
    columns.py      which hyper-parameters and metrics it has, from the sweep's configuration
    strip.py        true frames over generated frames, as one picture
    environment.py  versions, git commit and hardware, for environment.json

Nothing here imports torch or tensorflow: the driver writes session records, the worker writes the rest, and
both start fast. The run directory is the interface; no object of this package is shared between processes.
"""
