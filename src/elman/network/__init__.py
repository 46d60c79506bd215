"""What is computed: parameters, the recurrent cell, the output layer, the update. NumPy, to be read."""

from elman.network.adagrad import AdaGrad as AdaGrad
from elman.network.draw import Draw as Draw
from elman.network.model import LossAndGradients as LossAndGradients
from elman.network.model import loss_and_gradients as loss_and_gradients
from elman.network.parameters import Parameters as Parameters
from elman.network.parameters import initial_parameters as initial_parameters
