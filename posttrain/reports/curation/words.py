"""What each score means, for a reader who has not seen the program before; how it is measured: `data/scores.py`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Meaning:
    """A score's name for people, and one sentence on how to read it."""

    title: str
    sentence: str


MEANINGS = {
    "brightness": Meaning("Brightness", "Mean grey of all frames, from black (0) to white (1)."),
    "contrast": Meaning("Contrast", "Spread of the grey inside a picture (0 to 0.5): near 0 it shows one even grey."),
    "sharpness": Meaning(
        "Sharpness", "Variance of the Laplacian, the usual measure of fine detail: low means blurred."
    ),
    "cuts": Meaning("Cuts", "How often the scene changes at once inside the clip."),
    "motion": Meaning("Motion", "Mean change from frame to frame (0 to 1): near 0 the clip stands still."),
    "shake": Meaning("Shake", "Change of the camera's speed from frame to frame, as a share of the picture's width."),
    "words": Meaning("Words", "Number of words in the caption, or in the answer to a question."),
    "outlier": Meaning("Outlier", "Distance from what is usual in its source, in robust standard deviations."),
    "duration_s": Meaning("Duration", "Length of the whole file in seconds."),
    "frames": Meaning("Frames", "Number of frames in the whole file."),
    "height": Meaning("Height", "Of the file's own pictures, in pixels."),
    "width": Meaning("Width", "Of the file's own pictures, in pixels."),
}
