"""What a run has to say, read from its directory alone.

    trials.py   reads trials/*, sweep.yaml and the lock into one `SweepView` with a `TrialRow` per trial
    numbers.py  how numbers, parameters and directions are written for people
    table.py    the table of trials: the live display and `posttrain status` show the same one
    status.py   `posttrain status RUN`: table, plain lines or JSON
    summary.py  summary.json

The sweep's driver may hand `table.py` a `SweepView` of its own making; everything else needs only the disk,
so it works on a copied run, on a run of another machine, and while the run is going on.
"""
