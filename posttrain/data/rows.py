"""A question about pictures with its answer: what vision-language models are trained and measured on.

    records of a file --row_files--> dicts --row_parse--> drafts --row_scan: media judged--> Row or Dropped

In the text of a user's turn `<image>` and `<video>` stand where the media go; as many as there are media.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

IMAGE, VIDEO = "<image>", "<video>"
SYSTEM, USER, ASSISTANT = "system", "user", "assistant"
# The system message of Cosmos-Reason1 (github.com/nvidia-cosmos/cosmos-reason1, prompts/), which asks for the tags.
TAGS_WANTED = (
    "You are a helpful assistant. Answer the question in the following format: <think>\nyour reasoning\n</think>\n\n"
    "<answer>\nyour answer\n</answer>."
)


@dataclass(frozen=True)
class RowSpec:
    """How a model reads the media of rows.

    Attributes:
        max_frames: frames of a video at most; a longer video is sampled at a lower rate.
        fps: frames per second of videos.
        max_aspect: the longer side of a picture or video over the shorter one that its processor accepts; None has no
            limit.
    """

    max_frames: int = 16
    fps: float = 2.0
    max_aspect: float | None = None


@dataclass(frozen=True)
class Row:
    """One question with its media and its answer.

    Attributes:
        id: `<source>/<id in the file>`, or the row's number where the file gives none.
        source: the data source it belongs to.
        turns: (role, text) up to the last answer; roles are system, user and assistant, the last one is the user's.
        answer: the last answer, as the file has it.
        images: files, in the order of the `<image>` placeholders of all turns.
        video: the file that `<video>` stands for.
        choices: what an answer is chosen from, in the order of their letters; () for a free answer.
        metadata: what else the row holds; its own values go before its source's.
        media_hashes: SHA-256 of each image's and of the video's bytes.
        start_s: 0; rows have no windows.
    """

    id: str
    source: str
    turns: tuple[tuple[str, str], ...]
    answer: str
    images: tuple[Path, ...]
    video: Path | None
    choices: tuple[str, ...]
    metadata: Mapping[str, Any]
    media_hashes: tuple[str, ...]
    start_s: float = 0.0

    @property
    def content_hash(self) -> str:
        """Names the media; of one file it is the file's own hash, of a row without media it names the text."""
        if len(self.media_hashes) == 1:
            return self.media_hashes[0]
        parts = self.media_hashes or tuple(text for _, text in self.turns)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    @property
    def asks_for_tags(self) -> bool:
        """Whether the question wants its answer inside `<answer>...</answer>`."""
        return any("<answer>" in text for role, text in self.turns if role != ASSISTANT)

    @property
    def target(self) -> str:
        """What the model should say: the answer, put inside tags (without reasoning) where the question wants them."""
        if self.asks_for_tags and "<answer>" not in self.answer:
            return f"<think></think><answer>{self.answer}</answer>"
        return self.answer

    def to_record(self) -> dict[str, Any]:
        """The row as the manifest writes it."""
        record = asdict(self)
        turns = [list(turn) for turn in self.turns]
        video = None if self.video is None else str(self.video)
        lists = {name: list(record[name]) for name in ("choices", "media_hashes")}
        return record | lists | {"turns": turns, "images": [str(path) for path in self.images], "video": video}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Row":
        """Reads what `to_record` wrote; other keys are passed over."""
        return cls(
            id=record["id"],
            source=record["source"],
            turns=tuple((role, text) for role, text in record["turns"]),
            answer=record["answer"],
            images=tuple(map(Path, record["images"])),
            video=None if record["video"] is None else Path(record["video"]),
            choices=tuple(record["choices"]),
            metadata=record["metadata"],
            media_hashes=tuple(record["media_hashes"]),
        )
