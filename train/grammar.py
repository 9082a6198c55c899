"""The caption grammar: a scene in words, with articles, synonyms, sizes and word order at random."""

import backgrounds

# object -> ways to name it. The first is the plain name.
NOUNS = {
    "cat": ("cat", "cat", "kitty", "kitten", "cute cat", "orange cat"),
    "dog": ("dog", "dog", "puppy", "cute dog", "doggy"),
    "rabbit": ("rabbit", "rabbit", "bunny", "hare", "gray rabbit"),
    "panda": ("panda", "panda", "panda bear"),
    "pig": ("pig", "pig", "piglet", "pink pig"),
    "frog": ("frog", "frog", "green frog", "toad"),
    "lion": ("lion", "lion", "lion with a mane"),
    "elephant": ("elephant", "elephant", "gray elephant"),
    "penguin": ("penguin", "penguin"),
    "fish": ("fish", "fish", "yellow fish", "tropical fish"),
    "butterfly": ("butterfly", "butterfly", "monarch butterfly", "orange butterfly"),
    "turtle": ("turtle", "turtle", "tortoise", "green turtle"),
    "bear": ("bear", "bear", "brown bear", "grizzly"),
    "fox": ("fox", "fox", "red fox", "orange fox"),
    "koala": ("koala", "koala", "koala bear"),
    "monkey": ("monkey", "monkey", "ape", "brown monkey"),
    "cow": ("cow", "cow", "bull", "spotted cow"),
    "owl": ("owl", "owl", "brown owl"),
    "whale": ("whale", "whale", "blue whale"),
    "octopus": ("octopus", "octopus", "red octopus", "squid"),
    "crab": ("crab", "crab", "red crab", "lobster"),
    "snail": ("snail", "snail", "slug with a shell"),
    "bee": ("bee", "bee", "honeybee", "bumblebee", "wasp"),
    "unicorn": ("unicorn", "unicorn", "white unicorn", "horse with a horn"),
    "apple": ("apple", "apple", "red apple"),
    "banana": ("banana", "banana", "yellow banana", "peeled banana"),
    "strawberry": ("strawberry", "strawberry", "red strawberry", "berry"),
    "pizza": ("pizza", "slice of pizza", "pizza slice", "piece of pizza"),
    "hamburger": ("hamburger", "burger", "hamburger", "cheeseburger"),
    "cake": ("cake", "cake", "birthday cake", "cake with candles"),
    "pineapple": ("pineapple", "pineapple", "ananas"),
    "watermelon": ("watermelon", "watermelon", "slice of watermelon", "melon"),
    "grapes": ("bunch of grapes", "grapes", "purple grapes", "grapes"),
    "carrot": ("carrot", "carrot", "orange carrot"),
    "mushroom": ("mushroom", "mushroom", "toadstool", "red mushroom"),
    "ice cream": ("ice cream", "ice cream", "ice cream cone", "vanilla ice cream"),
    "donut": ("donut", "donut", "doughnut", "chocolate donut"),
    "cherries": ("pair of cherries", "cherries", "red cherries", "cherries"),
    "avocado": ("avocado", "avocado", "half an avocado"),
    "corn": ("corn cob", "ear of corn", "corn", "corn", "maize"),
    "car": ("car", "car", "red car", "automobile"),
    "boat": ("boat", "boat", "sailboat", "sailing boat", "ship", "yacht"),
    "rocket": ("rocket", "rocket", "spaceship", "space rocket"),
    "house": ("house", "house", "home", "cottage"),
    "tree": ("tree", "tree", "green tree", "oak"),
    "sunflower": ("sunflower", "sunflower", "flower", "yellow flower"),
    "ball": ("ball", "ball", "football", "soccer ball"),
    "guitar": ("guitar", "guitar", "electric guitar", "red guitar"),
    "bus": ("bus", "bus", "coach", "minibus"),
    "train": ("train", "train", "locomotive", "steam train", "steam engine"),
    "bicycle": ("bicycle", "bicycle", "bike", "cycle"),
    "airplane": ("airplane", "airplane", "plane", "aeroplane", "jet"),
    "umbrella": ("umbrella", "umbrella", "purple umbrella", "parasol"),
    "book": ("book", "book", "open book"),
    "clock": ("clock", "clock", "alarm clock", "red clock"),
    "key": ("key", "key", "golden key", "gold key"),
    "bell": ("bell", "bell", "golden bell", "gold bell"),
    "crown": ("crown", "crown", "golden crown", "gold crown"),
    "gift": ("gift", "gift", "present", "gift box", "wrapped present"),
    "balloon": ("balloon", "balloon", "red balloon"),
    "castle": ("castle", "castle", "fortress", "fairy tale castle"),
    "snowman": ("snowman", "snowman", "snowman with a hat"),
    "robot": ("robot", "robot", "robot head", "robot face"),
    "cactus": ("cactus", "cactus", "green cactus"),
}
NO_ARTICLE = ("grapes", "purple grapes", "cherries", "red cherries", "corn", "maize", "half an avocado")

SIZE_WORDS = {
    "small": ("small", "small", "little", "tiny"),
    "normal": ("",),
    "large": ("big", "large", "huge", "giant", "big"),
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
    "in front of a {c} wall",
    "against a {c} background",
    "against {c}",
    "on plain {c}",
    "{c} background",
)

PLACE_PHRASES = {
    "meadow": (
        "in a meadow",
        "in a meadow",
        "in the meadow",
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
    "mountains": ("in the mountains", "in the mountains", "in front of mountains", "below the mountains"),
    "forest": ("in the forest", "in a forest", "in the forest", "in the woods", "among the trees"),
    "city": ("in the city", "in a city", "in the city", "in the street", "in town", "downtown"),
}

STYLE_PHRASES = {
    "night": ("at night", "at night", "at night", "by night", "under the stars", "in the moonlight"),
    "snow": ("in the snow", "in the snow", "in winter", "when it snows", "in falling snow"),
    "sunset": ("at sunset", "at sunset", "in the evening", "at dusk", "in the evening light"),
}

POSITIONS = {
    "centre": ("in the middle", "in the center", "in the centre"),
    "left": ("on the left", "on the left", "on the left side", "to the left", "at the left"),
    "right": ("on the right", "on the right", "on the right side", "to the right", "at the right"),
    "top": ("at the top", "at the top", "on top", "in the upper part", "up high"),
    "bottom": ("at the bottom", "at the bottom", "on the bottom", "in the lower part", "down low"),
}

# pair layout -> templates; {a} is the left or upper object
PAIRS = {
    "beside": (
        "{a} and {b}",
        "{a} and {b}",
        "{a} and {b} side by side",
        "{a} next to {b}",
        "{a} next to {b}",
        "{a} beside {b}",
        "{a} with {b} beside it",
        "{a} to the left of {b}",
        "{a} left of {b}",
        "{a} left of {b}",
        "{b} to the right of {a}",
        "{b} right of {a}",
        "{a} on the left and {b} on the right",
        "{b} on the right and {a} on the left",
        "on the left {a}, on the right {b}",
        "left: {a}, right: {b}",
    ),
    "above": (
        "{a} above {b}",
        "{a} above {b}",
        "{a} over {b}",
        "{a} on top of {b}",
        "{b} below {a}",
        "{b} below {a}",
        "{b} under {a}",
        "{b} underneath {a}",
        "{a} at the top and {b} at the bottom",
        "{b} at the bottom and {a} at the top",
        "{b} with {a} above it",
        "at the top {a}, at the bottom {b}",
    ),
}

OPENINGS = ("a picture of ", "a photo of ", "an image of ", "a drawing of ", "a painting of ", "an emoji of ")
THERE = ("there is ", "we see ", "you can see ", "")


def _pick(rng, items):
    return items[int(rng.integers(len(items)))]


def noun_phrase(name, size, rng):
    """The object with its size, and an article most of the time: "a small cat", "the kitty", "red apple"."""
    noun = _pick(rng, NOUNS[name])
    bare = noun in NO_ARTICLE
    noun = f"{_pick(rng, SIZE_WORDS[size])} {noun}".strip()
    draw = rng.random()
    if draw >= 0.86:
        return noun
    if draw >= 0.76:
        return "the " + noun
    if bare:
        return noun
    if draw >= 0.72:
        return "one " + noun
    return ("an " if noun[0] in "aeiou" and not noun.startswith(("uni", "one")) else "a ") + noun


def _styled_phrase(name, rng):
    """ "in the city at night", "at night in the city": a place in another light."""
    place, style = backgrounds.STYLED[name]
    words = [_pick(rng, PLACE_PHRASES[place]), _pick(rng, STYLE_PHRASES[style])]
    if rng.random() < 0.25:
        words.reverse()
    return " ".join(words)


def background_phrase(name, rng):
    """ "on a blue background", "at the beach", "in the forest at night": where the scene is."""
    if name in backgrounds.STYLED:
        return _styled_phrase(name, rng)
    if name in PLACE_PHRASES:
        return _pick(rng, PLACE_PHRASES[name])
    phrase = _pick(rng, COLOUR_PHRASES).format(c=_pick(rng, COLOUR_WORDS.get(name, (name,))))
    return phrase.replace(" a orange", " an orange")


def _subject(scene, rng):
    """The objects in words, and where a single one stands."""
    nouns = [noun_phrase(name, size, rng) for name, size in zip(scene.objects, scene.sizes)]
    if len(nouns) == 2:
        return _pick(rng, PAIRS[scene.layout]).format(a=nouns[0], b=nouns[1]), ""
    named = scene.layout != "centre" or rng.random() < 0.15
    return nouns[0], _pick(rng, POSITIONS[scene.layout]) if named else ""


def _join(subject, position, place, rng):
    """Subject, position and place in one of the orders that English allows."""
    bare = place.endswith("background") and place.count(" ") == 1  # "blue background"
    order = rng.random()
    if order < 0.2:
        there = _pick(rng, THERE)
        comma = ", " if bare or not there else " "
        return f"{place}{comma}{there}{subject} {position}"
    if not position:
        return subject + (", " if bare or order > 0.92 else " ") + place
    if order < 0.45 and not bare:
        return f"{subject} {place}{_pick(rng, (', ', ' '))}{position}"
    if order < 0.55:
        return f"{position} {subject}, {place}"
    return f"{subject} {position}{', ' if bare else _pick(rng, (', ', ' '))}{place}"


def plain_caption(scene, rng):
    """A caption that names every part (objects, sizes, place, background): what the evaluation prompts use."""
    subject, position = _subject(scene, rng)
    return _join(subject, position, background_phrase(scene.background, rng), rng).strip()


def short_caption(scene, rng):
    """Objects and background alone, for the beginning of a training: the words that matter are most of the text."""
    return f"{_subject(scene, rng)[0]} {background_phrase(scene.background, rng)}"


def caption(scene, rng):
    """A caption for a scene; one in twenty does not name the background."""
    if rng.random() < 0.05:
        text = " ".join(_subject(scene, rng)).strip()
    else:
        text = plain_caption(scene, rng)
    return _pick(rng, OPENINGS) + text if rng.random() < 0.12 else text
