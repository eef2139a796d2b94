"""What notebook 14 claims: its hand-written parts, the measures of its stored run."""

import json
import math
import re
from pathlib import Path

import pytest
import stored_run
import torch
from torch.nn import functional as F

from gancourse import captions
from gancourse.models import text

PATH = Path(__file__).resolve().parents[2] / "notebooks/14_text_conditioned.ipynb"
CELLS = json.loads(PATH.read_text(encoding="utf-8"))["cells"]


@pytest.fixture
def book() -> dict:
    """The functions that the notebook defines, without running the rest of it."""
    names = {"torch": torch, "F": F, "text": text, "captions": captions, "math": math}
    return stored_run.definitions(PATH, names)


@pytest.fixture(scope="module")
def stored() -> dict:
    """The metrics of the stored run."""
    return stored_run.metrics(PATH)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# ------------------------------------------------------------------ written by hand


def test_the_gru_by_hand_is_pytorchs_also_for_large_weights(book):
    torch.manual_seed(0)
    gru = torch.nn.GRU(4, 5, batch_first=True)
    for weight in gru.parameters():
        weight.data.mul_(4)
    words = normal(7, 4)
    states, last = gru(words[None])
    assert torch.allclose(book["gru_by_hand"](gru, words), last[0, 0], atol=1e-6)
    assert (states[0, 0] - last[0, 0]).abs().max() > 0.1  # it is not the first state


def test_one_step_of_the_gru_is_worked_out_right(book):
    gru = torch.nn.GRU(1, 1)
    for weight, values in zip(
        gru.parameters(), [[1, 2, 3], [0.5, 1, 2], [0, 0, 1], [0, 0, 4]], strict=True
    ):
        weight.data = torch.tensor(values).float().view(weight.shape)
    # h = 0, x = 0.1: r = s(.1), z = s(.2), n = tanh(.3 + 1 + r 4), h = (1 - z) n
    s = lambda x: 1 / (1 + math.exp(-x))  # noqa: E731
    n = math.tanh(1.3 + 4 * s(0.1))
    state = book["gru_by_hand"](gru, torch.tensor([[0.1]]))
    assert state.item() == pytest.approx((1 - s(0.2)) * n, rel=1e-5)


def test_no_embedding_makes_a_sum_of_words_hear_their_order():
    one = "a thin red seven upright above a bold blue three upright"
    other = "a bold blue three upright above a thin red seven upright"
    two = captions.tokens([one, other])
    for seed in range(5):
        vectors = normal(len(captions.WORDS) + 1, 8, seed=seed).double()[two]
        assert (vectors[0] - vectors[1]).abs().max() > 1  # the words stand elsewhere
        assert (vectors[0].sum(0) - vectors[1].sum(0)).abs().max() < 1e-12


def test_the_matching_loss_by_hand_is_the_packages(book):
    three = F.normalize(normal(3, 6, 10), dim=2)
    by_hand = book["matching_by_hand"](*three)
    assert by_hand.item() == pytest.approx(text.matching_loss(*three).item(), rel=1e-5)
    # wrong captions that are the right ones cost more
    p = three[0]
    worse, better = (book["matching_by_hand"](p, p, w) for w in (p, -p))
    assert worse > better


def test_the_matching_aware_loss_by_hand_is_worked_out_right(book):
    logits = {("x", "r"): 1.5, ("f", "r"): 1.0, ("x", "w"): -1.0}
    D = lambda x, c: torch.tensor([logits[x, c]])  # noqa: E731
    s = lambda x: 1 / (1 + math.exp(-x))  # noqa: E731
    by_hand = -math.log(s(1.5)) - (math.log(1 - s(1.0)) + math.log(1 - s(-1.0))) / 2
    value = book["matching_aware"](D, "x", "f", "r", "w")
    assert value.item() == pytest.approx(by_hand, rel=1e-5)


def test_argmax_has_no_gradient_and_gumbel_softmax_has(book):
    """The notebook's own writing, with a critic that likes one word in each gap."""
    words, wanted = 6, torch.tensor([[1, 4, 2, 0, 5]]).repeat(20, 1)
    book["allowed"] = torch.zeros(5, words)
    book |= {"shown": torch.zeros(20), "truth": wanted, "seed": 0}
    book["GAPS"] = dict.fromkeys(range(5))
    book["liking"] = lambda chosen: (
        4 * (chosen * F.one_hot(wanted, words)).sum((1, 2)) - 8
    )
    nothing = book["write"](lambda x: F.one_hot(x.argmax(2), words).float())
    assert nothing.tolist() == [0, 0, 0, 1, 0]  # argmax of zeros is word 0, for ever
    learned = book["write"](lambda x: F.gumbel_softmax(x, tau=1.0, hard=True))
    assert learned.min() > 0.9


# ------------------------------------------------------------------ the stored run


def test_drawings_obey_their_captions(stored):
    assert 0.9 <= stored["agreement"] <= stored["ceiling"]
    assert stored["agreement_all"] < stored["agreement"]
    assert stored["ceiling"] > 0.97


def test_the_text_says_which_promise_the_mean_hides(stored):
    """Five parts in the mean keep the nine in ten; what does not is printed by name."""
    below = [n for n in ("digit", "all") if stored[f"agreement_{n}"] < 0.9]
    assert "all" in below
    said = re.search(r"below 90%: (.+)", stored_run.printed(PATH))[1].split()
    assert set(below) == set(said) & {"digit", "all"}


def test_the_number_on_unseen_pairs_is_stated_and_words_were_put_together_anew(stored):
    assert stored["agreement_unseen_all"] < stored["agreement_unseen"] <= 1
    # far above what chance gives on the five parts: (1/2 + 1/2 + 1/6 + 1/10 + 1/3) / 5
    assert stored["agreement_unseen"] > 0.8


def test_the_critic_gives_the_right_caption_more(stored):
    assert stored["right_over_other"] > 0.9 and stored["right_over_edit"] > 0.8


def test_a_critic_without_wrong_captions_reads_less(stored):
    assert stored["other_without"] < stored["right_over_other"]
    assert stored["edit_without"] < stored["quarter_over_edit"]  # after equal steps
    assert stored["quarter_without"] < stored["quarter_with"]


def test_g_is_nearly_deaf_to_its_latents_as_the_text_admits(stored):
    assert 0 < stored["latent_spread"] < 0.5


def test_spread_is_the_deviation_within_a_caption_and_not_between_captions(book):
    within, between = normal(1, 4, 3, 8, 8), 5 * normal(6, 1, 3, 8, 8, seed=1)
    x = (within + between).flatten(0, 1)  # six captions, four pictures of each
    assert book["spread"](x, 4) == pytest.approx(
        within[0].std(0).mean().item(), rel=1e-4
    )


def test_one_word_changes_what_it_names_more_than_all_else(stored):
    assert stored["edit_hits"] > 0.6 and stored["edit_leaks"] < 0.2


def test_words_are_learned_through_gumbel_softmax_and_not_through_argmax(stored):
    guessing = (1 / 2 + 1 / 6 + 1 / 10 + 1 / 2 + 1 / 2) / 5
    assert abs(stored["words_argmax"] - guessing) < 0.1
    assert stored["words_gumbel"] > guessing + 0.2


def test_what_is_written_by_hand_is_what_the_package_does(stored):
    for name in ("gru", "matching", "hand", "bag"):
        assert stored[f"{name}_difference"] < 1e-5
    assert stored["order_difference"] > 1e-3 and stored["gumbel_error"] < 0.01
