"""What curation did to the data, for people: the page that `posttrain data` writes, and the tables it prints.

    Dataset (scans with every readable sample judged)
      |-- reasons.py     how many were dropped, by source, filter and reason, each with an example
      |-- histogram.py   one score of all samples as bars, with its thresholds as lines; axis.py: where they stand
      |-- panels.py      each score: histogram, and the samples nearest to each threshold
      |-- gallery.py     samples that other filters dropped; duplicates beside what is kept instead
      |-- summary.py     all of these together, as `--json` has them
      |-- thumbnails.py  samples as small pictures
      `-- page.py        all of it as one HTML file without scripts or references; page.html.jinja is its form

The size of the page is bounded whatever the size of the data: examples are picked, counts are complete.
"""
