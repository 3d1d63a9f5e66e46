"""The list of the platform's own checks."""

from aiplatform.data.quality.boilerplate import Boilerplate
from aiplatform.data.quality.check import Check
from aiplatform.data.quality.contamination import Contamination
from aiplatform.data.quality.damage import Damage
from aiplatform.data.quality.duplicates import Duplicates
from aiplatform.data.quality.empty import Empty
from aiplatform.data.quality.equal_sides import EqualSides
from aiplatform.data.quality.label_errors import LabelErrors
from aiplatform.data.quality.labels import Labels
from aiplatform.data.quality.languages import Languages
from aiplatform.data.quality.leakage import Leakage
from aiplatform.data.quality.markup import Markup
from aiplatform.data.quality.missing import Missing
from aiplatform.data.quality.mixed_types import MixedTypes
from aiplatform.data.quality.near_duplicates import NearDuplicates
from aiplatform.data.quality.one_sided import OneSided
from aiplatform.data.quality.personal import Personal
from aiplatform.data.quality.refusals import Refusals
from aiplatform.data.quality.repeated_answers import RepeatedAnswers
from aiplatform.data.quality.roles import Roles
from aiplatform.data.quality.shape import Shape
from aiplatform.data.quality.whitespace import Whitespace

CHECKS: tuple[type[Check], ...] = (
    Shape,
    MixedTypes,
    Missing,
    Empty,
    Leakage,
    Contamination,
    Duplicates,
    NearDuplicates,
    Roles,
    EqualSides,
    OneSided,
    Personal,
    Damage,
    Languages,
    Markup,
    Whitespace,
    RepeatedAnswers,
    Boilerplate,
    Refusals,
    LabelErrors,
    Labels,
)
"""All checks of the platform, in the order in which findings of equal severity are listed."""
