"""What a trained model does: write text, score text."""

from elman.inference.model import Model as Model
from elman.inference.score import Score as Score
