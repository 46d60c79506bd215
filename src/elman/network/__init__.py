"""The mathematics in NumPy, written to be read: parameters, cells, output layer, dropout, optimizer, sampling."""

from elman.network.dropout import Dropout as Dropout
from elman.network.model import LossAndGradients as LossAndGradients
from elman.network.model import loss_and_gradients as loss_and_gradients
from elman.network.optimizer import Optimizer as Optimizer
from elman.network.parameters import Architecture as Architecture
from elman.network.parameters import Parameters as Parameters
from elman.network.parameters import architecture as architecture
from elman.network.parameters import initial_parameters as initial_parameters
from elman.network.sampling import SamplingParams as SamplingParams
