"""Captions of mirrored clips: turned where it is certain, left alone where it is not, and turned twice is as before."""

import pytest

from posttrain.data import caption_turns
from posttrain.data.caption_turns import AMBIGUOUS, COMPASS, LANGUAGE, READING, ROAD, ROTATION, turned

TURNED = [
    # nothing to turn
    ("A cat sleeps on a sofa.", "A cat sleeps on a sofa."),
    (
        "A man in an upright position, bright light from above.",
        "A man in an upright position, bright light from above.",
    ),
    ("The frightened dog leaves the house.", "The frightened dog leaves the house."),
    # places
    ("A red car is parked to the left of the house.", "A red car is parked to the right of the house."),
    ("On the right, a dog is barking at the mailman.", "On the left, a dog is barking at the mailman."),
    ("On the far left a child waves.", "On the far right a child waves."),
    (
        "There is a lamp to her left and a window to her right.",
        "There is a lamp to her right and a window to her left.",
    ),
    ("The bird sits in the top left corner of the frame.", "The bird sits in the top right corner of the frame."),
    ("A cup at the bottom right.", "A cup at the bottom left."),
    ("A cup in the upper-left corner.", "A cup in the upper-right corner."),
    ("A tree stands on the left side of the road.", "A tree stands on the right side of the road."),
    ("The leftmost of three cubes is blue.", "The rightmost of three cubes is blue."),
    ("The man on the right walks toward the door.", "The man on the left walks toward the door."),
    ("The person on the left is smiling.", "The person on the right is smiling."),
    ("The left half of the picture is dark.", "The right half of the picture is dark."),
    ("A sofa stands left of the table.", "A sofa stands right of the table."),
    ("To the left stands a house.", "To the right stands a house."),
    ("The woman on the right holds a cup.", "The woman on the left holds a cup."),
    ("Left: a robot arm. Right: a conveyor belt.", "Right: a robot arm. Left: a conveyor belt."),
    ("Two workers (left) lift a box.", "Two workers (right) lift a box."),
    # directions
    ("Fixed camera. One: a large red disc rolling left.", "Fixed camera. One: a large red disc rolling right."),
    ("One: a blue disc thrown right and a red disc falling.", "One: a blue disc thrown left and a red disc falling."),
    ("The camera pans right to reveal a lake.", "The camera pans left to reveal a lake."),
    ("The camera slowly pans left.", "The camera slowly pans right."),
    ("A ball rolls from left to right across the table.", "A ball rolls from right to left across the table."),
    ("A ball rolls from the right to the left.", "A ball rolls from the left to the right."),
    ("The forklift turns sharply left and stops.", "The forklift turns sharply right and stops."),
    ("The car turns right into a driveway.", "The car turns left into a driveway."),
    ("The robot takes a left at the shelf.", "The robot takes a right at the shelf."),
    ("The truck makes a right turn at the corner.", "The truck makes a left turn at the corner."),
    ("She looks left and right, then crosses.", "She looks right and left, then crosses."),
    ("A leftward drift, then a rightward one.", "A rightward drift, then a leftward one."),
    ("The drone moves to the left while descending.", "The drone moves to the right while descending."),
    ("A car comes from the right and passes.", "A car comes from the left and passes."),
    ("The man leans left, right hand on the rail.", "The man leans right, left hand on the rail."),
    ("From the left, a boy runs in; at right, a girl sits.", "From the right, a boy runs in; at left, a girl sits."),
    ("The dancer exits stage left.", "The dancer exits stage right."),
    # bodies and things
    ("He raises his left hand and lowers his right arm.", "He raises his right hand and lowers his left arm."),
    ("A left-handed batter swings.", "A right-handed batter swings."),
    ("The robot's right gripper opens.", "The robot's left gripper opens."),
    ("The car changes to the right lane.", "The car changes to the left lane."),
    ("Water flows over the left bank.", "Water flows over the right bank."),
    ("The front right wheel is flat.", "The front left wheel is flat."),
    ("The left front wheel is flat.", "The right front wheel is flat."),
    # capitals
    ("LEFT-HAND SIDE: a box. Right-hand side: a bag.", "RIGHT-HAND SIDE: a box. Left-hand side: a bag."),
]
LEFT_ALONE = [
    # not the side
    ("The man left the room.", AMBIGUOUS),
    ("A cup is left on the table.", AMBIGUOUS),
    ("What is left of the house burns.", AMBIGUOUS),
    ("Leftover food lies on a plate of wood.", AMBIGUOUS),
    ("She looks left and right before crossing.", AMBIGUOUS),
    ("Leftovers lie in a bowl.", AMBIGUOUS),
    ("The suitcase was left behind.", AMBIGUOUS),
    ("Tyre tracks left in the snow.", AMBIGUOUS),
    ("There are two cookies left.", AMBIGUOUS),
    ("He left doors open.", AMBIGUOUS),
    ("She left hand prints on the wall.", AMBIGUOUS),
    ("The dog has left and runs home.", AMBIGUOUS),
    ("A man is right behind the car.", AMBIGUOUS),
    ("The ball rolls right into the goal.", AMBIGUOUS),
    ("She looks right at the camera.", AMBIGUOUS),
    ("It is raining right now.", AMBIGUOUS),
    ("All right, the lights go on.", AMBIGUOUS),
    ("Two beams meet at a right angle.", AMBIGUOUS),
    ("He chooses the right tool for the job.", AMBIGUOUS),
    ("The train arrives at the right time.", AMBIGUOUS),
    ("A march for human rights.", AMBIGUOUS),
    ("Cars yield the right-of-way.", AMBIGUOUS),
    ("A right-wing politician speaks on the left.", AMBIGUOUS),
    ("The guests left and right after that the lights go out.", AMBIGUOUS),
    ("A far-right protester shouts.", AMBIGUOUS),
    ("The train pulls out on the right track.", AMBIGUOUS),
    ("The robot places the bowl right next to the cup.", AMBIGUOUS),
    ("He takes a right and proper bow.", AMBIGUOUS),
    ("The ship turns to port.", ROTATION),
    ("The boxer throws a right hook.", AMBIGUOUS),
    ("The camera left the stage right after.", AMBIGUOUS),
    ("The two left on the right stay.", AMBIGUOUS),
    ("To right the boat, two men pull.", AMBIGUOUS),
    ("He turns the screw to the left.", ROTATION),
    # what a mirror spoils
    ("A sign on the left says stop.", READING),
    ('A neon "OPEN" flickers.', READING),
    ("A woman reads a book.", READING),
    ("The license plate is dirty.", READING),
    ("A player wears jersey number ten.", READING),
    ("Player #7 kicks the ball to the left.", READING),
    ("A wall clock ticks.", READING),
    ("The wheel spins clockwise.", ROTATION),
    ("It rotates counter-clockwise.", ROTATION),
    ("An L-shaped block falls.", ROTATION),
    ("A map of the city.", COMPASS),
    ("The wind blows from the north-east.", COMPASS),
    ("Westbound traffic stands still.", COMPASS),
    ("Cars drive on the left side of the road.", ROAD),
    ("A right-hand drive car waits.", ROAD),
    ("Un coche gira a la izquierda.", LANGUAGE),
    ("\u6c7d\u8f66\u5411\u5de6\u8f6c", LANGUAGE),
]


@pytest.mark.parametrize(("caption", "expected"), TURNED, ids=lambda text: str(text)[:50])
def test_sides_are_exchanged_where_it_is_certain(caption: str, expected: str) -> None:
    mirrored, reason = turned(caption)
    assert (mirrored, reason) == (expected, "")
    assert turned(expected)[0] == caption


@pytest.mark.parametrize(("caption", "reason"), LEFT_ALONE, ids=lambda text: str(text)[:50])
def test_a_caption_that_may_mean_something_else_is_left_alone(caption: str, reason: str) -> None:
    assert turned(caption) == (None, reason)


def test_captions_of_the_demo_set_can_all_be_turned() -> None:
    for motion in ("rolling left", "rolling right", "thrown left", "thrown right", "falling", "thrown up"):
        caption = (
            f"Tracking camera follows the red disc. Two: a large red disc {motion} and a small blue square falling."
        )
        mirrored, reason = caption_turns.turned(caption)
        assert not reason
        assert mirrored is not None
        assert (mirrored == caption) == (motion in ("falling", "thrown up"))
