"""The English that `caption_turns` and `views` know: words around left and right, and words of pace and direction."""

from collections.abc import Iterable, Iterator


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _forms(verbs: Iterable[str]) -> Iterator[str]:
    """The regular forms, and some that are no words, which no caption holds."""
    for verb in verbs:
        stem = verb.removesuffix("e")
        yield from (verb, f"{verb}s", f"{verb}es", f"{stem}ing", f"{stem}ed")
        yield from (f"{verb}{verb[-1]}ing", f"{verb}{verb[-1]}ed")  # pan, panning
        yield from (f"{verb[:-1]}ies", f"{verb[:-1]}ied") if verb.endswith("y") else ()


SIDES = {"left": "right", "right": "left"}
# Words that make one with left or right and leave no doubt: left-hand, top-right, left-to-right.
COMPOUND = _words(
    "left right hand handed hander side sided most ward wards facing foot footed arm leg eye ear turn turning to and "
    "top bottom upper lower front rear back mid middle center centre camera screen stage frame moving going "
    "looking pointing"
)
CERTAIN = frozenset(f"{side}{end}" for side in SIDES for end in ("ward", "wards", "most", "hand"))
# What has a left and a right one.
SIDED = _words(
    "side sides hand hands arm arms leg legs foot eye eyes ear ears shoulder shoulders knee knees elbow elbows wrist "
    "wrists ankle ankles hip hips thumb thumbs finger fingers palm fist heel cheek cheeks thigh paw paws hoof claw "
    "claws glove gloves shoe shoes boot boots sleeve pocket gripper grippers edge edges corner corners half third "
    "quarter quadrant lane lanes wall door doors window windows wheel wheels tire tires mirror headlight headlights "
    "taillight blinker indicator sidewalk curb bank shore margin border foreground background turn turns page panel "
    "pane column boundary"
)
SIDED_OF = _words("part portion end section area region")
BETWEEN = _words("front rear back upper lower outer inner most")
STATES = _words("open closed shut ajar unlocked blank empty")  # he left doors open
PLACES = _words("top bottom upper lower far extreme center centre middle")
VIEWS = _words("stage screen camera frame foreground background")
DETERMINERS = _words("the its his her their our your my")
ARTICLES = _words("the a an this that it him her them his their its")
LEAVERS = _words("he she they who it we i you has have had is are was were be been being everyone someone nobody")
PREPOSITIONS = _words(
    "to on at from toward towards in into onto by along near past off of around over facing across behind beside"
)
BARE_PREPOSITIONS = _words("from to at toward towards")
PAIRING = _words("to and or then /")
# After "left and" these make "right" mean at once.
AT_ONCE = _words("after before away now there here behind beside when where")
LINKS = _words(
    "and or of is are was were be as while with to in at by from then where which who has have there toward towards "
    "into onto across through over under behind near until when but for before after on so past along around above "
    "below again slightly slowly quickly first"
)
# After these words "right" may mean exactly, at once or all the way.
EXACTLY = _words(
    "at in into to up down through over under behind before after by past next near on off across along around back "
    "away now here there beside between against out onto above below inside outside where when as of for so again"
)
# After a verb and "left" these say where something goes; others may say where something was left.
ONWARDS = _words("and then while as toward towards across through along past into onto around again slightly slowly")
TURNS = frozenset(_forms(_words("turn veer swerve steer bank pivot")))
AFTER_A_TURN = _words("into onto at down on in")
PANS = frozenset(_forms(("pan", "dolly")))
MOVES = (
    TURNS
    | PANS
    | frozenset(
        _forms(
            _words(
                "move roll slide drift shift lean look walk travel head point face glance step jump tilt rotate "
                "scroll push pull drag curve merge float bounce zoom track dodge gaze glide skid kick hop crawl twist "
                "gesture lunge rush race cycle edge slip strafe sway tumble wander stroll march sail cruise sprint "
                "swipe nudge flick aim sidestep peek pass hover scoot trot gallop hurry stare bend exit enter"
            )
        )
    )
    | _words(
        "go goes going went gone run runs running ran fly flies flying flew flown throw throws throwing threw thrown "
        "drive drives driving drove driven swing swings swinging swung sweep sweeps sweeping swept bent bear bears "
        "bearing ride rides riding rode spin spins spinning spun swim swims swimming swam speed speeds speeding sped "
        "shot blow blows blowing blown"
    )
)
# Moves that are things as well: on the right track, at the right point.
THINGS = _words("track tracks step steps point points speed speeds head heads face faces look looks pass passes slip")
RESTS = _words(
    "stand stands standing sit sits sitting lie lies lying rest rests resting appear appears appearing placed located "
    "positioned hang hangs hanging waits waiting smiles smiling waves waving holds holding speaks speaking talks "
    "talking looks looking wears wearing remains watches watching"
)
NEARLY = _words("just directly immediately slightly")
