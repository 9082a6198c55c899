"""The caption grammar: a scene in words, with articles, paraphrases and word order at random."""

# object -> ways to name it. The first is the plain name.
NOUNS = {
    "cat": ("cat", "cat", "kitty", "kitten", "cute cat", "orange cat"),
    "dog": ("dog", "dog", "puppy", "cute dog"),
    "rabbit": ("rabbit", "rabbit", "bunny"),
    "panda": ("panda", "panda", "panda bear"),
    "pig": ("pig", "pig", "piglet", "pink pig"),
    "frog": ("frog", "frog", "green frog"),
    "lion": ("lion", "lion"),
    "elephant": ("elephant", "elephant"),
    "penguin": ("penguin", "penguin"),
    "fish": ("fish", "fish", "yellow fish"),
    "butterfly": ("butterfly", "butterfly"),
    "turtle": ("turtle", "turtle", "tortoise"),
    "apple": ("apple", "apple", "red apple"),
    "banana": ("banana", "banana", "yellow banana"),
    "strawberry": ("strawberry", "strawberry", "red strawberry"),
    "pizza": ("pizza", "slice of pizza", "pizza slice", "piece of pizza"),
    "hamburger": ("hamburger", "burger", "hamburger"),
    "cake": ("cake", "cake", "birthday cake"),
    "car": ("car", "car", "red car"),
    "boat": ("boat", "boat", "sailboat", "sailing boat", "ship"),
    "rocket": ("rocket", "rocket", "spaceship", "space rocket"),
    "house": ("house", "house", "home", "small house"),
    "tree": ("tree", "tree", "green tree"),
    "sunflower": ("sunflower", "sunflower", "flower", "yellow flower"),
    "ball": ("ball", "ball", "football", "soccer ball"),
    "guitar": ("guitar", "guitar", "electric guitar", "red guitar"),
}

COLOUR_WORDS = {
    "gray": ("gray", "grey"),
    "purple": ("purple", "purple", "violet"),
}

COLOUR_PHRASES = (
    "on a {c} background",
    "on a {c} background",
    "on a {c} background",
    "on {c}",
    "on {c}",
    "with a {c} background",
    "in front of a {c} background",
    "against a {c} background",
    "against {c}",
    "on plain {c}",
    "{c} background",
)

SCENE_PHRASES = {
    "meadow": (
        "in a meadow",
        "on the grass",
        "in a field",
        "in a green field",
        "in the park",
        "outside on the grass",
    ),
    "beach": ("at the beach", "at the beach", "on the beach", "on a beach", "on the sand by the sea"),
    "night": ("at night", "at night", "in the night", "under the stars", "in the night sky", "in the dark"),
    "snow": ("in the snow", "in the snow", "on the snow", "in winter", "in the snowy hills"),
    "desert": ("in the desert", "in the desert", "in a desert", "among sand dunes"),
    "sea": ("in the sea", "on the sea", "in the ocean", "on the water", "at sea"),
    "sunset": ("at sunset", "at sunset", "in the sunset", "in the evening", "in front of a sunset"),
}

PREPOSITIONS = ("on", "in", "with", "against", "at", "among", "under", "outside")

POSITIONS = {
    "centre": ("in the middle", "in the center", "in the centre"),
    "left": ("on the left", "on the left", "on the left side", "to the left"),
    "right": ("on the right", "on the right", "on the right side", "to the right"),
    "top": ("at the top", "at the top", "on top", "in the upper part"),
    "bottom": ("at the bottom", "at the bottom", "on the bottom", "in the lower part"),
}

# pair layout -> templates; {a} is the left or upper object
PAIRS = {
    "beside": (
        "{a} and {b}",
        "{a} and {b}",
        "{a} and {b} side by side",
        "{a} next to {b}",
        "{a} beside {b}",
        "{a} to the left of {b}",
        "{a} left of {b}",
        "{b} to the right of {a}",
        "{b} right of {a}",
        "{a} on the left and {b} on the right",
        "{b} on the right and {a} on the left",
    ),
    "above": (
        "{a} above {b}",
        "{a} above {b}",
        "{a} over {b}",
        "{a} on top of {b}",
        "{b} below {a}",
        "{b} below {a}",
        "{b} under {a}",
        "{a} at the top and {b} at the bottom",
    ),
}

OPENINGS = ("a picture of ", "a photo of ", "an image of ", "a drawing of ", "a painting of ", "an emoji of ")


def _pick(rng, items):
    return items[int(rng.integers(len(items)))]


def noun_phrase(name, rng):
    """The object with an article most of the time: "a cat", "the kitty", "red apple"."""
    noun = _pick(rng, NOUNS[name])
    draw = rng.random()
    if draw < 0.72:
        return ("an " if noun[0] in "aeiou" else "a ") + noun
    return ("the " if draw < 0.82 else "one " if draw < 0.86 else "") + noun


def background_phrase(name, rng):
    """ "on a blue background", "at the beach": where the scene is."""
    if name in SCENE_PHRASES:
        return _pick(rng, SCENE_PHRASES[name])
    phrase = _pick(rng, COLOUR_PHRASES).format(c=_pick(rng, COLOUR_WORDS.get(name, (name,))))
    return phrase.replace(" a orange", " an orange")


def _join_single(subject, position, place, rng):
    if not position:
        bare = place.split()[0] not in PREPOSITIONS  # "blue background"
        return subject + (", " if bare else " ") + place
    form = rng.integers(4)
    if form == 0:
        return f"{subject} {position}, {place}"
    if form == 1:
        return f"{subject} {place}, {position}"
    if form == 2:
        return f"{subject} {place} {position}"
    return f"{subject} {position} {place}"


def caption(scene, rng):
    """A caption for a scene; one in twenty does not name the background."""
    place = "" if rng.random() < 0.05 else background_phrase(scene.background, rng)
    if len(scene.objects) == 2:
        first, second = (noun_phrase(name, rng) for name in scene.objects)
        subject, position = _pick(rng, PAIRS[scene.layout]).format(a=first, b=second), ""
    else:
        subject, position = noun_phrase(scene.objects[0], rng), ""
        if scene.layout != "centre" or rng.random() < 0.2:
            position = _pick(rng, POSITIONS[scene.layout])
    text = _join_single(subject, position, place, rng) if place else f"{subject} {position}"
    if rng.random() < 0.15:
        text = _pick(rng, OPENINGS) + text
    return text.strip()


def plain_caption(scene, rng):
    """A caption that names every part (object, place, background): what the evaluation prompts use."""
    place = background_phrase(scene.background, rng)
    if len(scene.objects) == 2:
        first, second = (noun_phrase(name, rng) for name in scene.objects)
        return _pick(rng, PAIRS[scene.layout]).format(a=first, b=second) + " " + place
    subject = noun_phrase(scene.objects[0], rng)
    position = "" if scene.layout == "centre" else _pick(rng, POSITIONS[scene.layout])
    return _join_single(subject, position, place, rng)
