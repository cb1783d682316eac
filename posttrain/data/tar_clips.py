"""The clips of a WebDataset tar: `key.mp4` with `key.json`, `key.txt`, `key.cls`, and `key.depth.mp4` as a control.

A key ends at the first dot of a member's name, as WebDataset has it. JSON is read like a caption file, a text is a
caption, and a class is metadata.
"""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from posttrain.config.data import ColumnsConfig
from posttrain.data import archives
from posttrain.data.clip_files import Layout, VideoFile, Wanted
from posttrain.data.metadata import Facts, typed
from posttrain.data.sample import Dropped, UnusableClip
from posttrain.data.tars import TarIndex, index_of, key_of
from posttrain.data.text import decode_text

_CAPTION_TEXT, _CAPTION_JSON, _CLASS = "txt", "json", "cls"


def read_tar_clips(prefix: str, shard: Path, layout: Layout, wanted: Wanted) -> None:
    """Lists the clips of one tar.

    Raises:
        OSError: it cannot be read, or is no tar.
    """
    index = index_of(shard)
    layout.ignored.update(index.skipped)
    layout.dropped += [Dropped(prefix + name, shard, reason) for name, reason in index.unfit]
    for key, members in sorted(_by_key(index).items()):
        ending = _clip_ending(members, wanted)
        if ending is None:
            layout.ignored.update(["caption without a video"] * len(_texts(members, wanted.columns)))
        else:
            _add_clip(prefix + key, shard, members, ending, layout, wanted)
        controls = (_control(members, name, wanted.suffixes) for name in wanted.controls)
        used = {ending, *_texts(members, wanted.columns), *controls}
        for other in members.keys() - used:
            if PurePosixPath(f"x.{other}").suffix in wanted.suffixes and ending is None:
                layout.dropped.append(Dropped(prefix + key, shard / members[other], _ambiguous(key, other)))
            else:
                layout.ignored[f"member of a shard that is not read: .{other}"] += 1


def _by_key(index: TarIndex) -> dict[str, dict[str, str]]:
    """Key -> ending in small letters -> member."""
    keys: dict[str, dict[str, str]] = {}
    for name in index.members:
        key, ending = key_of(name)
        keys.setdefault(key, {}).setdefault(ending.lower(), name)
    return keys


def _clip_ending(members: Mapping[str, str], wanted: Wanted) -> str | None:
    named = wanted.columns.video
    endings = [named.removeprefix(".")] if named else [suffix[1:] for suffix in wanted.suffixes]
    return next((ending for ending in endings if ending in members), None)


def _caption_text(members: Mapping[str, str], columns: ColumnsConfig) -> str | None:
    return next((ending for ending in (columns.caption or "", _CAPTION_TEXT) if ending in members), None)


def _texts(members: Mapping[str, str], columns: ColumnsConfig) -> list[str]:
    """The endings that say something of the clip."""
    return [ending for ending in (_CAPTION_JSON, _caption_text(members, columns) or "", _CLASS) if ending in members]


def _control(members: Mapping[str, str], name: str, suffixes: tuple[str, ...]) -> str | None:
    return next((f"{name}{suffix}" for suffix in suffixes if f"{name}{suffix}" in members), None)


def _add_clip(
    clip_id: str, shard: Path, members: Mapping[str, str], ending: str, layout: Layout, wanted: Wanted
) -> None:
    path = shard / members[ending]
    json_file = shard / members[_CAPTION_JSON] if _CAPTION_JSON in members else None
    text = _caption_text(members, wanted.columns)
    try:
        facts = [] if text is None else [_text_facts(shard / members[text], wanted.columns.caption or "caption")]
        if _CLASS in members:
            facts.append(_class_facts(shard / members[_CLASS]))
    except (UnusableClip, OSError) as error:
        reason = error.reason if isinstance(error, UnusableClip) else f"unreadable: {error.strerror}"
        layout.dropped.append(Dropped(clip_id, path, f"caption is {reason}"))
        return
    beside = {name: _control(members, name, (PurePosixPath(path).suffix, f".{ending}")) for name in wanted.controls}
    found = {name: shard / members[other] for name, other in beside.items() if other is not None}
    layout.videos.append(VideoFile(clip_id, path, json_file, found, tuple(facts)))


def _text_facts(member: Path, column: str) -> Facts:
    return Facts(member.name, {column: decode_text(archives.read_bytes(member))}, "text")


def _class_facts(member: Path) -> Facts:
    return Facts(member.name, {_CLASS: typed(decode_text(archives.read_bytes(member)).strip())}, "class")


def _ambiguous(key: str, ending: str) -> str:
    return f"no clip: a key ends at the first dot of a name, so {key}.{ending} is the field {ending} of {key}"
