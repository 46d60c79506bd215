"""Inference with a trained model: generating text and scoring it."""

from elman.inference.model import Model as Model
from elman.inference.score import Score as Score
