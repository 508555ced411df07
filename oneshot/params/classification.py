"""The sections of params.yaml about classification: recipes, and networks with what they are trained on."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator

from oneshot.params.section import MOST_EPOCHS, MOST_IN_A_BATCH, MOST_SEEN, AnyNetwork, Section

SIAMESE = "siamese"  # of a network's `net`: the siamese network of the scale's size
PAIR_RECIPES = ("published", "background")
MOST_CHANNELS = 1024
MOST_IN_A_CODE = 8192
DRAWING_SIDE = 105
OWN: Any = None  # the default of the class of the network

Channels = Annotated[int, Field(ge=1, le=MOST_CHANNELS)]


class PublishedPairs(Section):
    batch_size: int = Field(ge=1, le=MOST_IN_A_BATCH)
    # One number for each layer, within the ranges that the paper searched in.
    lrs: tuple[Annotated[float, Field(ge=1e-4, le=1e-1)], ...]
    momenta: tuple[Annotated[float, Field(ge=0, le=1)], ...]
    l2s: tuple[Annotated[float, Field(ge=0, le=0.1)], ...]
    patience: int | None = Field(ge=1)


class BackgroundPairs(Section):
    batch_size: int = Field(ge=1, le=MOST_IN_A_BATCH)
    lr: float = Field(gt=0, lt=1)


class EpisodeNumbers(Section):
    lr: float = Field(gt=0, lt=1)
    n_way: int = Field(ge=2, le=MOST_IN_A_BATCH)
    n_shot: int = Field(ge=1, le=1000)
    n_query: int = Field(ge=1, le=1000)
    within_alphabets: bool
    turned: bool
    distorted: bool


class OwnEpisodes(EpisodeNumbers):
    weight_decay: float = Field(ge=0, le=10)


class ContrastiveEpisodes(OwnEpisodes):
    mirrored: bool
    displacement: float = Field(ge=0, lt=1)


class ClassificationRecipes(Section):
    published: PublishedPairs
    background: BackgroundPairs
    own: OwnEpisodes
    contrastive: ContrastiveEpisodes
    protonet: EpisodeNumbers


class PairAmount(Section):
    n_pairs: int = Field(ge=2, le=MOST_SEEN)
    n_copies: int = Field(ge=0, le=1000)
    n_epochs: int = Field(ge=1, le=MOST_EPOCHS)


class EpisodeAmount(Section):
    """Episodes an epoch, after which the validation trials are scored, and epochs."""

    n_episodes: int = Field(ge=1, le=MOST_SEEN)
    n_epochs: int = Field(ge=1, le=MOST_EPOCHS)


class CosineSettings(Section):
    """Arguments of a class of oneshot.classify.nets, as all settings; what is left out is not passed on."""

    channels: tuple[Channels, ...] = Field(OWN, min_length=1, max_length=7)
    side: int = Field(OWN, ge=1, le=DRAWING_SIDE)
    n_code: int = Field(OWN, ge=1, le=MOST_IN_A_CODE)
    normalised: bool = Field(OWN)


class KochSettings(Section):
    channels: tuple[Channels, Channels, Channels, Channels] = Field(OWN)
    n_code: int = Field(OWN, ge=1, le=MOST_IN_A_CODE)
    normalised: bool = Field(OWN)


class ProtoNetSettings(Section):
    n_filters: Channels = Field(OWN)


SETTINGS: dict[str, type[Section]] = {
    "cosine_net": CosineSettings,
    "koch": KochSettings,
    "koch_small": KochSettings,
    SIAMESE: KochSettings,
    "protonet": ProtoNetSettings,
}


class PairNetwork(AnyNetwork[PairAmount]):
    """A network for classification that learns from pairs."""

    recipe: Literal["published", "background"]


class EpisodeNetwork(AnyNetwork[EpisodeAmount]):
    """A network for classification that learns from episodes.

    settings: arguments of the network's class, such as its width; without them its own defaults.
    """

    recipe: Literal["own", "protonet", "contrastive"]
    settings: dict[str, Any] = Field(default_factory=dict)

    @field_validator("settings")
    @classmethod
    def check_settings(cls, settings: dict[str, Any], info: Any) -> dict[str, Any]:
        """Check the settings of a network of this project; those of others are checked when it is made."""
        section = SETTINGS.get(info.data.get("net", ""))
        if section is None:
            return settings
        return section.model_validate(settings).model_dump(mode="json", exclude_unset=True)


def kind_of_network(value: Any) -> str:
    return "(pairs)" if isinstance(value, dict) and value.get("recipe") in PAIR_RECIPES else "(episodes)"


ClassificationNetwork = Annotated[
    Annotated[PairNetwork, Tag("(pairs)")] | Annotated[EpisodeNetwork, Tag("(episodes)")],
    Discriminator(kind_of_network),
]


class ClassificationParams(Section):
    recipes: ClassificationRecipes
    networks: dict[str, ClassificationNetwork]
