"""What helps against a reason for which clips are dropped, by the reason's kind."""

from posttrain.data.clip import ClipSpec


def clip_remedy(kind: str, spec: ClipSpec) -> str:
    """The remedy for clips that were dropped; "" where the reason says all that there is to say."""
    if kind == "no caption":
        return "give each video a captions/<stem>.json or a metas/<stem>.txt"
    if kind.startswith("no ") and kind.endswith(" control"):
        folder = kind.split()[1]
        return f"give each video a {folder}/<stem>.mp4 beside videos/, or leave {folder} out of model.controls"
    if kind.endswith("too short") and not kind.startswith(("file", "caption")):  # these two are filters' reasons
        clip = f"{spec.duration_s:.2f} s, {spec.frames} frames at {spec.fps:g} fps"
        return f"a clip must last {clip}: lower model.frames or raise model.fps"
    return ""
