"""The game of text and pictures: its pairs and its losses, by hand."""

import math

import pytest
import torch
from torch import nn

from gancourse import captions, losses
from gancourse.captions import LENGTH, WORDS
from gancourse.models.text import (
    CaptionEncoder,
    ConditionalNorm,
    PictureEncoder,
    TextDiscriminator,
    TextGenerator,
    matching_loss,
)
from gancourse.textgan import TextGAN


def softplus(s):
    return math.log1p(math.exp(s))


class Painter(nn.Module):
    """Pictures that are all of one brightness: three times the first number."""

    latent_dim = 2

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(3.0))

    def forward(self, z, code):
        return self.scale * code[:, :1, None, None].float().expand(-1, 3, 2, 2)


class Critic(nn.Module):
    """Logit: brightness minus the first number of the code, halved."""

    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(0.5))
        self.asked = []

    def forward(self, x, code):
        self.asked.append((x.mean().item(), code.clone()))
        bright = x.mean((1, 2, 3))
        if code.ndim == 3:
            bright = bright[:, None]
        return self.slope * (bright - code[..., 0].float())


def batch():
    """A picture of brightness 4; its code begins with 1, the wrong one with 6."""
    real = torch.full((1, 3, 2, 2), 4.0)
    return real, torch.tensor([[1, 0]]), torch.tensor([[6, 0]])


RNG = torch.Generator()
# logits by hand: (real, right) 1.5, (real, wrong) -1, (fake = 3, right) 1


def test_the_matching_aware_loss_is_worked_out_right():
    game = TextGAN(Painter(), Critic())
    d_loss, parts = game.discriminator_loss(batch(), RNG)
    by_hand = softplus(-1.5) + (softplus(-1.0) + softplus(1.0)) / 2
    assert d_loss.item() == pytest.approx(by_hand, rel=1e-6)
    # in Reed's words: -log s_r - (log(1 - s_w) + log(1 - s_f)) / 2
    s_r, s_w, s_f = (1 / (1 + math.exp(-s)) for s in (1.5, -1.0, 1.0))
    reed = -math.log(s_r) - (math.log(1 - s_w) + math.log(1 - s_f)) / 2
    assert d_loss.item() == pytest.approx(reed, rel=1e-6)
    assert parts["real_logit"] == 1.5 and parts["fake_logit"] == 1.0
    assert parts["wrong_logit"] == -1.0 and parts["right_over_wrong"] == 1.0


def test_without_matching_the_wrong_caption_is_never_looked_at():
    game = TextGAN(Painter(), Critic(), matching=False)
    d_loss, parts = game.discriminator_loss(batch(), RNG)
    assert d_loss.item() == pytest.approx(softplus(-1.5) + softplus(1.0), rel=1e-6)
    assert "wrong_logit" not in parts
    assert all((caption[..., 0] == 1).all() for _, caption in game.D.asked)


def test_g_is_scored_on_fakes_with_their_own_captions():
    game = TextGAN(Painter(), Critic())
    g_loss, _ = game.generator_loss(batch(), RNG)
    assert g_loss.item() == pytest.approx(softplus(-1.0), rel=1e-6)
    ((bright, caption),) = game.D.asked
    assert bright == 3 and caption.tolist() == [[1, 0]]
    g_loss.backward()  # d/dscale softplus(-(scale - 1) / 2) = -sigmoid(-1) / 2
    assert game.G.scale.grad.item() == pytest.approx(-0.5 / (1 + math.e), rel=1e-5)


def test_a_relative_loss_compares_with_the_real_picture_and_its_caption():
    game = TextGAN(Painter(), Critic(), losses.relativistic)
    g_loss, _ = game.generator_loss(batch(), RNG)
    assert g_loss.item() == pytest.approx(softplus(1.5 - 1.0), rel=1e-6)
    d_loss, _ = game.discriminator_loss(batch(), RNG)
    by_hand = (softplus(1.0 - 1.5) + softplus(-1.0 - 1.5)) / 2
    assert d_loss.item() == pytest.approx(by_hand, rel=1e-6)


def test_ds_move_trains_d_alone():
    game = TextGAN(Painter(), Critic())
    game.discriminator_loss(batch(), RNG)[0].backward()
    assert game.G.scale.grad is None and game.D.slope.grad is not None


# ------------------------------------------------------------------ the players


def rows(*lines):
    return captions.tokens(list(lines))


ABOVE = "a thin red seven upright above a bold blue three upright"
SWAPPED = "a bold blue three upright above a thin red seven upright"


def encoder():
    torch.manual_seed(0)
    return CaptionEncoder(len(WORDS), features=12, embedding=6)


def test_the_encoder_hears_the_order_of_words():
    a, b = encoder()(rows(ABOVE, SWAPPED))
    assert sorted(ABOVE.split()) == sorted(SWAPPED.split())
    assert (a - b).abs().max() > 1e-3


def test_what_follows_the_last_word_and_who_else_is_in_the_batch_change_nothing():
    E, short = encoder(), "a thin red seven upright at the top"
    alone = E(rows(short)[:, : len(short.split())])
    assert torch.allclose(E(rows(ABOVE, short))[1:], alone, atol=1e-6)
    assert rows(short).shape == (1, LENGTH)


def test_the_code_is_the_state_of_the_gru_after_the_last_word():
    E, words = encoder(), rows(ABOVE)
    states, last = E.gru(E.embedding(words[:, : len(ABOVE.split())]))
    assert torch.allclose(E(words), last[0], atol=1e-6)
    assert torch.allclose(states[:, -1], last[0], atol=1e-6)


def players():
    torch.manual_seed(0)
    size = dict(width=4, refine=1)
    G = TextGenerator(6, latent_dim=5, **size)
    return G.eval(), TextDiscriminator(6, **size).eval()


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_shapes_and_ranges():
    G, D = players()
    fake = G(normal(3, 5), normal(3, 6))
    assert fake.shape == (3, 3, 32, 16) and fake.abs().max() <= 1
    assert D(fake, normal(3, 6)).shape == (3,)
    assert D(fake, normal(3, 2, 6)).shape == (3, 2)
    assert PictureEncoder(6, 4)(fake).shape == (3, 6)


def test_several_codes_of_one_picture_are_scored_as_one_by_one():
    D, x, codes = players()[1], normal(4, 3, 32, 16), normal(4, 2, 6)
    both = D(x, codes)
    for k in range(2):
        assert torch.allclose(both[:, k], D(x, codes[:, k]), atol=1e-6)
    assert (both[:, 0] - both[:, 1]).abs().min() > 0


def test_ds_logit_is_what_the_formula_says():
    D, x, code = players()[1], normal(4, 3, 32, 16), normal(4, 6)
    phi = D.look(x)
    fits = torch.einsum("ns,ns->n", phi, D.fits(code)) / math.sqrt(phi.shape[1])
    assert torch.allclose(D(x, code), D.real(phi)[:, 0] + fits, atol=1e-6)


def test_both_players_depend_on_the_code_and_g_on_its_latents():
    G, D = players()
    z, code, other = normal(2, 5), normal(1, 6).expand(2, -1), normal(2, 6, seed=1)
    G.train()
    x = G(z, code)
    assert (x - G(z, other)).abs().max() > 1e-3
    assert (x[0] - x[1]).abs().max() > 1e-3
    assert (D(x, code) - D(x, other)).abs().max() > 1e-6


def test_conditional_norm_scales_and_shifts_by_the_code():
    norm = ConditionalNorm(2, 3)
    nn.init.zeros_(norm.affine.weight)
    norm.affine.bias.data = torch.tensor([1.0, 2.0, 10.0, 20.0])
    y = norm(normal(50, 2, 3, 3), normal(50, 3))
    assert torch.allclose(y.mean((0, 2, 3)), torch.tensor([10.0, 20.0]), atol=1e-4)
    assert torch.allclose(y.std((0, 2, 3)), torch.tensor([2.0, 3.0]), atol=2e-2)
    norm.affine.weight.data[2, 0] = 1.0  # the shift of channel 0, by the code's first
    code = torch.zeros(2, 3)
    code[1, 0] = 5.0
    x = normal(1, 2, 3, 3).expand(2, -1, -1, -1)
    a, b = norm(x, code)
    assert torch.allclose(b - a, torch.tensor([5.0, 0.0])[:, None, None], atol=1e-5)


def test_the_matching_loss_is_worked_out_right():
    # unit codes: picture 0 = caption 0 = (1, 0), picture 1 = caption 1 = (0, 1);
    # the wrong captions stand at 60 degrees (cosine 1/2) and opposite (-1)
    p = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    r = torch.tensor([[1.0, 0.0], [0.0, 3.0]])
    w = torch.tensor([[0.5, math.sqrt(0.75)], [0.0, -1.0]])
    e = math.exp
    choice = [-math.log(e(2) / (e(2) + 1 + e(1))), -math.log(e(2) / (e(2) + 1 + e(-2)))]
    back = -math.log(e(2) / (e(2) + 1))
    by_hand = (sum(choice) / 2 + back) / 2
    assert matching_loss(p, r, w, scale=2.0).item() == pytest.approx(by_hand, rel=1e-6)
