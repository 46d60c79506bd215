"""The cells compute what PyTorch's do, and have its order of gates. Skipped if torch is not installed."""

from typing import Any

import numpy as np
import pytest

from elman.network import loss_and_gradients, model
from elman.network.parameters import Architecture, Array, Arrays, Parameters
from support import tolerances as tolerances
from support.networks import state_of

torch = pytest.importorskip("torch")

T, K, M, B = 5, 7, 4, 3
MODULES = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}


def module_of(cell: str, layers: int, parameters: Parameters) -> Any:
    """Return torch's module with these parameters. Where it has two biases and Elman one, its second is zero."""
    module = MODULES[cell](K, M, layers).double()
    with torch.no_grad():
        for n in range(layers):
            ending = str(n + 1) if n else ""
            bias_hh = np.zeros_like(parameters["b" + ending])
            if cell == "gru":
                bias_hh[2 * M :] = parameters["d" + ending]
            for name, array in [
                ("weight_ih", parameters["U" + ending]),
                ("weight_hh", parameters["W" + ending]),
                ("bias_ih", parameters["b" + ending]),
                ("bias_hh", bias_hh),
            ]:
                getattr(module, f"{name}_l{n}").copy_(torch.from_numpy(array))
    return module


def gradients_of(cell: str, layers: int, module: Any) -> dict[str, Array]:
    gradients = {}
    for n in range(layers):
        ending = str(n + 1) if n else ""
        for name, theirs in {"U": "weight_ih", "W": "weight_hh", "b": "bias_ih"}.items():
            gradients[name + ending] = getattr(module, f"{theirs}_l{n}").grad.numpy()
        if cell == "gru":
            gradients["d" + ending] = getattr(module, f"bias_hh_l{n}").grad.numpy()[2 * M :]
    return gradients


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", MODULES)
def test_outputs_and_gradients_are_those_of_torch(cell: str, layers: int) -> None:
    generator, net = np.random.default_rng(1), Architecture(K, M, cell, layers)
    arrays: Arrays = {name: generator.normal(size=shape) * 0.5 for name, shape in net.shapes().items()}
    parameters = Parameters(net, arrays)
    h0_batch = generator.normal(size=(B, parameters.architecture.state_size))
    text = generator.integers(0, K, (T + 1, B)).astype(np.uint8)
    x, y = text[:-1], text[1:]
    state = state_of(parameters, h0_batch)
    result = loss_and_gradients(parameters, state, x, y)
    ours, _ = model.logits(parameters, state, x)

    module = module_of(cell, layers, parameters)
    V, c, h0 = (torch.tensor(a, requires_grad=True) for a in (parameters["V"], parameters["c"], h0_batch))
    vectors = h0.reshape(B, layers, -1, M).permute(2, 1, 0, 3).contiguous()  # (1 or 2, layers, B, m)
    one_hot = torch.nn.functional.one_hot(torch.from_numpy(x.astype(np.int64)), K).double()
    h, last = module(one_hot, tuple(vectors) if cell == "lstm" else vectors[0])
    o = h @ V.T + c
    targets = torch.from_numpy(y.astype(np.int64))
    loss = torch.nn.functional.cross_entropy(o.reshape(-1, K), targets.reshape(-1), reduction="sum") / B
    loss.backward()
    ends = torch.stack(last if cell == "lstm" else (last,)).permute(2, 1, 0, 3).reshape(B, -1)

    theirs = gradients_of(cell, layers, module) | {"V": V.grad.numpy(), "c": c.grad.numpy()}
    pairs = {name: (result.gradients[name], theirs[name]) for name in parameters}
    pairs |= {"o": (ours, o.detach().numpy()), "last state": (result.state.recurrent, ends.detach().numpy())}
    pairs |= {"h0": (result.dh0, h0.grad.numpy())}
    assert result.loss == pytest.approx(loss.item(), rel=tolerances.TORCH)
    for name, (actual, expected) in pairs.items():
        np.testing.assert_allclose(actual, expected, tolerances.TORCH, tolerances.TORCH * 1e-2, err_msg=name)
