"""The sections of params.yaml about classification: recipes, and networks with what they are trained on."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from oneshot.params.section import MOST_EPOCHS, MOST_IN_A_BATCH, MOST_SEEN, AnyNetwork, Section

SIAMESE = "siamese"  # of a network's `net`: the siamese network of the scale's size
BACKGROUND = "background"  # the recipe that splits images_background by its drawers, also for verification
WITH_VALIDATION = "contrastive_40"  # the recipe that trains on the validation alphabets, too
PAIR_RECIPES = ("published", BACKGROUND)
N_LAYERS = 6  # of the published siamese network
MOST_CHANNELS = 1024
MOST_IN_A_CODE = 8192
DRAWING_SIDE = 105
LEFT_OUT: Any = None  # the default of the class of the network

Channels = Annotated[int, Field(ge=1, le=MOST_CHANNELS)]


class PublishedPairs(Section):
    batch_size: int = Field(ge=1, le=MOST_IN_A_BATCH)
    """Pairs in a batch."""
    # One number for each layer, within the ranges that the paper searched in.
    lrs: tuple[Annotated[float, Field(ge=1e-4, le=1e-1)], ...] = Field(min_length=1)
    """Learning rate of SGD for each layer."""
    momenta: tuple[Annotated[float, Field(ge=0, le=1)], ...]
    """Final momentum of each layer."""
    l2s: tuple[Annotated[float, Field(ge=0, le=0.1)], ...]
    """L2 penalty of each layer."""
    patience: int | None = Field(ge=1)
    """Epochs without fewer validation errors after which training stops; null: never."""


class BackgroundPairs(Section):
    batch_size: int = Field(ge=1, le=MOST_IN_A_BATCH)
    """Pairs in a batch."""
    lr: float = Field(gt=0, lt=1)
    """Learning rate of Adam."""


class EpisodeNumbers(Section):
    lr: float = Field(gt=0, lt=1)
    """Learning rate."""
    n_way: int = Field(ge=2, le=MOST_IN_A_BATCH)
    """Classes of a training episode."""
    n_shot: int = Field(ge=1, le=1000)
    """Support images of each class."""
    n_query: int = Field(ge=1, le=1000)
    """Queries of each class."""
    within_alphabets: bool
    """Whether an episode's classes are of one alphabet after another, not mixed over all."""
    turned: bool
    """Whether quarter turns of a character are classes of their own."""
    distorted: bool
    """Whether drawings are distorted."""


class OwnEpisodes(EpisodeNumbers):
    weight_decay: float = Field(ge=0, le=10)
    """Weight decay."""


class ContrastiveEpisodes(OwnEpisodes):
    mirrored: bool
    """Whether mirror images of a character are classes of their own."""
    displacement: float = Field(ge=0, lt=1)
    """Strength of the smooth fields of displacements that distort drawings."""
    spliced: float = Field(ge=0, lt=1)
    """Share of classes that take the left half of one character and the right half of another."""


class ClassificationRecipes(Section):
    published: PublishedPairs
    background: BackgroundPairs
    own: OwnEpisodes
    contrastive: ContrastiveEpisodes
    contrastive_40: ContrastiveEpisodes
    protonet: EpisodeNumbers


class PairAmount(Section):
    n_pairs: int = Field(ge=2, le=MOST_SEEN)
    """Training pairs."""
    n_copies: int = Field(ge=0, le=1000)
    """Distorted copies of every pair beside it."""
    n_epochs: int = Field(ge=1, le=MOST_EPOCHS)
    """Epochs at most."""


class EpisodeAmount(Section):
    n_episodes: int = Field(ge=1, le=MOST_SEEN)
    """Episodes of an epoch, after which the validation trials are scored."""
    n_epochs: int = Field(ge=1, le=MOST_EPOCHS)
    """Epochs."""


class CosineSettings(Section):
    """Arguments of a class of oneshot.classify.nets, as all settings; what is left out is not passed on."""

    channels: tuple[Channels, ...] = Field(LEFT_OUT, min_length=1, max_length=7)
    """Channels of each block."""
    side: int = Field(LEFT_OUT, ge=1, le=DRAWING_SIDE)
    """Side of the square to which drawings are resampled, in pixels."""
    n_code: int = Field(LEFT_OUT, ge=1, le=MOST_IN_A_CODE)
    """Numbers in a code."""
    normalised: bool = Field(LEFT_OUT)
    """Whether drawings are cropped to the box around their ink first."""


class KochSettings(Section):
    channels: tuple[Channels, Channels, Channels, Channels] = Field(LEFT_OUT)
    """Channels of each convolution."""
    n_code: int = Field(LEFT_OUT, ge=1, le=MOST_IN_A_CODE)
    """Numbers in a code."""
    normalised: bool = Field(LEFT_OUT)
    """Whether drawings are cropped to the box around their ink first."""


class ProtoNetSettings(Section):
    n_filters: Channels = Field(LEFT_OUT)
    """Filters of each convolution; the published network has 64."""


SETTINGS: dict[str, type[Section]] = {
    "cosine_net": CosineSettings,
    "koch": KochSettings,
    "koch_small": KochSettings,
    SIAMESE: KochSettings,
    "protonet": ProtoNetSettings,
}


class WithSettings(Section):
    """A section of a network with settings: one for classification, of whatever recipe."""

    settings: dict[str, Any]
    """Arguments of the network's class, such as its width; what is left out has the default of the class."""

    @field_validator("settings")
    @classmethod
    def check_settings(cls, settings: dict[str, Any], info: Any) -> dict[str, Any]:
        """Check the settings of a network of this project; those of others are checked when it is made."""
        section = SETTINGS.get(info.data.get("net", ""))
        if section is None:
            return settings
        return section.model_validate(settings).model_dump(mode="json", exclude_unset=True)


class PairNetwork(WithSettings, AnyNetwork[PairAmount]):
    """A network for classification that learns from pairs."""

    recipe: Literal["published", "background"]
    """Recipe, a section of classification.recipes."""


class EpisodeNetwork(WithSettings, AnyNetwork[EpisodeAmount]):
    """A network for classification that learns from episodes."""

    recipe: Literal["own", "protonet", "contrastive", "contrastive_40"]
    """Recipe, a section of classification.recipes."""


def kind_of_network(value: Any) -> str:
    return "(pairs)" if isinstance(value, dict) and value.get("recipe") in PAIR_RECIPES else "(episodes)"


ClassificationNetwork = Annotated[
    Annotated[PairNetwork, Tag("(pairs)")] | Annotated[EpisodeNetwork, Tag("(episodes)")],
    Discriminator(kind_of_network),
]


class ClassificationParams(Section):
    """Recipes, and the networks of this copy of the project: any may be left out, but not all."""

    recipes: ClassificationRecipes
    networks: dict[Annotated[str, Field(pattern="^[A-Za-z0-9_]+$")], ClassificationNetwork] = Field(
        min_length=1
    )

    @model_validator(mode="after")
    def check_layers(self) -> "ClassificationParams":
        """Check that the published recipe has a number for each layer of the networks that it trains."""
        published = self.recipes.published
        networks = self.networks.values()
        is_used = any((network.net, network.recipe) == (SIAMESE, "published") for network in networks)
        n_layers = N_LAYERS if is_used else len(published.lrs)
        for key in ("lrs", "momenta", "l2s"):
            if len(getattr(published, key)) != n_layers:
                raise ValueError(
                    f"recipes.published.{key} has {len(getattr(published, key))} numbers, but the network "
                    f"{n_layers} layers: one number a layer is needed"
                )
        return self
