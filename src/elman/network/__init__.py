"""What is computed: parameters, the cells, the output layer, dropout, the update. NumPy, to be read."""

from elman.network.dropout import Dropout as Dropout
from elman.network.model import LossAndGradients as LossAndGradients
from elman.network.model import loss_and_gradients as loss_and_gradients
from elman.network.optimizer import Rule as Rule
from elman.network.parameters import Architecture as Architecture
from elman.network.parameters import Parameters as Parameters
from elman.network.parameters import architecture as architecture
from elman.network.parameters import initial_parameters as initial_parameters
from elman.network.sampling import Draw as Draw
