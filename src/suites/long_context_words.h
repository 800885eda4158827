// Words that the filler of long contexts is made of: short, everyday, and none of them part of another list.
#pragma once

#include <string_view>

namespace carat::filler {

inline constexpr std::string_view adjectives[] = {
    "amber",   "ancient", "bitter", "blue",    "bright",  "broken", "calm",   "clever", "cold",   "copper",
    "crimson", "curious", "dusty",  "early",   "empty",   "faded",  "gentle", "golden", "green",  "grey",
    "heavy",   "hidden",  "hollow", "humble",  "iron",    "ivory",  "late",   "little", "lonely", "narrow",
    "noisy",   "old",     "pale",   "patient", "plain",   "proud",  "purple", "quiet",  "rapid",  "red",
    "rough",   "round",   "rusty",  "scarlet", "sharp",   "silent", "silver", "simple", "sleepy", "slow",
    "small",   "smooth",  "steady", "stout",   "strange", "tall",   "tired",  "velvet", "warm",   "wooden"};

inline constexpr std::string_view nouns[] = {
    "anchor",   "apple",   "arrow",   "badger", "banner",   "barrel",  "basket",  "beacon",   "bell",
    "bench",    "bird",    "blanket", "boat",   "book",     "bottle",  "bowl",    "branch",   "bread",
    "bridge",   "broom",   "brush",   "bucket", "button",   "cabin",   "candle",  "canoe",    "carpet",
    "carriage", "castle",  "cat",     "chair",  "chapel",   "chest",   "clerk",   "clock",    "cloud",
    "coach",    "coat",    "compass", "cook",   "corner",   "cottage", "crow",    "crown",    "cup",
    "curtain",  "dancer",  "deer",    "desk",   "doctor",   "dog",     "door",    "dragon",   "drum",
    "duck",     "eagle",   "engine",  "farmer", "feather",  "fence",   "ferry",   "fiddle",   "field",
    "fisher",   "flag",    "flute",   "forest", "fountain", "fox",     "garden",  "gate",     "ghost",
    "glass",    "glove",   "goat",    "goose",  "grape",    "guard",   "guest",   "hammer",   "harbour",
    "harp",     "hat",     "hawk",    "hedge",  "helmet",   "heron",   "hill",    "honey",    "horn",
    "horse",    "hunter",  "island",  "jacket", "jar",      "jewel",   "judge",   "juggler",  "kettle",
    "key",      "king",    "kitchen", "kite",   "knife",    "knight",  "ladder",  "lake",     "lamp",
    "lantern",  "leaf",    "ledger",  "lemon",  "letter",   "library", "lion",    "lizard",   "lock",
    "loom",     "magnet",  "mantle",  "map",    "market",   "mason",   "meadow",  "merchant", "mill",
    "miner",    "mirror",  "monk",    "moon",   "mountain", "mouse",   "museum",  "needle",   "nest",
    "nurse",    "oak",     "ocean",   "onion",  "orchard",  "otter",   "oven",    "owl",      "painter",
    "palace",   "paper",   "parrot",  "path",   "pebble",   "pencil",  "pepper",  "piano",    "pillow",
    "pilot",    "pine",    "pipe",    "plough", "pocket",   "poet",    "pond",    "potter",   "prince",
    "quarry",   "queen",   "rabbit",  "raft",   "ribbon",   "river",   "road",    "robin",    "rope",
    "rose",     "sailor",  "salmon",  "school", "scarf",    "sheep",   "shelf",   "shepherd", "ship",
    "shoe",     "shovel",  "singer",  "sledge", "smith",    "soldier", "spider",  "spoon",    "squirrel",
    "stable",   "star",    "statue",  "stone",  "stove",    "student", "swallow", "sword",    "table",
    "tailor",   "teacher", "temple",  "tent",   "thimble",  "tiger",   "tower",   "train",    "traveller",
    "tree",     "trumpet", "tunnel",  "valley", "vase",     "village", "violin",  "wagon",    "wall",
    "weaver",   "well",    "whale",   "wheel",  "whistle",  "widow",   "willow",  "window",   "wolf",
    "yard"};

inline constexpr std::string_view verbs[] = {
    "admired", "avoided",  "borrowed", "carried", "caught",   "cleaned", "covered", "described",
    "drew",    "examined", "followed", "found",   "guarded",  "hid",     "ignored", "lifted",
    "lost",    "measured", "mended",   "missed",  "moved",    "noticed", "painted", "passed",
    "praised", "reached",  "repaired", "sold",    "searched", "touched", "visited", "watched"};

inline constexpr std::string_view places[] = {"after the rain",     "at dawn",
                                              "at midnight",        "before breakfast",
                                              "behind the house",   "beside the water",
                                              "during the feast",   "for a whole week",
                                              "in the cellar",      "in the early spring",
                                              "near the old wall",  "on a windy morning",
                                              "on the last day",    "once again",
                                              "outside the town",   "under the roof",
                                              "while others slept", "with great care",
                                              "with some help",     "without a word"};

}  // namespace carat::filler
