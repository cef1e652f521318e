import pytest
import torch
from torch.nn import functional

from polydx.errors import UserError
from polydx.model.attention import use_own_attention
from polydx.model.classifier import TextClassifier
from polydx.model.compilation import compile_layers, compiler_found
from polydx.train.perturbations.embeddings import EmbeddingPoint
from polydx.train.perturbations.fgm import FGM
from small_models import small_encoder

CPU = torch.device("cpu")


def new_model() -> TextClassifier:
    model = TextClassifier(small_encoder(hidden_dropout_prob=0.0, initializer_range=0.2), 3, "mean", 0.0)
    use_own_attention(model.encoder)
    return model


@pytest.mark.skipif(not compiler_found(), reason="there is no C++ compiler")
def test_compiled_layers_give_the_same_gradients_and_no_weight_another_name() -> None:
    """Perturbed, at two lengths: what is compiled serves both."""
    gradients = []
    names = list(new_model().state_dict())
    for compiled in (True, False):
        model = new_model()
        if compiled:
            compile_layers(model.encoder, CPU)
        adversary = FGM(EmbeddingPoint(model.word_embedding, "positions"), 0.5)
        for tokens in (9, 6):
            ids = torch.randint(5, 30, (4, tokens), generator=torch.Generator().manual_seed(tokens))
            mask = (torch.arange(tokens) < torch.tensor([[tokens], [2], [5], [4]])).long()

            def loss_here(ids: torch.Tensor = ids, mask: torch.Tensor = mask) -> torch.Tensor:
                return functional.binary_cross_entropy_with_logits(model(ids, mask), torch.ones(4, 3))  # noqa: B023

            adversary.backward(loss_here)
        assert list(model.state_dict()) == names
        gradients.append({name: each.grad for name, each in model.named_parameters()})
    for name, expected in gradients[1].items():
        torch.testing.assert_close(gradients[0][name], expected, rtol=0, atol=1e-6)


def test_without_a_compiler_it_is_the_users_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(UserError, match=r"compute\.compile: is true, but there is no C\+\+ compiler; install g\+\+"):
        compile_layers(new_model().encoder, CPU)
