"""Data: clips, or rows of questions and answers, found, checked, split, mixed and decoded.

No torch and no model is known here.

sweep file --scan--> samples, kept or dropped --prepare--> Dataset (train, suites) --MixtureSchedule--> order
                                                                 |--write_manifest--> run directory
a sample --decode--> pixels of the model's size
"""

from posttrain.data.caps import caps_in_reach, checked_mixture
from posttrain.data.clip import ClipSpec
from posttrain.data.columns import column_facts
from posttrain.data.curation import Fault, Judged
from posttrain.data.decode import VideoInfo, decode, open_picture, probe
from posttrain.data.manifest import changes, refuse_changes, summarise, write_manifest, write_record
from posttrain.data.mixture import MixtureSchedule, Stage
from posttrain.data.pictures import sample_video
from posttrain.data.pools import Pool
from posttrain.data.prepare import Dataset, curate, divide, prepare
from posttrain.data.remedies import clip_remedy
from posttrain.data.rows import Row, RowSpec
from posttrain.data.sample import Dropped, Sample, UnusableClip, count_kinds
from posttrain.data.sources import SourceScan, scan
from posttrain.data.splits import Splits, read_splits
from posttrain.data.stages import Mixture, plan_mixture

__all__ = [
    "ClipSpec",
    "Dataset",
    "Dropped",
    "Fault",
    "Judged",
    "Mixture",
    "MixtureSchedule",
    "Pool",
    "Row",
    "RowSpec",
    "Sample",
    "SourceScan",
    "Splits",
    "Stage",
    "UnusableClip",
    "VideoInfo",
    "caps_in_reach",
    "changes",
    "checked_mixture",
    "clip_remedy",
    "column_facts",
    "count_kinds",
    "curate",
    "decode",
    "divide",
    "open_picture",
    "plan_mixture",
    "prepare",
    "probe",
    "read_splits",
    "refuse_changes",
    "sample_video",
    "scan",
    "summarise",
    "write_manifest",
    "write_record",
]
