"""What a trained model does: write text, score text."""

from elman.use.model import Model as Model
from elman.use.score import Score as Score
