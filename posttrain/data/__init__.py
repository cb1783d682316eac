"""Data: clips, or rows of questions and answers, found, checked, split, mixed and decoded.

No torch and no model is known here.

sweep file --scan--> samples, kept or dropped --prepare--> Dataset (train, suites) --MixtureSchedule--> order
                                                                 |--write_manifest--> run directory
a sample --decode--> pixels of the model's size
"""

from posttrain.data.clip import ClipSpec
from posttrain.data.curation import Fault, Judged
from posttrain.data.decode import UnusableClip, VideoInfo, decode, open_picture, probe
from posttrain.data.manifest import changes, refuse_changes, summarise, write_manifest, write_record
from posttrain.data.mixture import MixtureSchedule, Stage, plan_stages
from posttrain.data.pictures import sample_video
from posttrain.data.prepare import Dataset, prepare
from posttrain.data.rows import Row, RowSpec
from posttrain.data.sample import Dropped, Sample, count_kinds
from posttrain.data.sources import SourceScan, scan
from posttrain.data.splits import Splits, read_splits

__all__ = [
    "ClipSpec",
    "Dataset",
    "Dropped",
    "Fault",
    "Judged",
    "MixtureSchedule",
    "Row",
    "RowSpec",
    "Sample",
    "SourceScan",
    "Splits",
    "Stage",
    "UnusableClip",
    "VideoInfo",
    "changes",
    "count_kinds",
    "decode",
    "open_picture",
    "plan_stages",
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
