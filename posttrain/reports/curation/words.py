"""What each score means, for a reader who has not seen the program before."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Meaning:
    """A score's name for people, and one sentence on how to read it."""

    title: str
    sentence: str


MEANINGS = {
    "duration_s": Meaning("Duration (s)", "How long the video is."),
    "frames": Meaning("Frames", "How many frames the video has."),
    "height": Meaning("Height (pixels)", "Of the video's own pictures; what is smaller than the model's is enlarged."),
    "width": Meaning("Width (pixels)", "Of the video's own pictures; what is smaller than the model's is enlarged."),
    "brightness": Meaning("Brightness", "Mean luminance, from black (0) to white."),
    "contrast": Meaning("Contrast", "Standard deviation of the luminance: near 0 the picture is one even grey."),
    "sharpness": Meaning("Sharpness", "Variance of the Laplacian: low means blurred or empty."),
    "cuts": Meaning("Cuts", "Jumps to another scene inside the clip."),
    "motion": Meaning("Motion", "Change from frame to frame: near 0 the clip is frozen."),
    "shake": Meaning("Shake", "Movement of the whole picture back and forth."),
    "words": Meaning("Words", "In the caption, or in the answer of a row."),
    "outlier": Meaning("Outlier", "How far the sample lies from the others in all scores together."),
}
