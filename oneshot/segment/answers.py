"""What a network is scored on: its own answer, and answers for which part of its work is done for it."""

OWN = "answer"
ORACLES = {
    "location_given": "location given",
    "candidates_given": "candidates given",
    "choice_given": "choice given",
}
DEFINITIONS = {
    OWN: "what the network answers to a scene and a target, and nothing else",
    "top_K": "only the K proposals that match the target best are decoded",
    "location_given": "the decoder gets the proposal at the target's true centre",
    "candidates_given": "the true visible pixels of every character of the scene are given, among which the "
    "discriminator has only to choose",
    "choice_given": "the best of MaskNet's own 144 segmentations",
}
TOP = "top_"


def title_answer(name: str) -> str:
    """Say in words: "best 4 proposals" of top_4; the network's own answer has no title."""
    if name.startswith(TOP):
        k = name.removeprefix(TOP)
        return "best proposal alone" if k == "1" else f"best {k} proposals"
    return "" if name == OWN else ORACLES[name]
